#pragma clang fp reassociate(off) contract(fast)
// R rows of x against C rows of w, sixteen numbers of k at a time; R and C are constants after inlining.
INLINE void few_rows_block(int R, int C, const float *x, size_t ldx, const float *w, size_t ldw, size_t k, float *y,
                           size_t ldy, int accumulate) {
    v16 sums[4][4];
    for (int i = 0; i < R; i++)
        for (int j = 0; j < C; j++) sums[i][j] = (v16){0};
    size_t at = 0;
    for (; at + 16 <= k; at += 16) {
        v16 b[4];
        for (int j = 0; j < C; j++) memcpy(&b[j], w + j * ldw + at, 64);
        for (int i = 0; i < R; i++) {
            v16 a;
            memcpy(&a, x + i * ldx + at, 64);
            for (int j = 0; j < C; j++) sums[i][j] += a * b[j];
        }
    }
    for (int i = 0; i < R; i++)
        for (int j = 0; j < C; j++) {
            float sum = sum_of_16(sums[i][j]);
            for (size_t rest = at; rest < k; rest++) sum += x[i * ldx + rest] * w[j * ldw + rest];
            y[i * ldy + j] = accumulate ? y[i * ldy + j] + sum : sum;
        }
}

INLINE void few_rows_columns(int C, const float *x, size_t ldx, size_t rows, const float *w, size_t ldw, size_t k,
                             float *y, size_t ldy, int accumulate) {
    size_t i = 0;
    for (; i + 4 <= rows; i += 4) few_rows_block(4, C, x + i * ldx, ldx, w, ldw, k, y + i * ldy, ldy, accumulate);
    switch (rows - i) {
    case 3: few_rows_block(3, C, x + i * ldx, ldx, w, ldw, k, y + i * ldy, ldy, accumulate); break;
    case 2: few_rows_block(2, C, x + i * ldx, ldx, w, ldw, k, y + i * ldy, ldy, accumulate); break;
    case 1: few_rows_block(1, C, x + i * ldx, ldx, w, ldw, k, y + i * ldy, ldy, accumulate); break;
    default: break;
    }
}

static void few_rows_product(const float *x, size_t ldx, size_t rows, const float *w, size_t ldw, size_t outputs,
                             size_t k, float *y, size_t ldy, int accumulate) {
    size_t j = 0;
    for (; j + 4 <= outputs; j += 4) few_rows_columns(4, x, ldx, rows, w + j * ldw, ldw, k, y + j, ldy, accumulate);
    for (; j < outputs; j++) few_rows_columns(1, x, ldx, rows, w + j * ldw, ldw, k, y + j, ldy, accumulate);
}

INLINE const float *value_at(const ck_cache_part *part, size_t i, size_t size, size_t width) {
    return part->values + i / 16 * 16 * width + i % 16 * size;
}

// G queries of one key head. Keys: sixteen positions at a time, one a lane.
INLINE void attend(int G, const float *q, size_t size, const ck_cache_part *parts, size_t part_count, size_t width,
                   size_t skip, ck_scores kind, const float *sinks, float *scores, size_t pitch, float *out) {
    v16 max[4];
    for (int g = 0; g < G; g++) max[g] = (v16){0} - INFINITY;
    size_t slot = 0, position = 0;
    for (size_t part = 0; part < part_count; position += parts[part].count, part++)
        for (size_t first = 0; first < parts[part].count; first += 16, slot += 16) {
            const float *keys = parts[part].keys + first * width;
            size_t left = parts[part].count - first;
            v16 even[4], odd[4];
            for (int g = 0; g < G; g++) even[g] = odd[g] = (v16){0};
            if (position + first + 16 > skip) {
                size_t j = 0;
                for (; j + 2 <= size; j += 2) {
                    v16 a, b;
                    memcpy(&a, keys + 16 * j, 64);
                    memcpy(&b, keys + 16 * j + 16, 64);
                    for (int g = 0; g < G; g++) {
                        even[g] += q[(size_t)g * size + j] * a;
                        odd[g] += q[(size_t)g * size + j + 1] * b;
                    }
                }
                if (j < size) {
                    v16 a;
                    memcpy(&a, keys + 16 * j, 64);
                    for (int g = 0; g < G; g++) even[g] += q[(size_t)g * size + j] * a;
                }
            }
            for (int g = 0; g < G; g++) {
                v16 s = (even[g] + odd[g]) * kind.scale;
                if (kind.cap != 0)
                    for (size_t i = 0; i < 16; i++) s[i] = kind.cap * ck_tanhf(s[i] / kind.cap);
                if (left < 16 || position + first < skip)
                    for (size_t i = 0; i < 16; i++)
                        if (i >= left || position + first + i < skip) s[i] = -INFINITY;
                max[g] = s > max[g] ? s : max[g];
                memcpy(scores + (size_t)g * pitch + slot, &s, 64);
            }
        }
    float inverse[4];
    for (int g = 0; g < G; g++) {
        float top = max[g][0], *p = scores + (size_t)g * pitch;
        for (int i = 1; i < 16; i++) top = max[g][i] > top ? max[g][i] : top;
        if (sinks && sinks[g] > top) top = sinks[g];
        for (size_t i = 0; i < slot; i++) p[i] = ck_expf(p[i] - top);
        v16 sum = {0};
        if (sinks) sum[0] = ck_expf(sinks[g] - top);
        for (size_t i = 0; i < slot; i += 16) {
            v16 e;
            memcpy(&e, p + i, 64);
            sum += e;
        }
        inverse[g] = 1.0f / sum_of_16(sum);
    }
    size_t j = 0;
    for (; j + 32 <= size; j += 32) {
        v16 low[4], high[4];
        for (int g = 0; g < G; g++) low[g] = high[g] = (v16){0};
        const float *p = scores;
        for (size_t part = 0; part < part_count; p += (parts[part].count + 15) / 16 * 16, part++)
            for (size_t i = 0; i < parts[part].count; i++) {
                v16 a, b;
                const float *v = value_at(&parts[part], i, size, width) + j;
                memcpy(&a, v, 64);
                memcpy(&b, v + 16, 64);
                for (int g = 0; g < G; g++) {
                    low[g] += p[(size_t)g * pitch + i] * a;
                    high[g] += p[(size_t)g * pitch + i] * b;
                }
            }
        for (int g = 0; g < G; g++) {
            low[g] *= inverse[g];
            high[g] *= inverse[g];
            memcpy(out + (size_t)g * size + j, &low[g], 64);
            memcpy(out + (size_t)g * size + j + 16, &high[g], 64);
        }
    }
    for (; j < size; j++)
        for (int g = 0; g < G; g++) {
            float sum = 0;
            const float *p = scores + (size_t)g * pitch;
            for (size_t part = 0; part < part_count; p += (parts[part].count + 15) / 16 * 16, part++)
                for (size_t i = 0; i < parts[part].count; i++) sum += p[i] * value_at(&parts[part], i, size, width)[j];
            out[(size_t)g * size + j] = sum * inverse[g];
        }
}

static void cached_attention(const float *q, size_t heads, size_t size, const ck_cache_part *parts, size_t part_count,
                             size_t width, size_t skip, ck_scores kind, const float *sinks, float *scores, float *out) {
    size_t pitch = 0;
    for (size_t part = 0; part < part_count; part++) pitch += (parts[part].count + 15) / 16 * 16;
    for (size_t h = 0; h < heads; h += 4, q += 4 * size, out += 4 * size) {
        const float *own = sinks ? sinks + h : NULL;
        switch (heads - h) {
        case 1: attend(1, q, size, parts, part_count, width, skip, kind, own, scores, pitch, out); break;
        case 2: attend(2, q, size, parts, part_count, width, skip, kind, own, scores, pitch, out); break;
        case 3: attend(3, q, size, parts, part_count, width, skip, kind, own, scores, pitch, out); break;
        default: attend(4, q, size, parts, part_count, width, skip, kind, own, scores, pitch, out); break;
        }
    }
}

static void cache_store(const float *keys, const float *values, size_t heads, size_t size, size_t width, size_t row,
                        float *cached_keys, float *cached_values) {
    size_t block = row / 16 * 16 * width, at = row % 16;
    for (size_t h = 0; h < heads; h++) {
        float *k = cached_keys + block + h * size * 16 + at, *v = cached_values + block + h * size * 16 + at * size;
        for (size_t j = 0; j < size; j++) k[16 * j] = keys[h * size + j];
        for (size_t j = 0; j < size; j++) v[j] = values[h * size + j];
    }
}

// Sixteen candidates, one a lane, then the first of the largest.
static ck_largest find_largest(const float *x, size_t count) {
    typedef int32_t i16 __attribute__((ext_vector_type(16)));
    v16 best = (v16){0} - INFINITY;
    i16 where = {0}, index = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    size_t at = 0;
    for (; at + 16 <= count; at += 16, index += 16) {
        v16 v;
        memcpy(&v, x + at, 64);
        i16 more = v > best;
        best = more ? v : best;
        where = more ? index : where;
    }
    ck_largest found = {0, -INFINITY};
    for (int i = 0; i < 16; i++)
        if (best[i] > found.value || (best[i] == found.value && best[i] > -INFINITY && where[i] < found.index))
            found = (ck_largest){where[i], best[i]};
    for (; at < count; at++)
        if (x[at] > found.value) found = (ck_largest){(int32_t)at, x[at]};
    return found;
}

static double shifted_exp_sum(const float *x, float *y, size_t count, float shift, float scale) {
    double sum = 0;
    for (size_t from = 0; from < count; from += 512) {
        size_t to = count - from < 512 ? count : from + 512;
        for (size_t i = from; i < to; i++) y[i] = ck_expf((x[i] - shift) * scale);
        v16 part = {0};
        size_t i = from;
        for (; i + 16 <= to; i += 16) {
            v16 e;
            memcpy(&e, y + i, 64);
            part += e;
        }
        float rest = sum_of_16(part);
        for (; i < to; i++) rest += y[i];
        sum += (double)rest;
    }
    return sum;
}

static double sum_from(const float *x, size_t count, float least) {
#pragma clang fp reassociate(on)
    double sum = 0;
    for (size_t i = 0; i < count; i++) sum += x[i] >= least ? (double)x[i] : 0.0;
    return sum;
}

static size_t collect(const float *x, size_t count, float least, int32_t *found) {
    size_t n = 0, at = 0;
    for (; at + 16 <= count; at += 16) { // most sixteens have none
        v16 v;
        memcpy(&v, x + at, 64);
        if (__builtin_reduce_max(v) < least) continue;
        for (size_t i = at; i < at + 16; i++)
            if (x[i] >= least && x[i] > 0) found[n++] = (int32_t)i;
    }
    for (; at < count; at++)
        if (x[at] >= least && x[at] > 0) found[n++] = (int32_t)at;
    return n;
}

static size_t pick(const float *x, size_t count, double target) {
    double sum = 0;
    for (size_t from = 0; from < count; from += 512) {
        size_t part = count - from < 512 ? count - from : 512;
        double next = sum + sum_from(x + from, part, 0);
        if (next > target || from + part == count) {
            for (size_t i = from; i < from + part; i++) {
                sum += (double)x[i];
                if (sum > target) return i;
            }
            // Rounding of the sums: what is missing is less than any probability that counts.
            for (size_t i = from + part; i-- > 0;)
                if (x[i] > 0) return i;
        }
        sum = next;
    }
    return 0;
}
