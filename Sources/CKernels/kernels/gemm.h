// Products of packed panels. A tile of C is CK_M rows of two vectors, whose sums stand in registers. The file is
// compiled once for f32, and for processors with dot products of bf16 once more for those: then a slot's lane holds two
// numbers.
#pragma clang fp reassociate(off) contract(fast)
enum { M = CK_M, N = 2 * CK_LANES, A_SLOT = CK_A_SLOT, B_SLOT = 2 * CK_LANES };

#ifdef CK_BF16_DOT
#define STEP(sum, x, y) ((vf)_mm512_dpbf16_ps((__m512)(sum), (__m512bh)(x), (__m512bh)(y)))
enum { PER = 2, MOST = 1024 }; // numbers of k in a lane; slots that are summed in registers
#else
#define STEP(sum, x, y) ((sum) + (x) * (y))
enum { PER = 1, MOST = 320 };
#endif

// MARK: - The inner loop

// A tile of up to M × N numbers of C, or of its left half; `rows`, `vectors` and `full` are constants after inlining.
// Sums of up to MOST slots are made in registers and then added up in memory: long sums lose fewer bits in parts.
#define EACH_ROW _Pragma("clang loop unroll(full)") for (int i = 0; i < rows; i++)
INLINE void tile(int rows, int vectors, const float *restrict a, const float *restrict b, size_t slots,
                 float *restrict c, size_t ldc, size_t columns, int accumulate) {
    const int whole = vectors == 2;
    vf left[M], right[M], sums[2 * M];
    for (int i = 0; i < rows; i++) { // C is written when its lines have come
        __builtin_prefetch(c + (size_t)i * ldc, 1);
        if (whole) __builtin_prefetch(c + (size_t)i * ldc + CK_LANES, 1);
    }
    size_t parts = slots > MOST ? (slots + MOST - 1) / MOST : 1, most = (slots + parts - 1) / parts;
    for (size_t done = 0; done < slots || done == 0; done += most ? most : 1) {
        size_t part = slots - done < most ? slots - done : most;
        EACH_ROW left[i] = right[i] = splat(0);
        for (size_t s = 0; s < part; s++, a += A_SLOT, b += B_SLOT) {
            __builtin_prefetch(a + 48 * A_SLOT); // the processor itself foresees no further than a page
            __builtin_prefetch(b + 16 * B_SLOT);
            if (whole && CK_LANES == 16) __builtin_prefetch(b + 16 * B_SLOT + 16);
            vf b0 = load(b), b1 = whole ? load(b + CK_LANES) : b0;
            EACH_ROW {
                vf x = splat(a[i]);
                left[i] = STEP(left[i], x, b0);
                if (whole) right[i] = STEP(right[i], x, b1);
            }
        }
        EACH_ROW {
            sums[2 * i] = done ? sums[2 * i] + left[i] : left[i];
            if (whole) sums[2 * i + 1] = done ? sums[2 * i + 1] + right[i] : right[i];
        }
    }
    size_t low = columns < CK_LANES ? columns : CK_LANES, high = columns - low;
    for (int i = 0; i < rows; i++, c += ldc) {
        if (accumulate) {
            sums[2 * i] += load_part(c, low);
            if (whole) sums[2 * i + 1] += load_part(c + CK_LANES, high);
        }
        store_part(c, sums[2 * i], low);
        if (whole) store_part(c + CK_LANES, sums[2 * i + 1], high);
    }
}

typedef void tile_function(const float *a, const float *b, size_t slots, float *c, size_t ldc, size_t columns,
                           int accumulate);

#define TILE(R)                                                                                                        \
    static void half_##R(const float *a, const float *b, size_t slots, float *c, size_t ldc, size_t columns,           \
                         int accumulate) {                                                                             \
        tile(R, 1, a, b, slots, c, ldc, columns, accumulate);                                                          \
    }                                                                                                                  \
    static void whole_##R(const float *a, const float *b, size_t slots, float *c, size_t ldc, size_t columns,          \
                          int accumulate) {                                                                            \
        tile(R, 2, a, b, slots, c, ldc, columns, accumulate);                                                          \
    }
TILE(1)
TILE(2)
TILE(3)
TILE(4)
TILE(5)
TILE(6)
#if CK_M > 6
TILE(7)
TILE(8)
TILE(9)
TILE(10)
TILE(11)
TILE(12)
TILE(13)
TILE(14)
#define TILES(P) {P##1, P##2, P##3, P##4, P##5, P##6, P##7, P##8, P##9, P##10, P##11, P##12, P##13, P##14}
#else
#define TILES(P) {P##1, P##2, P##3, P##4, P##5, P##6}
#endif
static tile_function *const halves[] = TILES(half_), *const wholes[] = TILES(whole_);

static void multiply_panels(const float *a, size_t a_slots, const float *b, size_t b_slots, size_t m, size_t n,
                            size_t k, float *c, size_t ldc, int accumulate) {
    size_t slots = (k + PER - 1) / PER;
    // The longer side is read once, and all panels of the other one, which stay in cache, for each of its panels.
    size_t down = (m + M - 1) / M, across = (n + N - 1) / N;
    for (size_t at = 0; at < down * across; at++) {
        size_t i = (down > across ? at / across : at % down) * M, j = (down > across ? at % across : at / down) * N;
        size_t rows = m - i < M ? m - i : M, columns = n - j < N ? n - j : N;
        (columns > CK_LANES ? wholes : halves)[rows - 1](a + i / M * a_slots * A_SLOT, b + j * b_slots, slots,
                                                         c + i * ldc + j, ldc, columns, accumulate);
    }
}

// MARK: - Packing

// CK_LANES rows of as many numbers become columns.
INLINE void transpose(vf r[CK_LANES]) {
    vf t[CK_LANES];
#if CK_LANES == 16
#define LOW(x, y) __builtin_shufflevector(x, y, 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29)
#define HIGH(x, y) __builtin_shufflevector(x, y, 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31)
#define LOW2(x, y) __builtin_shufflevector(x, y, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29)
#define HIGH2(x, y) __builtin_shufflevector(x, y, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31)
#elif CK_LANES == 8
#define LOW(x, y) __builtin_shufflevector(x, y, 0, 8, 1, 9, 4, 12, 5, 13)
#define HIGH(x, y) __builtin_shufflevector(x, y, 2, 10, 3, 11, 6, 14, 7, 15)
#define LOW2(x, y) __builtin_shufflevector(x, y, 0, 1, 8, 9, 4, 5, 12, 13)
#define HIGH2(x, y) __builtin_shufflevector(x, y, 2, 3, 10, 11, 6, 7, 14, 15)
#else
#define LOW(x, y) __builtin_shufflevector(x, y, 0, 4, 1, 5)
#define HIGH(x, y) __builtin_shufflevector(x, y, 2, 6, 3, 7)
#define LOW2(x, y) __builtin_shufflevector(x, y, 0, 1, 4, 5)
#define HIGH2(x, y) __builtin_shufflevector(x, y, 2, 3, 6, 7)
#endif
    for (int i = 0; i < CK_LANES; i += 2) {
        t[i] = LOW(r[i], r[i + 1]);
        t[i + 1] = HIGH(r[i], r[i + 1]);
    }
    for (int i = 0; i < CK_LANES; i += 4)
        for (int j = 0; j < 2; j++) {
            r[i + 2 * j] = LOW2(t[i + j], t[i + j + 2]);
            r[i + 2 * j + 1] = HIGH2(t[i + j], t[i + j + 2]);
        }
    // r[4g + c] holds, in each quarter l of four lanes, column 4l + c of rows 4g … 4g + 3.
#if CK_LANES == 16
    for (int c = 0; c < 4; c++) {
#define EVEN(x, y) __builtin_shufflevector(x, y, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27)
#define ODD(x, y) __builtin_shufflevector(x, y, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31)
        vf a = EVEN(r[c], r[4 + c]), b = EVEN(r[8 + c], r[12 + c]), d = ODD(r[c], r[4 + c]),
           e = ODD(r[8 + c], r[12 + c]);
        t[c] = EVEN(a, b);
        t[8 + c] = ODD(a, b);
        t[4 + c] = EVEN(d, e);
        t[12 + c] = ODD(d, e);
    }
    for (int i = 0; i < 16; i++) r[i] = t[i];
#elif CK_LANES == 8
    for (int c = 0; c < 4; c++) {
        t[c] = __builtin_shufflevector(r[c], r[4 + c], 0, 1, 2, 3, 8, 9, 10, 11);
        t[4 + c] = __builtin_shufflevector(r[c], r[4 + c], 4, 5, 6, 7, 12, 13, 14, 15);
    }
    for (int i = 0; i < 8; i++) r[i] = t[i];
#endif
}

// PER · CK_LANES numbers of a row as a vector of slots, and the numbers of CK_LANES rows in one slot; `next` is NULL
// behind the last k.
#ifdef CK_BF16_DOT
INLINE vf row_of(const float *x, size_t count, vf alpha) {
    vf low = load_part(x, count) * alpha, high = load_part(x + 16, count > 16 ? count - 16 : 0) * alpha;
    return (vf)_mm512_cvtne2ps_pbh((__m512)high, (__m512)low);
}

INLINE vf column_of(const float *x, const float *next, size_t count, vf alpha) {
    vf low = load_part(x, count) * alpha, high = next ? load_part(next, count) * alpha : splat(0);
    // Numbers 0 … 15 are `low`, 16 … 31 `high`: they take turns.
    const __m512i turns = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                                           21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    return (vf)_mm512_permutexvar_epi16(turns, (__m512i)_mm512_cvtne2ps_pbh((__m512)high, (__m512)low));
}
#define ROW(rounds, x, count, alpha) ((void)(rounds), row_of(x, count, alpha))
#define COLUMN(rounds, x, next, count, alpha) ((void)(rounds), column_of(x, next, count, alpha))
#else
INLINE vf number_of(int rounds, vf x) { return rounds ? rounded(x) : x; }
#define ROW(rounds, x, count, alpha) number_of(rounds, load_part(x, count) * alpha)
#define COLUMN(rounds, x, next, count, alpha) number_of(rounds, load_part(x, count) * alpha)
#endif

// Up to CK_LANES rows of a panel whose slots take `stride` numbers. Missing rows become zeros.
INLINE void pack_rows(int rounds, const float *x, size_t ld, int transposed, vf alpha, size_t rows, size_t k,
                      size_t stride, float *out) {
    size_t slots = (k + PER - 1) / PER;
    if (transposed) {
        for (size_t s = 0; s < slots; s++, x += PER * ld, out += stride)
            store(out, COLUMN(rounds, x, PER * s + 1 < k ? x + ld : 0, rows, alpha));
        return;
    }
    for (size_t s = 0; s < slots; s += CK_LANES, out += CK_LANES * stride) {
        vf r[CK_LANES];
        size_t count = slots - s < CK_LANES ? slots - s : CK_LANES;
        if (rows >= CK_LANES && k - PER * s >= PER * CK_LANES)
            for (size_t i = 0; i < CK_LANES; i++) r[i] = ROW(rounds, x + i * ld + PER * s, PER * CK_LANES, alpha);
        else
            for (size_t i = 0; i < CK_LANES; i++)
                r[i] = i < rows ? ROW(rounds, x + i * ld + PER * s, k - PER * s, alpha) : splat(0);
        transpose(r);
        if (count == CK_LANES)
            for (size_t i = 0; i < CK_LANES; i++) store(out + i * stride, r[i]);
        else
            for (size_t i = 0; i < count; i++) store(out + i * stride, r[i]);
    }
}

INLINE void pack_panels(int rounds, int is_a, const float *x, size_t ld, int transposed, vf alpha, size_t rows,
                        size_t k_from, size_t k_to, size_t k, float *packed) {
    const size_t width = is_a ? M : N, stride = is_a ? A_SLOT : B_SLOT;
    size_t slots = (k + PER - 1) / PER, start = (k_from + PER - 1) / PER;
    for (size_t i = 0; i < rows; i += width, packed += slots * stride)
        for (size_t first = 0; first < stride; first += CK_LANES) {
            size_t left = rows - i < width ? rows - i : width, count = left > first ? left - first : 0;
            pack_rows(rounds, x + (transposed ? i + first : (i + first) * ld), ld, transposed, alpha,
                      count < CK_LANES ? count : CK_LANES, k_to - k_from, stride, packed + start * stride + first);
        }
}
#undef STEP
