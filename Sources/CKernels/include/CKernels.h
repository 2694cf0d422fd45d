#ifndef CKERNELS_H
#define CKERNELS_H
#include <stddef.h>
#include <stdint.h>
#include "ck_head.h"
#include "ck_rows.h"
#include "ck_team.h"
#include "dequantize.h"
/// 64-bit XXH3 of `size` bytes.
uint64_t ck_xxh3(const void *bytes, size_t size);
#endif
