#ifndef CK_DECODE_H
#define CK_DECODE_H
#include <stddef.h>
#include <stdint.h>
// Products with few rows, where reading the weights is what takes the time.

/// y[i · ldy + j] = Σ_k x[i · ldx + k] w[j · ldw + k], or added to y. Each number is made in the same order whatever the
/// number of rows, so that a sequence does not depend on what else is in its batch.
void ck_few_rows_product(const float *x, size_t ldx, size_t rows, const float *w, size_t ldw, size_t outputs, size_t k, float *y,
                         size_t ldy, int accumulate);

/// Keys and values of `count` consecutive positions.
typedef struct {
  const float *keys, *values;
  size_t count;
} ck_cache_part;

/// out = softmax(scale · q kᵀ) v for `heads` queries of `size` numbers that share keys and values of `parts`, rows of `ld`
/// numbers; the first `skip` keys are not seen. `scores` has room for all keys.
void ck_decode_attention(const float *q, size_t heads, size_t size, const ck_cache_part *parts, size_t part_count, size_t ld,
                         size_t skip, float scale, float *scores, float *out);
#endif
