#include "formats.h"
#pragma clang fp reassociate(off) contract(on)
// ggml's block formats. Scales are halves, so every product of a scale with an integer is exact in a float: the results
// are the bits of ggml and gguf-py however the compiler fuses the operations.

INLINE float from_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

INLINE uint32_t to_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    return bits;
}

INLINE uint16_t load16(const uint8_t *bytes) { return (uint16_t)(bytes[0] | bytes[1] << 8); }

// Without branches, so that loops over it become vector code. Normal numbers: the exponent's bias is changed by a
// multiplication, which also keeps infinities and NaN. Subnormal ones: their bits are the mantissa above one half.
INLINE float half_to_float(uint16_t half) {
    uint32_t word = (uint32_t)half << 16, twice = word + word;
    float normal = from_bits((twice >> 4) + (0xE0u << 23)) * 0x1p-112f;
    float subnormal = from_bits((twice >> 17) | (126u << 23)) - 0.5f;
    return from_bits((word & 0x80000000u) | to_bits(twice < (1u << 27) ? subnormal : normal));
}

INLINE uint16_t float_to_half(float value) {
    uint32_t word = to_bits(value), twice = word + word, sign = word & 0x80000000u;
    float base = (from_bits(word & 0x7FFFFFFFu) * 0x1p+112f) * 0x1p-110f;
    uint32_t bias = twice & 0xFF000000u;
    if (bias < 0x71000000u) bias = 0x71000000u;
    uint32_t bits = to_bits(from_bits((bias >> 1) + 0x07800000u) + base);
    uint32_t rest = ((bits >> 13) & 0x7C00u) + (bits & 0x0FFFu);
    return (uint16_t)((sign >> 16) | (twice > 0xFF000000u ? 0x7E00u : rest));
}

INLINE uint16_t float_to_bfloat(float value) {
    uint32_t bits = to_bits(value);
    if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return (uint16_t)(bits >> 16 | 64);
    return (uint16_t)((bits + (0x7FFFu + (bits >> 16 & 1))) >> 16);
}

static void decode_f16(const uint8_t *in, float *restrict out, size_t count) {
    for (size_t i = 0; i < count; i++) out[i] = half_to_float(load16(in + 2 * i));
}

static void decode_bf16(const uint8_t *in, float *restrict out, size_t count) {
    for (size_t i = 0; i < count; i++) out[i] = from_bits((uint32_t)load16(in + 2 * i) << 16);
}

// d, 16 bytes: low nibbles are elements 0 … 15, high nibbles 16 … 31.
static void decode_q4_0(const uint8_t *in, float *restrict out, size_t blocks) {
    for (size_t b = 0; b < blocks; b++, in += 18, out += 32) {
        float d = half_to_float(load16(in));
        for (int i = 0; i < 16; i++) {
            out[i] = d * (float)((in[2 + i] & 15) - 8);
            out[i + 16] = d * (float)((in[2 + i] >> 4) - 8);
        }
    }
}

// d, m, 16 bytes.
static void decode_q4_1(const uint8_t *in, float *restrict out, size_t blocks) {
    for (size_t b = 0; b < blocks; b++, in += 20, out += 32) {
        float d = half_to_float(load16(in)), m = half_to_float(load16(in + 2));
        for (int i = 0; i < 16; i++) {
            out[i] = d * (float)(in[4 + i] & 15) + m;
            out[i + 16] = d * (float)(in[4 + i] >> 4) + m;
        }
    }
}

INLINE uint32_t load32(const uint8_t *bytes) {
    uint32_t value;
    memcpy(&value, bytes, 4);
    return value;
}

// d, a fifth bit for each element, 16 bytes.
static void decode_q5_0(const uint8_t *in, float *restrict out, size_t blocks) {
    for (size_t b = 0; b < blocks; b++, in += 22, out += 32) {
        float d = half_to_float(load16(in));
        uint32_t high = load32(in + 2);
        for (int i = 0; i < 16; i++) {
            out[i] = d * (float)((int)((in[6 + i] & 15) | (high >> i & 1) << 4) - 16);
            out[i + 16] = d * (float)((int)((in[6 + i] >> 4) | (high >> (i + 16) & 1) << 4) - 16);
        }
    }
}

// d, m, a fifth bit for each element, 16 bytes.
static void decode_q5_1(const uint8_t *in, float *restrict out, size_t blocks) {
    for (size_t b = 0; b < blocks; b++, in += 24, out += 32) {
        float d = half_to_float(load16(in)), m = half_to_float(load16(in + 2));
        uint32_t high = load32(in + 4);
        for (int i = 0; i < 16; i++) {
            out[i] = d * (float)(int)((in[8 + i] & 15) | (high >> i & 1) << 4) + m;
            out[i + 16] = d * (float)(int)((in[8 + i] >> 4) | (high >> (i + 16) & 1) << 4) + m;
        }
    }
}

// d, 32 signed bytes.
static void decode_q8_0(const uint8_t *in, float *restrict out, size_t blocks) {
    for (size_t b = 0; b < blocks; b++, in += 34, out += 32) {
        float d = half_to_float(load16(in));
        for (int i = 0; i < 32; i++) out[i] = d * (float)(int8_t)in[2 + i];
    }
}

// 16 × (scale, minimum) in nibbles, 64 bytes of 2-bit elements, d, dmin.
static void decode_q2_k(const uint8_t *in, float *restrict out, size_t blocks) {
    for (size_t b = 0; b < blocks; b++, in += 84) {
        float d = half_to_float(load16(in + 80)), dmin = half_to_float(load16(in + 82));
        const uint8_t *scales = in, *q = in + 16;
        for (int half = 0; half < 2; half++, q += 32) {
            for (int shift = 0; shift < 8; shift += 2) {
                for (int part = 0; part < 2; part++, scales++, out += 16) {
                    float scale = d * (float)(*scales & 15), minimum = dmin * (float)(*scales >> 4);
                    for (int i = 0; i < 16; i++) out[i] = scale * (float)(q[16 * part + i] >> shift & 3) - minimum;
                }
            }
        }
    }
}

// 32 bytes of high bits, 64 bytes of 2-bit elements, 16 6-bit scales in 12 bytes, d.
static void decode_q3_k(const uint8_t *in, float *restrict out, size_t blocks) {
    for (size_t b = 0; b < blocks; b++, in += 110) {
        float d = half_to_float(load16(in + 108));
        const uint8_t *high = in, *q = in + 32, *packed = in + 96;
        int8_t scales[16];
        for (int i = 0; i < 16; i++) {
            int low = i < 8 ? packed[i] & 15 : packed[i - 8] >> 4;
            scales[i] = (int8_t)((low | (packed[8 + i % 4] >> (i / 4 * 2) & 3) << 4) - 32);
        }
        int group = 0;
        for (int half = 0; half < 2; half++, q += 32) {
            for (int shift = 0; shift < 8; shift += 2) {
                int bit = half * 4 + shift / 2;
                for (int part = 0; part < 2; part++, group++, out += 16) {
                    float scale = d * (float)scales[group];
                    for (int i = 0; i < 16; i++) {
                        int low = q[16 * part + i] >> shift & 3;
                        out[i] = scale * (float)(low - 4 + ((high[16 * part + i] >> bit & 1) << 2));
                    }
                }
            }
        }
    }
}

// Scale and minimum number `i` of eight, 6 bits each, in the 12 bytes of Q4_K and Q5_K.
INLINE void scale_and_minimum(const uint8_t *packed, int i, int *scale, int *minimum) {
    if (i < 4) {
        *scale = packed[i] & 63;
        *minimum = packed[i + 4] & 63;
    } else {
        *scale = (packed[i + 4] & 15) | packed[i - 4] >> 6 << 4;
        *minimum = packed[i + 4] >> 4 | packed[i] >> 6 << 4;
    }
}

// d, dmin, 8 scales and minimums in 12 bytes, 128 bytes of 4-bit elements.
static void decode_q4_k(const uint8_t *in, float *restrict out, size_t blocks) {
    for (size_t b = 0; b < blocks; b++, in += 144) {
        float d = half_to_float(load16(in)), dmin = half_to_float(load16(in + 2));
        const uint8_t *q = in + 16;
        for (int group = 0; group < 8; group++, out += 32) {
            int scale, minimum, shift = group % 2 * 4;
            scale_and_minimum(in + 4, group, &scale, &minimum);
            float s = d * (float)scale, m = dmin * (float)minimum;
            for (int i = 0; i < 32; i++) out[i] = s * (float)(q[i] >> shift & 15) - m;
            if (shift) q += 32;
        }
    }
}

// As Q4_K with 32 bytes of fifth bits before the elements.
static void decode_q5_k(const uint8_t *in, float *restrict out, size_t blocks) {
    for (size_t b = 0; b < blocks; b++, in += 176) {
        float d = half_to_float(load16(in)), dmin = half_to_float(load16(in + 2));
        const uint8_t *high = in + 16, *q = in + 48;
        for (int group = 0; group < 8; group++, out += 32) {
            int scale, minimum, shift = group % 2 * 4;
            scale_and_minimum(in + 4, group, &scale, &minimum);
            float s = d * (float)scale, m = dmin * (float)minimum;
            for (int i = 0; i < 32; i++) out[i] = s * (float)((q[i] >> shift & 15) | (high[i] >> group & 1) << 4) - m;
            if (shift) q += 32;
        }
    }
}

// 128 bytes of low nibbles, 64 bytes of 2-bit high parts, 16 signed scales, d.
static void decode_q6_k(const uint8_t *in, float *restrict out, size_t blocks) {
    for (size_t b = 0; b < blocks; b++, in += 210) {
        float d = half_to_float(load16(in + 208));
        for (int half = 0; half < 2; half++) {
            const uint8_t *low = in + 64 * half, *high = in + 128 + 32 * half;
            const int8_t *scales = (const int8_t *)(in + 192 + 8 * half);
            for (int quarter = 0; quarter < 4; quarter++) {
                const uint8_t *nibbles = low + quarter % 2 * 32;
                int shift = quarter / 2 * 4;
                for (int part = 0; part < 2; part++, out += 16) {
                    float scale = d * (float)scales[2 * quarter + part];
                    for (int i = 0; i < 16; i++) {
                        int bits = (nibbles[16 * part + i] >> shift & 15) | (high[16 * part + i] >> 2 * quarter & 3)
                                                                                << 4;
                        out[i] = scale * (float)(bits - 32);
                    }
                }
            }
        }
    }
}

// What the nibbles of the IQ4 formats stand for.
static const int8_t iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

// d, 16 bytes: low nibbles are elements 0 … 15, high nibbles 16 … 31.
static void decode_iq4_nl(const uint8_t *in, float *restrict out, size_t blocks) {
    for (size_t b = 0; b < blocks; b++, in += 18, out += 32) {
        float d = half_to_float(load16(in));
        for (int i = 0; i < 16; i++) {
            out[i] = d * (float)iq4_values[in[2 + i] & 15];
            out[i + 16] = d * (float)iq4_values[in[2 + i] >> 4];
        }
    }
}

// d, the high two bits of eight scales, their low four bits, 8 × 16 bytes.
static void decode_iq4_xs(const uint8_t *in, float *restrict out, size_t blocks) {
    for (size_t b = 0; b < blocks; b++, in += 136) {
        float d = half_to_float(load16(in));
        for (int group = 0; group < 8; group++, out += 32) {
            int low = in[4 + group / 2] >> group % 2 * 4 & 15, high = load16(in + 2) >> 2 * group & 3;
            float scale = d * (float)((low | high << 4) - 32);
            const uint8_t *nibbles = in + 8 + 16 * group;
            for (int i = 0; i < 16; i++) {
                out[i] = scale * (float)iq4_values[nibbles[i] & 15];
                out[i + 16] = scale * (float)iq4_values[nibbles[i] >> 4];
            }
        }
    }
}

// What the nibbles of MXFP4 and NVFP4 stand for, in halves: a sign, two bits of exponent, one of mantissa.
static const int8_t fp4_values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

// An E8M0, 16 bytes: low nibbles are elements 0 … 15, high nibbles 16 … 31.
static void decode_mxfp4(const uint8_t *in, float *restrict out, size_t blocks) {
    for (size_t b = 0; b < blocks; b++, in += 17, out += 32) {
        float d = ck_half_e8m0(in[0]);
        for (int i = 0; i < 16; i++) {
            out[i] = d * (float)fp4_values[in[1 + i] & 15];
            out[i + 16] = d * (float)fp4_values[in[1 + i] >> 4];
        }
    }
}

// Four E4M3, 4 × 8 bytes: low nibbles are elements 0 … 7 of sixteen, high nibbles 8 … 15.
static void decode_nvfp4(const uint8_t *in, float *restrict out, size_t blocks) {
    for (size_t b = 0; b < blocks; b++, in += 36) {
        for (int part = 0; part < 4; part++, out += 16) {
            float d = ck_half_ue4m3(in[part]);
            const uint8_t *nibbles = in + 4 + 8 * part;
            for (int i = 0; i < 8; i++) {
                out[i] = d * (float)fp4_values[nibbles[i] & 15];
                out[i + 8] = d * (float)fp4_values[nibbles[i] >> 4];
            }
        }
    }
}

// d (q − 1), digit n of five in base 3: byte · 3^n mod 256 is the fraction behind the digit and those before it.
INLINE void ternary(float d, const uint8_t *in, int bytes, int digits, float *restrict out) {
    for (int n = 0, power = 1; n < digits; n++, power *= 3, out += bytes)
        for (int i = 0; i < bytes; i++) out[i] = d * (float)(((uint8_t)(in[i] * power) * 3 >> 8) - 1);
}

// 32 + 16 bytes of five elements, 4 bytes of four, d.
static void decode_tq1_0(const uint8_t *in, float *restrict out, size_t blocks) {
    for (size_t b = 0; b < blocks; b++, in += 54, out += 256) {
        float d = half_to_float(load16(in + 52));
        ternary(d, in, 32, 5, out);
        ternary(d, in + 32, 16, 5, out + 160);
        ternary(d, in + 48, 4, 4, out + 240);
    }
}

// 64 bytes of 2-bit elements, d.
static void decode_tq2_0(const uint8_t *in, float *restrict out, size_t blocks) {
    for (size_t b = 0; b < blocks; b++, in += 66) {
        float d = half_to_float(load16(in + 64));
        for (int half = 0; half < 2; half++)
            for (int shift = 0; shift < 8; shift += 2, out += 32)
                for (int i = 0; i < 32; i++) out[i] = d * (float)((in[32 * half + i] >> shift & 3) - 1);
    }
}

// Elements of a grid: eight of IQ2, four of IQ3. Bit i of `signs` negates element i.
INLINE void grid_of_8(float scale, uint16_t codes, uint32_t signs, float *restrict out) {
    static const float values[4] = {8, 25, 43, 0};
    for (int i = 0; i < 8; i++) {
        float value = scale * values[codes >> 2 * i & 3];
        out[i] = signs >> i & 1 ? -value : value;
    }
}

INLINE void grid_of_4(float scale, const float values[8], uint16_t codes, uint32_t signs, float *restrict out) {
    for (int i = 0; i < 4; i++) {
        float value = scale * values[codes >> 4 * i & 7];
        out[i] = signs >> i & 1 ? -value : value;
    }
}

// d, 8 × (four bytes of indices; four times seven bits of signs and a scale of four bits).
static void decode_iq2_xxs(const uint8_t *in, float *restrict out, size_t blocks) {
    for (size_t b = 0; b < blocks; b++, in += 66) {
        float d = half_to_float(load16(in)) / 8;
        for (int group = 0; group < 8; group++) {
            const uint8_t *indices = in + 2 + 8 * group;
            uint32_t word = load32(indices + 4), signs = ck_even_signs(word);
            float scale = d * (float)(2 * (word >> 28) + 1);
            for (int i = 0; i < 4; i++, out += 8) grid_of_8(scale, ck_iq2_xxs_grid[indices[i]], signs >> 8 * i, out);
        }
    }
}

// d, 32 × (nine bits of an index, seven of signs), sixteen scales of four bits.
static void decode_iq2_xs(const uint8_t *in, float *restrict out, size_t blocks) {
    for (size_t b = 0; b < blocks; b++, in += 74) {
        float d = half_to_float(load16(in)) / 8;
        for (int i = 0; i < 32; i++, out += 8) {
            uint16_t word = load16(in + 2 + 2 * i);
            float scale = d * (float)(2 * (in[66 + i / 4] >> i / 2 % 2 * 4 & 15) + 1);
            grid_of_8(scale, ck_iq2_xs_grid[word & 511], ck_even_signs(word >> 9), out);
        }
    }
}

// d, 32 bytes of indices, 32 of signs, 32 times two high bits of the indices, sixteen scales of four bits.
static void decode_iq2_s(const uint8_t *in, float *restrict out, size_t blocks) {
    for (size_t b = 0; b < blocks; b++, in += 82) {
        float d = half_to_float(load16(in)) / 8;
        for (int i = 0; i < 32; i++, out += 8) {
            int index = in[2 + i] | (in[66 + i / 4] >> i % 4 * 2 & 3) << 8;
            float scale = d * (float)(2 * (in[74 + i / 4] >> i / 2 % 2 * 4 & 15) + 1);
            grid_of_8(scale, ck_iq2_s_grid[index], in[34 + i], out);
        }
    }
}

// d, 64 bytes of indices, 8 × (four times seven bits of signs, a scale of four bits).
static void decode_iq3_xxs(const uint8_t *in, float *restrict out, size_t blocks) {
    static const float values[8] = {4, 12, 20, 28, 36, 44, 52, 62};
    for (size_t b = 0; b < blocks; b++, in += 98) {
        float d = half_to_float(load16(in)) / 4;
        for (int group = 0; group < 8; group++) {
            uint32_t word = load32(in + 66 + 4 * group), signs = ck_even_signs(word);
            float scale = d * (float)(2 * (word >> 28) + 1);
            for (int i = 0; i < 8; i++, out += 4)
                grid_of_4(scale, values, ck_iq3_xxs_grid[in[2 + 8 * group + i]], signs >> 4 * i, out);
        }
    }
}

// d, 64 bytes of indices, 64 high bits of them, 32 bytes of signs, eight scales of four bits.
static void decode_iq3_s(const uint8_t *in, float *restrict out, size_t blocks) {
    static const float values[8] = {1, 3, 5, 7, 9, 11, 13, 15};
    for (size_t b = 0; b < blocks; b++, in += 110) {
        float d = half_to_float(load16(in));
        for (int i = 0; i < 64; i++, out += 4) {
            int index = in[2 + i] | (in[66 + i / 8] >> i % 8 & 1) << 8;
            float scale = d * (float)(2 * (in[106 + i / 16] >> i / 8 % 2 * 4 & 15) + 1);
            grid_of_4(scale, values, ck_iq3_s_grid[index], in[74 + i / 2] >> i % 2 * 4, out);
        }
    }
}

// d (q − 1 + δ) with δ = ± 1/8: `scale` is d / 8.
INLINE void shifted_grid_of_8(float scale, uint16_t codes, int below, float *restrict out) {
    for (int i = 0; i < 8; i++) out[i] = scale * (float)(8 * (codes >> 2 * i & 3) - (below ? 9 : 7));
}

// d, 32 bytes of indices, 8 × (four times three high bits of the indices, a scale of three bits, whether δ is
// negative).
static void decode_iq1_s(const uint8_t *in, float *restrict out, size_t blocks) {
    for (size_t b = 0; b < blocks; b++, in += 50) {
        float d = half_to_float(load16(in)) / 8;
        for (int i = 0; i < 32; i++, out += 8) {
            int word = load16(in + 34 + i / 4 * 2), index = in[2 + i] | (word >> i % 4 * 3 & 7) << 8;
            shifted_grid_of_8(d * (float)(2 * (word >> 12 & 7) + 1), ck_iq1_grid[index], word >> 15, out);
        }
    }
}

// 32 bytes of indices, 32 × (three high bits of the index, whether δ is negative), 4 × (four scales of three bits,
// four bits of d).
static void decode_iq1_m(const uint8_t *in, float *restrict out, size_t blocks) {
    for (size_t b = 0; b < blocks; b++, in += 56) {
        float d = half_to_float(ck_iq1_m_scale(in)) / 8;
        for (int i = 0; i < 32; i++, out += 8) {
            int high = in[32 + i / 2] >> i % 2 * 4, index = in[i] | (high & 7) << 8;
            int scale = load16(in + 48 + i / 8 * 2) >> i / 2 % 4 * 3 & 7;
            shifted_grid_of_8(d * (float)(2 * scale + 1), ck_iq1_grid[index], high & 8, out);
        }
    }
}

static void dequantize(ck_encoding encoding, const void *in, float *out, size_t count) {
    switch (encoding) {
    case CK_F32: memcpy(out, in, 4 * count); break;
    case CK_F16: decode_f16(in, out, count); break;
    case CK_BF16: decode_bf16(in, out, count); break;
    case CK_Q4_0: decode_q4_0(in, out, count / 32); break;
    case CK_Q4_1: decode_q4_1(in, out, count / 32); break;
    case CK_Q5_0: decode_q5_0(in, out, count / 32); break;
    case CK_Q5_1: decode_q5_1(in, out, count / 32); break;
    case CK_Q8_0: decode_q8_0(in, out, count / 32); break;
    case CK_IQ4_NL: decode_iq4_nl(in, out, count / 32); break;
    case CK_MXFP4: decode_mxfp4(in, out, count / 32); break;
    case CK_NVFP4: decode_nvfp4(in, out, count / 64); break;
    case CK_Q2_K: decode_q2_k(in, out, count / 256); break;
    case CK_Q3_K: decode_q3_k(in, out, count / 256); break;
    case CK_Q4_K: decode_q4_k(in, out, count / 256); break;
    case CK_Q5_K: decode_q5_k(in, out, count / 256); break;
    case CK_Q6_K: decode_q6_k(in, out, count / 256); break;
    case CK_IQ4_XS: decode_iq4_xs(in, out, count / 256); break;
    case CK_IQ1_S: decode_iq1_s(in, out, count / 256); break;
    case CK_IQ1_M: decode_iq1_m(in, out, count / 256); break;
    case CK_IQ2_XXS: decode_iq2_xxs(in, out, count / 256); break;
    case CK_IQ2_XS: decode_iq2_xs(in, out, count / 256); break;
    case CK_IQ2_S: decode_iq2_s(in, out, count / 256); break;
    case CK_IQ3_XXS: decode_iq3_xxs(in, out, count / 256); break;
    case CK_IQ3_S: decode_iq3_s(in, out, count / 256); break;
    case CK_TQ1_0: decode_tq1_0(in, out, count / 256); break;
    case CK_TQ2_0: decode_tq2_0(in, out, count / 256); break;
    }
}

// Whether one of `count` words has all bits of an exponent set. No early exit: the loop is vector code.
static int any_exponent32(const uint8_t *in, size_t count) {
    uint32_t found = 0;
    for (size_t i = 0; i < count; i++) found |= (load32(in + 4 * i) & 0x7F800000u) == 0x7F800000u;
    return found != 0;
}

static int any_exponent16(const uint8_t *in, size_t count, uint16_t mask) {
    uint16_t found = 0;
    for (size_t i = 0; i < count; i++) found |= (load16(in + 2 * i) & mask) == mask;
    return found != 0;
}

static size_t first_wide(const uint8_t *in, size_t count, size_t size, uint16_t mask) {
    for (size_t start = 0; start < count; start += 4096) {
        size_t end = count - start < 4096 ? count : start + 4096;
        const uint8_t *at = in + start * size;
        if (!(size == 4 ? any_exponent32(at, end - start) : any_exponent16(at, end - start, mask))) continue;
        for (size_t i = start; i < end; i++) {
            if (size == 4 ? any_exponent32(in + 4 * i, 1) : any_exponent16(in + 2 * i, 1, mask)) return i;
        }
    }
    return count;
}

// The halves at `first` and `second` of each block are its scales.
static size_t first_block(const uint8_t *in, size_t blocks, size_t size, size_t first, size_t second) {
    for (size_t i = 0; i < blocks; i++, in += size) {
        uint16_t a = load16(in + first) & 0x7C00, b = load16(in + second) & 0x7C00;
        if (__builtin_expect(a == 0x7C00 || b == 0x7C00, 0)) return i;
    }
    return blocks;
}

// From e = 253 on, 12 · 2^(e − 128) is infinite.
static size_t first_large_e8m0(const uint8_t *in, size_t blocks) {
    for (size_t i = 0; i < blocks; i++, in += 17) {
        if (__builtin_expect(in[0] >= 253, 0)) return i;
    }
    return blocks;
}

static size_t first_infinite_iq1_m(const uint8_t *in, size_t blocks) {
    for (size_t i = 0; i < blocks; i++, in += 56) {
        if (__builtin_expect((ck_iq1_m_scale(in) & 0x7C00) == 0x7C00, 0)) return i;
    }
    return blocks;
}

static size_t first_nonfinite(ck_encoding encoding, const void *in, size_t blocks) {
    switch (encoding) {
    case CK_F32: return first_wide(in, blocks, 4, 0);
    case CK_F16: return first_wide(in, blocks, 2, 0x7C00);
    case CK_BF16: return first_wide(in, blocks, 2, 0x7F80);
    case CK_Q4_0: return first_block(in, blocks, 18, 0, 0);
    case CK_Q4_1: return first_block(in, blocks, 20, 0, 2);
    case CK_Q5_0: return first_block(in, blocks, 22, 0, 0);
    case CK_Q5_1: return first_block(in, blocks, 24, 0, 2);
    case CK_Q8_0: return first_block(in, blocks, 34, 0, 0);
    case CK_IQ4_NL: return first_block(in, blocks, 18, 0, 0);
    case CK_MXFP4: return first_large_e8m0(in, blocks);
    case CK_NVFP4: return blocks; // all numbers of an E4M3 are finite here
    case CK_Q2_K: return first_block(in, blocks, 84, 80, 82);
    case CK_Q3_K: return first_block(in, blocks, 110, 108, 108);
    case CK_Q4_K: return first_block(in, blocks, 144, 0, 2);
    case CK_Q5_K: return first_block(in, blocks, 176, 0, 2);
    case CK_Q6_K: return first_block(in, blocks, 210, 208, 208);
    case CK_IQ4_XS: return first_block(in, blocks, 136, 0, 0);
    case CK_IQ1_S: return first_block(in, blocks, 50, 0, 0);
    case CK_IQ1_M: return first_infinite_iq1_m(in, blocks);
    case CK_IQ2_XXS: return first_block(in, blocks, 66, 0, 0);
    case CK_IQ2_XS: return first_block(in, blocks, 74, 0, 0);
    case CK_IQ2_S: return first_block(in, blocks, 82, 0, 0);
    case CK_IQ3_XXS: return first_block(in, blocks, 98, 0, 0);
    case CK_IQ3_S: return first_block(in, blocks, 110, 0, 0);
    case CK_TQ1_0: return first_block(in, blocks, 54, 52, 52);
    case CK_TQ2_0: return first_block(in, blocks, 66, 64, 64);
    }
    return blocks;
}

static void encode_f16(const float *in, uint16_t *restrict out, size_t count) {
    for (size_t i = 0; i < count; i++) out[i] = float_to_half(in[i]);
}

static void encode_bf16(const float *in, uint16_t *restrict out, size_t count) {
    for (size_t i = 0; i < count; i++) out[i] = float_to_bfloat(in[i]);
}

// d = max |x| / 127, elements round half away from zero, by the unrounded d.
static void encode_q8_0(const float *in, uint8_t *restrict out, size_t blocks) {
    for (size_t b = 0; b < blocks; b++, in += 32, out += 34) {
        float largest = 0;
        for (int i = 0; i < 32; i++) largest = __builtin_fmaxf(largest, __builtin_fabsf(in[i]));
        float d = largest / 127, inverse = d != 0 ? 1 / d : 0;
        uint16_t half = float_to_half(d);
        memcpy(out, &half, 2);
        for (int i = 0; i < 32; i++) {
            float size = __builtin_fabsf(in[i] * inverse), whole = __builtin_floorf(size);
            int rounded = (int)whole + (size - whole >= 0.5f);
            out[2 + i] = (uint8_t)(in[i] < 0 ? -rounded : rounded);
        }
    }
}

static int quantize(ck_encoding encoding, const float *in, void *out, size_t count) {
    switch (encoding) {
    case CK_F32: memcpy(out, in, 4 * count); return 0;
    case CK_F16: encode_f16(in, out, count); return 0;
    case CK_BF16: encode_bf16(in, out, count); return 0;
    case CK_Q8_0: encode_q8_0(in, out, count / 32); return 0;
    default: return -1;
    }
}
