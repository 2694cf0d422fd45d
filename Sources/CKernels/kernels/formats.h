#ifndef CK_KERNELS_FORMATS_H
#define CK_KERNELS_FORMATS_H
// What the two decoders of ggml's formats, dequantize.h and expand.h, share.
#include "grids.h"
#include "vectors.h"

/// The signs of thirty-two elements. Of each eight, seven bits are stored; the eighth makes their number even.
INLINE uint32_t ck_even_signs(uint32_t sevens) {
    uint32_t bits = (sevens & 0x7F) | (sevens << 1 & 0x7F00) | (sevens << 2 & 0x7F0000) | (sevens << 3 & 0x7F000000);
    uint32_t odd = bits ^ bits >> 4;
    odd ^= odd >> 2;
    odd ^= odd >> 1;
    return bits | (odd & 0x01010101) << 7;
}

/// The half d of IQ1_M's block: the high nibbles of the last four words.
INLINE uint16_t ck_iq1_m_scale(const uint8_t *block) {
    return (uint16_t)(block[49] >> 4 | (block[51] & 0xF0) | (block[53] & 0xF0) << 4 | (block[55] & 0xF0) << 8);
}

INLINE float ck_float_of(uint32_t bits) {
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

/// 2^(e − 128): half of what an E8M0 stands for, because elements of four bits count halves.
INLINE float ck_half_e8m0(uint8_t e) { return ck_float_of(e < 2 ? 0x00200000u << e : (uint32_t)(e - 1) << 23); }

/// Half of what an E4M3 without sign stands for: (8 + m) 2^(e − 11), or m 2^−10 if e is 0. NaN is 0, as in ggml.
INLINE float ck_half_ue4m3(uint8_t x) {
    uint32_t e = x >> 3 & 15, m = x & 7;
    if (x == 0x7F) return 0;
    return (float)(e ? 8 + m : m) * ck_float_of((116 + (e ? e : 1)) << 23);
}
#endif
