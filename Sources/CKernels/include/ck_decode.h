#ifndef CK_DECODE_H
#define CK_DECODE_H
#include <stddef.h>
#include <stdint.h>
// Products with few rows, where reading the weights is what takes the time.

/// y[i · ldy + j] = Σ_k x[i · ldx + k] w[j · ldw + k], or added to y. Each number is made in the same order whatever the
/// number of rows, so that a sequence does not depend on what else is in its batch.
void ck_few_rows_product(const float *x, size_t ldx, size_t rows, const float *w, size_t ldw, size_t outputs, size_t k, float *y,
                         size_t ldy, int accumulate);

/// One head's keys and values of `count` consecutive positions. They stand in blocks of sixteen positions, `width` · 16
/// numbers apart (the width of all heads): keys [size][16], so that sixteen scores are made at once, values [16][size].
/// Numbers of positions that a block lacks are finite.
typedef struct {
  const float *keys, *values;
  size_t count;
} ck_cache_part;

/// Floats of `scores` for so many keys.
size_t ck_decode_attention_scratch(size_t keys, size_t part_count);

/// out = softmax(scale · q kᵀ) v for `heads` queries of `size` numbers that share one head's keys and values of `parts`;
/// the first `skip` keys are not seen.
void ck_decode_attention(const float *q, size_t heads, size_t size, const ck_cache_part *parts, size_t part_count, size_t width,
                         size_t skip, float scale, float *scores, float *out);

/// Puts the keys and values of some heads of one position at row `row` of a cache whose row 0 starts a block. The cached
/// ones point at the first of these heads.
void ck_cache_store(const float *keys, const float *values, size_t heads, size_t size, size_t width, size_t row,
                    float *cached_keys, float *cached_values);

typedef struct {
  int32_t index;
  float value;
} ck_largest;

/// The largest of `count` numbers and its place, the first of equals. Index 0 if there is none above −∞.
ck_largest ck_find_largest(const float *x, size_t count);

/// y[i] = exp((x[i] − shift) · scale), and their sum.
double ck_shifted_exp_sum(const float *x, float *y, size_t count, float shift, float scale);

/// Σ of the numbers that are at least `least`.
double ck_sum_from(const float *x, size_t count, float least);

/// The indices of positive numbers of at least `least`, ascending, to `found`; how many there are.
size_t ck_collect(const float *x, size_t count, float least, int32_t *found);

/// The first index at which the running sum of x, none of them negative, exceeds `target`; the last positive one if none does.
size_t ck_pick(const float *x, size_t count, double target);
#endif
