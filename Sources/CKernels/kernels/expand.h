#ifndef CK_KERNELS_EXPAND_H
#define CK_KERNELS_EXPAND_H
// Stored tensors into registers, thirty-two elements at a time, written once for every engine: the compiler makes
// whatever registers the engine has of vectors of sixteen. The numbers are those of `dequantize`, bit for bit: a scale
// times an integer is exact in a float, so at most one rounding (of the sum with a minimum) is left.
//
// An engine's file includes <immintrin.h> before it pushes its target on the functions that follow.
#include "vectors.h"
#include "formats.h"
#pragma clang fp reassociate(off) contract(fast)

typedef int32_t ck_i16 __attribute__((ext_vector_type(16)));
typedef uint32_t ck_u16 __attribute__((ext_vector_type(16)));
typedef uint16_t ck_words __attribute__((ext_vector_type(16))); // sixteen halves or bf16
typedef uint8_t ck_b16 __attribute__((ext_vector_type(16)));
typedef uint8_t ck_b32 __attribute__((ext_vector_type(32)));

// Groups of a block are unrolled, so that their shifts are constants; the portable engine is small instead.
#if CK_PORTABLE
#define CK_UNROLL_GROUPS _Pragma("clang loop unroll(disable)")
#else
#define CK_UNROLL_GROUPS _Pragma("clang loop unroll(full)")
#endif

/// Elements of a block, at least 32; `ck_unit_bytes` hold them.
INLINE size_t ck_unit(ck_encoding e) { return e >= CK_Q2_K ? 256 : e == CK_NVFP4 ? 64 : 32; }

INLINE size_t ck_unit_bytes(ck_encoding e) {
    switch (e) {
    case CK_F32: return 128;
    case CK_F16:
    case CK_BF16: return 64;
    case CK_Q4_0:
    case CK_IQ4_NL: return 18;
    case CK_Q4_1: return 20;
    case CK_Q5_0: return 22;
    case CK_Q5_1: return 24;
    case CK_Q8_0: return 34;
    case CK_MXFP4: return 17;
    case CK_NVFP4: return 36;
    case CK_Q2_K: return 84;
    case CK_Q3_K:
    case CK_IQ3_S: return 110;
    case CK_Q4_K: return 144;
    case CK_Q5_K: return 176;
    case CK_Q6_K: return 210;
    case CK_IQ4_XS: return 136;
    case CK_IQ1_S: return 50;
    case CK_IQ1_M: return 56;
    case CK_IQ2_XXS:
    case CK_TQ2_0: return 66;
    case CK_IQ2_XS: return 74;
    case CK_IQ2_S: return 82;
    case CK_IQ3_XXS: return 98;
    case CK_TQ1_0: return 54;
    }
    return 0;
}

/// Floats that the elements of a block share: d and m, or the scales and then the minimums, negative, of its groups.
INLINE size_t ck_unit_scales(ck_encoding e) {
    return e <= CK_BF16 ? 0 : e <= CK_MXFP4 ? 2 : e == CK_NVFP4 ? 4 : e == CK_Q2_K ? 32 : 16;
}

INLINE uint32_t ck_word_at(const uint8_t *p) {
    uint32_t word;
    memcpy(&word, p, 4);
    return word;
}

INLINE ck_b16 ck_b16_at(const uint8_t *p) {
    ck_b16 v;
    memcpy(&v, p, 16);
    return v;
}

INLINE ck_b32 ck_b32_at(const uint8_t *p) {
    ck_b32 v;
    memcpy(&v, p, 32);
    return v;
}

INLINE ck_words ck_words_at(const uint8_t *p) {
    ck_words v;
    memcpy(&v, p, 32);
    return v;
}

INLINE ck_i16 ck_ints(ck_b16 v) { return __builtin_convertvector(v, ck_i16); }

INLINE v16 ck_floats(ck_i16 v) { return __builtin_convertvector(v, v16); }

INLINE v16 ck_signed(ck_b16 v) {
    typedef int8_t signed_bytes __attribute__((ext_vector_type(16)));
    return ck_floats(__builtin_convertvector((signed_bytes)v, ck_i16));
}

// Halves as floats. Every engine but the portable one has an instruction for it.
#if CK_PORTABLE
INLINE v16 ck_halves(ck_words v) { // see half_to_float in dequantize.h
    ck_u16 word = __builtin_convertvector(v, ck_u16) << 16, twice = word + word;
    v16 normal = (v16)((twice >> 4) + (0xE0u << 23)) * 0x1p-112f;
    v16 subnormal = (v16)((twice >> 17) | (126u << 23)) - 0.5f;
    return (v16)((word & 0x80000000u) | (twice < (1u << 27) ? (ck_u16)subnormal : (ck_u16)normal));
}

INLINE float ck_half_at(const uint8_t *p) {
    uint16_t bits;
    memcpy(&bits, p, 2);
    return ck_halves((ck_words)bits)[0];
}
#else
INLINE v16 ck_halves(ck_words v) {
    typedef _Float16 halves __attribute__((ext_vector_type(16)));
    return __builtin_convertvector((halves)v, v16);
}

INLINE float ck_half_at(const uint8_t *p) {
    _Float16 half;
    memcpy(&half, p, 2);
    return (float)half;
}
#endif

/// The nibbles of eight bytes in their order, the low one of a byte first.
INLINE ck_b16 ck_nibbles_at(const uint8_t *p) {
    typedef uint8_t ck_b8 __attribute__((ext_vector_type(8)));
    ck_b8 v;
    memcpy(&v, p, 8);
    return __builtin_shufflevector(v & 15, v >> 4, 0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15);
}

/// What the elements of `blocks` blocks of four rows share: ck_unit_scales floats for each, of the four rows' first
/// blocks, their second and so on. This is done before anything else, and broadcast from memory: inside the loop of the
/// products the conversions' latency would stall it.
INLINE void ck_prepare(ck_encoding e, const uint8_t *const rows[4], size_t blocks, float *out) {
    const size_t bytes = ck_unit_bytes(e);
    if (e <= CK_BF16) return;
    if (e <= CK_IQ4_NL) { // the first four bytes are d, or d and m
        for (size_t i = 0; i < blocks; i++, out += 8) {
            typedef uint32_t pairs __attribute__((ext_vector_type(8)));
            const size_t at = i * bytes;
            pairs words = {ck_word_at(rows[0] + at), ck_word_at(rows[1] + at), ck_word_at(rows[2] + at),
                           ck_word_at(rows[3] + at)};
            v16 scales = ck_halves((ck_words)words);
            memcpy(out, &scales, 32);
        }
        return;
    }
    for (size_t i = 0; i < blocks; i++)
        for (int c = 0; c < 4; c++, out += ck_unit_scales(e)) {
            const uint8_t *p = rows[c] + i * bytes;
            v16 scales, minimums;
            ck_b16 packed = {0};
            switch (e) {
            case CK_MXFP4: out[0] = ck_half_e8m0(p[0]); continue;
            case CK_NVFP4:
                for (int part = 0; part < 4; part++) out[part] = ck_half_ue4m3(p[part]);
                continue;
            case CK_Q2_K:
                packed = ck_b16_at(p);
                scales = ck_half_at(p + 80) * ck_floats(ck_ints(packed & 15));
                minimums = -ck_half_at(p + 82) * ck_floats(ck_ints(packed >> 4));
                memcpy(out + 16, &minimums, 64);
                break;
            case CK_Q3_K: {
                // Low four bits: nibbles of bytes 0 … 7; high two bits: pairs of bits of bytes 8 … 11.
                typedef uint32_t quad __attribute__((ext_vector_type(4)));
                ck_b16 low = ck_b16_at(p + 94), high = (ck_b16)(((quad)ck_word_at(p + 104)) >> (quad){0, 2, 4, 6});
                low =
                    __builtin_shufflevector(low & 15, low >> 4, 2, 3, 4, 5, 6, 7, 8, 9, 18, 19, 20, 21, 22, 23, 24, 25);
                scales = ck_half_at(p + 108) * ck_signed((low | (high & 3) << 4) - 32);
                break;
            }
            case CK_Q6_K: scales = ck_half_at(p + 208) * ck_signed(ck_b16_at(p + 192)); break;
            case CK_IQ4_XS: {
                // Eight scales of six bits: low four in nibbles of bytes 4 … 7, high two in bytes 2 and 3.
                uint32_t high = p[2] | (uint32_t)p[3] << 8;
                for (int i = 0; i < 8; i++)
                    packed[i] = (uint8_t)((p[4 + i / 2] >> i % 2 * 4 & 15) | (high >> 2 * i & 3) << 4);
                scales = ck_half_at(p) * ck_signed(packed - 32);
                break;
            }
            case CK_IQ2_XXS:
                for (int group = 0; group < 8; group++) packed[group] = p[9 + 8 * group] >> 4;
                scales = ck_half_at(p) / 8 * ck_floats(ck_ints(2 * packed + 1));
                break;
            case CK_IQ2_XS: scales = ck_half_at(p) / 8 * ck_floats(ck_ints(2 * ck_nibbles_at(p + 66) + 1)); break;
            case CK_IQ2_S: scales = ck_half_at(p) / 8 * ck_floats(ck_ints(2 * ck_nibbles_at(p + 74) + 1)); break;
            case CK_IQ3_XXS:
                for (int group = 0; group < 8; group++) packed[group] = p[69 + 4 * group] >> 4;
                scales = ck_half_at(p) / 4 * ck_floats(ck_ints(2 * packed + 1));
                break;
            case CK_IQ3_S:
                packed.lo = ck_nibbles_at(p + 102).hi;
                scales = ck_half_at(p) * ck_floats(ck_ints(2 * packed + 1));
                break;
            case CK_IQ1_S:
                for (int group = 0; group < 8; group++) packed[group] = p[35 + 2 * group] >> 4 & 7;
                scales = ck_half_at(p) / 8 * ck_floats(ck_ints(2 * packed + 1));
                break;
            case CK_IQ1_M: {
                const ck_u16 shift = {0, 3, 6, 9, 16, 19, 22, 25, 0, 3, 6, 9, 16, 19, 22, 25};
                uint16_t d = ck_iq1_m_scale(p);
                ck_u16 words;
                words.lo = ck_word_at(p + 48);
                words.hi = ck_word_at(p + 52);
                scales = ck_half_at((const uint8_t *)&d) / 8 * ck_floats((ck_i16)(2 * (words >> shift & 7) + 1));
                break;
            }
            case CK_TQ1_0: scales = ck_half_at(p + 52); break;
            case CK_TQ2_0: scales = ck_half_at(p + 64); break;
            default: {
                // Q4_K, Q5_K. Eight scales and eight minimums of six bits: the first four whole, the others in three
                // pieces.
                typedef uint32_t quad __attribute__((ext_vector_type(4)));
                uint32_t u0 = ck_word_at(p + 4), u1 = ck_word_at(p + 8), u2 = ck_word_at(p + 12);
                quad packed = {u0 & 0x3F3F3F3Fu, (u2 & 0x0F0F0F0Fu) | (u0 >> 6 & 0x03030303u) << 4, u1 & 0x3F3F3F3Fu,
                               (u2 >> 4 & 0x0F0F0F0Fu) | (u1 >> 6 & 0x03030303u) << 4};
                v16 d;
                d.lo = ck_half_at(p);
                d.hi = -ck_half_at(p + 2);
                scales = d * ck_signed((ck_b16)packed);
            }
            }
            memcpy(out, &scales, 64);
        }
}

/// d q, or d q + m if the encoding has minimums.
INLINE v16 ck_scaled(ck_encoding e, float d, float m, v16 q) {
    return e == CK_Q4_1 || e == CK_Q5_1 || e == CK_Q2_K || e == CK_Q4_K || e == CK_Q5_K ? d * q + m : d * q;
}

#if CK_AVX512
/// Of q + least. A permutation looks up all that a nibble, the low four bits of q, can stand for: no mask, no
/// conversion, no multiplication.
INLINE v16 ck_nibbles(ck_encoding e, float d, float m, int least, ck_i16 q) {
    const ck_i16 all = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    return (v16)_mm512_permutexvar_ps((__m512i)q, (__m512)ck_scaled(e, d, m, ck_floats(all + least)));
}
#else
INLINE v16 ck_nibbles(ck_encoding e, float d, float m, int least, ck_i16 q) {
    return ck_scaled(e, d, m, ck_floats((q & 15) + least));
}
#endif

/// The same with a fifth bit, bit `first` + i of `bits` for element i.
INLINE v16 ck_fives(ck_encoding e, float d, float m, int least, ck_i16 q, uint32_t bits, int first) {
    const ck_u16 index = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
#if CK_AVX512
    ck_i16 fifth = ((ck_u16)bits & (1u << first) << index) != 0;
    return fifth ? ck_nibbles(e, d, m, least + 16, q) : ck_nibbles(e, d, m, least, q);
#else
    ck_i16 fifth = (ck_i16)((first ? (ck_u16)bits >> 12 : (ck_u16)bits << 4) >> index & 16);
    return ck_scaled(e, d, m, ck_floats(((q & 15) | fifth) + least));
#endif
}

/// Of a table of sixteen bytes those that the low four bits of sixteen others choose.
INLINE ck_b16 ck_chosen(ck_b16 table, ck_b16 q) {
    q &= 15;
#if CK_AVX512 || CK_AVX2
    return (ck_b16)_mm_shuffle_epi8((__m128i)table, (__m128i)q);
#elif CK_NEON
    return (ck_b16)vqtbl1q_u8((uint8x16_t)table, (uint8x16_t)q);
#else
    ck_b16 found;
    for (int i = 0; i < 16; i++) found[i] = table[q[i]];
    return found;
#endif
}

/// What a nibble of the IQ4 formats stands for.
INLINE ck_b16 ck_iq4(ck_b16 q) {
    const ck_b16 table = {129, 152, 173, 191, 207, 221, 234, 246, 1, 13, 25, 38, 53, 69, 89, 113}; // signed
    return ck_chosen(table, q);
}

/// What a nibble of MXFP4 and NVFP4 stands for, in halves.
INLINE ck_b16 ck_fp4(ck_b16 q) {
    const ck_b16 table = {0, 1, 2, 3, 4, 6, 8, 12, 0, 255, 254, 253, 252, 250, 248, 244}; // signed
    return ck_chosen(table, q);
}

/// What the codes of the grids stand for; of IQ1 eighths.
INLINE v16 ck_grid_values(ck_encoding e, ck_i16 q) {
    switch (e) {
    case CK_IQ1_S:
    case CK_IQ1_M: return ck_floats(8 * q - 8);
    case CK_IQ3_XXS: return ck_floats(8 * q + 4 - 2 * (q == 7)); // 4, 12 … 52, 62
    case CK_IQ3_S: return ck_floats(2 * q + 1);
    default: return ck_floats(17 * q + 8 - (q == 2)); // 8, 25, 43
    }
}

/// The same times s, of the low bits of `codes`: three of the IQ3 formats, two of the others. A permutation looks them
/// up, as often as they stand in it: no mask.
INLINE v16 ck_grid(ck_encoding e, float s, ck_u16 codes) {
    const int mask = e == CK_IQ3_XXS || e == CK_IQ3_S ? 7 : 3;
#if CK_AVX512 || CK_AVX2
    const ck_i16 all = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    v16 table = s * ck_grid_values(e, all & mask);
#endif
#if CK_AVX512
    return (v16)_mm512_permutexvar_ps((__m512i)codes, (__m512)table);
#elif CK_AVX2
    v16 v;
    v.lo = (v8)_mm256_permutevar8x32_ps((__m256)table.lo, (__m256i)codes.lo);
    v.hi = (v8)_mm256_permutevar8x32_ps((__m256)table.lo, (__m256i)codes.hi);
    return v;
#else
    return s * ck_grid_values(e, (ck_i16)codes & mask);
#endif
}

/// Sixteen codes in the low bits: of two eights with two bits each.
INLINE ck_u16 ck_eights(uint16_t first, uint16_t second) {
    const ck_u16 shift = {0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30};
    return (ck_u16)(first | (uint32_t)second << 16) >> shift;
}

/// The same of four fours with three bits each.
INLINE ck_u16 ck_fours(const uint16_t fours[4]) {
    const ck_u16 shift = {0, 4, 8, 12, 16, 20, 24, 28, 0, 4, 8, 12, 16, 20, 24, 28};
    ck_u16 codes;
    codes.lo = fours[0] | (uint32_t)fours[1] << 16;
    codes.hi = fours[2] | (uint32_t)fours[3] << 16;
    return codes >> shift;
}

/// v, element i negated if bit i is set.
INLINE v16 ck_negated(v16 v, uint32_t bits) {
#if CK_AVX512
    return (v16)_mm512_mask_xor_epi32((__m512i)v, (__mmask16)bits, (__m512i)v, _mm512_set1_epi32(INT32_MIN));
#else
    const ck_u16 shift = {31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16};
    return (v16)((ck_u16)v ^ ((ck_u16)bits << shift & 0x80000000u));
#endif
}

/// d (q − 1 + δ) where s is d / 8 and bits of `below` say where δ is −1/8 and not 1/8. `high`: three bits of each of
/// the indices, at places 0 and `place`.
INLINE v16 ck_iq1(float s, const uint8_t indices[2], uint32_t high, int place, uint32_t below) {
    uint16_t first = ck_iq1_grid[indices[0] | (high & 7) << 8],
             second = ck_iq1_grid[indices[1] | (high >> place & 7) << 8];
    return s * (ck_grid(CK_IQ1_S, 1, ck_eights(first, second)) + ck_negated((v16)1.0f, below));
}

/// Elements 32 group … 32 group + 31 of the block at p, whose elements share s.
INLINE void ck_expand(ck_encoding e, const uint8_t *p, const float *s, int group, v16 v[2]) {
    switch (e) {
    case CK_F32: memcpy(v, p, 128); break;
    case CK_F16:
        for (int i = 0; i < 2; i++) v[i] = ck_halves(ck_words_at(p + 32 * i));
        break;
    case CK_BF16:
        for (int i = 0; i < 2; i++) v[i] = (v16)(__builtin_convertvector(ck_words_at(p + 32 * i), ck_u16) << 16);
        break;
    case CK_Q4_0:
    case CK_Q4_1: {
        ck_i16 q = ck_ints(ck_b16_at(p + (e == CK_Q4_0 ? 2 : 4)));
        v[0] = ck_nibbles(e, s[0], s[1], e == CK_Q4_0 ? -8 : 0, q);
        v[1] = ck_nibbles(e, s[0], s[1], e == CK_Q4_0 ? -8 : 0, q >> 4);
        break;
    }
    case CK_Q5_0:
    case CK_Q5_1: {
        const uint8_t *bits = p + (e == CK_Q5_0 ? 2 : 4);
        ck_i16 q = ck_ints(ck_b16_at(bits + 4));
        v[0] = ck_fives(e, s[0], s[1], e == CK_Q5_0 ? -16 : 0, q, ck_word_at(bits), 0);
        v[1] = ck_fives(e, s[0], s[1], e == CK_Q5_0 ? -16 : 0, q >> 4, ck_word_at(bits), 16);
        break;
    }
    case CK_Q8_0:
        for (int i = 0; i < 2; i++) v[i] = s[0] * ck_signed(ck_b16_at(p + 2 + 16 * i));
        break;
    case CK_IQ4_NL:
        v[0] = s[0] * ck_signed(ck_iq4(ck_b16_at(p + 2)));
        v[1] = s[0] * ck_signed(ck_iq4(ck_b16_at(p + 2) >> 4));
        break;
    case CK_IQ4_XS:
        v[0] = s[group] * ck_signed(ck_iq4(ck_b16_at(p + 8 + 16 * group)));
        v[1] = s[group] * ck_signed(ck_iq4(ck_b16_at(p + 8 + 16 * group) >> 4));
        break;
    case CK_Q2_K: {
        ck_b32 q = ck_b32_at(p + 16 + 32 * (group / 4)) >> (uint8_t)(group % 4 * 2) & 3;
        v[0] = ck_scaled(e, s[2 * group], s[16 + 2 * group], ck_floats(ck_ints(q.lo)));
        v[1] = ck_scaled(e, s[2 * group + 1], s[17 + 2 * group], ck_floats(ck_ints(q.hi)));
        break;
    }
    case CK_Q3_K: {
        ck_b32 q = ck_b32_at(p + 32 + 32 * (group / 4)) >> (uint8_t)(group % 4 * 2) & 3;
        q = (q | (ck_b32_at(p) >> (uint8_t)group & 1) << 2) - 4;
        v[0] = s[2 * group] * ck_signed(q.lo);
        v[1] = s[2 * group + 1] * ck_signed(q.hi);
        break;
    }
    case CK_Q4_K:
        for (int i = 0; i < 2; i++) {
            ck_i16 q = ck_ints(ck_b16_at(p + 16 + 32 * (group / 2) + 16 * i));
            v[i] = ck_nibbles(e, s[group], s[8 + group], 0, group % 2 ? q >> 4 : q);
        }
        break;
    case CK_Q5_K: {
        ck_b32 q = ck_b32_at(p + 48 + 32 * (group / 2));
        q = (group % 2 ? q >> 4 : q & 15) | (ck_b32_at(p + 16) >> (uint8_t)group & 1) << 4;
        v[0] = ck_scaled(e, s[group], s[8 + group], ck_floats(ck_ints(q.lo)));
        v[1] = ck_scaled(e, s[group], s[8 + group], ck_floats(ck_ints(q.hi)));
        break;
    }
    case CK_Q6_K: {
        int half = group / 4, quarter = group % 4;
        ck_b32 low = ck_b32_at(p + 64 * half + quarter % 2 * 32), high = ck_b32_at(p + 128 + 32 * half);
        ck_b32 q = ((quarter / 2 ? low >> 4 : low & 15) | (high >> (uint8_t)(2 * quarter) & 3) << 4) - 32;
        v[0] = s[2 * group] * ck_signed(q.lo);
        v[1] = s[2 * group + 1] * ck_signed(q.hi);
        break;
    }
    case CK_MXFP4:
        v[0] = s[0] * ck_signed(ck_fp4(ck_b16_at(p + 1)));
        v[1] = s[0] * ck_signed(ck_fp4(ck_b16_at(p + 1) >> 4));
        break;
    case CK_NVFP4: {
        ck_b16 bytes = ck_b16_at(p + 4 + 16 * group), low = ck_fp4(bytes), high = ck_fp4(bytes >> 4), both;
        both.lo = low.lo;
        both.hi = high.lo;
        v[0] = s[2 * group] * ck_signed(both);
        both.lo = low.hi;
        both.hi = high.hi;
        v[1] = s[2 * group + 1] * ck_signed(both);
        break;
    }
    case CK_TQ1_0: {
        // The fraction behind a digit and those before it; three times as much is the digit and what follows.
        const uint8_t powers[] = {1, 3, 9, 27, 81, 1, 3, 9, 27, 81};
        ck_b32 fraction;
        if (group < 5) {
            fraction = ck_b32_at(p) * powers[group];
        } else {
            ck_b16 fives = ck_b16_at(p + 32);
            fraction.lo = fives * powers[2 * group - 5];
            if (group < 7) {
                fraction.hi = fives * powers[2 * group - 4];
            } else {
                typedef uint32_t quad __attribute__((ext_vector_type(4)));
                const ck_b16 each = {1, 1, 1, 1, 3, 3, 3, 3, 9, 9, 9, 9, 27, 27, 27, 27};
                fraction.hi = (ck_b16)(quad)ck_word_at(p + 48) * each;
            }
        }
        ck_b32 q = (ck_b32)(-1 - (fraction >= 86) - (fraction >= 171));
        v[0] = s[0] * ck_signed(q.lo);
        v[1] = s[0] * ck_signed(q.hi);
        break;
    }
    case CK_TQ2_0: {
        ck_b32 q = (ck_b32_at(p + 32 * (group / 4)) >> (uint8_t)(group % 4 * 2) & 3) - 1;
        v[0] = s[0] * ck_signed(q.lo);
        v[1] = s[0] * ck_signed(q.hi);
        break;
    }
    case CK_IQ2_XXS: {
        const uint8_t *at = p + 2 + 8 * group;
        const uint16_t *grid = ck_iq2_xxs_grid;
        uint32_t signs = ck_even_signs(ck_word_at(at + 4));
        for (int i = 0; i < 2; i++, at += 2)
            v[i] = ck_negated(ck_grid(e, s[group], ck_eights(grid[at[0]], grid[at[1]])), signs >> 16 * i);
        break;
    }
    case CK_IQ2_XS: {
        const uint16_t *grid = ck_iq2_xs_grid;
        uint32_t a = ck_word_at(p + 2 + 8 * group), b = ck_word_at(p + 6 + 8 * group);
        uint32_t signs =
            ck_even_signs((a >> 9 & 0x7F) | (a >> 18 & 0x3F80) | (b << 5 & 0x1FC000) | (b >> 4 & 0xFE00000));
        v[0] = ck_negated(ck_grid(e, s[2 * group], ck_eights(grid[a & 511], grid[a >> 16 & 511])), signs);
        v[1] = ck_negated(ck_grid(e, s[2 * group + 1], ck_eights(grid[b & 511], grid[b >> 16 & 511])), signs >> 16);
        break;
    }
    case CK_IQ2_S: {
        const uint8_t *at = p + 2 + 4 * group;
        const uint16_t *grid = ck_iq2_s_grid;
        uint32_t signs = ck_word_at(at + 32), high = p[66 + group];
        for (int i = 0; i < 2; i++, at += 2, high >>= 4) {
            ck_u16 codes = ck_eights(grid[at[0] | (high & 3) << 8], grid[at[1] | (high & 12) << 6]);
            v[i] = ck_negated(ck_grid(e, s[2 * group + i], codes), signs >> 16 * i);
        }
        break;
    }
    case CK_IQ3_XXS: {
        const uint8_t *at = p + 2 + 8 * group;
        const uint16_t *grid = ck_iq3_xxs_grid;
        uint32_t signs = ck_even_signs(ck_word_at(p + 66 + 4 * group));
        for (int i = 0; i < 2; i++, at += 4) {
            uint16_t fours[4] = {grid[at[0]], grid[at[1]], grid[at[2]], grid[at[3]]};
            v[i] = ck_negated(ck_grid(e, s[group], ck_fours(fours)), signs >> 16 * i);
        }
        break;
    }
    case CK_IQ3_S: {
        const uint8_t *at = p + 2 + 8 * group;
        const uint16_t *grid = ck_iq3_s_grid;
        uint32_t signs = ck_word_at(p + 74 + 4 * group), high = p[66 + group];
        for (int i = 0; i < 2; i++, at += 4, high >>= 4) {
            uint16_t fours[4] = {grid[at[0] | (high & 1) << 8], grid[at[1] | (high & 2) << 7],
                                 grid[at[2] | (high & 4) << 6], grid[at[3] | (high & 8) << 5]};
            v[i] = ck_negated(ck_grid(e, s[group], ck_fours(fours)), signs >> 16 * i);
        }
        break;
    }
    case CK_IQ1_S: {
        const uint8_t *at = p + 2 + 4 * group;
        uint32_t high = p[34 + 2 * group] | (uint32_t)p[35 + 2 * group] << 8, below = high >> 15 ? 0xFFFF : 0;
        v[0] = ck_iq1(s[group], at, high, 3, below);
        v[1] = ck_iq1(s[group], at + 2, high >> 6, 3, below);
        break;
    }
    case CK_IQ1_M:
        for (int i = 0; i < 2; i++) {
            uint32_t high = p[32 + 2 * group + i];
            v[i] =
                ck_iq1(s[2 * group + i], p + 4 * group + 2 * i, high, 4, (high >> 3 & 1) * 0xFF | (high >> 7) * 0xFF00);
        }
        break;
    }
}

enum { CK_CHUNK = 16 }; // blocks of a row that are prepared at a time

// Four rows at a time; rows that are missing at the end are the last one again, written twice.
INLINE void ck_expand_rows(ck_encoding e, const uint8_t *in, size_t row_bytes, size_t rows, float *out, size_t ldo,
                           size_t count) {
    const size_t unit = ck_unit(e), bytes = ck_unit_bytes(e), width = ck_unit_scales(e), blocks = count / unit;
    float scales[4 * 32 * CK_CHUNK];
    for (size_t row = 0; row < rows; row += 4) {
        const uint8_t *p[4];
        float *y[4];
        for (size_t c = 0; c < 4; c++) {
            size_t i = row + c < rows ? row + c : rows - 1;
            p[c] = in + i * row_bytes;
            y[c] = out + i * ldo;
        }
        for (size_t start = 0; start < blocks; start += CK_CHUNK) {
            size_t here = blocks - start < CK_CHUNK ? blocks - start : CK_CHUNK;
            ck_prepare(e, p, here, scales);
            for (size_t b = 0; b < here; b++)
                for (size_t c = 0; c < 4; c++) {
                    CK_UNROLL_GROUPS
                    for (int group = 0; group < (int)(unit / 32); group++) {
                        v16 v[2];
                        ck_expand(e, p[c], scales + (4 * b + c) * width, group, v);
                        memcpy(y[c] + 32 * group, v, 128);
                    }
                    p[c] += bytes;
                    y[c] += unit;
                }
        }
        for (size_t at = blocks * unit; at < count; at += unit)
            for (size_t c = 0; c < 4; c++) { // of numbers without blocks
                uint8_t rest[128] = {0};
                v16 v[2];
                memcpy(rest, p[c], (count - at) * (bytes / 32));
                ck_expand(e, rest, scales, 0, v);
                memcpy(y[c], v, 4 * (count - at));
            }
    }
}

#ifndef CK_BF16_DOT
/// See ck_engine.h.
static void dequantize_rows(ck_encoding encoding, const void *in, size_t row_bytes, size_t rows, float *out, size_t ldo,
                            size_t count) {
    switch (encoding) {
#define CASE(E)                                                                                                        \
    case CK_##E: ck_expand_rows(CK_##E, in, row_bytes, rows, out, ldo, count); break;
        CK_EACH_ENCODING(CASE)
#undef CASE
    }
}
#endif
#endif
