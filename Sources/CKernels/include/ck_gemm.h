#ifndef CK_GEMM_H
#define CK_GEMM_H
#include <stddef.h>
#include <stdint.h>
// Matrix products C[m, n] = Σ_k A[m, k] B[n, k] from packed operands. Both operands are cut into panels of consecutive rows
// (CK_GEMM_M of A, CK_GEMM_N of B); within a panel the numbers of one k stand together, so that the inner loop reads both
// operands in order. In bf16 two consecutive k share a 32-bit slot. Operands of any layout, precision and encoding become
// panels of one format; the inner loop knows no other.
enum { CK_GEMM_M = 14, CK_GEMM_N = 32 };

/// CK_GEMM_ROUNDED: numbers that bf16 has, in slots of f32, multiplied as f32.
typedef enum { CK_GEMM_F32, CK_GEMM_BF16, CK_GEMM_ROUNDED } ck_gemm_precision;

/// Whether this machine has the instructions of the engine: AVX-512, and AVX512_BF16 for CK_GEMM_BF16.
int ck_gemm_available(ck_gemm_precision precision);

/// How products of bf16 numbers are computed here. Intel's processors issue their bf16 dot product at half the rate of f32 or less,
/// so that theirs and those without one multiply as f32.
ck_gemm_precision ck_gemm_bf16(void);

/// 32-bit slots that k numbers take.
static inline size_t ck_gemm_slots(ck_gemm_precision precision, size_t k) {
  return precision == CK_GEMM_BF16 ? (k + 1) / 2 : k;
}

/// Numbers of 4 bytes of a packed operand of `rows` rows in panels of `width`: a slot of a panel starts a line of cache.
static inline size_t ck_gemm_packed(ck_gemm_precision precision, size_t rows, size_t k, size_t width) {
  return (rows + width - 1) / width * ((width + 15) / 16 * 16) * ck_gemm_slots(precision, k);
}

/// Packs numbers k_from ..< k_to of each of `rows` rows of an operand with `k` numbers a row, into panels of `width` rows
/// (CK_GEMM_M or CK_GEMM_N); `k_from` is even. `x` points at number `k_from` of the first row: element (i, p) stands at
/// x[i · ld + p], or at x[p · ld + i] if `transposed`. Numbers are multiplied by `alpha`. Rows that the last panel lacks become
/// zeros.
void ck_gemm_pack(ck_gemm_precision precision, const float *x, size_t ld, int transposed, float alpha, size_t rows, size_t k_from,
                  size_t k_to, size_t k, size_t width, float *packed);

/// C = A Bᵀ, or added to C, for `m` rows from a panel of `a` on and `n` from one of `b`, k numbers of each. `a_slots`, `b_slots`:
/// slots of a whole panel, where `a` and `b` may point at a later slot than the first.
void ck_gemm_multiply(ck_gemm_precision precision, const float *a, size_t a_slots, const float *b, size_t b_slots, size_t m,
                      size_t n, size_t k, float *c, size_t ldc, int accumulate);
#endif
