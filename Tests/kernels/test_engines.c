/* Every engine that this machine can run: products against sums in double precision, everything else against the
   portable engine, which the Swift tests compare with naive versions. */
#include <CKernels.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static int checks_passed, checks_failed;
static const char *engine_name = "";

#define CHECK(condition, ...)                                                                                          \
    do {                                                                                                               \
        if (condition) {                                                                                               \
            checks_passed++;                                                                                           \
        } else {                                                                                                       \
            checks_failed++;                                                                                           \
            printf("FAILED %s:%d: %s: %s: ", __FILE__, __LINE__, engine_name, #condition);                             \
            printf(__VA_ARGS__);                                                                                       \
            printf("\n");                                                                                              \
        }                                                                                                              \
    } while (0)

/* Numbers between -1 and 1, the same on every machine. */
static uint32_t state = 1;
static float random_number(void) {
    state = state * 1664525u + 1013904223u;
    return (float)(state >> 8) / (float)(1 << 23) - 1.0f;
}

static float *numbers(size_t count, float scale) {
    float *x = malloc(4 * count + 4);
    if (!x) exit(2);
    for (size_t i = 0; i < count; i++) x[i] = scale * random_number();
    return x;
}

static float *room(size_t count) {
    float *x = aligned_alloc(64, (4 * count + 127) / 64 * 64);
    if (!x) exit(2);
    for (size_t i = 0; i < count; i++) x[i] = NAN; /* what is read before it is written shows */
    return x;
}

/* Largest |a - b| and largest |b|. */
static double distance(const float *a, const float *b, size_t count) {
    double error = 0, size = 1e-30;
    for (size_t i = 0; i < count; i++) {
        double d = fabs((double)a[i] - (double)b[i]);
        error = d > error || d != d ? (d != d ? INFINITY : d) : error;
        size = fabs((double)b[i]) > size ? fabs((double)b[i]) : size;
    }
    return error / size;
}

/* ------------------------------------------------------------------------------------------------------- products */

static float *packed(const ck_engine *e, ck_gemm_precision precision, int is_a, const float *x, size_t ld,
                     int transposed, size_t rows, size_t k) {
    float *p = room(ck_gemm_packed(e, precision, is_a, rows, k) + 16);
    /* In two parts of k, the first of an even number. */
    size_t first = k / 4 * 2;
    e->pack(precision, is_a, x, ld, transposed, 1, rows, 0, first, k, p);
    e->pack(precision, is_a, transposed ? x + first * ld : x + first, ld, transposed, 1, rows, first, k, k, p);
    return p;
}

static void products(const ck_engine *e) {
    static const size_t shapes[][3] = {{1, 1, 1}, {3, 5, 7}, {14, 32, 64}, {29, 70, 33}, {47, 18, 700}, {96, 40, 576}};
    ck_gemm_precision precisions[] = {CK_GEMM_F32, CK_GEMM_ROUNDED, e->bf16};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (int p = 0; p < 3; p++)
            for (int layout = 0; layout < 4; layout++) {
                size_t m = shapes[s][0], n = shapes[s][1], k = shapes[s][2];
                int ta = layout & 1, tb = layout >> 1;
                float *a = numbers(m * k, 1), *b = numbers(n * k, 1);
                if (p > 0) {
                    e->round_to_bf16(a, NULL, m * k);
                    e->round_to_bf16(b, NULL, n * k);
                }
                float *pa = packed(e, precisions[p], 1, a, ta ? m : k, ta, m, k),
                      *pb = packed(e, precisions[p], 0, b, tb ? n : k, tb, n, k);
                float *c = numbers(m * n, 1), *before = malloc(4 * m * n), *expected = malloc(4 * m * n);
                if (!before || !expected) exit(2);
                memcpy(before, c, 4 * m * n);
                for (int accumulate = 0; accumulate < 2; accumulate++) {
                    size_t slots = ck_gemm_slots(precisions[p], k);
                    for (size_t i = 0; i < m; i++)
                        for (size_t j = 0; j < n; j++) {
                            double sum = accumulate ? (double)before[i * n + j] : 0;
                            for (size_t l = 0; l < k; l++)
                                sum += (double)a[ta ? l * m + i : i * k + l] * (double)b[tb ? l * n + j : j * k + l];
                            expected[i * n + j] = (float)sum;
                        }
                    memcpy(c, before, 4 * m * n);
                    e->multiply(precisions[p], pa, slots, pb, slots, m, n, k, c, n, accumulate);
                    double error = distance(c, expected, m * n);
                    CHECK(error < 2e-6, "%zu x %zu x %zu, precision %d, layout %d: %g", m, n, k, precisions[p], layout,
                          error);
                }
                free(a), free(b), free(pa), free(pb), free(c), free(before), free(expected);
            }
}

/* --------------------------------------------------------------------------------------------------- stored weights */

static const struct {
    ck_encoding encoding;
    const char *name;
    size_t elements, bytes;
    int scales[2]; /* where halves stand; -1: none */
} formats[] = {
    {CK_F32, "F32", 1, 4, {-1, -1}},           {CK_F16, "F16", 1, 2, {-1, -1}},
    {CK_BF16, "BF16", 1, 2, {-1, -1}},         {CK_Q4_0, "Q4_0", 32, 18, {0, -1}},
    {CK_Q4_1, "Q4_1", 32, 20, {0, 2}},         {CK_Q5_0, "Q5_0", 32, 22, {0, -1}},
    {CK_Q5_1, "Q5_1", 32, 24, {0, 2}},         {CK_Q8_0, "Q8_0", 32, 34, {0, -1}},
    {CK_Q2_K, "Q2_K", 256, 84, {80, 82}},      {CK_Q3_K, "Q3_K", 256, 110, {108, -1}},
    {CK_Q4_K, "Q4_K", 256, 144, {0, 2}},       {CK_Q5_K, "Q5_K", 256, 176, {0, 2}},
    {CK_Q6_K, "Q6_K", 256, 210, {208, -1}},    {CK_IQ4_NL, "IQ4_NL", 32, 18, {0, -1}},
    {CK_IQ4_XS, "IQ4_XS", 256, 136, {0, -1}},  {CK_IQ1_S, "IQ1_S", 256, 50, {0, -1}},
    {CK_IQ1_M, "IQ1_M", 256, 56, {54, -1}},    {CK_IQ2_XXS, "IQ2_XXS", 256, 66, {0, -1}},
    {CK_IQ2_XS, "IQ2_XS", 256, 74, {0, -1}},   {CK_IQ2_S, "IQ2_S", 256, 82, {0, -1}},
    {CK_IQ3_XXS, "IQ3_XXS", 256, 98, {0, -1}}, {CK_IQ3_S, "IQ3_S", 256, 110, {0, -1}},
    {CK_TQ1_0, "TQ1_0", 256, 54, {52, -1}},    {CK_TQ2_0, "TQ2_0", 256, 66, {64, -1}},
    {CK_MXFP4, "MXFP4", 32, 17, {-1, -1}},     {CK_NVFP4, "NVFP4", 64, 36, {-1, -1}},
};

/* Memory that ends where nothing can be read, as a mapped file may. */
enum { PAGE = 65536 };
static size_t pages(size_t count) { return (count + PAGE - 1) / PAGE * PAGE; }

static uint8_t *mapped(size_t count) {
    uint8_t *start = mmap(NULL, pages(count) + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (start == MAP_FAILED || mprotect(start + pages(count), PAGE, PROT_NONE) != 0) exit(2);
    return start + pages(count) - count;
}

static void unmap(uint8_t *data, size_t count) { munmap(data + count - pages(count), pages(count) + PAGE); }

static uint8_t *weights(int format, size_t count, const ck_engine *portable) {
    size_t blocks = count / formats[format].elements, size = formats[format].bytes;
    uint8_t *data = mapped(blocks * size);
    if (formats[format].elements == 1) {
        float *x = numbers(count, 1);
        portable->quantize(formats[format].encoding, x, data, count);
        free(x);
        return data;
    }
    for (size_t i = 0; i < blocks * size; i++) data[i] = (uint8_t)(int)(random_number() * 127);
    for (size_t b = 0; b < blocks; b++) {
        if (formats[format].encoding == CK_MXFP4) data[b * size] = 120 | (data[b * size] & 7);
        for (int s = 0; s < 2; s++)
            if (formats[format].scales[s] >= 0) { /* the exponent: about 2^-7 ... 2^-4 */
                uint8_t *high = data + b * size + formats[format].scales[s] + 1;
                *high = (uint8_t)((*high & 0x8F) | 0x20);
            }
    }
    return data;
}

static void stored(const ck_engine *e, const ck_engine *portable) {
    for (int f = 0; f < (int)(sizeof formats / sizeof *formats); f++) {
        size_t rows = 21, k = formats[f].elements == 1 ? 77 : 3 * formats[f].elements,
               row_bytes = k / formats[f].elements * formats[f].bytes;
        uint8_t *data = weights(f, rows * k, portable);
        float *w = room(rows * k), *found = room(rows * (k + 3)), *scratch = room(ck_weights_scratch(k));
        portable->dequantize(formats[f].encoding, data, w, rows * k);
        e->dequantize_rows(formats[f].encoding, data, row_bytes, rows, found, k + 3, k);
        int same = 1;
        for (size_t i = 0; i < rows; i++) same &= memcmp(found + i * (k + 3), w + i * k, 4 * k) == 0;
        CHECK(same, "%s: rows are not decoded to the same bits", formats[f].name);
        e->dequantize(formats[f].encoding, data, found, rows * k);
        CHECK(memcmp(found, w, 4 * rows * k) == 0, "%s: not decoded to the same bits", formats[f].name);
        CHECK(e->first_nonfinite(formats[f].encoding, data, rows * k / formats[f].elements) ==
                  rows * k / formats[f].elements,
              "%s", formats[f].name);
        for (size_t t = 1; t <= 9; t++)
            for (int rounded = 0; rounded < 2; rounded++) {
                float *x = numbers(t * k, 1), *y = room(t * rows), *alone = room(rows), *expected = room(t * rows),
                      *wr = malloc(4 * rows * k);
                uint16_t *halves = malloc(2 * t * k + 2);
                if (!wr || !halves) exit(2);
                memcpy(wr, w, 4 * rows * k);
                if (rounded) {
                    e->round_to_bf16(x, halves, t * k);
                    portable->round_to_bf16(wr, NULL, rows * k);
                }
                for (size_t i = 0; i < t; i++)
                    for (size_t j = 0; j < rows; j++) {
                        double sum = 0;
                        for (size_t l = 0; l < k; l++) sum += (double)x[i * k + l] * (double)wr[j * k + l];
                        expected[i * rows + j] = (float)sum;
                    }
                ck_weights matrix = {data, row_bytes, k, 0, formats[f].encoding};
                ck_activations all = {x, rounded ? halves : NULL, k, t};
                ck_activations last = {x + (t - 1) * k, rounded ? halves + (t - 1) * k : NULL, k, 1};
                e->weights_product(&matrix, 0, 8, &all, y, rows, scratch);
                e->weights_product(&matrix, 8, rows - 8, &all, y, rows, scratch);
                e->weights_product(&matrix, 0, rows, &last, alone, rows, scratch);
                double error = distance(y, expected, t * rows);
                CHECK(error < 2e-6, "%s, %zu rows, rounded %d: %g", formats[f].name, t, rounded, error);
                CHECK(memcmp(alone, y + (t - 1) * rows, 4 * rows) == 0, "%s, %zu rows: a row alone differs",
                      formats[f].name, t);
                free(x), free(y), free(alone), free(expected), free(halves), free(wr);
            }
        unmap(data, rows * row_bytes);
        free(w), free(found), free(scratch);
    }
}

/* ------------------------------------------------------------------------------- rows, beside the portable engine's */

#define BOTH(call_a, call_b, a, b, count, tolerance)                                                                   \
    do {                                                                                                               \
        call_a;                                                                                                        \
        call_b;                                                                                                        \
        double error = distance(a, b, count);                                                                          \
        CHECK(error <= (tolerance), "%s: %g", #call_a, error);                                                         \
    } while (0)

static void rows(const ck_engine *e, const ck_engine *p) {
    enum { R = 5, W = 101, H = 2, S = 24, N = R * W };
    float *x = numbers(N, 4), *y = numbers(N, 1), *w = numbers(W, 1), *b = numbers(W, 1), *a1 = room(N), *a2 = room(N),
          *s1 = room(N), *s2 = room(N);
    float mean1[R * H], mean2[R * H], rstd1[R * H], rstd2[R * H];
    BOTH(e->rms_forward(x, y, b, s1, w, a1, rstd1, R, W, 1e-5f), p->rms_forward(x, y, b, s2, w, a2, rstd2, R, W, 1e-5f),
         a1, a2, N, 2e-6);
    BOTH(e->rms_again(s2, rstd2, w, a1, R, W), p->rms_again(s2, rstd2, w, a2, R, W), a1, a2, N, 1e-6);
    memcpy(a1, x, 4 * N), memcpy(a2, x, 4 * N);
    BOTH(e->rms_backward(y, s2, rstd2, w, a1, R, W), p->rms_backward(y, s2, rstd2, w, a2, R, W), a1, a2, N, 2e-6);
    memcpy(a1, w, 4 * W), memcpy(a2, w, 4 * W);
    BOTH(e->rms_weight_gradient(y, s2, rstd2, a1, R, W, 0, W), p->rms_weight_gradient(y, s2, rstd2, a2, R, W, 0, W), a1,
         a2, W, 2e-6);
    BOTH(e->layer_norm_forward(x, y, b, s1, w, b, a1, mean1, rstd1, R, W, 1e-5f),
         p->layer_norm_forward(x, y, b, s2, w, b, a2, mean2, rstd2, R, W, 1e-5f), a1, a2, N, 3e-6);
    BOTH(e->layer_norm_again(s2, mean2, rstd2, w, b, a1, R, W), p->layer_norm_again(s2, mean2, rstd2, w, b, a2, R, W),
         a1, a2, N, 1e-6);
    memcpy(a1, x, 4 * N), memcpy(a2, x, 4 * N);
    BOTH(e->layer_norm_backward(y, s2, mean2, rstd2, w, a1, R, W),
         p->layer_norm_backward(y, s2, mean2, rstd2, w, a2, R, W), a1, a2, N, 3e-6);
    memset(a1, 0, 8 * W), memset(a2, 0, 8 * W);
    BOTH(e->layer_norm_weight_gradient(y, s2, mean2, rstd2, a1, a1 + W, R, W, 0, W),
         p->layer_norm_weight_gradient(y, s2, mean2, rstd2, a2, a2 + W, R, W, 0, W), a1, a2, 2 * W, 3e-6);
    BOTH(e->head_norm_forward(x, W, w, a1, W, rstd1, R - 1, H, S, 1e-5f),
         p->head_norm_forward(x, W, w, a2, W, rstd2, R - 1, H, S, 1e-5f), a1, a2, H * S, 2e-6);
    memcpy(a1, y, 4 * N), memcpy(a2, y, 4 * N), memset(s1, 0, 4 * S), memset(s2, 0, 4 * S);
    BOTH(e->head_norm_backward(a1, W, x, W, rstd2, w, s1, R - 1, H, S),
         p->head_norm_backward(a2, W, x, W, rstd2, w, s2, R - 1, H, S), a1, a2, N, 3e-6);
    CHECK(distance(s1, s2, S) < 3e-6, "head_norm_backward's weights");

    int32_t positions[R] = {0, 3, 1, 4, 2};
    float *cosines = numbers(5 * S / 2, 1), *sines = numbers(5 * S / 2, 1);
    memcpy(a1, x, 4 * N), memcpy(a2, x, 4 * N);
    for (int interleaved = 0; interleaved < 2; interleaved++) {
        ck_rotation kind = {S, S - 2, interleaved};
        BOTH(e->rope(a1, W, cosines, sines, positions, R, H, kind, -1),
             p->rope(a2, W, cosines, sines, positions, R, H, kind, -1), a1, a2, N, 2e-6);
    }
    free(cosines), free(sines);
    for (int kind = CK_SILU; kind <= CK_CLAMPED_SWISH; kind++) {
        enum { I = W / 2 };
        memcpy(a1, x, 4 * N), memcpy(a2, x, 4 * N);
        BOTH(e->gated_forward((ck_activation)kind, a1, a1 + I, W, s1, R, I),
             p->gated_forward((ck_activation)kind, a2, a2 + I, W, s2, R, I), s1, s2, R * I, 2e-6);
        BOTH(e->gated_backward((ck_activation)kind, a1, a1 + I, W, y, s1, R, I),
             p->gated_backward((ck_activation)kind, a2, a2 + I, W, y, s2, R, I), a1, a2, N, 2e-6);
        memcpy(a1, x, 4 * N), memcpy(a2, x, 4 * N);
        BOTH(e->activation_forward((ck_activation)kind, a1, b, s1, R, W),
             p->activation_forward((ck_activation)kind, a2, b, s2, R, W), s1, s2, N, 2e-6);
        BOTH(e->activation_backward((ck_activation)kind, a1, y, s1, R, W),
             p->activation_backward((ck_activation)kind, a2, y, s2, R, W), a1, a2, N, 2e-6);
    }
    memcpy(a1, x, 4 * N), memcpy(a2, x, 4 * N);
    BOTH(e->add_bias(a1, W, b, R, W), p->add_bias(a2, W, b, R, W), a1, a2, N, 0);
    BOTH(e->column_sums(x, W, a1, R, 0, W), p->column_sums(x, W, a2, R, 0, W), a1, a2, W, 1e-6);
    BOTH(e->add(a1, x, y, N), p->add(a2, x, y, N), a1, a2, N, 0);
    BOTH(e->accumulate(a1, x, N), p->accumulate(a2, x, N), a1, a2, N, 0);
    BOTH(e->scale(a1, x, 0.3f, N), p->scale(a2, x, 0.3f, N), a1, a2, N, 0);
    BOTH(e->dropout(x, a1, N, 7, 3, 0.4f), p->dropout(x, a2, N, 7, 3, 0.4f), a1, a2, N, 0);
    BOTH(e->dropout_accumulate(x, a1, N, 7, 3, 0.4f), p->dropout_accumulate(x, a2, N, 7, 3, 0.4f), a1, a2, N, 1e-6);
    BOTH(e->shifted_exp_sum(x, a1, N, 0.5f, 0.7f), p->shifted_exp_sum(x, a2, N, 0.5f, 0.7f), a1, a2, N, 1e-6);

    float lse1[R], lse2[R], inverse1[R], inverse2[R];
    for (size_t window = 3; window < 200; window += 90) {
        ck_scores kind = {0.3f, window == 3 ? 0.0f : 2.0f};
        memcpy(a1, x, 4 * N), memcpy(a2, x, 4 * N);
        BOTH(e->softmax_forward(a1, W, R, W, W - R, window, kind, lse1, 1, inverse1),
             p->softmax_forward(a2, W, R, W, W - R, window, kind, lse2, 1, inverse2), a1, a2, N, 2e-6);
        CHECK(distance(lse1, lse2, R) < 1e-6 && distance(inverse1, inverse2, R) < 2e-6, "lse");
        memcpy(a1, x, 4 * N), memcpy(a2, x, 4 * N), memcpy(s1, y, 4 * N), memcpy(s2, y, 4 * N);
        BOTH(e->softmax_backward(a1, s1, W, R, W, W - R, window, kind, lse2, b, 1),
             p->softmax_backward(a2, s2, W, R, W, W - R, window, kind, lse2, b, 1), s1, s2, N, 2e-6);
    }
    BOTH(e->head_dots(x, W, y, W, rstd1, R, H, S), p->head_dots(x, W, y, W, rstd2, R, H, S), rstd1, rstd2, R * H, 2e-6);
    ck_logit_statistics t1[R], t2[R];
    e->logits_statistics(x, W, R, W, 7, t1, 1), p->logits_statistics(x, W, R, W, 7, t2, 1);
    for (int i = 0; i < R; i++)
        CHECK(t1[i].max == t2[i].max && t1[i].argmax == t2[i].argmax &&
                  fabsf(t1[i].sum - t2[i].sum) <= 2e-6f * t2[i].sum &&
                  fabsf(t1[i].weighted - t2[i].weighted) <= 3e-6f * fabsf(t2[i].weighted),
              "row %d", i);
    memcpy(a1, x, 4 * N), memcpy(a2, x, 4 * N);
    BOTH(e->soft_cap(a1, N, 3), p->soft_cap(a2, N, 3), a1, a2, N, 1e-6);
    for (float cap = 0; cap < 9; cap += 8)
        BOTH(e->logits_backward(a1, W, R, W, lse2, b, cap), p->logits_backward(a2, W, R, W, lse2, b, cap), a1, a2, N,
             3e-6);

    ck_adamw_step step = {0.5f, 0.9f, 0.1f, 0.99f, 0.01f, 1e-3f, 3, 1e-8f, 0.999f};
    float *v1 = numbers(N, 1), *v2 = room(N), *g1 = numbers(N, 1), *g2 = room(N);
    for (int i = 0; i < N; i++) v1[i] = fabsf(v1[i]);
    memcpy(v2, v1, 4 * N), memcpy(g2, g1, 4 * N), memcpy(a1, x, 4 * N), memcpy(a2, x, 4 * N), memcpy(s1, y, 4 * N),
        memcpy(s2, y, 4 * N);
    e->adamw(a1, g1, s1, v1, N, &step), p->adamw(a2, g2, s2, v2, N, &step);
    CHECK(memcmp(a1, a2, 4 * N) == 0 && memcmp(s1, s2, 4 * N) == 0 && memcmp(v1, v2, 4 * N) == 0, "AdamW's bits");
    ck_sgd_step sgd = {0.5f, 1e-3f, 0.1f, 0.9f, 0.5f, 1, 0.9f};
    memcpy(g1, y, 4 * N), memcpy(g2, y, 4 * N);
    e->sgd(a1, g1, s1, N, &sgd), p->sgd(a2, g2, s2, N, &sgd);
    memcpy(g1, x, 4 * N), memcpy(g2, x, 4 * N);
    e->sgd(a1, g1, NULL, N, &sgd), p->sgd(a2, g2, NULL, N, &sgd);
    CHECK(memcmp(a1, a2, 4 * N) == 0 && memcmp(s1, s2, 4 * N) == 0, "SGD's bits");
    ck_lion_step lion = {0.5f, 0.9f, 0.1f, 0.99f, 0.01f, 1e-3f, 0.999f};
    memcpy(g1, y, 4 * N), memcpy(g2, y, 4 * N);
    e->lion(a1, g1, s1, N, &lion), p->lion(a2, g2, s2, N, &lion);
    CHECK(memcmp(a1, a2, 4 * N) == 0 && memcmp(s1, s2, 4 * N) == 0, "Lion's bits");
    e->round_by_chance(x, (uint16_t *)s1, N, 7, 11), p->round_by_chance(x, (uint16_t *)s2, N, 7, 11);
    CHECK(memcmp(s1, s2, 2 * N) == 0, "bits rounded by chance");
    memset(s1, 0, 4 * N), memset(s2, 0, 4 * N);
    e->adafactor_sums(x, R, W, 0.5f, a1, s1), p->adafactor_sums(x, R, W, 0.5f, a2, s2);
    CHECK(memcmp(a1, a2, 4 * R) == 0 && memcmp(s1, s2, 4 * W) == 0, "Adafactor's sums");
    double squares1 = e->adafactor_squares(x, R, W, 0.5f, a1, s1),
           squares2 = p->adafactor_squares(x, R, W, 0.5f, a2, s2);
    CHECK(memcmp(&squares1, &squares2, 8) == 0, "Adafactor's squares");
    memcpy(g1, x, 4 * N), memcpy(g2, x, 4 * N);
    e->adafactor_apply(v1, g1, R, W, 0.5f, a1, s1, 1e-3f, 0.999f);
    p->adafactor_apply(v2, g2, R, W, 0.5f, a2, s2, 1e-3f, 0.999f);
    CHECK(memcmp(v1, v2, 4 * N) == 0 && memcmp(g1, g2, 4 * N) == 0, "Adafactor's bits");
    double sum1 = e->sum_of_squares(x, N), sum2 = p->sum_of_squares(x, N);
    CHECK(memcmp(&sum1, &sum2, 8) == 0, "the norm's bits");
    for (int encoding = CK_F16; encoding <= CK_BF16; encoding++) {
        e->quantize((ck_encoding)encoding, x, s1, N), p->quantize((ck_encoding)encoding, x, s2, N);
        CHECK(memcmp(s1, s2, 2 * N) == 0, "encoding %d", encoding);
    }
    e->quantize(CK_Q8_0, x, s1, 480), p->quantize(CK_Q8_0, x, s2, 480);
    CHECK(memcmp(s1, s2, 15 * 34) == 0, "Q8_0");
    free(v1), free(v2), free(g1), free(g2), free(x), free(y), free(w), free(b), free(a1), free(a2), free(s1), free(s2);
}

static void recurrences(const ck_engine *e, const ck_engine *p) {
    enum { ROWS = 37, KEYS = 20, VALUES = 37, LD = 2 * KEYS + VALUES, STATE = KEYS * VALUES };
    float *x = numbers(ROWS * LD, 1), *c = numbers(2 * ROWS, 1), *dout = numbers(ROWS * VALUES, 1),
          *first = numbers(STATE, 1);
    float *s1 = room(STATE), *s2 = room(STATE), *d1 = room(ROWS * LD), *d2 = room(ROWS * LD);
    float o1[ROWS * VALUES], o2[ROWS * VALUES], g1[2 * ROWS], g2[2 * ROWS];
    size_t count = ck_delta_scratch(ROWS, KEYS, VALUES);
    float *scratch = room(count + 1);
    for (int i = 0; i < 2 * ROWS; i++) c[i] = 0.1f + 0.8f * fabsf(c[i]) / (1 + fabsf(c[i]));
    for (int i = 0; i < ROWS * LD; i++) x[i] *= 0.3f;
    ck_delta rule = {x, x + KEYS, x + 2 * KEYS, LD, c, c + ROWS, 1, KEYS, VALUES};
    memcpy(s1, first, 4 * STATE), memcpy(s2, first, 4 * STATE);
    BOTH(e->delta_forward(&rule, ROWS, s1, o1, VALUES, scratch), p->delta_forward(&rule, ROWS, s2, o2, VALUES, scratch),
         o1, o2, ROWS * VALUES, 1e-5);
    CHECK(distance(s1, s2, STATE) < 1e-5, "the state");
    memcpy(s1, first, 4 * STATE);
    BOTH(e->delta_chunk_forward(&rule, ROWS, s1, o1, VALUES, scratch), (void)0, o1, o2, ROWS * VALUES, 1e-5);
    CHECK(distance(s1, s2, STATE) < 1e-5, "the state behind a chunk");
    ck_delta_gradient f1 = {d1, d1 + KEYS, d1 + 2 * KEYS, LD, g1, g1 + ROWS, 1};
    ck_delta_gradient f2 = {d2, d2 + KEYS, d2 + 2 * KEYS, LD, g2, g2 + ROWS, 1};
    memcpy(s1, s2, 4 * STATE), memset(d1, 0, 4 * ROWS * LD), memset(d2, 0, 4 * ROWS * LD);
    BOTH(e->delta_chunk_backward(&rule, ROWS, first, dout, VALUES, s1, &f1, scratch),
         p->delta_chunk_backward(&rule, ROWS, first, dout, VALUES, s2, &f2, scratch), d1, d2, ROWS * LD, 1e-5);
    CHECK(distance(s1, s2, STATE) < 1e-5 && distance(g1, g2, 2 * ROWS) < 1e-5, "gradients of states and coefficients");
    CHECK(isnan(scratch[count]), "scratch memory");
    free(x), free(c), free(dout), free(first), free(s1), free(s2), free(d1), free(d2), free(scratch);
}

static void generation(const ck_engine *e, const ck_engine *p) {
    enum { SIZE = 40, KEYS = 45, WIDTH = SIZE, HEADS = 6 };
    float *keys = numbers(64 * WIDTH, 1), *values = numbers(64 * WIDTH, 1), *k1 = numbers(64 * WIDTH, 1),
          *v1 = numbers(64 * WIDTH, 1);
    float *k2 = malloc(4 * 64 * WIDTH), *v2 = malloc(4 * 64 * WIDTH), *q = numbers(HEADS * SIZE, 1);
    if (!k2 || !v2) exit(2);
    memcpy(k2, k1, 4 * 64 * WIDTH), memcpy(v2, v1, 4 * 64 * WIDTH);
    for (size_t i = 0; i < KEYS; i++) {
        e->cache_store(keys + i * WIDTH, values + i * WIDTH, 1, SIZE, WIDTH, i, k1, v1);
        p->cache_store(keys + i * WIDTH, values + i * WIDTH, 1, SIZE, WIDTH, i, k2, v2);
    }
    CHECK(memcmp(k1, k2, 4 * 64 * WIDTH) == 0 && memcmp(v1, v2, 4 * 64 * WIDTH) == 0, "the cache");
    ck_cache_part part = {k1, v1, KEYS};
    float *scores = room(ck_cached_attention_scratch(KEYS, 1)), a[HEADS * SIZE], b[HEADS * SIZE];
    float *sinks = numbers(HEADS, 3);
    for (int variant = 0; variant < 4; variant++) {
        ck_scores kind = {0.2f, (float)(variant & 1)};
        const float *own = variant & 2 ? sinks : NULL;
        BOTH(e->cached_attention(q, HEADS, SIZE, &part, 1, WIDTH, 7, kind, own, scores, a),
             p->cached_attention(q, HEADS, SIZE, &part, 1, WIDTH, 7, kind, own, scores, b), a, b, HEADS * SIZE, 2e-6);
    }
    free(sinks);
    enum { COUNT = 1003 };
    float *x = numbers(COUNT, 5), *y1 = room(COUNT), *y2 = room(COUNT);
    ck_largest l1 = e->find_largest(x, COUNT), l2 = p->find_largest(x, COUNT);
    CHECK(l1.index == l2.index && l1.value == l2.value, "the largest");
    double s1 = e->shifted_exp_sum(x, y1, COUNT, l1.value, 0.8f), s2 = p->shifted_exp_sum(x, y2, COUNT, l1.value, 0.8f);
    CHECK(fabs(s1 - s2) < 1e-6 * s2 && distance(y1, y2, COUNT) < 1e-6, "exponentials");
    CHECK(fabs(e->sum_from(y2, COUNT, 0.1f) - p->sum_from(y2, COUNT, 0.1f)) < 1e-9 * s2, "a sum");
    int32_t f1[COUNT], f2[COUNT];
    size_t n1 = e->collect(y2, COUNT, 0.1f, f1), n2 = p->collect(y2, COUNT, 0.1f, f2);
    CHECK(n1 == n2 && memcmp(f1, f2, 4 * n1) == 0, "collected");
    CHECK(e->pick(y2, COUNT, s2 / 3) == p->pick(y2, COUNT, s2 / 3), "picked");
    float *c1 = room(5 * 11), *c2 = room(5 * 11);
    BOTH(e->few_rows_product(x, 37, 5, x + 200, 37, 11, 37, c1, 11, 0),
         p->few_rows_product(x, 37, 5, x + 200, 37, 11, 37, c2, 11, 0), c1, c2, 55, 2e-6);
    free(keys), free(values), free(k1), free(v1), free(k2), free(v2), free(q), free(scores), free(x), free(y1),
        free(y2), free(c1), free(c2);
}

int main(void) {
    const ck_engine *portable = NULL;
    for (int i = 0; i < CK_ENGINES; i++)
        if (strcmp(ck_engine_name(i), "portable") == 0) portable = ck_engine_at(i);
    if (!portable) return 2;
    for (int i = 0; i < CK_ENGINES; i++) {
        const ck_engine *e = ck_engine_at(i);
        engine_name = ck_engine_name(i);
        if (!e) continue;
        int before = checks_failed;
        products(e);
        stored(e, portable);
        rows(e, portable);
        recurrences(e, portable);
        generation(e, portable);
        printf("%-9s %s\n", engine_name, checks_failed == before ? "passed" : "FAILED");
    }
    printf("%d passed, %d failed\n", checks_passed, checks_failed);
    return checks_failed != 0;
}
