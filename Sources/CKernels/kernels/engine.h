// All kernels of one engine, and its table. The including file says CK_NAME, CK_LANES, CK_M and CK_A_SLOT, which of
// CK_AVX512, CK_AVX2 and CK_NEON the compiler may use, and sets the target.
#include "ck_engine.h"
#include "vectors.h"
#include "math.h"
#include "gemm.h"
#include "generation.h"
#include "dequantize.h"
#include "weights.h"
#include "norms.h"
#include "rows.h"
#include "softmax.h"
#include "chunk.h"
#include "delta.h"
#include "optimizers.h"

static void pack(ck_gemm_precision precision, int is_a, const float *x, size_t ld, int transposed, float alpha,
                 size_t rows, size_t k_from, size_t k_to, size_t k, float *packed) {
    if (precision == CK_GEMM_F32) pack_panels(0, is_a, x, ld, transposed, splat(alpha), rows, k_from, k_to, k, packed);
    else pack_panels(1, is_a, x, ld, transposed, splat(alpha), rows, k_from, k_to, k, packed);
}

static void multiply(ck_gemm_precision precision, const float *a, size_t a_slots, const float *b, size_t b_slots,
                     size_t m, size_t n, size_t k, float *c, size_t ldc, int accumulate) {
    (void)precision; // rounded numbers are multiplied as f32
    multiply_panels(a, a_slots, b, b_slots, m, n, k, c, ldc, accumulate);
}

const ck_engine CK_TABLE = {
    .name = CK_NAME,
    .m = M,
    .n = N,
    .a_slot = A_SLOT,
    .b_slot = B_SLOT,
    .bf16 = CK_GEMM_ROUNDED,
    .cuts_freely = 1,
    .pack = pack,
    .multiply = multiply,
    .weights_product = weights_product,
    .few_rows_product = few_rows_product,
    .round_to_bf16 = round_to_bf16,
    .cached_attention = cached_attention,
    .cache_store = cache_store,
    .find_largest = find_largest,
    .shifted_exp_sum = shifted_exp_sum,
    .sum_from = sum_from,
    .collect = collect,
    .pick = pick,
    .dequantize = dequantize,
    .dequantize_rows = dequantize_rows,
    .first_nonfinite = first_nonfinite,
    .quantize = quantize,
    .rms_forward = rms_forward,
    .rms_again = rms_again,
    .rms_backward = rms_backward,
    .rms_weight_gradient = rms_weight_gradient,
    .layer_norm_forward = layer_norm_forward,
    .layer_norm_again = layer_norm_again,
    .layer_norm_backward = layer_norm_backward,
    .layer_norm_weight_gradient = layer_norm_weight_gradient,
    .head_norm_forward = head_norm_forward,
    .head_norm_backward = head_norm_backward,
    .rope = rope,
    .gated_forward = gated_forward,
    .gated_backward = gated_backward,
    .activation_forward = activation_forward,
    .activation_backward = activation_backward,
    .add_bias = add_bias,
    .column_sums = column_sums,
    .add = add,
    .accumulate = accumulate,
    .scale = scale,
    .dropout = dropout,
    .dropout_accumulate = dropout_accumulate,
    .softmax_forward = softmax_forward,
    .softmax_backward = softmax_backward,
    .head_dots = head_dots,
    .logits_statistics = logits_statistics,
    .logits_backward = logits_backward,
    .soft_cap = soft_cap,
    .delta_forward = delta_forward,
    .delta_chunk_forward = delta_chunk_forward,
    .delta_chunk_backward = delta_chunk_backward,
    .adamw = adamw,
    .sgd = sgd,
    .lion = lion,
    .round_by_chance = round_by_chance,
    .dynamic_decode = dynamic_decode,
    .dynamic_encode = dynamic_encode,
    .adafactor_sums = adafactor_sums,
    .adafactor_squares = adafactor_squares,
    .adafactor_apply = adafactor_apply,
    .sum_of_squares = sum_of_squares,
};
