#ifndef CK_ROWS_H
#define CK_ROWS_H
#include <stddef.h>
#include <stdint.h>
// Row-wise work between the matrix products. Matrices are row-major f32; `ld` is the distance of rows in elements.
// Forward and backward of an operation stand together. Gradients marked += are added to.

/// y = w · s / √(mean(s²) + eps) with s = x + add + bias; s also goes to `sum`. `add`, `bias` may be NULL; then, without
/// `add`, `sum` is not written. rstd: 1/√(…) of each row. `sum` may be `x`.
void ck_rms_forward(const float *x, const float *add, const float *bias, float *sum, const float *w, float *y, float *rstd,
                    size_t rows, size_t width, float eps);
/// y again from s and rstd.
void ck_rms_again(const float *s, const float *rstd, const float *w, float *y, size_t rows, size_t width);
/// dx += d loss / d s.
void ck_rms_backward(const float *dy, const float *s, const float *rstd, const float *w, float *dx, size_t rows, size_t width);
/// dw[j] += Σ_rows dy · s · rstd for columns from ..< to.
void ck_rms_weight_gradient(const float *dy, const float *s, const float *rstd, float *dw, size_t rows, size_t width,
                            size_t from, size_t to);

/// y = w · (s − mean) / √(var + eps) + b; otherwise as ck_rms_….
void ck_layer_norm_forward(const float *x, const float *add, const float *bias, float *sum, const float *w, const float *b,
                           float *y, float *mean, float *rstd, size_t rows, size_t width, float eps);
void ck_layer_norm_again(const float *s, const float *mean, const float *rstd, const float *w, const float *b, float *y,
                         size_t rows, size_t width);
void ck_layer_norm_backward(const float *dy, const float *s, const float *mean, const float *rstd, const float *w, float *dx,
                            size_t rows, size_t width);
void ck_layer_norm_weight_gradient(const float *dy, const float *s, const float *mean, const float *rstd, float *dw, float *db,
                                   size_t rows, size_t width, size_t from, size_t to);

/// RMS norm of each of `heads` vectors of `size` numbers in every row: y = w · x · rstd; rstd is [rows, heads].
void ck_head_norm_forward(const float *x, size_t ldx, const float *w, float *y, size_t ldy, float *rstd, size_t rows,
                          size_t heads, size_t size, float eps);
/// dy becomes d loss / d x in place; dw += Σ dy · x · rstd.
void ck_head_norm_backward(float *dy, size_t ldy, const float *x, size_t ldx, const float *rstd, const float *w, float *dw,
                           size_t rows, size_t heads, size_t size);

/// Rotates each head's halves: (a, b) → (a cos − b sin, b cos + a sin); sign −1 rotates back, which is the backward pass.
/// The row's angles stand at cos, sin + positions[row] · size/2.
void ck_rope(float *x, size_t ld, const float *cosines, const float *sines, const int32_t *positions, size_t rows,
             size_t heads, size_t size, float sign);

typedef enum { CK_SILU, CK_GELU_TANH, CK_GELU } ck_activation;
/// act = f(gate) · up; gate and up have rows of `ld` numbers.
void ck_gated_forward(ck_activation kind, const float *gate, const float *up, size_t ld, float *act, size_t rows, size_t width);
/// From d act: gate and up become their gradients, act is made again.
void ck_gated_backward(ck_activation kind, float *gate, float *up, size_t ld, const float *dact, float *act, size_t rows,
                       size_t width);
/// act = f(x + bias), x becomes x + bias; `bias` may be NULL.
void ck_activation_forward(ck_activation kind, float *x, const float *bias, float *act, size_t rows, size_t width);
/// x becomes dact · f'(x), act is made again.
void ck_activation_backward(ck_activation kind, float *x, const float *dact, float *act, size_t rows, size_t width);

/// x += bias in every row.
void ck_add_bias(float *x, size_t ld, const float *bias, size_t rows, size_t width);
/// sums[j] += Σ_rows x[row, j] for columns from ..< to.
void ck_column_sums(const float *x, size_t ld, float *sums, size_t rows, size_t from, size_t to);
/// y = a + b
void ck_add(float *y, const float *a, const float *b, size_t count);
/// y += x
void ck_accumulate(float *y, const float *x, size_t count);
/// y = x · scale
void ck_scale(float *y, const float *x, float scale, size_t count);
/// y = x / (1 − p) where element number first + i of stream `key` is kept, else 0.
void ck_dropout(const float *x, float *y, size_t count, uint64_t key, uint64_t first, float p);
/// y += the same mask applied to x.
void ck_dropout_accumulate(const float *x, float *y, size_t count, uint64_t key, uint64_t first, float p);

/// Softmax of scores · scale in place: row i sees columns max(0, i + diagonal + 1 − window) … i + diagonal, the others
/// become 0. lse[i · ldl] = log Σ exp.
void ck_softmax_forward(float *scores, size_t ld, size_t rows, size_t columns, ptrdiff_t diagonal, size_t window, float scale,
                        float *lse, size_t ldl);
/// scores become p = exp(scores · scale − lse), and dp becomes d loss / d (unscaled) scores = p (dp − delta) · scale.
void ck_softmax_backward(float *scores, float *dp, size_t ld, size_t rows, size_t columns, ptrdiff_t diagonal, size_t window,
                         float scale, const float *lse, const float *delta, size_t ldl);
/// delta[row · heads + h] = Σ a · b over each head of a row.
void ck_head_dots(const float *a, size_t lda, const float *b, size_t ldb, float *delta, size_t rows, size_t heads, size_t size);
/// y[i] = exp((x[i] − shift) · scale)
void ck_shifted_exp(const float *x, float *y, size_t count, float shift, float scale);
/// y[i] = exp(x[i])
void ck_exp(const float *x, float *y, size_t count);
#endif
