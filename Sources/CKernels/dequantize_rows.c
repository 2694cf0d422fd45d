#include "dequantize.h"
#include <string.h>

#if defined(__x86_64__)
#include "decode_expand.h"

enum { CHUNK = 64 };   // blocks of a row whose scales are gathered at a time

// Four rows at a time; rows that are missing at the end are the last one again, written twice.
CK_V4_INLINE void expand_rows(ck_encoding e, const uint8_t *in, size_t row_bytes, size_t rows, float *out, size_t ldo, size_t count) {
  const size_t unit = ck_unit(e), bytes = ck_unit_bytes(e), blocks = count / unit;
  float dm[8 * CHUNK];
  for (size_t row = 0; row < rows; row += 4) {
    const uint8_t *p[4];
    float *y[4];
    for (size_t c = 0; c < 4; c++) {
      size_t i = row + c < rows ? row + c : rows - 1;
      p[c] = in + i * row_bytes;
      y[c] = out + i * ldo;
    }
    for (size_t start = 0; start < blocks; start += CHUNK) {
      size_t end = blocks - start < CHUNK ? blocks : start + CHUNK;
      ck_gather(e, p, end - start, dm);
      for (size_t b = start; b < end; b++) {
        ck_scales s[4];
        ck_scales_of(e, p, dm + 8 * (b - start), s);
#pragma unroll
        for (int group = 0; group < (int)(unit / 32); group++)
          for (int c = 0; c < 4; c++) {
            __m512 v[2];
            ck_expand(e, p[c], s[c], group, 32, v);
            _mm512_storeu_ps(y[c] + 32 * group, v[0]);
            _mm512_storeu_ps(y[c] + 32 * group + 16, v[1]);
          }
        for (int c = 0; c < 4; c++) {
          p[c] += bytes;
          y[c] += unit;
        }
      }
    }
  }
}

#define CASE(E) case CK_##E: expand_rows(CK_##E, in, row_bytes, rows, out, ldo, count); return 1;
// 0: not for this encoding.
CK_V4 static int expand(ck_encoding e, const uint8_t *in, size_t row_bytes, size_t rows, float *out, size_t ldo, size_t count) {
  switch (e) {
    CASE(Q4_0) CASE(Q4_1) CASE(Q5_0) CASE(Q5_1) CASE(Q8_0) CASE(Q2_K) CASE(Q3_K) CASE(Q4_K) CASE(Q5_K) CASE(Q6_K)
    default: return 0;
  }
}
#endif

void ck_dequantize_rows(ck_encoding encoding, const void *in, size_t row_bytes, size_t rows, float *out, size_t ldo, size_t count) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("x86-64-v4") && expand(encoding, in, row_bytes, rows, out, ldo, count)) return;
#endif
  for (size_t row = 0; row < rows; row++) ck_dequantize(encoding, (const uint8_t *)in + row * row_bytes, out + row * ldo, count);
}
