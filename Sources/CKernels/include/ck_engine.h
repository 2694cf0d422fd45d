#ifndef CK_ENGINE_H
#define CK_ENGINE_H
#include "ck_types.h"
#pragma clang diagnostic push
// The functions are there; what they take is said beside them.
#pragma clang diagnostic ignored "-Wnullability-completeness"
// An engine: all inner loops, compiled for one kind of processor. Callers hold a pointer to one and know no instruction
// set. With one engine every result has the same bits on every machine and for any number of threads; engines differ in
// the last bits. Matrices are row-major f32; `ld` is the distance of rows in elements. Gradients marked += are added
// to.
typedef struct {
    const char *_Nonnull name;

    // MARK: Products of matrices (kernels/gemm.h)
    // C[m, n] = Σ_k A[m, k] B[n, k] from packed operands. Both are cut into panels of consecutive rows (`m` of A, `n`
    // of B); within a panel the numbers of one k stand together, in a slot of `a_slot` or `b_slot` numbers, so that the
    // inner loop reads both operands in order. In bf16 two consecutive k share a number of 32 bits. Operands of any
    // layout, precision and encoding become panels of one format.
    size_t m, n, a_slot, b_slot;
    /// How products of bf16 numbers are computed.
    ck_gemm_precision bf16;
    /// Whether a sum is the same however a product is cut into tiles; otherwise it has to be cut alike for any number
    /// of threads.
    int cuts_freely;

    /// Packs numbers k_from ..< k_to of each of `rows` rows of an operand with `k` numbers a row into panels, of A with
    /// `is_a`; `k_from` is even. `x` points at number `k_from` of the first row: element (i, p) stands at x[i · ld +
    /// p], or at x[p · ld + i] if `transposed`. Numbers are multiplied by `alpha`. Rows that the last panel lacks
    /// become zeros.
    void (*_Nonnull pack)(ck_gemm_precision precision, int is_a, const float *x, size_t ld, int transposed, float alpha,
                          size_t rows, size_t k_from, size_t k_to, size_t k, float *packed);
    /// C = A Bᵀ, or added to C, for `m` rows from a panel of `a` on and `n` from one of `b`, k numbers of each.
    /// `a_slots`, `b_slots`: slots of a whole panel, where `a` and `b` may point at a later slot than the first.
    void (*_Nonnull multiply)(ck_gemm_precision precision, const float *a, size_t a_slots, const float *b,
                              size_t b_slots, size_t m, size_t n, size_t k, float *c, size_t ldc, int accumulate);

    // MARK: Products with few rows, where reading the weights is what takes the time (kernels/weights.h)
    // Each number is made in the same order whatever the numbers of rows and outputs, so that a sequence does not
    // depend on what else is in its batch.

    /// y[i · ldy + output(j)] = Σ_k x[i · ld + k] w[j, k] for the stored rows j in first ..< first + count. w is what
    /// `dequantize` makes of it, bit for bit. `scratch`: ck_weights_scratch numbers.
    void (*_Nonnull weights_product)(const ck_weights *w, size_t first, size_t count, const ck_activations *x, float *y,
                                     size_t ldy, float *scratch);
    /// y[i · ldy + j] = Σ_k x[i · ldx + k] w[j · ldw + k], or added to y.
    void (*_Nonnull few_rows_product)(const float *x, size_t ldx, size_t rows, const float *w, size_t ldw,
                                      size_t outputs, size_t k, float *y, size_t ldy, int accumulate);
    /// Rounds to bf16, nearest and ties to even: x in place, and the same as bf16 to `rounded`, which may be NULL.
    void (*_Nonnull round_to_bf16)(float *x, uint16_t *rounded, size_t count);

    // MARK: Attention over cached keys and values, and the choice of a token (kernels/generation.h)

    /// out = softmax(q kᵀ) v for `heads` queries of `size` numbers that share one head's keys and values of
    /// `parts`; the first `skip` keys are not seen. `sinks`: a score of each query's own that takes part in its softmax
    /// and has no value, or NULL. `scores`: ck_cached_attention_scratch numbers.
    void (*_Nonnull cached_attention)(const float *q, size_t heads, size_t size, const ck_cache_part *parts,
                                      size_t part_count, size_t width, size_t skip, ck_scores kind,
                                      const float *_Nullable sinks, float *scores, float *out);
    /// Puts the keys and values of some heads of one position at row `row` of a cache whose row 0 starts a block. The
    /// cached ones point at the first of these heads.
    void (*_Nonnull cache_store)(const float *keys, const float *values, size_t heads, size_t size, size_t width,
                                 size_t row, float *cached_keys, float *cached_values);
    /// The largest of `count` numbers and its place, the first of equals. Index 0 if there is none above −∞.
    ck_largest (*_Nonnull find_largest)(const float *x, size_t count);
    /// y[i] = exp((x[i] − shift) · scale), and their sum.
    double (*_Nonnull shifted_exp_sum)(const float *x, float *y, size_t count, float shift, float scale);
    /// Σ of the numbers that are at least `least`.
    double (*_Nonnull sum_from)(const float *x, size_t count, float least);
    /// The indices of positive numbers of at least `least`, ascending, to `found`; how many there are.
    size_t (*_Nonnull collect)(const float *x, size_t count, float least, int32_t *found);
    /// The first index at which the running sum of x, none of them negative, exceeds `target`; the last positive one if
    /// none does.
    size_t (*_Nonnull pick)(const float *x, size_t count, double target);

    // MARK: Stored numbers; the same bits in every engine (kernels/dequantize.h, kernels/expand.h)

    /// Decodes `count` elements (a whole number of blocks) into `out`. `in` needs no alignment.
    void (*_Nonnull dequantize)(ck_encoding encoding, const void *in, float *out, size_t count);
    /// The same numbers for `rows` rows of `count` elements, `row_bytes` apart, `ldo` apart in `out`; some rows at a
    /// time.
    void (*_Nonnull dequantize_rows)(ck_encoding encoding, const void *in, size_t row_bytes, size_t rows, float *out,
                                     size_t ldo, size_t count);
    /// Index of the first block (an element for F32, F16 and BF16) that holds a NaN or infinity, or `blocks` if there
    /// is none. In block formats the scales are looked at: with finite scales every element is finite.
    size_t (*_Nonnull first_nonfinite)(ck_encoding encoding, const void *in, size_t blocks);
    /// Encodes `count` numbers as F32, F16, BF16 (nearest, ties to even) or Q8_0 (ggml's reference; `count` a multiple
    /// of 32). Returns 0, or -1 for any other encoding.
    int (*_Nonnull quantize)(ck_encoding encoding, const float *in, void *out, size_t count);

    // MARK: Norms (kernels/norms.h)

    /// y = w · s / √(mean(s²) + eps) with s = x + add + bias; s also goes to `sum`. `add`, `bias` may be NULL; then,
    /// without `add`, `sum` is not written. rstd: 1/√(…) of each row. `sum` may be `x`.
    void (*_Nonnull rms_forward)(const float *x, const float *add, const float *bias, float *sum, const float *w,
                                 float *y, float *rstd, size_t rows, size_t width, float eps);
    /// y again from s and rstd.
    void (*_Nonnull rms_again)(const float *s, const float *rstd, const float *w, float *y, size_t rows, size_t width);
    /// dx += d loss / d s.
    void (*_Nonnull rms_backward)(const float *dy, const float *s, const float *rstd, const float *w, float *dx,
                                  size_t rows, size_t width);
    /// dw[j] += Σ_rows dy · s · rstd for columns from ..< to.
    void (*_Nonnull rms_weight_gradient)(const float *dy, const float *s, const float *rstd, float *dw, size_t rows,
                                         size_t width, size_t from, size_t to);

    /// y = w · (s − mean) / √(var + eps) + b; otherwise as rms_….
    void (*_Nonnull layer_norm_forward)(const float *x, const float *add, const float *bias, float *sum, const float *w,
                                        const float *b, float *y, float *mean, float *rstd, size_t rows, size_t width,
                                        float eps);
    void (*_Nonnull layer_norm_again)(const float *s, const float *mean, const float *rstd, const float *w,
                                      const float *b, float *y, size_t rows, size_t width);
    void (*_Nonnull layer_norm_backward)(const float *dy, const float *s, const float *mean, const float *rstd,
                                         const float *w, float *dx, size_t rows, size_t width);
    /// `db` may be NULL.
    void (*_Nonnull layer_norm_weight_gradient)(const float *dy, const float *s, const float *mean, const float *rstd,
                                                float *dw, float *db, size_t rows, size_t width, size_t from,
                                                size_t to);

    /// RMS norm of each of `heads` vectors of `size` numbers in every row: y = w · x · rstd; rstd is [rows, heads].
    void (*_Nonnull head_norm_forward)(const float *x, size_t ldx, const float *w, float *y, size_t ldy, float *rstd,
                                       size_t rows, size_t heads, size_t size, float eps);
    /// dy becomes d loss / d x in place; dw += Σ dy · x · rstd.
    void (*_Nonnull head_norm_backward)(float *dy, size_t ldy, const float *x, size_t ldx, const float *rstd,
                                        const float *w, float *dw, size_t rows, size_t heads, size_t size);

    // MARK: Rotation, activations, sums (kernels/rows.h)

    /// Rotates pairs of each head: (a, b) → (a cos − b sin, b cos + a sin); sign −1 rotates back, which is the backward
    /// pass. The row's angles stand at cos, sin + positions[row] · turned/2.
    void (*_Nonnull rope)(float *x, size_t ld, const float *cosines, const float *sines, const int32_t *positions,
                          size_t rows, size_t heads, ck_rotation kind, float sign);

    /// act = f(gate) · up; gate and up have rows of `ld` numbers.
    void (*_Nonnull gated_forward)(ck_activation kind, const float *gate, const float *up, size_t ld, float *act,
                                   size_t rows, size_t width);
    /// From d act: gate and up become their gradients, act is made again.
    void (*_Nonnull gated_backward)(ck_activation kind, float *gate, float *up, size_t ld, const float *dact,
                                    float *act, size_t rows, size_t width);
    /// act = f(x + bias), x becomes x + bias; `bias` may be NULL.
    void (*_Nonnull activation_forward)(ck_activation kind, float *x, const float *bias, float *act, size_t rows,
                                        size_t width);
    /// x becomes dact · f'(x), act is made again.
    void (*_Nonnull activation_backward)(ck_activation kind, float *x, const float *dact, float *act, size_t rows,
                                         size_t width);

    /// x += bias in every row.
    void (*_Nonnull add_bias)(float *x, size_t ld, const float *bias, size_t rows, size_t width);
    /// sums[j] += Σ_rows x[row, j] for columns from ..< to.
    void (*_Nonnull column_sums)(const float *x, size_t ld, float *sums, size_t rows, size_t from, size_t to);
    /// y = a + b
    void (*_Nonnull add)(float *y, const float *a, const float *b, size_t count);
    /// y += x
    void (*_Nonnull accumulate)(float *y, const float *x, size_t count);
    /// y = x · scale
    void (*_Nonnull scale)(float *y, const float *x, float scale, size_t count);
    /// y = x / (1 − p) where element number first + i of stream `key` is kept, else 0.
    void (*_Nonnull dropout)(const float *x, float *y, size_t count, uint64_t key, uint64_t first, float p);
    /// y += the same mask applied to x.
    void (*_Nonnull dropout_accumulate)(const float *x, float *y, size_t count, uint64_t key, uint64_t first, float p);

    // MARK: Softmax, log-softmax (kernels/softmax.h)

    /// Softmax of s, what `kind` makes of the scores, in place but for its last factor, which is cheaper to apply to
    /// what the row is multiplied into: scores become exp(s − the row's largest), inverse[i] = 1 / their sum, lse[i ·
    /// ldl] = log Σ exp(s). Row i sees columns max(0, i + diagonal + 1 − window) … i + diagonal, the others become 0.
    void (*_Nonnull softmax_forward)(float *scores, size_t ld, size_t rows, size_t columns, ptrdiff_t diagonal,
                                     size_t window, ck_scores kind, float *lse, size_t ldl, float *inverse);
    /// scores become p = exp(s − lse), and dp becomes d loss / d scores = p (dp − delta) · ds/d scores.
    void (*_Nonnull softmax_backward)(float *scores, float *dp, size_t ld, size_t rows, size_t columns,
                                      ptrdiff_t diagonal, size_t window, ck_scores kind, const float *lse,
                                      const float *delta, size_t ldl);
    /// delta[row · heads + h] = Σ a · b over each head of a row.
    void (*_Nonnull head_dots)(const float *a, size_t lda, const float *b, size_t ldb, float *delta, size_t rows,
                               size_t heads, size_t size);
    /// Statistics of `columns` logits of each row; `first` is added to argmax. One loop for every use, so that a
    /// log-prob has the same bits whatever is asked for beside it.
    void (*_Nonnull logits_statistics)(const float *z, size_t ld, size_t rows, size_t columns, int32_t first,
                                       ck_logit_statistics *statistics, size_t stride);
    /// z becomes −scale[row] · exp(z − lse[row]); with a cap c other than 0, z = c · tanh(x), times dz/dx = c (1 −
    /// (z/c)²).
    void (*_Nonnull logits_backward)(float *z, size_t ld, size_t rows, size_t columns, const float *lse,
                                     const float *scale, float cap);
    /// z becomes c · tanh(z).
    void (*_Nonnull soft_cap)(float *z, size_t count, float cap);

    // MARK: Recurrences (kernels/delta.h)

    /// Rows one after another: S, [keys, values], becomes the state behind them, o[row · ldo] their outputs. `scratch`:
    /// `values` numbers.
    void (*_Nonnull delta_forward)(const ck_delta *x, size_t rows, float *S, float *o, size_t ldo, float *scratch);
    /// The same of all rows at once: the more there are, the more of the work is products within the chunk. Without `o`
    /// the state alone is made. `scratch`: ck_delta_scratch numbers.
    void (*_Nonnull delta_chunk_forward)(const ck_delta *x, size_t rows, float *S, float *_Nullable o, size_t ldo,
                                         float *scratch);
    /// From S before the rows, d o and dS of the state behind them to the gradients of all that they are made of; dS
    /// becomes that of the state before them.
    void (*_Nonnull delta_chunk_backward)(const ck_delta *x, size_t rows, const float *S, const float *dout, size_t ldo,
                                          float *dS, const ck_delta_gradient *d, float *scratch);

    // MARK: Optimisers (kernels/optimizers.h); the same bits in every engine

    /// p ← decay·p − step_size · m / (√v · inverse_root_correction + ε) with m, v updated first; g is read and set to
    /// 0.
    void (*_Nonnull adamw)(float *p, float *g, float *m, float *v, size_t count, const ck_adamw_step *step);
    /// SGD; `m` may be NULL. g is set to 0, as by all of these.
    void (*_Nonnull sgd)(float *p, float *g, float *_Nullable m, size_t count, const ck_sgd_step *step);
    /// p ← decay·p − rate · sign(β1 m + (1−β1) g), then m ← β2 m + (1−β2) g.
    void (*_Nonnull lion)(float *p, float *g, float *m, size_t count, const ck_lion_step *step);
    /// To bf16, up or down by chance so that the mean is kept. Element number first + i of stream `key` has one chance.
    void (*_Nonnull round_by_chance)(const float *x, uint16_t *y, size_t count, uint32_t key, uint32_t first);
    /// x = largest · what the codes stand for.
    void (*_Nonnull dynamic_decode)(const ck_dynamic_map *map, const uint8_t *codes, float largest, float *x,
                                    size_t count);
    /// The codes nearest to x / largest, the lower one of two; returns the largest |x|.
    float (*_Nonnull dynamic_encode)(const ck_dynamic_map *map, const float *x, uint8_t *codes, size_t count);
    /// row_sums[i] = Σ_j (scale · g)²; column_sums[j] += Σ_i of the same.
    void (*_Nonnull adafactor_sums)(const float *g, size_t rows, size_t columns, float scale, float *row_sums,
                                    float *column_sums);
    /// Σ u² of u = scale · g · row_factors[i] · column_factors[j].
    double (*_Nonnull adafactor_squares)(const float *g, size_t rows, size_t columns, float scale,
                                         const float *row_factors, const float *column_factors);
    /// p ← decay·p − rate · u with the same u.
    void (*_Nonnull adafactor_apply)(float *p, float *g, size_t rows, size_t columns, float scale,
                                     const float *row_factors, const float *column_factors, float rate, float decay);
    /// Σ x² in double.
    double (*_Nonnull sum_of_squares)(const float *x, size_t count);
} ck_engine;

/// The engines of this build, the one that is chosen unless another is asked for first among those that this processor
/// has.
enum { CK_ENGINES = 5 };
const char *_Nonnull ck_engine_name(int index);
/// What an engine needs.
const char *_Nonnull ck_engine_needs(int index);
/// NULL if this processor lacks what the engine needs, or, for openblas, if the library cannot be loaded
/// (ck_openblas_error).
const ck_engine *_Nullable ck_engine_at(int index);
/// The engine that is chosen unless another is asked for.
const ck_engine *_Nonnull ck_engine_best(void);

/// What kept OpenBLAS from being loaded; empty if nothing did or nobody asked for it.
const char *_Nonnull ck_openblas_error(void);

/// 32-bit slots that k numbers take.
static inline size_t ck_gemm_slots(ck_gemm_precision precision, size_t k) {
    return precision == CK_GEMM_BF16 ? (k + 1) / 2 : k;
}

/// Numbers of 4 bytes of a packed operand of `rows` rows.
static inline size_t ck_gemm_packed(const ck_engine *_Nonnull e, ck_gemm_precision precision, int is_a, size_t rows,
                                    size_t k) {
    size_t width = is_a ? e->m : e->n, slot = is_a ? e->a_slot : e->b_slot;
    return (rows + width - 1) / width * slot * ck_gemm_slots(precision, k);
}

/// Numbers of scratch memory of `weights_product`, in any engine.
size_t ck_weights_scratch(size_t k);

/// Numbers of `scratch` of chunks of at most so many rows, in any engine.
size_t ck_delta_scratch(size_t rows, size_t keys, size_t values);

/// Numbers of `scores` for so many keys.
size_t ck_cached_attention_scratch(size_t keys, size_t part_count);
#pragma clang diagnostic pop
#endif
