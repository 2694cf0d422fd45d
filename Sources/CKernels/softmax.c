#include "ck_head.h"
#include "ck_math.h"
#include "ck_rows.h"
#include "clones.h"
#include <math.h>
#pragma clang fp reassociate(on) contract(fast)

// Short rows are mostly remainder: the last numbers are done under a mask, not one by one.
#define MASKED _Pragma("clang loop vectorize(enable) vectorize_width(16) interleave_count(1) vectorize_predicate(enable)")

typedef struct { size_t from, to; } span;

// Columns that row i sees.
static inline __attribute__((always_inline)) span visible(size_t i, ptrdiff_t diagonal, size_t window, size_t columns) {
  ptrdiff_t last = (ptrdiff_t)i + diagonal;
  ptrdiff_t to = last + 1 < 0 ? 0 : last + 1 > (ptrdiff_t)columns ? (ptrdiff_t)columns : last + 1;
  ptrdiff_t from = last + 1 > (ptrdiff_t)window ? last + 1 - (ptrdiff_t)window : 0;
  return (span){(size_t)(from > to ? to : from), (size_t)to};
}

CK_CLONES void ck_softmax_forward(float *scores, size_t ld, size_t rows, size_t columns, ptrdiff_t diagonal, size_t window,
                                  float scale, float *lse, size_t ldl) {
  for (size_t i = 0; i < rows; i++) {
    float *s = scores + i * ld;
    span v = visible(i, diagonal, window, columns);
    float max = scale * ck_max(s + v.from, v.to - v.from);
    float sum = 0;
    MASKED for (size_t j = v.from; j < v.to; j++) {
      s[j] = ck_expf(s[j] * scale - max);
      sum += s[j];
    }
    float inverse = 1.0f / sum;
    MASKED for (size_t j = v.from; j < v.to; j++) s[j] *= inverse;
    for (size_t j = 0; j < v.from; j++) s[j] = 0;
    for (size_t j = v.to; j < columns; j++) s[j] = 0;
    lse[i * ldl] = max + logf(sum);
  }
}

CK_CLONES void ck_softmax_backward(float *scores, float *dp, size_t ld, size_t rows, size_t columns, ptrdiff_t diagonal,
                                   size_t window, float scale, const float *lse, const float *delta, size_t ldl) {
  for (size_t i = 0; i < rows; i++) {
    float *s = scores + i * ld, *d = dp + i * ld;
    span v = visible(i, diagonal, window, columns);
    float l = lse[i * ldl], t = delta[i * ldl];
    MASKED for (size_t j = v.from; j < v.to; j++) {
      float p = ck_expf(s[j] * scale - l);
      s[j] = p;
      d[j] = p * (d[j] - t) * scale;
    }
    for (size_t j = 0; j < v.from; j++) s[j] = d[j] = 0;
    for (size_t j = v.to; j < columns; j++) s[j] = d[j] = 0;
  }
}

CK_CLONES void ck_head_dots(const float *a, size_t lda, const float *b, size_t ldb, float *delta, size_t rows, size_t heads,
                            size_t size) {
  for (size_t i = 0; i < rows; i++)
    for (size_t h = 0; h < heads; h++) {
      const float *x = a + i * lda + h * size, *y = b + i * ldb + h * size;
      float sum = 0;
      for (size_t j = 0; j < size; j++) sum += x[j] * y[j];
      delta[i * heads + h] = sum;
    }
}

CK_CLONES void ck_logits_statistics(const float *z, size_t ld, size_t rows, size_t columns, int32_t first,
                                    ck_logit_statistics *statistics, size_t stride) {
  for (size_t i = 0; i < rows; i++, z += ld, statistics += stride) {
    float max = ck_max(z, columns), total = 0, sum = 0, squares = 0, weighted = 0;
    int32_t argmax = INT32_MAX;
    for (size_t j = 0; j < columns; j++) {
      float d = z[j] - max, e = ck_expf(d);
      total += z[j];
      sum += e;
      squares += e * e;
      weighted += e * d;
      int32_t at = z[j] == max ? (int32_t)j : INT32_MAX;
      argmax = at < argmax ? at : argmax;
    }
    *statistics = (ck_logit_statistics){max, sum, squares, weighted, total, argmax == INT32_MAX ? INT32_MAX : first + argmax};
  }
}

CK_CLONES void ck_logits_backward(float *z, size_t ld, size_t rows, size_t columns, const float *lse, const float *scale) {
  for (size_t i = 0; i < rows; i++, z += ld)
    for (size_t j = 0; j < columns; j++) z[j] = -scale[i] * ck_expf(z[j] - lse[i]);
}
