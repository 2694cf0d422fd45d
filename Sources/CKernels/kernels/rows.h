#pragma clang fp reassociate(on) contract(fast)
static void rope(float *x, size_t ld, const float *cosines, const float *sines, const int32_t *positions, size_t rows,
                 size_t heads, ck_rotation kind, float sign) {
    size_t half = kind.turned / 2;
    for (size_t i = 0; i < rows; i++) {
        const float *c = cosines + (size_t)positions[i] * half, *s = sines + (size_t)positions[i] * half;
        for (size_t h = 0; h < heads; h++) {
            float *a = x + i * ld + h * kind.size, *b = a + half;
            if (kind.interleaved)
                for (size_t j = 0; j < half; j++) {
                    float u = a[2 * j], v = a[2 * j + 1], t = sign * s[j];
                    a[2 * j] = u * c[j] - v * t;
                    a[2 * j + 1] = v * c[j] + u * t;
                }
            else
                for (size_t j = 0; j < half; j++) {
                    float u = a[j], v = b[j], t = sign * s[j];
                    a[j] = u * c[j] - v * t;
                    b[j] = v * c[j] + u * t;
                }
        }
    }
}

// y = f(x) and f'(x)
typedef struct {
    float value, slope;
} value_slope;

INLINE value_slope activate(ck_activation kind, float x) {
    if (kind == CK_SILU) {
        float sigma = ck_sigmoidf(x), silu = x * sigma;
        return (value_slope){silu, sigma + silu * (1.0f - sigma)};
    }
    if (kind == CK_GELU_TANH) {
        // ½ x (1 + tanh u) = x σ(2u), u = √(2/π) (x + 0.044715 x³): σ keeps its digits where tanh is close to −1.
        float s = x * x;
        float sigma = ck_sigmoidf(1.5957691216f * x * (1.0f + 0.044715f * s)), gelu = x * sigma;
        return (value_slope){gelu, sigma + gelu * (1.0f - sigma) * 1.5957691216f * (1.0f + 0.134145f * s)};
    }
    if (kind == CK_RELU_SQUARED) {
        float r = x > 0 ? x : 0;
        return (value_slope){r * r, 2.0f * r};
    }
    if (kind == CK_CLAMPED_SWISH) {
        float y = x < 7.0f ? x : 7.0f, sigma = ck_sigmoidf(1.702f * y);
        return (value_slope){y * sigma, x <= 7.0f ? sigma + 1.702f * y * sigma * (1.0f - sigma) : 0.0f};
    }
    if (kind == CK_SIGMOID) {
        float sigma = ck_sigmoidf(x);
        return (value_slope){sigma, sigma * (1.0f - sigma)};
    }
    // x Φ(x); derivative Φ(x) + x φ(x)
    float cdf = ck_normal_cdff(x);
    return (value_slope){x * cdf, cdf + x * 0.3989422804f * ck_expf(-0.5f * x * x)};
}

INLINE void activation_forward_of(ck_activation kind, float *restrict x, const float *bias, float *restrict act,
                                  size_t rows, size_t width) {
    for (size_t i = 0; i < rows; i++, x += width, act += width) {
        if (bias)
            for (size_t j = 0; j < width; j++) x[j] += bias[j];
        for (size_t j = 0; j < width; j++) act[j] = activate(kind, x[j]).value;
    }
}

INLINE void activation_backward_of(ck_activation kind, float *restrict x, const float *restrict dact,
                                   float *restrict act, size_t count) {
    for (size_t j = 0; j < count; j++) {
        value_slope f = activate(kind, x[j]);
        act[j] = f.value;
        x[j] = dact[j] * f.slope;
    }
}

// What a gate multiplies of up: value and slope.
INLINE value_slope gated(ck_activation kind, float up) {
    if (kind != CK_CLAMPED_SWISH) return (value_slope){up, 1.0f};
    float u = up < -7.0f ? -7.0f : up > 7.0f ? 7.0f : up;
    return (value_slope){1.0f + u, u == up ? 1.0f : 0.0f};
}

INLINE void gated_forward_of(ck_activation kind, const float *restrict gate, const float *restrict up, size_t ld,
                             float *restrict act, size_t rows, size_t width) {
    for (size_t i = 0; i < rows; i++, gate += ld, up += ld, act += width)
        for (size_t j = 0; j < width; j++) act[j] = activate(kind, gate[j]).value * gated(kind, up[j]).value;
}

INLINE void gated_backward_of(ck_activation kind, float *restrict gate, float *restrict up, size_t ld,
                              const float *restrict dact, float *restrict act, size_t rows, size_t width) {
    for (size_t i = 0; i < rows; i++, gate += ld, up += ld, act += width, dact += width)
        for (size_t j = 0; j < width; j++) {
            value_slope f = activate(kind, gate[j]), u = gated(kind, up[j]);
            float d = dact[j];
            act[j] = f.value * u.value;
            up[j] = d * f.value * u.slope;
            gate[j] = d * u.value * f.slope;
        }
}

static void gated_forward(ck_activation kind, const float *gate, const float *up, size_t ld, float *act, size_t rows,
                          size_t width) {
    switch (kind) {
    case CK_SILU: gated_forward_of(CK_SILU, gate, up, ld, act, rows, width); break;
    case CK_GELU_TANH: gated_forward_of(CK_GELU_TANH, gate, up, ld, act, rows, width); break;
    case CK_GELU: gated_forward_of(CK_GELU, gate, up, ld, act, rows, width); break;
    case CK_RELU_SQUARED: gated_forward_of(CK_RELU_SQUARED, gate, up, ld, act, rows, width); break;
    case CK_SIGMOID: gated_forward_of(CK_SIGMOID, gate, up, ld, act, rows, width); break;
    case CK_CLAMPED_SWISH: gated_forward_of(CK_CLAMPED_SWISH, gate, up, ld, act, rows, width); break;
    }
}

static void gated_backward(ck_activation kind, float *gate, float *up, size_t ld, const float *dact, float *act,
                           size_t rows, size_t width) {
    switch (kind) {
    case CK_SILU: gated_backward_of(CK_SILU, gate, up, ld, dact, act, rows, width); break;
    case CK_GELU_TANH: gated_backward_of(CK_GELU_TANH, gate, up, ld, dact, act, rows, width); break;
    case CK_GELU: gated_backward_of(CK_GELU, gate, up, ld, dact, act, rows, width); break;
    case CK_RELU_SQUARED: gated_backward_of(CK_RELU_SQUARED, gate, up, ld, dact, act, rows, width); break;
    case CK_SIGMOID: gated_backward_of(CK_SIGMOID, gate, up, ld, dact, act, rows, width); break;
    case CK_CLAMPED_SWISH: gated_backward_of(CK_CLAMPED_SWISH, gate, up, ld, dact, act, rows, width); break;
    }
}

static void activation_forward(ck_activation kind, float *x, const float *bias, float *act, size_t rows, size_t width) {
    switch (kind) {
    case CK_SILU: activation_forward_of(CK_SILU, x, bias, act, rows, width); break;
    case CK_GELU_TANH: activation_forward_of(CK_GELU_TANH, x, bias, act, rows, width); break;
    case CK_GELU: activation_forward_of(CK_GELU, x, bias, act, rows, width); break;
    case CK_RELU_SQUARED: activation_forward_of(CK_RELU_SQUARED, x, bias, act, rows, width); break;
    case CK_SIGMOID: activation_forward_of(CK_SIGMOID, x, bias, act, rows, width); break;
    case CK_CLAMPED_SWISH: activation_forward_of(CK_CLAMPED_SWISH, x, bias, act, rows, width); break;
    }
}

static void activation_backward(ck_activation kind, float *x, const float *dact, float *act, size_t rows,
                                size_t width) {
    switch (kind) {
    case CK_SILU: activation_backward_of(CK_SILU, x, dact, act, rows * width); break;
    case CK_GELU_TANH: activation_backward_of(CK_GELU_TANH, x, dact, act, rows * width); break;
    case CK_GELU: activation_backward_of(CK_GELU, x, dact, act, rows * width); break;
    case CK_RELU_SQUARED: activation_backward_of(CK_RELU_SQUARED, x, dact, act, rows * width); break;
    case CK_SIGMOID: activation_backward_of(CK_SIGMOID, x, dact, act, rows * width); break;
    case CK_CLAMPED_SWISH: activation_backward_of(CK_CLAMPED_SWISH, x, dact, act, rows * width); break;
    }
}

static void add_bias(float *x, size_t ld, const float *bias, size_t rows, size_t width) {
    for (size_t i = 0; i < rows; i++, x += ld)
        for (size_t j = 0; j < width; j++) x[j] += bias[j];
}

static void column_sums(const float *x, size_t ld, float *sums, size_t rows, size_t from, size_t to) {
    for (size_t i = 0; i < rows; i++, x += ld)
        for (size_t j = from; j < to; j++) sums[j] += x[j];
}

static void add(float *y, const float *a, const float *b, size_t count) {
    for (size_t i = 0; i < count; i++) y[i] = a[i] + b[i];
}

static void accumulate(float *y, const float *x, size_t count) {
    for (size_t i = 0; i < count; i++) y[i] += x[i];
}

static void scale(float *y, const float *x, float scale, size_t count) {
    for (size_t i = 0; i < count; i++) y[i] = x[i] * scale;
}

// SplitMix64 of (key, element): the same mask whenever it is asked for, whatever the order of rows or threads.
INLINE float keep(uint64_t key, uint64_t element, uint64_t threshold, float scale) {
    uint64_t z = key + (element + 1) * 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    z ^= z >> 31;
    return (z >> 11) < threshold ? 0.0f : scale;
}

static void dropout(const float *x, float *y, size_t count, uint64_t key, uint64_t first, float p) {
    uint64_t threshold = (uint64_t)((double)p * 0x1p53);
    float scale = 1.0f / (1.0f - p);
    for (size_t i = 0; i < count; i++) y[i] = x[i] * keep(key, first + i, threshold, scale);
}

static void dropout_accumulate(const float *x, float *y, size_t count, uint64_t key, uint64_t first, float p) {
    uint64_t threshold = (uint64_t)((double)p * 0x1p53);
    float scale = 1.0f / (1.0f - p);
    for (size_t i = 0; i < count; i++) y[i] += x[i] * keep(key, first + i, threshold, scale);
}

static void round_to_bf16(float *restrict x, uint16_t *restrict halves, size_t count) {
    size_t at = 0;
    for (; at + CK_LANES <= count; at += CK_LANES) {
        vf v = rounded(load(x + at));
        store(x + at, v);
        if (halves)
            for (size_t i = 0; i < CK_LANES; i++) halves[at + i] = (uint16_t)(((vu)v)[i] >> 16);
    }
    for (; at < count; at++) {
        float v = rounded(splat(x[at]))[0];
        x[at] = v;
        if (halves) halves[at] = (uint16_t)(((vu)splat(v))[0] >> 16);
    }
}
