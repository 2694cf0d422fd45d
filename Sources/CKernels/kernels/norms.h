#pragma clang fp reassociate(on) contract(fast)
// Writes s = x + add + bias and returns where it stands.
INLINE const float *residual(const float *x, const float *add, const float *bias, float *sum, size_t width) {
    if (!add) return x;
    if (bias)
        for (size_t j = 0; j < width; j++) sum[j] = x[j] + (add[j] + bias[j]);
    else
        for (size_t j = 0; j < width; j++) sum[j] = x[j] + add[j];
    return sum;
}

INLINE float rms_row(const float *s, const float *w, float *y, size_t width, float eps) {
    float squares = 0;
    for (size_t j = 0; j < width; j++) squares += s[j] * s[j];
    float r = 1.0f / sqrtf(squares / (float)width + eps);
    for (size_t j = 0; j < width; j++) y[j] = w[j] * (s[j] * r);
    return r;
}

static void rms_forward(const float *x, const float *add, const float *bias, float *sum, const float *w, float *y,
                        float *rstd, size_t rows, size_t width, float eps) {
    for (size_t i = 0; i < rows; i++) {
        const float *s = residual(x + i * width, add ? add + i * width : 0, bias, sum + i * width, width);
        rstd[i] = rms_row(s, w, y + i * width, width, eps);
    }
}

static void rms_again(const float *s, const float *rstd, const float *w, float *y, size_t rows, size_t width) {
    for (size_t i = 0; i < rows; i++, s += width, y += width)
        for (size_t j = 0; j < width; j++) y[j] = w[j] * (s[j] * rstd[i]);
}

// With x̂ = s·r: ds = r (w dy − x̂ mean(w dy x̂))
static void rms_backward(const float *dy, const float *s, const float *rstd, const float *w, float *dx, size_t rows,
                         size_t width) {
    for (size_t i = 0; i < rows; i++, dy += width, s += width, dx += width) {
        float r = rstd[i], dot = 0;
        for (size_t j = 0; j < width; j++) dot += w[j] * dy[j] * s[j];
        float c = dot * r * r * r / (float)width;
        for (size_t j = 0; j < width; j++) dx[j] += r * (w[j] * dy[j]) - c * s[j];
    }
}

static void rms_weight_gradient(const float *dy, const float *s, const float *rstd, float *dw, size_t rows,
                                size_t width, size_t from, size_t to) {
    for (size_t i = 0; i < rows; i++, dy += width, s += width) {
        float r = rstd[i];
        for (size_t j = from; j < to; j++) dw[j] += dy[j] * (s[j] * r);
    }
}

static void layer_norm_forward(const float *x, const float *add, const float *bias, float *sum, const float *w,
                               const float *b, float *y, float *mean, float *rstd, size_t rows, size_t width,
                               float eps) {
    for (size_t i = 0; i < rows; i++) {
        const float *s = residual(x + i * width, add ? add + i * width : 0, bias, sum + i * width, width);
        float *out = y + i * width;
        float total = 0, squares = 0;
        for (size_t j = 0; j < width; j++) total += s[j];
        float m = total / (float)width;
        for (size_t j = 0; j < width; j++) squares += (s[j] - m) * (s[j] - m);
        float r = 1.0f / sqrtf(squares / (float)width + eps);
        for (size_t j = 0; j < width; j++) out[j] = w[j] * ((s[j] - m) * r) + b[j];
        mean[i] = m;
        rstd[i] = r;
    }
}

static void layer_norm_again(const float *s, const float *mean, const float *rstd, const float *w, const float *b,
                             float *y, size_t rows, size_t width) {
    for (size_t i = 0; i < rows; i++, s += width, y += width)
        for (size_t j = 0; j < width; j++) y[j] = w[j] * ((s[j] - mean[i]) * rstd[i]) + b[j];
}

// With x̂ = (s − m)·r: ds = r (w dy − mean(w dy) − x̂ mean(w dy x̂))
static void layer_norm_backward(const float *dy, const float *s, const float *mean, const float *rstd, const float *w,
                                float *dx, size_t rows, size_t width) {
    for (size_t i = 0; i < rows; i++, dy += width, s += width, dx += width) {
        float m = mean[i], r = rstd[i], total = 0, dot = 0;
        for (size_t j = 0; j < width; j++) {
            float g = w[j] * dy[j];
            total += g;
            dot += g * ((s[j] - m) * r);
        }
        total /= (float)width;
        dot /= (float)width;
        for (size_t j = 0; j < width; j++) dx[j] += r * (w[j] * dy[j] - total - (s[j] - m) * r * dot);
    }
}

static void layer_norm_weight_gradient(const float *dy, const float *s, const float *mean, const float *rstd, float *dw,
                                       float *db, size_t rows, size_t width, size_t from, size_t to) {
    for (size_t i = 0; i < rows; i++, dy += width, s += width) {
        float m = mean[i], r = rstd[i];
        for (size_t j = from; j < to; j++) {
            dw[j] += dy[j] * ((s[j] - m) * r);
            if (db) db[j] += dy[j];
        }
    }
}

static void head_norm_forward(const float *x, size_t ldx, const float *w, float *y, size_t ldy, float *rstd,
                              size_t rows, size_t heads, size_t size, float eps) {
    for (size_t i = 0; i < rows; i++)
        for (size_t h = 0; h < heads; h++)
            rstd[i * heads + h] = rms_row(x + i * ldx + h * size, w, y + i * ldy + h * size, size, eps);
}

static void head_norm_backward(float *dy, size_t ldy, const float *x, size_t ldx, const float *rstd, const float *w,
                               float *dw, size_t rows, size_t heads, size_t size) {
    for (size_t i = 0; i < rows; i++)
        for (size_t h = 0; h < heads; h++) {
            float *g = dy + i * ldy + h * size;
            const float *s = x + i * ldx + h * size;
            float r = rstd[i * heads + h], dot = 0;
            for (size_t j = 0; j < size; j++) {
                if (dw) dw[j] += g[j] * (s[j] * r);
                dot += w[j] * g[j] * s[j];
            }
            float c = dot * r * r * r / (float)size;
            for (size_t j = 0; j < size; j++) g[j] = r * (w[j] * g[j]) - c * s[j];
        }
}
