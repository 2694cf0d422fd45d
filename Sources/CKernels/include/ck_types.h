#ifndef CK_TYPES_H
#define CK_TYPES_H
#include <stddef.h>
#include <stdint.h>
// What the engines' functions take and give.

/// Encodings of stored tensors; the block formats are those of ggml. Their order is used: numbers without blocks come
/// first, then blocks of 32 (and NVFP4's of 64), then those of 256.
typedef enum {
    CK_F32,
    CK_F16,
    CK_BF16,
    CK_Q4_0,
    CK_Q4_1,
    CK_Q5_0,
    CK_Q5_1,
    CK_Q8_0,
    CK_IQ4_NL,
    CK_MXFP4,
    CK_NVFP4,
    CK_Q2_K,
    CK_Q3_K,
    CK_Q4_K,
    CK_Q5_K,
    CK_Q6_K,
    CK_IQ4_XS,
    CK_IQ1_S,
    CK_IQ1_M,
    CK_IQ2_XXS,
    CK_IQ2_XS,
    CK_IQ2_S,
    CK_IQ3_XXS,
    CK_IQ3_S,
    CK_TQ1_0,
    CK_TQ2_0
} ck_encoding;

/// Calls a macro with each of them.
#define CK_EACH_ENCODING(X) CK_EACH_SHORT(X) CK_EACH_LONG(X) CK_EACH_SMALL(X)
#define CK_EACH_SHORT(X) X(F32) X(F16) X(BF16) X(Q4_0) X(Q4_1) X(Q5_0) X(Q5_1) X(Q8_0) X(IQ4_NL) X(MXFP4) X(NVFP4)
#define CK_EACH_LONG(X) X(Q2_K) X(Q3_K) X(Q4_K) X(Q5_K) X(Q6_K) X(IQ4_XS)
#define CK_EACH_SMALL(X) X(IQ1_S) X(IQ1_M) X(IQ2_XXS) X(IQ2_XS) X(IQ2_S) X(IQ3_XXS) X(IQ3_S) X(TQ1_0) X(TQ2_0)

/// CK_GEMM_ROUNDED: numbers that bf16 has, in slots of f32, multiplied as f32.
typedef enum { CK_GEMM_F32, CK_GEMM_BF16, CK_GEMM_ROUNDED } ck_gemm_precision;

/// CK_CLAMPED_SWISH: min(x, 7) σ(1.702 min(x, 7)), which multiplies 1 + up with −7 ≤ up ≤ 7; gated only.
typedef enum { CK_SILU, CK_GELU_TANH, CK_GELU, CK_RELU_SQUARED, CK_SIGMOID, CK_CLAMPED_SWISH } ck_activation;

/// Rows of one head of the gated delta rule: q and k of `keys` numbers, v of `values`, `ld` apart; decay and β of each
/// row, `ldc` apart.
typedef struct {
    const float *q, *k, *v;
    size_t ld;
    const float *decay, *beta;
    size_t ldc;
    size_t keys, values;
} ck_delta;

/// Gradients of the same and of log decay: those of q, k and v are added to.
typedef struct {
    float *q, *k, *v;
    size_t ld;
    float *log_decay, *beta;
    size_t ldc;
} ck_delta_gradient;

/// How scores become what the softmax sees: scores · scale, or with a cap c other than 0 c · tanh(scores · scale / c).
typedef struct {
    float scale, cap;
} ck_scores;

/// Which numbers of a head are turned: its first `turned`, in pairs (i, i + turned/2), or (2 i, 2 i + 1) if
/// interleaved.
typedef struct {
    size_t size, turned;
    int interleaved;
} ck_rotation;

/// What is known of a row's logits z over some columns.
typedef struct {
    float max;      // m = max z
    float sum;      // Σ exp(z − m)
    float squares;  // Σ exp(2 (z − m))
    float weighted; // Σ exp(z − m) (z − m)
    float total;    // Σ z
    int32_t argmax; // the first column where z = m, counted from `first`
} ck_logit_statistics;

/// One head's keys and values of `count` consecutive positions. They stand in blocks of sixteen positions, `width` · 16
/// numbers apart (the width of all heads): keys [size][16], so that sixteen scores are made at once, values [16][size].
/// Numbers of positions that a block lacks are finite.
typedef struct {
    const float *keys, *values;
    size_t count;
} ck_cache_part;

typedef struct {
    int32_t index;
    float value;
} ck_largest;

/// A matrix [outputs, k] as it lies in a file or in memory.
typedef struct {
    const void *data;
    size_t row_bytes;
    size_t k;
    /// 0: row j is output j. Otherwise half a head's rows: row 2 half h + 2 i + s is output 2 half h + half s + i.
    size_t half;
    ck_encoding encoding;
} ck_weights;

/// Some rows of activations. With `rounded`, products are of bf16 numbers: x holds numbers that bf16 has, `rounded` the
/// same as bf16, and weights are rounded on their way; sums are f32 in both.
typedef struct {
    const float *x;
    const uint16_t *rounded;
    size_t ld, rows;
} ck_activations;

/// Numbers of one AdamW step t that all elements share.
typedef struct {
    float gradient_scale; ///< of clipping; 1 without
    float beta1, one_minus_beta1;
    float beta2, one_minus_beta2;
    float step_size;               ///< learning rate / (1 − β1^t)
    float inverse_root_correction; ///< 1 / √(1 − β2^t)
    float epsilon;
    float decay; ///< 1 − learning rate · weight decay
} ck_adamw_step;

/// The same of SGD: u ← g + weight_decay · p, m ← momentum · m + share · u, p ← p − learning_rate · (direct · u + reach
/// · m).
typedef struct {
    float gradient_scale;
    float learning_rate, weight_decay;
    float momentum, share;
    float direct, reach;
} ck_sgd_step;

/// The same of Lion.
typedef struct {
    float gradient_scale;
    float beta1, one_minus_beta1;
    float beta2, one_minus_beta2;
    float learning_rate;
    float decay; ///< 1 − learning rate · weight decay
} ck_lion_step;

/// 256 numbers from −1 or 0 to 1 that a code of 8 bits stands for.
typedef struct {
    float values[256];    ///< ascending
    float middles[256];   ///< between a value and the next; the last is infinite
    const uint8_t *first; ///< [65536]: the code of the smallest number whose upper half of bits the index is
} ck_dynamic_map;
#endif
