#ifndef CK_HEAD_H
#define CK_HEAD_H
#include <stddef.h>
#include <stdint.h>
/// What is known of a row's logits z over some columns.
typedef struct {
  float max;         // m = max z
  float sum;         // Σ exp(z − m)
  float squares;     // Σ exp(2 (z − m))
  float weighted;    // Σ exp(z − m) (z − m)
  float total;       // Σ z
  int32_t argmax;    // the first column where z = m, counted from `first`
} ck_logit_statistics;

/// Statistics of `columns` logits of each row; `first` is added to argmax. One loop
/// for every use, so that a log-prob has the same bits whatever is asked for beside it.
void ck_logits_statistics(const float *z, size_t ld, size_t rows, size_t columns, int32_t first,
                          ck_logit_statistics *statistics, size_t stride);
/// z becomes −scale[row] · exp(z − lse[row]).
void ck_logits_backward(float *z, size_t ld, size_t rows, size_t columns, const float *lse, const float *scale);
#endif
