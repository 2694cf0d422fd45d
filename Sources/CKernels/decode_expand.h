#ifndef CK_DECODE_EXPAND_H
#define CK_DECODE_EXPAND_H
// ggml's block formats into AVX-512 registers, thirty-two elements at a time. The numbers are those of ck_dequantize, bit
// for bit: a scale times an integer is exact in a float, so at most one rounding (of the subtraction of a minimum) is left.
#include "dequantize.h"
#include <immintrin.h>

#define CK_V4 __attribute__((target("arch=x86-64-v4")))
#define CK_V4_INLINE static inline __attribute__((always_inline, target("arch=x86-64-v4")))

/// Elements of a block, at least 32; `ck_unit_bytes` hold them.
CK_V4_INLINE size_t ck_unit(ck_encoding e) { return e >= CK_Q2_K ? 256 : 32; }

CK_V4_INLINE size_t ck_unit_bytes(ck_encoding e) {
  switch (e) {
    case CK_F32: return 128;
    case CK_F16: case CK_BF16: return 64;
    case CK_Q4_0: return 18;
    case CK_Q4_1: return 20;
    case CK_Q5_0: return 22;
    case CK_Q5_1: return 24;
    case CK_Q8_0: return 34;
    case CK_Q2_K: return 84;
    case CK_Q3_K: return 110;
    case CK_Q4_K: return 144;
    case CK_Q5_K: return 176;
    case CK_Q6_K: return 210;
  }
  return 0;
}

/// What a block's elements share. Formats of 32: tables of the values that nibbles stand for (`a`; with the fifth bit `b`), or
/// the scale in every lane (`a`). Formats of 256: `a` scales, `b` minimums of the groups.
typedef struct { __m512 a, b; } ck_scales;

CK_V4_INLINE __m512 half_at(const uint8_t *p) {
  int16_t bits;
  memcpy(&bits, p, 2);
  return _mm512_cvtph_ps(_mm256_set1_epi16(bits));
}

CK_V4_INLINE __m512 iota(float first) {
  return _mm512_add_ps(_mm512_set_ps(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0), _mm512_set1_ps(first));
}

CK_V4_INLINE __m512i bytes_at(const uint8_t *p) { return _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p)); }

CK_V4_INLINE __m512 signed_bytes(__m128i v) { return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(v)); }

CK_V4_INLINE uint32_t word_at(const uint8_t *p) {
  uint32_t word;
  memcpy(&word, p, 4);
  return word;
}

/// The formats of 32 have d, or d and m, in their first four bytes. They are converted for the whole of four rows before
/// anything else is done, and broadcast from memory: inside the loop of the products their latency would stall it.
CK_V4_INLINE void ck_gather(ck_encoding e, const uint8_t *const p[4], size_t blocks, float *dm) {
  size_t bytes = ck_unit_bytes(e);
  if (e < CK_Q4_0 || e > CK_Q8_0) return;
  for (size_t i = 0; i < blocks; i++) {
    __m128i words = _mm_set_epi32((int)word_at(p[3] + i * bytes), (int)word_at(p[2] + i * bytes), (int)word_at(p[1] + i * bytes),
                                  (int)word_at(p[0] + i * bytes));
    _mm256_storeu_ps(dm + 8 * i, _mm256_cvtph_ps(words));
  }
}

/// For one block of each of four rows; `dm` of the formats of 32 stands where `ck_gather` put it.
CK_V4_INLINE void ck_scales_of(ck_encoding e, const uint8_t *const p[4], const float *dm, ck_scales s[4]) {
  for (int c = 0; c < 4; c++) {
    const uint8_t *q = p[c];
    s[c] = (ck_scales){_mm512_setzero_ps(), _mm512_setzero_ps()};
    switch (e) {
      case CK_F32: case CK_F16: case CK_BF16: break;
      case CK_Q4_0: s[c].a = _mm512_mul_ps(_mm512_set1_ps(dm[2 * c]), iota(-8)); break;
      case CK_Q4_1: s[c].a = _mm512_fmadd_ps(_mm512_set1_ps(dm[2 * c]), iota(0), _mm512_set1_ps(dm[2 * c + 1])); break;
      case CK_Q5_0: {
        __m512 d = _mm512_set1_ps(dm[2 * c]);
        s[c].a = _mm512_mul_ps(d, iota(-16));
        s[c].b = _mm512_mul_ps(d, iota(0));
        break;
      }
      case CK_Q5_1: {
        __m512 d = _mm512_set1_ps(dm[2 * c]), m = _mm512_set1_ps(dm[2 * c + 1]);
        s[c].a = _mm512_fmadd_ps(d, iota(0), m);
        s[c].b = _mm512_fmadd_ps(d, iota(16), m);
        break;
      }
      case CK_Q8_0: s[c].a = _mm512_set1_ps(dm[2 * c]); break;
      case CK_Q2_K: {
        __m512i packed = bytes_at(q);
        s[c].a = _mm512_mul_ps(half_at(q + 80), _mm512_cvtepi32_ps(_mm512_and_si512(packed, _mm512_set1_epi32(15))));
        s[c].b = _mm512_mul_ps(half_at(q + 82), _mm512_cvtepi32_ps(_mm512_srli_epi32(packed, 4)));
        break;
      }
      case CK_Q3_K: {
        // Low four bits: nibbles of bytes 0 … 7; high two bits: pairs of bits of bytes 8 … 11.
        __m128i low = _mm_loadl_epi64((const __m128i *)(q + 96));
        low = _mm_and_si128(_mm_unpacklo_epi64(low, _mm_srli_epi16(low, 4)), _mm_set1_epi8(15));
        __m128i high = _mm_srlv_epi32(_mm_set1_epi32((int)word_at(q + 104)), _mm_set_epi32(6, 4, 2, 0));
        high = _mm_slli_epi16(_mm_and_si128(high, _mm_set1_epi8(3)), 4);
        s[c].a = _mm512_mul_ps(half_at(q + 108), signed_bytes(_mm_sub_epi8(_mm_or_si128(low, high), _mm_set1_epi8(32))));
        break;
      }
      case CK_Q4_K: case CK_Q5_K: {
        // Eight scales and eight minimums of six bits: the first four whole, the others in three pieces.
        uint32_t u0 = word_at(q + 4), u1 = word_at(q + 8), u2 = word_at(q + 12);
        __m128i packed = _mm_set_epi32((int)((u2 >> 4 & 0x0F0F0F0Fu) | (u1 >> 6 & 0x03030303u) << 4), (int)(u1 & 0x3F3F3F3Fu),
                                       (int)((u2 & 0x0F0F0F0Fu) | (u0 >> 6 & 0x03030303u) << 4), (int)(u0 & 0x3F3F3F3Fu));
        __m512 d = _mm512_mask_blend_ps(0xFF00, half_at(q), half_at(q + 2));
        s[c].a = _mm512_mul_ps(d, signed_bytes(packed));
        s[c].b = _mm512_shuffle_f32x4(s[c].a, s[c].a, 0xEE);
        break;
      }
      case CK_Q6_K:
        s[c].a = _mm512_mul_ps(half_at(q + 208), signed_bytes(_mm_loadu_si128((const __m128i *)(q + 192))));
        break;
    }
  }
}

CK_V4_INLINE __m512 lane(__m512 v, int i) { return _mm512_permutexvar_ps(_mm512_set1_epi32(i), v); }

/// Elements 32 group … 32 group + 31 of a block; those from `count` on (of the formats without blocks) are not read and 0.
CK_V4_INLINE void ck_expand(ck_encoding e, const uint8_t *p, ck_scales s, int group, size_t count, __m512 v[2]) {
  switch (e) {
    case CK_F32: case CK_F16: case CK_BF16:
      for (int i = 0; i < 2; i++) {
        size_t rest = count <= (size_t)(16 * i) ? 0 : count - (size_t)(16 * i);
        __mmask16 mask = rest >= 16 ? 0xFFFF : (__mmask16)((1u << rest) - 1);
        if (e == CK_F32) v[i] = _mm512_maskz_loadu_ps(mask, p + 64 * i);
        else if (e == CK_F16) v[i] = _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, p + 32 * i));
        else v[i] = _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, p + 32 * i)), 16));
      }
      break;
    case CK_Q4_0: case CK_Q4_1: {
      __m512i q = bytes_at(p + (e == CK_Q4_0 ? 2 : 4));   // a permutation looks at the low four bits of an index
      v[0] = _mm512_permutexvar_ps(q, s.a);
      v[1] = _mm512_permutexvar_ps(_mm512_srli_epi32(q, 4), s.a);
      break;
    }
    case CK_Q5_0: case CK_Q5_1: {
      const uint8_t *at = p + (e == CK_Q5_0 ? 2 : 4);
      uint32_t fifth = word_at(at);
      __m512i q = bytes_at(at + 4), r = _mm512_srli_epi32(q, 4);
      v[0] = _mm512_mask_permutexvar_ps(_mm512_permutexvar_ps(q, s.a), (__mmask16)fifth, q, s.b);
      v[1] = _mm512_mask_permutexvar_ps(_mm512_permutexvar_ps(r, s.a), (__mmask16)(fifth >> 16), r, s.b);
      break;
    }
    case CK_Q8_0:
      for (int i = 0; i < 2; i++) v[i] = _mm512_mul_ps(s.a, signed_bytes(_mm_loadu_si128((const __m128i *)(p + 2 + 16 * i))));
      break;
    case CK_Q2_K:
      for (int i = 0; i < 2; i++) {
        __m512i q = _mm512_srli_epi32(bytes_at(p + 16 + 32 * (group / 4) + 16 * i), (unsigned)(group % 4 * 2));
        q = _mm512_and_si512(q, _mm512_set1_epi32(3));
        v[i] = _mm512_fmsub_ps(lane(s.a, 2 * group + i), _mm512_cvtepi32_ps(q), lane(s.b, 2 * group + i));
      }
      break;
    case CK_Q3_K:
      for (int i = 0; i < 2; i++) {
        __m512i q = _mm512_srli_epi32(bytes_at(p + 32 + 32 * (group / 4) + 16 * i), (unsigned)(group % 4 * 2));
        __mmask16 high = _mm512_test_epi32_mask(bytes_at(p + 16 * i), _mm512_set1_epi32(1 << group));
        q = _mm512_and_si512(q, _mm512_set1_epi32(3));
        q = _mm512_mask_sub_epi32(q, (__mmask16)~high, q, _mm512_set1_epi32(4));
        v[i] = _mm512_mul_ps(lane(s.a, 2 * group + i), _mm512_cvtepi32_ps(q));
      }
      break;
    case CK_Q4_K: case CK_Q5_K: {
      __m512 scale = lane(s.a, group), minimum = lane(s.b, group), table = _mm512_fmsub_ps(scale, iota(0), minimum);
      for (int i = 0; i < 2; i++) {
        __m512i q = bytes_at(p + (e == CK_Q4_K ? 16 : 48) + 32 * (group / 2) + 16 * i);
        if (group % 2) q = _mm512_srli_epi32(q, 4);
        v[i] = _mm512_permutexvar_ps(q, table);
        if (e == CK_Q5_K) {
          __mmask16 fifth = _mm512_test_epi32_mask(bytes_at(p + 16 + 16 * i), _mm512_set1_epi32(1 << group));
          v[i] = _mm512_mask_permutexvar_ps(v[i], fifth, q, _mm512_fmsub_ps(scale, iota(16), minimum));
        }
      }
      break;
    }
    case CK_Q6_K: {
      int half = group / 4, quarter = group % 4;
      __m256i low = _mm256_loadu_si256((const __m256i *)(p + 64 * half + quarter % 2 * 32));
      __m256i high = _mm256_loadu_si256((const __m256i *)(p + 128 + 32 * half));
      low = _mm256_and_si256(_mm256_srli_epi16(low, quarter / 2 * 4), _mm256_set1_epi8(15));
      high = _mm256_and_si256(_mm256_srli_epi16(high, quarter * 2), _mm256_set1_epi8(3));
      __m256i q = _mm256_sub_epi8(_mm256_or_si256(low, _mm256_slli_epi16(high, 4)), _mm256_set1_epi8(32));
      v[0] = _mm512_mul_ps(lane(s.a, 2 * group), signed_bytes(_mm256_castsi256_si128(q)));
      v[1] = _mm512_mul_ps(lane(s.a, 2 * group + 1), signed_bytes(_mm256_extracti128_si256(q, 1)));
      break;
    }
  }
}
#endif
