#pragma clang fp reassociate(on) contract(fast)
typedef struct {
    size_t from, to;
} span;

// Columns that row i sees.
INLINE span visible(size_t i, ptrdiff_t diagonal, size_t window, size_t columns) {
    ptrdiff_t last = (ptrdiff_t)i + diagonal;
    ptrdiff_t to = last + 1 < 0 ? 0 : last + 1 > (ptrdiff_t)columns ? (ptrdiff_t)columns : last + 1;
    ptrdiff_t from = last + 1 > (ptrdiff_t)window ? last + 1 - (ptrdiff_t)window : 0;
    return (span){(size_t)(from > to ? to : from), (size_t)to};
}

// tanh x to about 1e-7, which suffices where it is multiplied by a cap of some units.
INLINE vf tanh_of(vf x) { return 1.0f - 2.0f / (exp_of(2.0f * x) + 1.0f); }

// s of scores; `slope` becomes ds/d score.
INLINE vf capped(vf score, ck_scores kind, vf *slope) {
    vf s = score * kind.scale;
    *slope = splat(kind.scale);
    if (kind.cap == 0) return s;
    vf t = tanh_of(s * (1.0f / kind.cap));
    *slope = (1.0f - t * t) * kind.scale;
    return t * kind.cap;
}

static void cap_scores(float *s, size_t count, ck_scores kind) {
    vf slope;
    size_t j = 0;
    for (; j + CK_LANES <= count; j += CK_LANES) store(s + j, capped(load(s + j), kind, &slope));
    if (j < count) store_part(s + j, capped(load_part(s + j, count - j), kind, &slope), count - j);
}

// Short rows are mostly remainder, which is done as one vector.
static void softmax_forward(float *scores, size_t ld, size_t rows, size_t columns, ptrdiff_t diagonal, size_t window,
                            ck_scores kind, float *lse, size_t ldl, float *inverse) {
    float scale = kind.cap == 0 ? kind.scale : 1.0f;
    for (size_t i = 0; i < rows; i++) {
        float *s = scores + i * ld;
        span v = visible(i, diagonal, window, columns);
        if (kind.cap != 0) cap_scores(s + v.from, v.to - v.from, kind);
        float max = scale * ck_max(s + v.from, v.to - v.from);
        vf sums = splat(0);
        size_t j = v.from;
        for (; j + CK_LANES <= v.to; j += CK_LANES) {
            vf e = exp_of(load(s + j) * scale - max);
            store(s + j, e);
            sums += e;
        }
        if (j < v.to) {
            size_t rest = v.to - j;
            vf e = exp_of(load_part(s + j, rest) * scale - max);
            store_part(s + j, e, rest);
            sums += (vf)((vi)e & first_lanes(rest));
        }
        float sum = sum_of(sums);
        for (j = 0; j < v.from; j++) s[j] = 0;
        for (j = v.to; j < columns; j++) s[j] = 0;
        inverse[i] = 1.0f / sum;
        lse[i * ldl] = max + logf(sum);
    }
}

static void softmax_backward(float *scores, float *dp, size_t ld, size_t rows, size_t columns, ptrdiff_t diagonal,
                             size_t window, ck_scores kind, const float *lse, const float *delta, size_t ldl) {
    for (size_t i = 0; i < rows; i++) {
        float *s = scores + i * ld, *d = dp + i * ld;
        span v = visible(i, diagonal, window, columns);
        float l = lse[i * ldl], t = delta[i * ldl];
        size_t j = v.from;
        for (; j + CK_LANES <= v.to; j += CK_LANES) {
            vf slope, p = exp_of(capped(load(s + j), kind, &slope) - l);
            store(s + j, p);
            store(d + j, p * (load(d + j) - t) * slope);
        }
        if (j < v.to) {
            size_t rest = v.to - j;
            vf slope, p = exp_of(capped(load_part(s + j, rest), kind, &slope) - l);
            store_part(s + j, p, rest);
            store_part(d + j, p * (load_part(d + j, rest) - t) * slope, rest);
        }
        for (j = 0; j < v.from; j++) s[j] = d[j] = 0;
        for (j = v.to; j < columns; j++) s[j] = d[j] = 0;
    }
}

static void head_dots(const float *a, size_t lda, const float *b, size_t ldb, float *delta, size_t rows, size_t heads,
                      size_t size) {
    for (size_t i = 0; i < rows; i++)
        for (size_t h = 0; h < heads; h++) {
            const float *x = a + i * lda + h * size, *y = b + i * ldb + h * size;
            float sum = 0;
            for (size_t j = 0; j < size; j++) sum += x[j] * y[j];
            delta[i * heads + h] = sum;
        }
}

static void logits_statistics(const float *z, size_t ld, size_t rows, size_t columns, int32_t first,
                              ck_logit_statistics *statistics, size_t stride) {
    for (size_t i = 0; i < rows; i++, z += ld, statistics += stride) {
        float max = ck_max(z, columns), total = 0, sum = 0, squares = 0, weighted = 0;
        int32_t argmax = INT32_MAX;
        for (size_t j = 0; j < columns; j++) {
            float d = z[j] - max, e = ck_expf(d);
            total += z[j];
            sum += e;
            squares += e * e;
            weighted += e * d;
            int32_t at = z[j] == max ? (int32_t)j : INT32_MAX;
            argmax = at < argmax ? at : argmax;
        }
        *statistics =
            (ck_logit_statistics){max, sum, squares, weighted, total, argmax == INT32_MAX ? INT32_MAX : first + argmax};
    }
}

static void logits_backward(float *z, size_t ld, size_t rows, size_t columns, const float *lse, const float *scale,
                            float cap) {
    if (cap == 0) {
        for (size_t i = 0; i < rows; i++, z += ld)
            for (size_t j = 0; j < columns; j++) z[j] = -scale[i] * ck_expf(z[j] - lse[i]);
        return;
    }
    for (size_t i = 0; i < rows; i++, z += ld)
        for (size_t j = 0; j < columns; j++) {
            float t = z[j] / cap;
            z[j] = -scale[i] * ck_expf(z[j] - lse[i]) * (cap * (1.0f - t * t));
        }
}

static void soft_cap(float *z, size_t count, float cap) {
    for (size_t i = 0; i < count; i++) z[i] = cap * ck_tanhf(z[i]);
}
