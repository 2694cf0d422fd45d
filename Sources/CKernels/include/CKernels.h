#ifndef CKERNELS_H
#define CKERNELS_H
#include "ck_engine.h"
#include "ck_team.h"
/// 64-bit XXH3 of `size` bytes.
uint64_t ck_xxh3(const void *bytes, size_t size);
#endif
