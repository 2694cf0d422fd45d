#include "ck_weights.h"
#include "ck_decode.h"
#include "clones.h"
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

INLINE uint32_t rounded_bits(float x) {
  uint32_t bits;
  memcpy(&bits, &x, 4);
  uint32_t near = bits + (0x7FFFu + (bits >> 16 & 1)), quiet = bits | 1u << 22;
  return (bits & 0x7FFFFFFFu) > 0x7F800000u ? quiet : near;
}

CK_CLONES void ck_round_to_bf16(float *restrict x, uint16_t *restrict rounded, size_t count) {
  if (rounded)
    for (size_t i = 0; i < count; i++) rounded[i] = (uint16_t)(rounded_bits(x[i]) >> 16);
  for (size_t i = 0; i < count; i++) {
    uint32_t bits = rounded_bits(x[i]) & 0xFFFF0000u;
    memcpy(x + i, &bits, 4);
  }
}

enum {
  TILE = 8,    // rows that are expanded to memory at a time
  AHEAD = 8    // rows from one that is read to one that is fetched
};

/// Four rows' scales, then a tile.
static size_t scales_count(size_t k) { return k / 32 * 8; }

size_t ck_weights_scratch(size_t k) { return scales_count(k) + TILE * ((k + 31) / 32 * 32 + 16); }

INLINE const uint8_t *row_at(const ck_weights *w, size_t row) { return (const uint8_t *)w->data + row * w->row_bytes; }

INLINE size_t column(const ck_weights *w, size_t row) {
  if (w->half == 0) return row;
  size_t within = row % (2 * w->half);
  return row - within + within % 2 * w->half + within / 2;
}

// On any processor: rows are decoded into memory that stays in cache.
static void product(const ck_weights *w, size_t first, size_t count, const ck_activations *x, float *y, size_t ldy, float *scratch) {
  const int in_place = w->encoding == CK_F32 && !x->rounded && (uintptr_t)w->data % 4 == 0;
  for (size_t row = first; row < first + count; row += TILE) {
    size_t rows = first + count - row < TILE ? first + count - row : TILE;
    const float *tile = in_place ? (const float *)row_at(w, row) : scratch;
    if (!in_place) {
      ck_dequantize(w->encoding, row_at(w, row), scratch, rows * w->k);
      if (x->rounded) ck_round_to_bf16(scratch, NULL, rows * w->k);
    }
    // Rows in another order go to outputs that are not neighbours.
    size_t together = w->half ? 1 : rows;
    for (size_t i = 0; i < rows; i += together)
      ck_few_rows_product(x->x, x->ld, x->rows, tile + i * w->k, w->k, together, w->k, y + column(w, row + i), ldy, 0);
  }
}

#if defined(__x86_64__)
#include "decode_expand.h"
#define V4 CK_V4
#define V4_INLINE CK_V4_INLINE
// bf16 products: compiled for processors that have them, called on those alone.
#define BF16 __attribute__((target("arch=x86-64-v4,avx512bf16")))
#define BF16_INLINE static inline __attribute__((always_inline, target("arch=x86-64-v4,avx512bf16")))

// A sum over lanes pairs i with i + 8, then + 4, + 2, + 1, in both functions.

V4_INLINE __m128 sums_of_4(const __m512 *v) {
  __m128 q[4];
  for (int i = 0; i < 4; i++) {
    __m256 a = _mm256_add_ps(_mm512_castps512_ps256(v[i]), _mm512_extractf32x8_ps(v[i], 1));
    q[i] = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  }
  __m128 a = _mm_add_ps(_mm_movelh_ps(q[0], q[1]), _mm_shuffle_ps(q[0], q[1], 0xEE));
  __m128 b = _mm_add_ps(_mm_movelh_ps(q[2], q[3]), _mm_shuffle_ps(q[2], q[3], 0xEE));
  return _mm_add_ps(_mm_shuffle_ps(a, b, 0x88), _mm_shuffle_ps(a, b, 0xDD));
}

/// Quarter i holds the sums of v[4 · (0, 2, 1, 3)[i]] … + 3.
V4_INLINE __m512 sums_of_16(const __m512 *v) {
  __m512 s[8], t[4];
  for (int i = 0; i < 8; i++)
    s[i] = _mm512_add_ps(_mm512_shuffle_f32x4(v[i], v[i + 8], 0x44), _mm512_shuffle_f32x4(v[i], v[i + 8], 0xEE));
  for (int i = 0; i < 4; i++)
    t[i] = _mm512_add_ps(_mm512_shuffle_f32x4(s[i], s[i + 4], 0x88), _mm512_shuffle_f32x4(s[i], s[i + 4], 0xDD));
  __m512 a = _mm512_add_ps(_mm512_shuffle_ps(t[0], t[1], 0x44), _mm512_shuffle_ps(t[0], t[1], 0xEE));
  __m512 b = _mm512_add_ps(_mm512_shuffle_ps(t[2], t[3], 0x44), _mm512_shuffle_ps(t[2], t[3], 0xEE));
  return _mm512_add_ps(_mm512_shuffle_ps(a, b, 0x88), _mm512_shuffle_ps(a, b, 0xDD));
}

/// Where four sums of one row of x go.
V4_INLINE void store4(const ck_weights *w, size_t row, int outputs, __m128 sums, float *y) {
  if (w->half == 0) {
    _mm_mask_storeu_ps(y + row, (__mmask8)((1 << outputs) - 1), sums);
  } else {
    float values[4];
    _mm_storeu_ps(values, sums);
    for (int j = 0; j < outputs; j++) y[column(w, row + (size_t)j)] = values[j];
  }
}

V4_INLINE __m512 load16(const float *x, size_t count) {
  return _mm512_maskz_loadu_ps(count >= 16 ? 0xFFFF : (__mmask16)((1u << count) - 1), x);
}

// Up to four rows of x against four rows of w. Rows that are missing at the end of w are its last one again: their sums are
// not stored.

V4_INLINE void rows_at(const ck_weights *w, size_t row, size_t end, const uint8_t *p[4]) {
  for (size_t c = 0; c < 4; c++) p[c] = row_at(w, row + c < end ? row + c : end - 1);
}

V4_INLINE void store(int R, const ck_weights *w, size_t row, size_t end, const __m512 *sums, float *y, size_t ldy) {
  int outputs = end - row < 4 ? (int)(end - row) : 4;
  if (R == 1) {
    store4(w, row, outputs, sums_of_4(sums), y);
    return;
  }
  __m512 all = sums_of_16(sums);
  store4(w, row, outputs, _mm512_castps512_ps128(all), y);
  store4(w, row, outputs, _mm512_extractf32x4_ps(all, 2), y + ldy);
  if (R > 2) store4(w, row, outputs, _mm512_extractf32x4_ps(all, 1), y + 2 * ldy);
  if (R > 3) store4(w, row, outputs, _mm512_extractf32x4_ps(all, 3), y + 3 * ldy);
}

/// Asks for weights that are needed soon: the processor does not foresee rows that are read side by side.
/// Numbers without blocks are as many bytes as memory can bring; they go no further than the second cache.
V4_INLINE void fetch(ck_encoding e, const uint8_t *p, size_t bytes) {
  for (size_t line = 0; line < bytes; line += 64) {
    if (e <= CK_BF16) _mm_prefetch((const char *)p + line, _MM_HINT_T1);
    else _mm_prefetch((const char *)p + line, _MM_HINT_T0);
  }
}

V4_INLINE void fetch_rows(ck_encoding e, const ck_weights *w, size_t row, size_t end, size_t count) {
  if (row < end) fetch(e, row_at(w, row), (end - row < count ? end - row : count) * w->row_bytes);
}

// Weights expanded in registers.
V4_INLINE void direct(ck_encoding e, int R, const ck_weights *w, size_t row, size_t end, const float *x, size_t ldx, float *y,
                      size_t ldy, float *dm) {
  const size_t unit = ck_unit(e), bytes = ck_unit_bytes(e), k = w->k;
  const uint8_t *p[4], *ahead = row_at(w, row + AHEAD);
  const size_t wanted = row + AHEAD + 4 <= end ? 4 * bytes : 0;   // other rows are another thread's
  rows_at(w, row, end, p);
  ck_gather(e, p, k / unit, dm);
  __m512 sums[16], v[2], u[8];
  for (int i = 0; i < 16; i++) sums[i] = _mm512_setzero_ps();
  size_t at = 0;
  for (; at + unit <= k; at += unit, ahead += 4 * bytes) {
    ck_scales s[4];
    ck_scales_of(e, p, dm + at / 4, s);
    fetch(e, ahead, wanted);
#pragma unroll
    for (int group = 0; group < (int)(unit / 32); group++) {
      const float *from = x + at + 32 * (size_t)group;
      for (int r = 0; r < R; r++) {
        u[2 * r] = _mm512_loadu_ps(from + (size_t)r * ldx);
        u[2 * r + 1] = _mm512_loadu_ps(from + (size_t)r * ldx + 16);
      }
      for (int c = 0; c < 4; c++) {
        ck_expand(e, p[c], s[c], group, 32, v);
        for (int r = 0; r < R; r++)
          sums[4 * r + c] = _mm512_fmadd_ps(u[2 * r + 1], v[1], _mm512_fmadd_ps(u[2 * r], v[0], sums[4 * r + c]));
      }
    }
    for (int c = 0; c < 4; c++) p[c] += bytes;
  }
  if (e <= CK_BF16 && at < k) {
    for (int r = 0; r < R; r++) {
      u[2 * r] = load16(x + (size_t)r * ldx + at, k - at);
      u[2 * r + 1] = load16(x + (size_t)r * ldx + at + 16, k - at < 16 ? 0 : k - at - 16);
    }
    for (int c = 0; c < 4; c++) {
      ck_expand(e, p[c], (ck_scales){u[0], u[0]}, 0, k - at, v);
      for (int r = 0; r < R; r++)
        sums[4 * r + c] = _mm512_fmadd_ps(u[2 * r + 1], v[1], _mm512_fmadd_ps(u[2 * r], v[0], sums[4 * r + c]));
    }
  }
  store(R, w, row, end, sums, y, ldy);
}

// Weights that stand in memory as f32.
V4_INLINE void block_of(int R, const ck_weights *w, size_t row, size_t end, const float *x, size_t ldx, const float *const *tile, float *y,
                     size_t ldy) {
  const size_t k = w->k;
  __m512 sums[16], v[4];
  for (int i = 0; i < 16; i++) sums[i] = _mm512_setzero_ps();
  size_t at = 0;
  for (; at + 16 <= k; at += 16) {
    for (int c = 0; c < 4; c++) v[c] = _mm512_loadu_ps(tile[c] + at);
    for (int r = 0; r < R; r++) {
      __m512 u = _mm512_loadu_ps(x + (size_t)r * ldx + at);
      for (int c = 0; c < 4; c++) sums[4 * r + c] = _mm512_fmadd_ps(u, v[c], sums[4 * r + c]);
    }
  }
  if (at < k) {
    for (int c = 0; c < 4; c++) v[c] = load16(tile[c] + at, k - at);
    for (int r = 0; r < R; r++) {
      __m512 u = load16(x + (size_t)r * ldx + at, k - at);
      for (int c = 0; c < 4; c++) sums[4 * r + c] = _mm512_fmadd_ps(u, v[c], sums[4 * r + c]);
    }
  }
  store(R, w, row, end, sums, y, ldy);
}

// Not inlined: one copy for all encodings.
V4 static __attribute__((noinline)) void block(size_t R, const ck_weights *w, size_t row, size_t end, const float *x, size_t ldx,
                                               const float *const *tile, float *y, size_t ldy) {
  switch (R) {
    case 1: block_of(1, w, row, end, x, ldx, tile, y, ldy); break;
    case 2: block_of(2, w, row, end, x, ldx, tile, y, ldy); break;
    case 3: block_of(3, w, row, end, x, ldx, tile, y, ldy); break;
    default: block_of(4, w, row, end, x, ldx, tile, y, ldy); break;
  }
}

V4_INLINE void expand(ck_encoding e, const ck_weights *w, size_t row, size_t end, float *dm, float *out, size_t pitch) {
  const size_t unit = ck_unit(e), bytes = ck_unit_bytes(e), k = w->k;
  const uint8_t *p[4];
  rows_at(w, row, end, p);
  ck_gather(e, p, k / unit, dm);
  for (size_t at = 0; at < k; at += unit, out += unit) {
    ck_scales s[4];
    ck_scales_of(e, p, dm + at / 4, s);
#pragma unroll
    for (int group = 0; group < (int)(unit / 32); group++)
      for (int c = 0; c < 4; c++) {
        __m512 v[2];
        if (e > CK_BF16 || k - at >= 32) ck_expand(e, p[c], s[c], group, 32, v);
        else ck_expand(e, p[c], s[c], group, k - at, v);
        _mm512_storeu_ps(out + (size_t)c * pitch + 32 * group, v[0]);
        _mm512_storeu_ps(out + (size_t)c * pitch + 32 * group + 16, v[1]);
      }
    for (int c = 0; c < 4; c++) p[c] += bytes;
  }
}

/// Rows of x for which expanding in registers is fastest. Blocks of 256 are costly enough to be expanded once.
V4_INLINE size_t most_direct(ck_encoding e) { return e >= CK_Q2_K ? 1 : 4; }

/// Distance of expanded rows: no power of two, so that equal columns of rows use different lines of the cache.
V4_INLINE size_t tile_pitch(size_t k) { return (k + 31) / 32 * 32 + 16; }

V4_INLINE void product_v4(ck_encoding e, const ck_weights *w, size_t first, size_t count, const ck_activations *x, float *y, size_t ldy,
                          float *scratch) {
  const size_t end = first + count;
  fetch_rows(e, w, first, end, AHEAD);
  if (x->rows <= most_direct(e)) {
    for (size_t row = first; row < end; row += 4) switch (x->rows) {
        case 1: direct(e, 1, w, row, end, x->x, x->ld, y, ldy, scratch); break;
        case 2: direct(e, 2, w, row, end, x->x, x->ld, y, ldy, scratch); break;
        case 3:
          direct(e, 2, w, row, end, x->x, x->ld, y, ldy, scratch);
          direct(e, 1, w, row, end, x->x + 2 * x->ld, x->ld, y + 2 * ldy, ldy, scratch);
          break;
        default: direct(e, 4, w, row, end, x->x, x->ld, y, ldy, scratch); break;
      }
    return;
  }
  for (size_t row = first; row < end; row += TILE) {
    size_t last = end - row < TILE ? end : row + TILE;
    float *expanded = scratch + scales_count(w->k);
    const float *tile[TILE];
    for (size_t c = 0; c < TILE; c++) tile[c] = expanded + c * tile_pitch(w->k);
    if (e == CK_F32)
      for (size_t c = 0; c < TILE; c++) tile[c] = (const float *)row_at(w, row + c < end ? row + c : end - 1);
    else
      for (size_t c = 0; row + c < last; c += 4) expand(e, w, row + c, last, scratch, expanded + c * tile_pitch(w->k), tile_pitch(w->k));
    fetch_rows(e, w, last, end, TILE);
    for (size_t i = 0; i < x->rows; i += 4)
      for (size_t c = 0; row + c < last; c += 4)
        block(x->rows - i, w, row + c, last, x->x + i * x->ld, x->ld, tile + c, y + i * ldy, ldy);
  }
}

// The same with bf16 products.

BF16_INLINE __m512bh bf16_at(const void *p, size_t count) {
  return (__m512bh)_mm512_maskz_loadu_epi16(count >= 32 ? 0xFFFFFFFFu : (1u << count) - 1, p);
}

BF16_INLINE __m512bh expand_bf16(ck_encoding e, const uint8_t *p, ck_scales s, int group, size_t count) {
  if (e == CK_BF16) return bf16_at(p, count);
  __m512 v[2];
  ck_expand(e, p, s, group, count, v);
  return _mm512_cvtne2ps_pbh(v[1], v[0]);
}

BF16_INLINE void direct_bf16(ck_encoding e, int R, const ck_weights *w, size_t row, size_t end, const uint16_t *x, size_t ldx, float *y,
                             size_t ldy, float *dm) {
  const size_t unit = ck_unit(e), bytes = ck_unit_bytes(e), k = w->k;
  const uint8_t *p[4], *ahead = row_at(w, row + AHEAD);
  const size_t wanted = row + AHEAD + 4 <= end ? 4 * bytes : 0;   // other rows are another thread's
  rows_at(w, row, end, p);
  ck_gather(e, p, k / unit, dm);
  __m512 sums[16];
  __m512bh u[4];
  for (int i = 0; i < 16; i++) sums[i] = _mm512_setzero_ps();
  size_t at = 0;
  for (; at + unit <= k; at += unit, ahead += 4 * bytes) {
    ck_scales s[4];
    ck_scales_of(e, p, dm + at / 4, s);
    fetch(e, ahead, wanted);
#pragma unroll
    for (int group = 0; group < (int)(unit / 32); group++) {
      for (int r = 0; r < R; r++) u[r] = bf16_at(x + (size_t)r * ldx + at + 32 * (size_t)group, 32);
      for (int c = 0; c < 4; c++) {
        __m512bh v = expand_bf16(e, p[c], s[c], group, 32);
        for (int r = 0; r < R; r++) sums[4 * r + c] = _mm512_dpbf16_ps(sums[4 * r + c], u[r], v);
      }
    }
    for (int c = 0; c < 4; c++) p[c] += bytes;
  }
  if (e <= CK_BF16 && at < k) {
    for (int r = 0; r < R; r++) u[r] = bf16_at(x + (size_t)r * ldx + at, k - at);
    for (int c = 0; c < 4; c++) {
      __m512bh v = expand_bf16(e, p[c], (ck_scales){sums[0], sums[0]}, 0, k - at);
      for (int r = 0; r < R; r++) sums[4 * r + c] = _mm512_dpbf16_ps(sums[4 * r + c], u[r], v);
    }
  }
  store(R, w, row, end, sums, y, ldy);
}

BF16_INLINE void block_of_bf16(int R, const ck_weights *w, size_t row, size_t end, const uint16_t *x, size_t ldx,
                            const uint16_t *const *tile, float *y, size_t ldy) {
  const size_t k = w->k;
  __m512 sums[16];
  __m512bh v[4];
  for (int i = 0; i < 16; i++) sums[i] = _mm512_setzero_ps();
  size_t at = 0;
  for (; at + 32 <= k; at += 32) {
    for (int c = 0; c < 4; c++) v[c] = bf16_at(tile[c] + at, 32);
    for (int r = 0; r < R; r++) {
      __m512bh u = bf16_at(x + (size_t)r * ldx + at, 32);
      for (int c = 0; c < 4; c++) sums[4 * r + c] = _mm512_dpbf16_ps(sums[4 * r + c], u, v[c]);
    }
  }
  if (at < k) {
    for (int c = 0; c < 4; c++) v[c] = bf16_at(tile[c] + at, k - at);
    for (int r = 0; r < R; r++) {
      __m512bh u = bf16_at(x + (size_t)r * ldx + at, k - at);
      for (int c = 0; c < 4; c++) sums[4 * r + c] = _mm512_dpbf16_ps(sums[4 * r + c], u, v[c]);
    }
  }
  store(R, w, row, end, sums, y, ldy);
}

BF16 static __attribute__((noinline)) void block_bf16(size_t R, const ck_weights *w, size_t row, size_t end, const uint16_t *x,
                                                      size_t ldx, const uint16_t *const *tile, float *y, size_t ldy) {
  switch (R) {
    case 1: block_of_bf16(1, w, row, end, x, ldx, tile, y, ldy); break;
    case 2: block_of_bf16(2, w, row, end, x, ldx, tile, y, ldy); break;
    case 3: block_of_bf16(3, w, row, end, x, ldx, tile, y, ldy); break;
    default: block_of_bf16(4, w, row, end, x, ldx, tile, y, ldy); break;
  }
}

BF16_INLINE void expand_rows_bf16(ck_encoding e, const ck_weights *w, size_t row, size_t end, float *dm, uint16_t *out, size_t pitch) {
  const size_t unit = ck_unit(e), bytes = ck_unit_bytes(e), k = w->k;
  const uint8_t *p[4];
  rows_at(w, row, end, p);
  ck_gather(e, p, k / unit, dm);
  for (size_t at = 0; at < k; at += unit, out += unit) {
    ck_scales s[4];
    ck_scales_of(e, p, dm + at / 4, s);
#pragma unroll
    for (int group = 0; group < (int)(unit / 32); group++)
      for (int c = 0; c < 4; c++) {
        __m512bh v = e > CK_BF16 || k - at >= 32 ? expand_bf16(e, p[c], s[c], group, 32) : expand_bf16(e, p[c], s[c], group, k - at);
        _mm512_storeu_si512(out + (size_t)c * pitch + 32 * group, (__m512i)v);
      }
    for (int c = 0; c < 4; c++) p[c] += bytes;
  }
}

BF16_INLINE void product_bf16(ck_encoding e, const ck_weights *w, size_t first, size_t count, const ck_activations *x, float *y,
                              size_t ldy, float *scratch) {
  const size_t end = first + count;
  fetch_rows(e, w, first, end, AHEAD);
  if (x->rows <= most_direct(e)) {
    for (size_t row = first; row < end; row += 4) switch (x->rows) {
        case 1: direct_bf16(e, 1, w, row, end, x->rounded, x->ld, y, ldy, scratch); break;
        case 2: direct_bf16(e, 2, w, row, end, x->rounded, x->ld, y, ldy, scratch); break;
        case 3:
          direct_bf16(e, 2, w, row, end, x->rounded, x->ld, y, ldy, scratch);
          direct_bf16(e, 1, w, row, end, x->rounded + 2 * x->ld, x->ld, y + 2 * ldy, ldy, scratch);
          break;
        default: direct_bf16(e, 4, w, row, end, x->rounded, x->ld, y, ldy, scratch); break;
      }
    return;
  }
  for (size_t row = first; row < end; row += TILE) {
    size_t last = end - row < TILE ? end : row + TILE;
    uint16_t *expanded = (uint16_t *)(scratch + scales_count(w->k));
    const uint16_t *tile[TILE];
    for (size_t c = 0; c < TILE; c++) tile[c] = expanded + c * tile_pitch(w->k);
    if (e == CK_BF16)
      for (size_t c = 0; c < TILE; c++) tile[c] = (const uint16_t *)row_at(w, row + c < end ? row + c : end - 1);
    else
      for (size_t c = 0; row + c < last; c += 4)
        expand_rows_bf16(e, w, row + c, last, scratch, expanded + c * tile_pitch(w->k), tile_pitch(w->k));
    fetch_rows(e, w, last, end, TILE);
    for (size_t i = 0; i < x->rows; i += 4)
      for (size_t c = 0; row + c < last; c += 4)
        block_bf16(x->rows - i, w, row + c, last, x->rounded + i * x->ld, x->ld, tile + c, y + i * ldy, ldy);
  }
}

typedef void product_function(const ck_weights *, size_t, size_t, const ck_activations *, float *, size_t, float *);

#define EACH(E)                                                                                                               \
  V4 static void v4_##E(const ck_weights *w, size_t first, size_t count, const ck_activations *x, float *y, size_t ldy, float *scratch) { \
    product_v4(CK_##E, w, first, count, x, y, ldy, scratch);                                                                  \
  }                                                                                                                           \
  BF16 static void bf16_##E(const ck_weights *w, size_t first, size_t count, const ck_activations *x, float *y, size_t ldy,    \
                            float *scratch) {                                                                                 \
    product_bf16(CK_##E, w, first, count, x, y, ldy, scratch);                                                                \
  }
EACH(F32) EACH(F16) EACH(BF16) EACH(Q4_0) EACH(Q4_1) EACH(Q5_0) EACH(Q5_1) EACH(Q8_0)
EACH(Q2_K) EACH(Q3_K) EACH(Q4_K) EACH(Q5_K) EACH(Q6_K)

#define NAMES(P) {P##F32, P##F16, P##BF16, P##Q4_0, P##Q4_1, P##Q5_0, P##Q5_1, P##Q8_0, P##Q2_K, P##Q3_K, P##Q4_K, P##Q5_K, P##Q6_K}
static product_function *const v4_products[] = NAMES(v4_), *const bf16_products[] = NAMES(bf16_);
#endif

static int has_vectors(int rounded) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  return rounded ? __builtin_cpu_supports("avx512bf16") : __builtin_cpu_supports("x86-64-v4");
#else
  (void)rounded;
  return 0;
#endif
}

void ck_weights_product(const ck_weights *w, size_t first, size_t count, const ck_activations *x, float *y, size_t ldy,
                        float *scratch) {
#if defined(__x86_64__)
  if (has_vectors(x->rounded != NULL)) {
    (x->rounded ? bf16_products : v4_products)[w->encoding](w, first, count, x, y, ldy, scratch);
    return;
  }
#endif
  product(w, first, count, x, y, ldy, scratch);
}
