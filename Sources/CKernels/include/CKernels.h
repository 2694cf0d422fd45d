#ifndef CKERNELS_H
#define CKERNELS_H
#include <stddef.h>
#include <stdint.h>
#include "ck_decode.h"
#include "ck_gemm.h"
#include "ck_head.h"
#include "ck_rows.h"
#include "ck_team.h"
#include "dequantize.h"
/// 64-bit XXH3 of `size` bytes.
uint64_t ck_xxh3(const void *bytes, size_t size);

/// Numbers of one AdamW step t that all elements share.
typedef struct {
  float gradient_scale;           ///< of clipping; 1 without
  float beta1, one_minus_beta1;
  float beta2, one_minus_beta2;
  float step_size;                ///< learning rate / (1 − β1^t)
  float inverse_root_correction;  ///< 1 / √(1 − β2^t)
  float epsilon;
  float decay;                    ///< 1 − learning rate · weight decay
} ck_adamw_step;

/// p ← decay·p − step_size · m / (√v · inverse_root_correction + ε) with m, v updated first; g is read and set to 0.
void ck_adamw(float *p, float *g, float *m, float *v, size_t count, const ck_adamw_step *step);
/// Σ x² in double.
double ck_sum_of_squares(const float *x, size_t count);
#endif
