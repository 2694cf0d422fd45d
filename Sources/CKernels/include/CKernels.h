#ifndef CKERNELS_H
#define CKERNELS_H
#include "ck_engine.h"
#include "ck_team.h"
/// 64-bit XXH3 of `size` bytes.
uint64_t ck_xxh3(const void *bytes, size_t size);

/* The same of bytes that come in pieces. NULL without memory. */
typedef struct ck_hash ck_hash;
ck_hash *ck_hash_create(void);
void ck_hash_update(ck_hash *hash, const void *bytes, size_t size);
uint64_t ck_hash_value(const ck_hash *hash);
void ck_hash_destroy(ck_hash *hash);
#endif
