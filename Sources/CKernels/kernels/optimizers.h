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

// Each kind is a loop of its own: with one loop for both, x86 would mask loads and stores at NULL, and each of these
// takes the processor an assist.
static void sgd(float *restrict p, float *restrict g, float *restrict m, size_t count, const ck_sgd_step *step) {
    const ck_sgd_step s = *step;
    if (!m) {
        for (size_t i = 0; i < count; i++) {
            const float gradient = s.gradient_scale * g[i] + s.weight_decay * p[i];
            p[i] = p[i] - s.learning_rate * gradient;
            g[i] = 0.0f;
        }
        return;
    }
    for (size_t i = 0; i < count; i++) {
        const float gradient = s.gradient_scale * g[i] + s.weight_decay * p[i];
        const float momentum = s.momentum * m[i] + s.share * gradient;
        m[i] = momentum;
        p[i] = p[i] - s.learning_rate * (s.direct * gradient + s.reach * momentum);
        g[i] = 0.0f;
    }
}

static void lion(float *restrict p, float *restrict g, float *restrict m, size_t count, const ck_lion_step *step) {
    const ck_lion_step s = *step;
    for (size_t i = 0; i < count; i++) {
        const float gradient = s.gradient_scale * g[i];
        const float direction = s.beta1 * m[i] + s.one_minus_beta1 * gradient;
        const float sign = (direction > 0.0f ? 1.0f : 0.0f) - (direction < 0.0f ? 1.0f : 0.0f);
        m[i] = s.beta2 * m[i] + s.one_minus_beta2 * gradient;
        p[i] = s.decay * p[i] - s.learning_rate * sign;
        g[i] = 0.0f;
    }
}

// What is lost at the bottom is made up for by chance: a number between two of bf16 becomes the upper one as often as
// it is near to it. Rounding to the nearest would stop a moment that changes by less than 1/256 a step.
static void round_by_chance(const float *restrict x, uint16_t *restrict y, size_t count, uint32_t key, uint32_t first) {
    for (size_t i = 0; i < count; i++) {
        uint32_t bits, z = (first + (uint32_t)i) ^ key;
        memcpy(&bits, x + i, 4);
        z = (z ^ (z >> 16)) * 0x7FEB352Du;
        z = (z ^ (z >> 15)) * 0x846CA68Bu;
        z ^= z >> 16;
        const uint32_t is_finite = (bits & 0x7F800000u) != 0x7F800000u;
        y[i] = (uint16_t)((bits + (is_finite ? z & 0xFFFFu : 0u)) >> 16);
    }
}

static void dynamic_decode(const ck_dynamic_map *map, const uint8_t *restrict codes, float largest, float *restrict x,
                           size_t count) {
    for (size_t i = 0; i < count; i++) x[i] = map->values[codes[i]] * largest;
}

// The upper half of a float's bits leaves two codes at most, and one comparison chooses between them. Sizes are
// compared as integers, whose maximum has no order of its own.
static float dynamic_encode(const ck_dynamic_map *map, const float *restrict x, uint8_t *restrict codes, size_t count) {
    uint32_t top = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, x + i, 4);
        bits &= 0x7FFFFFFFu;
        top = bits > top ? bits : top;
    }
    float largest;
    memcpy(&largest, &top, 4);
    const float divisor = largest > 0.0f ? largest : 1.0f;
    for (size_t i = 0; i < count; i++) {
        const float share = x[i] / divisor;
        uint32_t bits;
        memcpy(&bits, &share, 4);
        const uint8_t code = map->first[bits >> 16];
        codes[i] = (uint8_t)(code + (share > map->middles[code]));
    }
    return largest;
}

// Rows' sums in double, columns' as f32 on top of what is there.
static void adafactor_sums(const float *restrict g, size_t rows, size_t columns, float scale, float *restrict row_sums,
                           float *restrict column_sums) {
    for (size_t row = 0; row < rows; row++, g += columns) {
        double sums[8] = {0};
        size_t i = 0;
        for (; i + 8 <= columns; i += 8) {
            for (size_t lane = 0; lane < 8; lane++) {
                const float x = scale * g[i + lane];
                sums[lane] += (double)x * (double)x;
                column_sums[i + lane] += x * x;
            }
        }
        for (; i < columns; i++) {
            const float x = scale * g[i];
            sums[0] += (double)x * (double)x;
            column_sums[i] += x * x;
        }
        for (size_t half = 4; half > 0; half /= 2)
            for (size_t lane = 0; lane < half; lane++) sums[lane] += sums[lane + half];
        row_sums[row] = (float)sums[0];
    }
}

static double adafactor_squares(const float *restrict g, size_t rows, size_t columns, float scale,
                                const float *restrict row_factors, const float *restrict column_factors) {
    double sums[8] = {0};
    for (size_t row = 0; row < rows; row++, g += columns) {
        const float factor = scale * row_factors[row];
        size_t i = 0;
        for (; i + 8 <= columns; i += 8) {
            for (size_t lane = 0; lane < 8; lane++) {
                const float x = factor * column_factors[i + lane] * g[i + lane];
                sums[lane] += (double)x * (double)x;
            }
        }
        for (; i < columns; i++) {
            const float x = factor * column_factors[i] * g[i];
            sums[0] += (double)x * (double)x;
        }
    }
    for (size_t half = 4; half > 0; half /= 2)
        for (size_t lane = 0; lane < half; lane++) sums[lane] += sums[lane + half];
    return sums[0];
}

static void adafactor_apply(float *restrict p, float *restrict g, size_t rows, size_t columns, float scale,
                            const float *restrict row_factors, const float *restrict column_factors, float rate,
                            float decay) {
    for (size_t row = 0; row < rows; row++, g += columns, p += columns) {
        const float factor = scale * row_factors[row];
        for (size_t i = 0; i < columns; i++) {
            p[i] = decay * p[i] - rate * (factor * column_factors[i] * g[i]);
            g[i] = 0.0f;
        }
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
