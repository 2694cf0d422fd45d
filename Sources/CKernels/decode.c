#include "ck_decode.h"
#include "ck_math.h"
#include "clones.h"
#include <math.h>
#include <string.h>
#pragma clang fp contract(fast)

typedef float v16 __attribute__((vector_size(64)));

static inline __attribute__((always_inline)) float total(const v16 *v) {
  float a[8], b[4];
  for (int i = 0; i < 8; i++) a[i] = (*v)[i] + (*v)[i + 8];
  for (int i = 0; i < 4; i++) b[i] = a[i] + a[i + 4];
  return (b[0] + b[2]) + (b[1] + b[3]);
}

// R rows of x against C rows of w, sixteen numbers of k at a time; R and C are constants after inlining.
static inline __attribute__((always_inline)) void block(int R, int C, const float *x, size_t ldx, const float *w, size_t ldw,
                                                        size_t k, float *y, size_t ldy, int accumulate) {
  v16 sums[4][4];
  for (int i = 0; i < R; i++)
    for (int j = 0; j < C; j++) sums[i][j] = (v16){0};
  size_t at = 0;
  for (; at + 16 <= k; at += 16) {
    v16 b[4];
    for (int j = 0; j < C; j++) memcpy(&b[j], w + j * ldw + at, 64);
    for (int i = 0; i < R; i++) {
      v16 a;
      memcpy(&a, x + i * ldx + at, 64);
      for (int j = 0; j < C; j++) sums[i][j] += a * b[j];
    }
  }
  for (int i = 0; i < R; i++)
    for (int j = 0; j < C; j++) {
      float sum = total(&sums[i][j]);
      for (size_t rest = at; rest < k; rest++) sum += x[i * ldx + rest] * w[j * ldw + rest];
      y[i * ldy + j] = accumulate ? y[i * ldy + j] + sum : sum;
    }
}

static inline __attribute__((always_inline)) void columns(int C, const float *x, size_t ldx, size_t rows, const float *w, size_t ldw,
                                                          size_t k, float *y, size_t ldy, int accumulate) {
  size_t i = 0;
  for (; i + 4 <= rows; i += 4) block(4, C, x + i * ldx, ldx, w, ldw, k, y + i * ldy, ldy, accumulate);
  switch (rows - i) {
    case 3: block(3, C, x + i * ldx, ldx, w, ldw, k, y + i * ldy, ldy, accumulate); break;
    case 2: block(2, C, x + i * ldx, ldx, w, ldw, k, y + i * ldy, ldy, accumulate); break;
    case 1: block(1, C, x + i * ldx, ldx, w, ldw, k, y + i * ldy, ldy, accumulate); break;
    default: break;
  }
}

CK_CLONES void ck_few_rows_product(const float *x, size_t ldx, size_t rows, const float *w, size_t ldw, size_t outputs, size_t k,
                                   float *y, size_t ldy, int accumulate) {
  size_t j = 0;
  for (; j + 4 <= outputs; j += 4) columns(4, x, ldx, rows, w + j * ldw, ldw, k, y + j, ldy, accumulate);
  for (; j < outputs; j++) columns(1, x, ldx, rows, w + j * ldw, ldw, k, y + j, ldy, accumulate);
}

#pragma clang fp reassociate(on)

static inline __attribute__((always_inline)) void attend(const float *q, size_t size, const ck_cache_part *parts, size_t part_count,
                                                         size_t ld, size_t skip, float scale, float *scores, float *out) {
  size_t count = 0, seen = 0;
  float max = -INFINITY;
  for (size_t part = 0; part < part_count; part++)
    for (size_t i = 0; i < parts[part].count; i++, count++) {
      if (count < skip) continue;
      const float *key = parts[part].keys + i * ld;
      float dot = 0;
      for (size_t j = 0; j < size; j++) dot += q[j] * key[j];
      dot *= scale;
      max = dot > max ? dot : max;
      scores[seen++] = dot;
    }
  float sum = 0;
  for (size_t i = 0; i < seen; i++) {
    scores[i] = ck_expf(scores[i] - max);
    sum += scores[i];
  }
  float inverse = 1.0f / sum;
  for (size_t j = 0; j < size; j++) out[j] = 0;
  count = seen = 0;
  for (size_t part = 0; part < part_count; part++)
    for (size_t i = 0; i < parts[part].count; i++, count++) {
      if (count < skip) continue;
      const float *value = parts[part].values + i * ld;
      float p = scores[seen++] * inverse;
      for (size_t j = 0; j < size; j++) out[j] += p * value[j];
    }
}

CK_CLONES void ck_decode_attention(const float *q, size_t heads, size_t size, const ck_cache_part *parts, size_t part_count,
                                   size_t ld, size_t skip, float scale, float *scores, float *out) {
  for (size_t h = 0; h < heads; h++) attend(q + h * size, size, parts, part_count, ld, skip, scale, scores, out + h * size);
}
