#include "ck_gemm.h"
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#define F32 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,fma,prfchw")))
#define BF16 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,fma,prfchw,avx512bf16")))
#define INLINE static inline __attribute__((always_inline))

enum { M = CK_GEMM_M, N = CK_GEMM_N, A_SLOT = 16, B_SLOT = 32 };

int ck_gemm_available(ck_gemm_precision precision) {
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") || !__builtin_cpu_supports("avx512dq") ||
      !__builtin_cpu_supports("avx512vl"))
    return 0;
  return precision != CK_GEMM_BF16 || __builtin_cpu_supports("avx512bf16");
}

ck_gemm_precision ck_gemm_bf16(void) {
  return ck_gemm_available(CK_GEMM_BF16) && !__builtin_cpu_is("intel") ? CK_GEMM_BF16 : CK_GEMM_ROUNDED;
}

// MARK: - The inner loop

// One tile of M × N numbers of C, or of its left half; `rows` and `whole` are constants after inlining. Sums of up to MOST slots
// are made in registers and then added up in memory: long sums lose fewer bits in parts.
#define UNROLLED _Pragma("clang loop unroll(full)") for (int i = 0; i < rows; i++)
#define TILE(NAME, TARGET, STEP, MOST)                                                                                       \
  INLINE TARGET void NAME(int rows, int whole, const float *restrict a, const float *restrict b, size_t slots,               \
                          float *restrict c, size_t ldc, __mmask16 low, __mmask16 high, int accumulate) {                    \
    __m512 left[M], right[M], sums[2 * M];                                                                                   \
    for (int i = 0; i < rows; i++) {   /* C is written when its lines have come */                                           \
      __builtin_prefetch(c + (size_t)i * ldc, 1);                                                                            \
      if (whole) __builtin_prefetch(c + (size_t)i * ldc + 16, 1);                                                            \
    }                                                                                                                        \
    size_t parts = slots > MOST ? (slots + MOST - 1) / MOST : 1, most = (slots + parts - 1) / parts;                         \
    for (size_t done = 0; done < slots || done == 0; done += most ? most : 1) {                                              \
      size_t part = slots - done < most ? slots - done : most;                                                               \
      UNROLLED left[i] = right[i] = _mm512_setzero_ps();                                                                     \
      for (size_t s = 0; s < part; s++, a += A_SLOT, b += B_SLOT) {                                                          \
        __builtin_prefetch(a + 48 * A_SLOT);   /* the processor itself foresees no further than a page */                    \
        __builtin_prefetch(b + 16 * B_SLOT);                                                                                 \
        if (whole) __builtin_prefetch(b + 16 * B_SLOT + 16);                                                                 \
        __m512 b0 = _mm512_loadu_ps(b), b1 = whole ? _mm512_loadu_ps(b + 16) : b0;                                           \
        UNROLLED {                                                                                                           \
          __m512 x = _mm512_set1_ps(a[i]);                                                                                   \
          left[i] = STEP(left[i], x, b0);                                                                                    \
          if (whole) right[i] = STEP(right[i], x, b1);                                                                       \
        }                                                                                                                    \
      }                                                                                                                      \
      UNROLLED {                                                                                                             \
        sums[2 * i] = done ? _mm512_add_ps(sums[2 * i], left[i]) : left[i];                                                  \
        if (whole) sums[2 * i + 1] = done ? _mm512_add_ps(sums[2 * i + 1], right[i]) : right[i];                             \
      }                                                                                                                      \
    }                                                                                                                        \
    for (int i = 0; i < rows; i++, c += ldc) {                                                                               \
      if (accumulate) {                                                                                                      \
        sums[2 * i] = _mm512_add_ps(sums[2 * i], _mm512_maskz_loadu_ps(low, c));                                             \
        if (whole) sums[2 * i + 1] = _mm512_add_ps(sums[2 * i + 1], _mm512_maskz_loadu_ps(high, c + 16));                    \
      }                                                                                                                      \
      _mm512_mask_storeu_ps(c, low, sums[2 * i]);                                                                            \
      if (whole) _mm512_mask_storeu_ps(c + 16, high, sums[2 * i + 1]);                                                       \
    }                                                                                                                        \
  }
#define STEP_F32(sum, x, y) _mm512_fmadd_ps(x, y, sum)
#define STEP_BF16(sum, x, y) _mm512_dpbf16_ps(sum, (__m512bh)(x), (__m512bh)(y))
TILE(tile_f32, F32, STEP_F32, 320)
TILE(tile_bf16, BF16, STEP_BF16, 1024)

#define TILE_OF(R, TILE, WHOLE) case R: TILE(R, WHOLE, a, b, slots, c, ldc, low, high, accumulate); break;
#define ROWS(NAME, TARGET, TILE, WHOLE)                                                                                      \
  static TARGET void NAME(int rows, const float *a, const float *b, size_t slots, float *c, size_t ldc, __mmask16 low,       \
                          __mmask16 high, int accumulate) {                                                                  \
    switch (rows) {                                                                                                          \
      TILE_OF(1, TILE, WHOLE) TILE_OF(2, TILE, WHOLE) TILE_OF(3, TILE, WHOLE) TILE_OF(4, TILE, WHOLE) TILE_OF(5, TILE, WHOLE)\
      TILE_OF(6, TILE, WHOLE) TILE_OF(7, TILE, WHOLE) TILE_OF(8, TILE, WHOLE) TILE_OF(9, TILE, WHOLE) TILE_OF(10, TILE, WHOLE)\
      TILE_OF(11, TILE, WHOLE) TILE_OF(12, TILE, WHOLE) TILE_OF(13, TILE, WHOLE) TILE_OF(14, TILE, WHOLE)                    \
    }                                                                                                                        \
  }
ROWS(whole_f32, F32, tile_f32, 1)
ROWS(half_f32, F32, tile_f32, 0)
ROWS(whole_bf16, BF16, tile_bf16, 1)
ROWS(half_bf16, BF16, tile_bf16, 0)

void ck_gemm_multiply(ck_gemm_precision precision, const float *a, size_t a_slots, const float *b, size_t b_slots, size_t m,
                      size_t n, size_t k, float *c, size_t ldc, int accumulate) {
  size_t slots = ck_gemm_slots(precision, k);
  const int is_bf16 = precision == CK_GEMM_BF16;
  // The longer side is read once, and all panels of the other one, which stay in cache, for each of its panels.
  size_t down = (m + M - 1) / M, across = (n + N - 1) / N;
  for (size_t tile = 0; tile < down * across; tile++) {
    size_t i = (down > across ? tile / across : tile % down) * M, j = (down > across ? tile % across : tile / down) * N;
    size_t columns = n - j < N ? n - j : N;
    __mmask16 low = columns >= 16 ? 0xffff : (__mmask16)((1u << columns) - 1);
    __mmask16 high = columns >= 32 ? 0xffff : columns > 16 ? (__mmask16)((1u << (columns - 16)) - 1) : 0;
    (columns > 16 ? is_bf16 ? whole_bf16 : whole_f32 : is_bf16 ? half_bf16 : half_f32)(
      (int)(m - i < M ? m - i : M), a + i / M * a_slots * A_SLOT, b + j * b_slots, slots, c + i * ldc + j, ldc, low, high, accumulate);
  }
}

// MARK: - Packing

// Sixteen rows of sixteen 32-bit numbers become sixteen columns.
INLINE F32 void transpose(__m512i r[16]) {
  __m512i t[16];
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
  }
  for (int i = 0; i < 16; i += 4)
    for (int j = 0; j < 2; j++) {
      r[i + 2 * j] = _mm512_unpacklo_epi64(t[i + j], t[i + j + 2]);
      r[i + 2 * j + 1] = _mm512_unpackhi_epi64(t[i + j], t[i + j + 2]);
    }
  // r[4g + c] holds, in each 128-bit lane l, column 4l + c of rows 4g … 4g + 3.
  for (int c = 0; c < 4; c++) {
    __m512i a = _mm512_shuffle_i32x4(r[c], r[4 + c], 0x88), b = _mm512_shuffle_i32x4(r[8 + c], r[12 + c], 0x88);
    __m512i d = _mm512_shuffle_i32x4(r[c], r[4 + c], 0xdd), e = _mm512_shuffle_i32x4(r[8 + c], r[12 + c], 0xdd);
    t[c] = _mm512_shuffle_i32x4(a, b, 0x88);
    t[8 + c] = _mm512_shuffle_i32x4(a, b, 0xdd);
    t[4 + c] = _mm512_shuffle_i32x4(d, e, 0x88);
    t[12 + c] = _mm512_shuffle_i32x4(d, e, 0xdd);
  }
  for (int i = 0; i < 16; i++) r[i] = t[i];
}

// `count` of sixteen numbers, scaled, as slots.
INLINE F32 __m512i load_f32(const float *x, size_t count, __m512 scale) {
  __mmask16 mask = count >= 16 ? 0xffff : (__mmask16)((1u << count) - 1);
  return _mm512_castps_si512(_mm512_mul_ps(_mm512_maskz_loadu_ps(mask, x), scale));
}

// Nearest number that bf16 has, ties to even. NaN stays NaN.
INLINE F32 __m512i rounded(__m512i x) {
  __m512i odd = _mm512_and_si512(_mm512_srli_epi32(x, 16), _mm512_set1_epi32(1));
  __m512i up = _mm512_add_epi32(x, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
  __mmask16 nan = _mm512_cmp_ps_mask(_mm512_castsi512_ps(x), _mm512_castsi512_ps(x), _CMP_UNORD_Q);
  return _mm512_and_si512(_mm512_mask_blend_epi32(nan, up, _mm512_or_si512(x, _mm512_set1_epi32(1 << 22))),
                          _mm512_set1_epi32((int)0xffff0000));
}

INLINE F32 __m512i load_rounded(const float *x, size_t count, __m512 scale) { return rounded(load_f32(x, count, scale)); }

INLINE BF16 __m512i load_bf16(const float *x, size_t count, __m512 scale) {
  __m512i low = load_f32(x, count, scale), high = load_f32(x + 16, count > 16 ? count - 16 : 0, scale);
  return (__m512i)_mm512_cvtne2ps_pbh(_mm512_castsi512_ps(high), _mm512_castsi512_ps(low));
}

// Sixteen columns of two rows of k as slots; `next` may be NULL.
INLINE F32 __m512i pair_f32(const float *x, const float *next, __mmask16 mask, __m512 scale) {
  (void)next;
  return _mm512_castps_si512(_mm512_mul_ps(_mm512_maskz_loadu_ps(mask, x), scale));
}

INLINE F32 __m512i pair_rounded(const float *x, const float *next, __mmask16 mask, __m512 scale) {
  return rounded(pair_f32(x, next, mask, scale));
}

INLINE BF16 __m512i pair_bf16(const float *x, const float *next, __mmask16 mask, __m512 scale) {
  __m512 low = _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, x), scale);
  __m512 high = next ? _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, next), scale) : _mm512_setzero_ps();
  // Numbers 0 … 15 are `low`, 16 … 31 `high`: they take turns.
  const __m512i turns = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5, 20, 4,
                                         19, 3, 18, 2, 17, 1, 16, 0);
  return _mm512_permutexvar_epi16(turns, (__m512i)_mm512_cvtne2ps_pbh(high, low));
}

// Up to sixteen rows of a panel whose slots take `stride` numbers; a slot holds PER numbers of k. Missing rows become zeros.
#define PACK(NAME, TARGET, PER, LOAD, PAIR)                                                                                  \
  static TARGET void NAME(const float *x, size_t ld, int transposed, __m512 scale, size_t rows, size_t k, size_t stride,     \
                          float *out) {                                                                                      \
    size_t slots = (k + PER - 1) / PER;                                                                                      \
    if (transposed) {                                                                                                        \
      __mmask16 mask = rows >= 16 ? 0xffff : (__mmask16)((1u << rows) - 1);                                                  \
      for (size_t s = 0; s < slots; s++, x += PER * ld, out += stride)                                                       \
        _mm512_storeu_si512(out, PAIR(x, PER * s + 1 < k ? x + ld : 0, mask, scale));                                        \
      return;                                                                                                                \
    }                                                                                                                        \
    for (size_t s = 0; s < slots; s += 16, out += 16 * stride) {                                                             \
      __m512i r[16];                                                                                                         \
      size_t count = slots - s < 16 ? slots - s : 16;                                                                        \
      for (size_t i = 0; i < 16; i++)                                                                                        \
        r[i] = i < rows ? LOAD(x + i * ld + PER * s, k - PER * s, scale) : _mm512_setzero_si512();                           \
      transpose(r);                                                                                                          \
      if (count == 16)                                                                                                       \
        for (size_t i = 0; i < 16; i++) _mm512_storeu_si512(out + i * stride, r[i]);                                         \
      else                                                                                                                   \
        for (size_t i = 0; i < count; i++) _mm512_storeu_si512(out + i * stride, r[i]);                                      \
    }                                                                                                                        \
  }
PACK(pack_f32, F32, 1, load_f32, pair_f32)
PACK(pack_bf16, BF16, 2, load_bf16, pair_bf16)
PACK(pack_rounded, F32, 1, load_rounded, pair_rounded)

F32 void ck_gemm_pack(ck_gemm_precision precision, const float *x, size_t ld, int transposed, float alpha, size_t rows, size_t k_from,
                  size_t k_to, size_t k, size_t width, float *packed) {
  size_t slots = ck_gemm_slots(precision, k), start = ck_gemm_slots(precision, k_from), stride = width == M ? A_SLOT : B_SLOT;
  __m512 scale = _mm512_set1_ps(alpha);
  for (size_t i = 0; i < rows; i += width, packed += slots * stride)
    for (size_t first = 0; first < stride; first += 16) {
      size_t left = rows - i < width ? rows - i : width, count = left > first ? left - first : 0;
      const float *source = x + (transposed ? i + first : (i + first) * ld);
      float *out = packed + start * stride + first;
      switch (precision) {
        case CK_GEMM_F32: pack_f32(source, ld, transposed, scale, count, k_to - k_from, stride, out); break;
        case CK_GEMM_BF16: pack_bf16(source, ld, transposed, scale, count, k_to - k_from, stride, out); break;
        case CK_GEMM_ROUNDED: pack_rounded(source, ld, transposed, scale, count, k_to - k_from, stride, out); break;
      }
    }
}
#else
// Never called: the engine is not available.
int ck_gemm_available(ck_gemm_precision precision) { return (void)precision, 0; }
ck_gemm_precision ck_gemm_bf16(void) { return CK_GEMM_ROUNDED; }
void ck_gemm_multiply(ck_gemm_precision precision, const float *a, size_t a_slots, const float *b, size_t b_slots, size_t m,
                      size_t n, size_t k, float *c, size_t ldc, int accumulate) {
  (void)precision, (void)a, (void)a_slots, (void)b, (void)b_slots, (void)m, (void)n, (void)k, (void)c, (void)ldc, (void)accumulate;
}
void ck_gemm_pack(ck_gemm_precision precision, const float *x, size_t ld, int transposed, float alpha, size_t rows, size_t k_from,
                  size_t k_to, size_t k, size_t width, float *packed) {
  (void)precision, (void)x, (void)ld, (void)transposed, (void)alpha, (void)rows, (void)k_from, (void)k_to, (void)k, (void)width,
    (void)packed;
}
#endif
