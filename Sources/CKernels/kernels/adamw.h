#pragma clang fp reassociate(off) contract(off)
// Contraction is off: every element then has the same bits in the vector body, in the tail of a range and on every
// machine, however a buffer is cut into ranges. The loop is bound by memory, not by arithmetic.

static void adamw(float *restrict p, float *restrict g, float *restrict m, float *restrict v, size_t count,
                  const ck_adamw_step *step) {
    const ck_adamw_step s = *step;
    for (size_t i = 0; i < count; i++) {
        const float gradient = s.gradient_scale * g[i];
        const float first = s.beta1 * m[i] + s.one_minus_beta1 * gradient;
        const float second = s.beta2 * v[i] + s.one_minus_beta2 * gradient * gradient;
        const float denominator = __builtin_elementwise_sqrt(second) * s.inverse_root_correction + s.epsilon;
        m[i] = first;
        v[i] = second;
        p[i] = s.decay * p[i] - s.step_size * (first / denominator);
        g[i] = 0.0f;
    }
}

// Sixteen partial sums in fixed order: the same bits on every machine. A float's square is exact in double.
static double sum_of_squares(const float *x, size_t count) {
    double sums[16] = {0};
    size_t i = 0;
    for (; i + 16 <= count; i += 16) {
        for (size_t lane = 0; lane < 16; lane++) sums[lane] += (double)x[i + lane] * (double)x[i + lane];
    }
    for (size_t lane = 0; i + lane < count; lane++) sums[lane] += (double)x[i + lane] * (double)x[i + lane];
    for (size_t half = 8; half > 0; half /= 2) {
        for (size_t lane = 0; lane < half; lane++) sums[lane] += sums[lane + half];
    }
    return sums[0];
}
