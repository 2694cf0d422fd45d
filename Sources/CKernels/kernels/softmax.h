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

// Short rows are mostly remainder, which is done as one vector.
static void softmax_forward(float *scores, size_t ld, size_t rows, size_t columns, ptrdiff_t diagonal, size_t window,
                            float scale, float *lse, size_t ldl, float *inverse) {
    for (size_t i = 0; i < rows; i++) {
        float *s = scores + i * ld;
        span v = visible(i, diagonal, window, columns);
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
                             size_t window, float scale, const float *lse, const float *delta, size_t ldl) {
    for (size_t i = 0; i < rows; i++) {
        float *s = scores + i * ld, *d = dp + i * ld;
        span v = visible(i, diagonal, window, columns);
        float l = lse[i * ldl], t = delta[i * ldl];
        size_t j = v.from;
        for (; j + CK_LANES <= v.to; j += CK_LANES) {
            vf p = exp_of(load(s + j) * scale - l);
            store(s + j, p);
            store(d + j, p * (load(d + j) - t) * scale);
        }
        if (j < v.to) {
            size_t rest = v.to - j;
            vf p = exp_of(load_part(s + j, rest) * scale - l);
            store_part(s + j, p, rest);
            store_part(d + j, p * (load_part(d + j, rest) - t) * scale, rest);
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

static void logits_backward(float *z, size_t ld, size_t rows, size_t columns, const float *lse, const float *scale) {
    for (size_t i = 0; i < rows; i++, z += ld)
        for (size_t j = 0; j < columns; j++) z[j] = -scale[i] * ck_expf(z[j] - lse[i]);
}
