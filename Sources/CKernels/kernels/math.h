#ifndef CK_MATH_H
#define CK_MATH_H
// exp and tanh that the compiler vectorises. Reassociation stays off here: the rounding trick must not be simplified.

/// exp x to about 1 ulp; 0 below −87.3, infinity above 88.7 (as fp32 has it, without subnormals), NaN for NaN.
INLINE float ck_expf(float x) {
#pragma clang fp reassociate(off) contract(fast)
    const float magic = 12582912.0f; // 1.5 · 2²³: adding it rounds to an integer
    float clamped = x < -87.33654f ? -87.33654f : x;
    clamped = clamped > 88.72283f ? 88.72283f : clamped;
    float t = clamped * 1.44269504f + magic;
    float n = t - magic;
    float r = clamped - n * 0.693145752f; // ln 2 in two parts
    r = r - n * 1.42860677e-6f;
    // exp r on |r| ≤ ½ ln 2 (Cephes' polynomial)
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;
    // · 2ⁿ: n, which stands in the low bits of t, is added to the exponent.
    uint32_t n_bits, bits;
    memcpy(&n_bits, &t, 4);
    memcpy(&bits, &p, 4);
    bits += n_bits << 23;
    float y;
    memcpy(&y, &bits, 4);
    y = x < -87.33654f ? 0.0f : y;
    y = x > 88.72283f ? __builtin_inff() : y;
    return x != x ? x : y;
}

/// The same of a vector, lane by lane, with the same bits.
INLINE vf exp_of(vf x) {
#pragma clang fp reassociate(off) contract(fast)
    const vf magic = splat(12582912.0f);
    vf clamped = x < -87.33654f ? splat(-87.33654f) : x;
    clamped = clamped > 88.72283f ? splat(88.72283f) : clamped;
    vf t = clamped * 1.44269504f + magic, n = t - magic;
    vf r = clamped - n * 0.693145752f;
    r = r - n * 1.42860677e-6f;
    vf p = splat(1.9875691500e-4f);
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;
    vf y = (vf)((vu)p + ((vu)t << 23));
    y = x < -87.33654f ? splat(0) : y;
    y = x > 88.72283f ? splat(__builtin_inff()) : y;
    return x != x ? x : y;
}

/// The largest of some numbers, −infinity of none; NaN is passed over. Sixteen at a time: the compiler does not reorder
/// comparisons of its own accord.
INLINE float ck_max(const float *x, size_t count) {
    float lanes[16], max = -__builtin_inff();
    size_t at = 0;
    for (int lane = 0; lane < 16; lane++) lanes[lane] = -__builtin_inff();
    for (; at + 16 <= count; at += 16)
        for (int lane = 0; lane < 16; lane++) lanes[lane] = x[at + lane] > lanes[lane] ? x[at + lane] : lanes[lane];
    if (count < 16)
        for (; at < count; at++) max = x[at] > max ? x[at] : max;
    else // some of them twice
        for (int lane = 0; lane < 16; lane++)
            lanes[lane] = x[count - 16 + lane] > lanes[lane] ? x[count - 16 + lane] : lanes[lane];
    for (int lane = 0; lane < 16; lane++) max = lanes[lane] > max ? lanes[lane] : max;
    return max;
}

INLINE float ck_sigmoidf(float x) {
#pragma clang fp reassociate(off) contract(fast)
    return 1.0f / (1.0f + ck_expf(-x));
}

/// tanh x = 1 − 2 / (exp(2x) + 1); near 0, where that cancels, the odd series.
INLINE float ck_tanhf(float x) {
#pragma clang fp reassociate(off) contract(fast)
    float e = ck_expf(2.0f * x);
    float big = 1.0f - 2.0f / (e + 1.0f);
    float s = x * x;
    float small = x * (1.0f + s * (-0.333333333f + s * (0.133333333f + s * (-0.0539682540f + s * 0.0218694885f))));
    float magnitude = x < 0 ? -x : x;
    return magnitude < 0.25f ? small : big;
}

/// Φ(x) = ½ erfc(−x/√2), by Numerical Recipes' rational Chebyshev fit of erfc (relative error 1.2e-7).
INLINE float ck_normal_cdff(float x) {
#pragma clang fp reassociate(off) contract(fast)
    float u = x * 0.70710678f;
    float z = u < 0 ? -u : u;
    float t = 1.0f / (1.0f + 0.5f * z);
    float p = 0.17087277f;
    p = p * t - 0.82215223f;
    p = p * t + 1.48851587f;
    p = p * t - 1.13520398f;
    p = p * t + 0.27886807f;
    p = p * t - 0.18628806f;
    p = p * t + 0.09678418f;
    p = p * t + 0.37409196f;
    p = p * t + 1.00002368f;
    p = p * t - 1.26551223f;
    float tail = 0.5f * t * ck_expf(-z * z + p);
    return u < 0 ? tail : 1.0f - tail;
}
#endif
