#ifndef CK_KERNELS_WEIGHTS_H
#define CK_KERNELS_WEIGHTS_H
// Products of few rows with weights as they are stored, written once for every engine: see ck_engine.h. A sum is made
// over CK_LANES lanes, each of which adds up one number of k in CK_LANES, and then lane i is paired with i + half the
// lanes, and so on down to its neighbour.
#include "vectors.h"
#include "expand.h"

enum {
    CK_ANY = 99,
    CK_AHEAD = 8, // rows from one that is read to one that is fetched
// Rows of w that are multiplied with four of x at a time: their sums leave registers for what is multiplied. Rows that
// are expanded to memory at a time, a multiple of it and of four. Rows of x for which expanding in registers is
// fastest.
#if CK_AVX512 || CK_NEON
    CK_WIDTH = 4,
    CK_TILE = 8,
    CK_DIRECT = 4
#elif CK_AVX2
    CK_WIDTH = 3,
    CK_TILE = 12,
    CK_DIRECT = 2
#else
    CK_WIDTH = 2, // without fused operations products need registers too
    CK_TILE = 8,
    CK_DIRECT = 2
#endif
};

// A step of a sum: thirty-two numbers of k in CK_PARTS vectors. `ck_element` is what x and a tile are made of.
#if CK_BF16_DOT
#define CK_ELEMENT CK_BF16
enum { CK_PARTS = 1 };
typedef uint16_t ck_element;
typedef __m512bh ck_part;

INLINE vf ck_step(vf sum, ck_part a, ck_part b) { return (vf)_mm512_dpbf16_ps((__m512)sum, a, b); }

INLINE const ck_element *ck_elements(const ck_activations *x) { return x->rounded; }

INLINE void ck_weights_at(ck_encoding e, const uint8_t *p, const float *s, int group, ck_part v[CK_PARTS]) {
    if (e == CK_BF16) {
        memcpy(v, p, 64);
        return;
    }
    v16 wide[2];
    ck_expand(e, p, s, group, wide);
    v[0] = _mm512_cvtne2ps_pbh((__m512)wide[1], (__m512)wide[0]);
}
#else
#define CK_ELEMENT CK_F32
enum { CK_PARTS = 32 / CK_LANES };
typedef float ck_element;
typedef vf ck_part;

INLINE vf ck_step(vf sum, ck_part a, ck_part b) { return sum + a * b; }

INLINE const ck_element *ck_elements(const ck_activations *x) { return x->x; }

INLINE void ck_weights_at(ck_encoding e, const uint8_t *p, const float *s, int group, ck_part v[CK_PARTS]) {
    v16 wide[2];
    ck_expand(e, p, s, group, wide);
    for (int i = 0; i < 2; i++) {
#if CK_LANES == 16
        v[i] = wide[i];
#elif CK_LANES == 8
        v[2 * i] = wide[i].lo;
        v[2 * i + 1] = wide[i].hi;
#else
        v[4 * i] = wide[i].lo.lo;
        v[4 * i + 1] = wide[i].lo.hi;
        v[4 * i + 2] = wide[i].hi.lo;
        v[4 * i + 3] = wide[i].hi.hi;
#endif
    }
}
#endif

INLINE ck_part ck_part_at(const ck_element *x, int i) {
    ck_part v;
    memcpy(&v, x + i * (32 / CK_PARTS), sizeof(v));
    return v;
}

/// Distance of expanded rows: no power of two, so that equal columns of rows use different lines of the cache.
INLINE size_t ck_pitch(size_t k) { return (k + 31) / 32 * 32 + 16; }

_Static_assert(CK_TILE <= 12, "ck_weights_scratch has room for a tile of twelve rows");

/// Four rows' scales stand before a tile.
INLINE size_t ck_scales(size_t k) { return (k + 31) / 32 * 16; }

INLINE const uint8_t *ck_row(const ck_weights *w, size_t row) { return (const uint8_t *)w->data + row * w->row_bytes; }

INLINE size_t ck_column(const ck_weights *w, size_t row) {
    if (w->half == 0) return row;
    size_t within = row % (2 * w->half);
    return row - within + within % 2 * w->half + within / 2;
}

INLINE v4 ck_quarter(vf v) {
#if CK_LANES == 16
    return (v.lo + v.hi).lo + (v.lo + v.hi).hi;
#elif CK_LANES == 8
    return v.lo + v.hi;
#else
    return v;
#endif
}

/// The sums of the lanes of four vectors.
INLINE v4 ck_totals(const vf *v) {
    v4 q[4];
    for (int i = 0; i < 4; i++) q[i] = ck_quarter(v[i]);
    v4 a = __builtin_shufflevector(q[0], q[1], 0, 1, 4, 5) + __builtin_shufflevector(q[0], q[1], 2, 3, 6, 7);
    v4 b = __builtin_shufflevector(q[2], q[3], 0, 1, 4, 5) + __builtin_shufflevector(q[2], q[3], 2, 3, 6, 7);
    return __builtin_shufflevector(a, b, 0, 2, 4, 6) + __builtin_shufflevector(a, b, 1, 3, 5, 7);
}

#if CK_AVX512
/// The same of sixteen vectors, which saves 4 % of the time of four rows. Quarter i has those of v[4 · (0, 2, 1, 3)[i]]
/// … + 3.
INLINE v16 ck_totals_of_16(const vf *v) {
    __m512 s[8], t[4];
    for (int i = 0; i < 8; i++)
        s[i] = _mm512_add_ps(_mm512_shuffle_f32x4(v[i], v[i + 8], 0x44), _mm512_shuffle_f32x4(v[i], v[i + 8], 0xEE));
    for (int i = 0; i < 4; i++)
        t[i] = _mm512_add_ps(_mm512_shuffle_f32x4(s[i], s[i + 4], 0x88), _mm512_shuffle_f32x4(s[i], s[i + 4], 0xDD));
    __m512 a = _mm512_add_ps(_mm512_shuffle_ps(t[0], t[1], 0x44), _mm512_shuffle_ps(t[0], t[1], 0xEE));
    __m512 b = _mm512_add_ps(_mm512_shuffle_ps(t[2], t[3], 0x44), _mm512_shuffle_ps(t[2], t[3], 0xEE));
    return _mm512_add_ps(_mm512_shuffle_ps(a, b, 0x88), _mm512_shuffle_ps(a, b, 0xDD));
}
#endif

/// Asks for weights that are needed soon: the processor does not foresee rows that are read side by side.
/// Numbers without blocks are as many bytes as memory can bring, and so are those of Q8_0 once the rows in use and
/// ahead fill the first cache; they go no further than the second one. (Q8_0 on two cores of Zen 4, k = 2048: 11.8
/// → 14.6 billion weights a second and core.)
INLINE void ck_fetch(ck_encoding e, const ck_weights *w, const uint8_t *p, size_t bytes) {
    const int no_further = e <= CK_BF16 || (e == CK_Q8_0 && (4 + CK_AHEAD) * w->row_bytes > 18 << 10);
    for (size_t line = 0; line < bytes; line += 64) {
        if (no_further) __builtin_prefetch(p + line, 0, 2);
        else __builtin_prefetch(p + line, 0, 3);
    }
}

INLINE void ck_fetch_rows(ck_encoding e, const ck_weights *w, size_t row, size_t end, size_t count) {
    if (row < end) ck_fetch(e, w, ck_row(w, row), (end - row < count ? end - row : count) * w->row_bytes);
}

/// Rows `row` ..< `end` of w, at most a tile, where they stand; those that are missing to a multiple of four are the
/// last one again: their sums are not stored.
typedef struct {
    const ck_weights *w;
    size_t row, end;
    const uint8_t *p[CK_TILE];
} ck_panel;

INLINE ck_panel ck_panel_at(const ck_weights *w, size_t row, size_t end, size_t most) {
    ck_panel panel = {w, row, end - row < most ? end : row + most, {NULL}};
    for (size_t c = 0; c < most; c++) panel.p[c] = ck_row(w, row + c < end ? row + c : end - 1);
    return panel;
}

/// Where the sums of one row of x go.
INLINE void ck_store(const ck_weights *w, size_t row, size_t end, size_t outputs, v4 totals, float *y) {
    if (w->half == 0 && row + outputs <= end) {
        memcpy(y + row, &totals, 4 * outputs);
    } else {
        for (size_t c = 0; c < outputs && row + c < end; c++) y[ck_column(w, row + c)] = totals[c];
    }
}

/// One block of each of C rows with as many numbers of R rows of x; R and C are constants after inlining. Weights that
/// need no registers to be expanded stand side by side, so that what is loaded of x serves all of them; others come one
/// after the other. The sums of short vectors are long chains: there, blocks of 256 gain from standing side by side
/// too, but for those with grids, which take the registers.
INLINE void ck_unit_step(ck_encoding e, int R, int C, const uint8_t *const *p, const float *scales, const ck_element *x,
                         size_t ldx, vf *sums) {
    CK_UNROLL_GROUPS
    for (int group = 0; group < (int)(ck_unit(e) / 32); group++, x += 32) {
        ck_part v[4][CK_PARTS];
        if (R > 1 ? e == CK_ELEMENT : e >= CK_Q2_K && e <= CK_IQ4_XS && CK_LANES < 16) {
#pragma unroll
            for (int c = 0; c < C; c++) ck_weights_at(e, p[c], scales + (size_t)c * ck_unit_scales(e), group, v[c]);
#pragma unroll
            for (int i = 0; i < CK_PARTS; i++)
#pragma unroll
                for (int r = 0; r < R; r++)
#pragma unroll
                    for (int c = 0; c < C; c++)
                        sums[4 * r + c] = ck_step(sums[4 * r + c], ck_part_at(x + (size_t)r * ldx, i), v[c][i]);
        } else {
#pragma unroll
            for (int c = 0; c < C; c++) {
                ck_weights_at(e, p[c], scales + (size_t)c * ck_unit_scales(e), group, v[0]);
#pragma unroll
                for (int r = 0; r < R; r++)
#pragma unroll
                    for (int i = 0; i < CK_PARTS; i++)
                        sums[4 * r + c] = ck_step(sums[4 * r + c], ck_part_at(x + (size_t)r * ldx, i), v[0][i]);
            }
        }
    }
}

/// R rows of x against rows `from` ..< `from` + C of a panel. `soon`: where to find the weights that are needed soon,
/// or NULL.
INLINE void ck_block(ck_encoding e, int R, int C, const ck_panel *panel, size_t from, const float *scales,
                     const uint8_t *soon, const ck_element *x, size_t ldx, float *y, size_t ldy) {
    const ck_weights *w = panel->w;
    const size_t unit = ck_unit(e), bytes = ck_unit_bytes(e), width = ck_unit_scales(e), k = w->k;
    const uint8_t *p[4];
    vf sums[16];
    for (int c = 0; c < C; c++) p[c] = panel->p[from + (size_t)c];
#pragma unroll
    for (int i = 0; i < 4 * R; i++) sums[i] = (vf){0};
    size_t at = 0;
    for (; at + unit <= k; at += unit, scales += 4 * width) {
        if (soon) {
            ck_fetch(e, w, soon, 4 * bytes);
            soon += 4 * bytes;
        }
        ck_unit_step(e, R, C, p, scales, x + at, ldx, sums);
        for (int c = 0; c < C; c++) p[c] += bytes;
    }
    if (e <= CK_BF16 && at < k) { // filled up with zeros
        uint8_t rest[4][128] = {0};
        ck_element left[4][32] = {0};
        for (int c = 0; c < C; c++) p[c] = memcpy(rest[c], p[c], (k - at) * (bytes / 32));
        for (int r = 0; r < R; r++) memcpy(left[r], x + (size_t)r * ldx + at, (k - at) * sizeof(ck_element));
        ck_unit_step(e, R, C, p, scales, left[0], 32, sums);
    }
    v4 totals[4];
#if CK_AVX512
    if (R == 4) {
        v16 all = ck_totals_of_16(sums);
        totals[0] = all.lo.lo;
        totals[1] = all.hi.lo;
        totals[2] = all.lo.hi;
        totals[3] = all.hi.hi;
    } else
#endif
#pragma unroll
        for (int r = 0; r < R; r++) totals[r] = ck_totals(sums + 4 * r);
#pragma unroll
    for (int r = 0; r < R; r++) ck_store(w, panel->row + from, panel->end, (size_t)C, totals[r], y + (size_t)r * ldy);
}

INLINE void ck_blocks(ck_encoding e, int R, const ck_panel *panel, const float *scales, const uint8_t *soon,
                      const ck_element *x, size_t ldx, float *y, size_t ldy) {
    const int C = R == 4 ? CK_WIDTH : 4;
    for (size_t from = 0; panel->row + from < panel->end; from += (size_t)C)
        ck_block(e, R, C, panel, from, scales, soon, x, ldx, y, ldy);
}

/// `rows` rows of x against a panel, four if it is more; `most` is a constant that says how many there can be, CK_ANY
/// for a tile.
INLINE void ck_few(ck_encoding e, size_t most, size_t rows, const ck_panel *panel, const float *scales,
                   const uint8_t *soon, const ck_element *x, size_t ldx, float *y, size_t ldy) {
    if (most == 1 || rows == 1) {
        ck_blocks(e, 1, panel, scales, soon, x, ldx, y, ldy);
    } else if (most == 2 || rows == 2) {
        ck_blocks(e, 2, panel, scales, soon, x, ldx, y, ldy);
    } else if (rows == 3) {
        ck_blocks(e, 2, panel, scales, soon, x, ldx, y, ldy);
        ck_blocks(e, 1, panel, scales, NULL, x + 2 * ldx, ldx, y + 2 * ldy, ldy);
    } else if (most == CK_ANY || CK_WIDTH == 4) {
        ck_blocks(e, 4, panel, scales, soon, x, ldx, y, ldy);
    } else {
        ck_blocks(e, 2, panel, scales, soon, x, ldx, y, ldy);
        ck_blocks(e, 2, panel, scales, NULL, x + 2 * ldx, ldx, y + 2 * ldy, ldy);
    }
}

/// One copy for the tiles of all encodings.
static __attribute__((noinline)) void ck_tile_product(size_t rows, const ck_panel *panel, const ck_element *x,
                                                      size_t ldx, float *y, size_t ldy) {
    ck_few(CK_ELEMENT, CK_ANY, rows, panel, NULL, NULL, x, ldx, y, ldy);
}

/// A panel's rows as elements in `out`, filled up with zeros to a multiple of thirty-two. `scales` is scratch.
INLINE void ck_expand_panel(ck_encoding e, ck_panel *panel, float *scales, ck_element *out) {
    const size_t unit = ck_unit(e), bytes = ck_unit_bytes(e), width = ck_unit_scales(e), k = panel->w->k,
                 pitch = ck_pitch(k);
    uint8_t rest[128];
    size_t from = 0;
    for (; panel->row + from < panel->end; from += 4, out += 4 * pitch) {
        const uint8_t *p[4];
        memcpy(p, panel->p + from, sizeof(p));
        ck_prepare(e, p, k / unit, scales);
        for (size_t at = 0; at < k; at += unit)
            for (size_t c = 0; c < 4; c++) {
                const uint8_t *block = p[c];
                if (e <= CK_BF16 && k - at < unit) {
                    memset(rest, 0, sizeof(rest));
                    block = memcpy(rest, block, (k - at) * (bytes / 32));
                }
                CK_UNROLL_GROUPS
                for (int group = 0; group < (int)(unit / 32); group++) {
                    ck_part v[CK_PARTS];
                    ck_weights_at(e, block, scales + (4 * (at / unit) + c) * width, group, v);
                    memcpy(out + c * pitch + at + 32 * (size_t)group, v, sizeof(v));
                }
                p[c] += bytes;
            }
        for (size_t c = 0; c < 4; c++) panel->p[from + c] = (const uint8_t *)(out + c * pitch);
    }
    // CK_WIDTH rows at a time may be more than these; what they point to is read.
    for (; from < CK_TILE; from++) panel->p[from] = panel->p[from - 1];
}

#if !CK_BF16_DOT
/// `count` numbers, a multiple of sixteen, to bf16.
static __attribute__((noinline)) void ck_round(float *x, size_t count) {
    for (size_t i = 0; i < count; i += CK_LANES) store(x + i, rounded(load(x + i)));
}
#endif

INLINE void ck_product(ck_encoding e, const ck_weights *w, size_t first, size_t count, const ck_activations *x,
                       float *y, size_t ldy, float *scratch) {
    const ck_element *elements = ck_elements(x);
    ck_element *expanded = (ck_element *)(scratch + ck_scales(w->k));
    const size_t end = first + count;
#if CK_BF16_DOT
    const int rounded = 0; // an expansion rounds
#else
    const int rounded = e != CK_BF16 && x->rounded != NULL;
#endif
    ck_fetch_rows(e, w, first, end, CK_AHEAD);
    // Blocks of 256 are costly enough to be expanded once, numbers without blocks cheap enough to be
    // expanded again.
    const size_t direct = e >= CK_Q2_K ? 1 : e <= CK_BF16 ? 4 : CK_DIRECT;
    if (!rounded && x->rows <= direct) {
        for (size_t row = first; row < end; row += 4) {
            ck_panel panel = ck_panel_at(w, row, end, 4);
            const uint8_t *soon =
                row + CK_AHEAD + 4 <= end ? ck_row(w, row + CK_AHEAD) : NULL; // others are another thread's
            ck_prepare(e, panel.p, w->k / ck_unit(e), scratch);
            ck_few(e, direct, x->rows, &panel, scratch, soon, elements, x->ld, y, ldy);
        }
        return;
    }
    for (size_t row = first; row < end; row += CK_TILE) {
        ck_panel tile = ck_panel_at(w, row, end, CK_TILE);
        if (rounded || e != CK_ELEMENT) ck_expand_panel(e, &tile, scratch, expanded);
#if !CK_BF16_DOT
        if (rounded) ck_round(expanded, (tile.end - row) * ck_pitch(w->k));
#endif
        ck_fetch_rows(e, w, tile.end, end, CK_TILE);
        for (size_t i = 0; i < x->rows; i += 4)
            ck_tile_product(x->rows - i, &tile, elements + i * x->ld, x->ld, y + i * ldy, ldy);
    }
}

// A function for each encoding, so that each has its constants.
#define CK_PRODUCT(E)                                                                                                  \
    static __attribute__((noinline)) void ck_product_##E(const ck_weights *w, size_t first, size_t count,              \
                                                         const ck_activations *x, float *y, size_t ldy,                \
                                                         float *scratch) {                                             \
        ck_product(CK_##E, w, first, count, x, y, ldy, scratch);                                                       \
    }
CK_EACH_ENCODING(CK_PRODUCT)
#undef CK_PRODUCT

/// See weights_product in ck_engine.h.
static void weights_product(const ck_weights *w, size_t first, size_t count, const ck_activations *x, float *y,
                            size_t ldy, float *scratch) {
    switch (w->encoding) {
#define CASE(E)                                                                                                        \
    case CK_##E: ck_product_##E(w, first, count, x, y, ldy, scratch); break;
        CK_EACH_ENCODING(CASE)
#undef CASE
    }
}
#endif
