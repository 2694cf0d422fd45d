#ifndef CK_WEIGHTS_H
#define CK_WEIGHTS_H
#include <stddef.h>
#include <stdint.h>
#include "dequantize.h"
// Products of few rows with weights as they are stored: where reading the weights is what takes the time.

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

/// Floats that a call may need at `scratch`.
size_t ck_weights_scratch(size_t k);

/// y[i · ldy + output(j)] = Σ_k x[i · ld + k] w[j, k] for the stored rows j in first ..< first + count. w is what
/// ck_dequantize makes of it, bit for bit. Each number is made in the same order whatever the numbers of rows and
/// outputs, so that a sequence does not depend on what else is in its batch.
void ck_weights_product(const ck_weights *w, size_t first, size_t count, const ck_activations *x, float *y, size_t ldy,
                        float *scratch);

/// Rounds to bf16, nearest and ties to even: x in place, and the same as bf16 to `rounded`.
void ck_round_to_bf16(float *restrict x, uint16_t *restrict rounded, size_t count);
#endif
