#if defined(__x86_64__)
#define CK_BF16_DOT 1
#include "avx512.h"
#include "../kernels/bf16.h"
#pragma clang attribute push(__attribute__((target("arch=x86-64-v4,avx512bf16"))), apply_to = function)
#include "../kernels/vectors.h"
#include "../kernels/gemm.h"
#include "../kernels/weights.h"

void ck_bf16_pack(int is_a, const float *x, size_t ld, int transposed, float alpha, size_t rows, size_t k_from,
                  size_t k_to, size_t k, float *packed) {
    pack_panels(0, is_a, x, ld, transposed, splat(alpha), rows, k_from, k_to, k, packed);
}

void ck_bf16_multiply(const float *a, size_t a_slots, const float *b, size_t b_slots, size_t m, size_t n, size_t k,
                      float *c, size_t ldc, int accumulate) {
    multiply_panels(a, a_slots, b, b_slots, m, n, k, c, ldc, accumulate);
}

void ck_bf16_weights_product(const ck_weights *w, size_t first, size_t count, const ck_activations *x, float *y,
                             size_t ldy, float *scratch) {
    weights_product(w, first, count, x, y, ldy, scratch);
}
#pragma clang attribute pop
#endif
