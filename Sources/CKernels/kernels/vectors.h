#ifndef CK_VECTORS_H
#define CK_VECTORS_H
// Vectors of one engine: CK_LANES floats. The compiler makes of `vf` whatever the target's registers are.
#include "ck_types.h"
#include <math.h>
#include <string.h>
#if defined(CK_AVX512) || defined(CK_AVX2)
#include <immintrin.h>
#endif
#define INLINE static inline __attribute__((always_inline))
#pragma clang diagnostic ignored "-Wpsabi" // vectors wider than a register are passed to inlined functions alone

typedef float vf __attribute__((ext_vector_type(CK_LANES)));
typedef int32_t vi __attribute__((ext_vector_type(CK_LANES)));
typedef uint32_t vu __attribute__((ext_vector_type(CK_LANES)));
/// Sixteen numbers whatever the engine, where a format is made of sixteens.
typedef float v16 __attribute__((ext_vector_type(16)));

INLINE vf load(const float *x) {
    vf v;
    memcpy(&v, x, sizeof v);
    return v;
}

INLINE void store(float *x, vf v) { memcpy(x, &v, sizeof v); }

INLINE vf splat(float x) { return (vf)x; }

/// All bits set in the first `count` lanes.
INLINE vi first_lanes(size_t count) {
#if CK_LANES == 16
    const vi index = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
#elif CK_LANES == 8
    const vi index = {0, 1, 2, 3, 4, 5, 6, 7};
#else
    const vi index = {0, 1, 2, 3};
#endif
    return index < (int32_t)(count < CK_LANES ? count : CK_LANES);
}

// Sums over lanes: i and i + half of them, until one is left.
typedef float v8 __attribute__((ext_vector_type(8)));
typedef float v4 __attribute__((ext_vector_type(4)));
INLINE float sum_of_4(v4 v) { return (v[0] + v[2]) + (v[1] + v[3]); }
INLINE float sum_of_8(v8 v) { return sum_of_4(v.lo + v.hi); }
INLINE float sum_of_16(v16 v) { return sum_of_8(v.lo + v.hi); }

INLINE float sum_of(vf v) {
#if CK_LANES == 16
    return sum_of_16(v);
#elif CK_LANES == 8
    return sum_of_8(v);
#else
    return sum_of_4(v);
#endif
}

/// The first `count` lanes, zeros behind them; no other numbers are read.
INLINE vf load_part(const float *x, size_t count) {
#if defined(CK_AVX512)
    return (vf)_mm512_maskz_loadu_ps(count >= 16 ? 0xffff : (__mmask16)((1u << count) - 1), x);
#elif defined(CK_AVX2)
    return count >= 8 ? load(x) : (vf)_mm256_maskload_ps(x, (__m256i)first_lanes(count));
#else
    if (count >= CK_LANES) return load(x);
    vf v = {0};
    for (size_t i = 0; i < count; i++) v[i] = x[i];
    return v;
#endif
}

/// Writes the first `count` lanes.
INLINE void store_part(float *x, vf v, size_t count) {
#if defined(CK_AVX512)
    _mm512_mask_storeu_ps(x, count >= 16 ? 0xffff : (__mmask16)((1u << count) - 1), (__m512)v);
#elif defined(CK_AVX2)
    if (count >= 8) store(x, v);
    else _mm256_maskstore_ps(x, (__m256i)first_lanes(count), (__m256)v);
#else
    if (count >= CK_LANES) store(x, v);
    else
        for (size_t i = 0; i < count; i++) x[i] = v[i];
#endif
}

/// Nearest number that bf16 has, ties to even. NaN stays NaN.
INLINE vf rounded(vf x) {
    vu bits = (vu)x, up = bits + ((bits >> 16 & 1) + 0x7fff);
    return (vf)((x != x ? bits | 1u << 22 : up) & 0xffff0000u);
}
#endif
