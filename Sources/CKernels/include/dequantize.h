#ifndef CK_DEQUANTIZE_H
#define CK_DEQUANTIZE_H
#include <stddef.h>
#include <stdint.h>

/// Encodings of stored tensors; the block formats are those of ggml.
typedef enum {
  CK_F32, CK_F16, CK_BF16, CK_Q4_0, CK_Q4_1, CK_Q5_0, CK_Q5_1, CK_Q8_0, CK_Q2_K, CK_Q3_K, CK_Q4_K, CK_Q5_K, CK_Q6_K
} ck_encoding;

/// Decodes `count` elements (a whole number of blocks) into `out`. `in` needs no alignment.
void ck_dequantize(ck_encoding encoding, const void *in, float *out, size_t count);

/// The same numbers for `rows` rows of `count` elements, `row_bytes` apart, `ldo` apart in `out`; with AVX-512 some rows at a time.
void ck_dequantize_rows(ck_encoding encoding, const void *in, size_t row_bytes, size_t rows, float *out, size_t ldo, size_t count);

/// Index of the first block (an element for F32, F16 and BF16) that holds a NaN or infinity, or `blocks` if there is
/// none. In block formats the scales are looked at: with finite scales every element is finite.
size_t ck_first_nonfinite(ck_encoding encoding, const void *in, size_t blocks);

/// Encodes `count` numbers as F32, F16, BF16 (nearest, ties to even) or Q8_0 (ggml's reference; `count` a multiple of
/// 32). Returns 0, or -1 for any other encoding.
int ck_quantize(ck_encoding encoding, const float *in, void *out, size_t count);
#endif
