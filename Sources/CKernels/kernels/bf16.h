// What the engine avx512 does otherwise where the processor has dot products of bf16 (engines/avx512_bf16.c).
#ifndef CK_BF16_H
#define CK_BF16_H
#include "ck_engine.h"
void ck_bf16_pack(int is_a, const float *x, size_t ld, int transposed, float alpha, size_t rows, size_t k_from,
                  size_t k_to, size_t k, float *packed);
void ck_bf16_multiply(const float *a, size_t a_slots, const float *b, size_t b_slots, size_t m, size_t n, size_t k,
                      float *c, size_t ldc, int accumulate);
void ck_bf16_weights_product(const ck_weights *w, size_t first, size_t count, const ck_activations *x, float *y,
                             size_t ldy, float *scratch);
#endif
