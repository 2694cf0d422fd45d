#ifndef CK_CHUNK_H
#define CK_CHUNK_H
// Scratch memory of a chunk of the gated delta rule (delta.h), the same in every engine.
#include <stddef.h>

/// Squares are [rows, rows].
typedef struct {
    float *left, *left2, *right, *right2; // sides of products
    float *E, *A, *P, *dA, *dP;           // squares
    float *delta, *d;                     // Δ; dΔ, then dR, then dX
    float *scaled;                        // rows, each times a number
    float *dq, *dk, *dk_behind;           // dQ, dK⁺, dK⁻
    float *gamma, *sums;                  // γ; d log decay
} chunk;

static inline size_t chunk_padded(size_t count) { return (count + 15) / 16 * 16; }

static inline size_t chunk_widest(size_t rows, size_t keys, size_t values) {
    size_t widest = rows > keys ? rows : keys;
    return widest > values ? widest : values;
}

/// Of either side of a product that is at most `widest` in both directions, with panels of any engine.
static inline size_t chunk_side(size_t widest) { return chunk_padded((widest * 4 / 3 + 32) * widest); }

static inline chunk chunk_in(float *scratch, size_t rows, size_t keys, size_t values) {
    size_t widest = chunk_widest(rows, keys, values), side = chunk_side(widest), square = chunk_padded(rows * rows),
           of_keys = chunk_padded(rows * keys), of_values = chunk_padded(rows * values);
    chunk c;
    c.left = scratch, c.left2 = c.left + side, c.right = c.left2 + side, c.right2 = c.right + side;
    c.E = c.right2 + side, c.A = c.E + square, c.P = c.A + square, c.dA = c.P + square, c.dP = c.dA + square;
    c.delta = c.dP + square, c.d = c.delta + of_values, c.scaled = c.d + of_values;
    c.dq = c.scaled + chunk_padded(rows * widest), c.dk = c.dq + of_keys, c.dk_behind = c.dk + of_keys;
    c.gamma = c.dk_behind + of_keys, c.sums = c.gamma + chunk_padded(rows);
    return c;
}

/// What `chunk_in` takes.
static inline size_t chunk_count(size_t rows, size_t keys, size_t values) {
    size_t widest = chunk_widest(rows, keys, values);
    return 4 * chunk_side(widest) + 5 * chunk_padded(rows * rows) + 2 * chunk_padded(rows * values) +
           chunk_padded(rows * widest) + 3 * chunk_padded(rows * keys) + 2 * chunk_padded(rows);
}
#endif
