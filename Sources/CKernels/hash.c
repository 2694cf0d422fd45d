#define XXH_INLINE_ALL
#include <xxhash.h>
#include "CKernels.h"
uint64_t ck_xxh3(const void *bytes, size_t size) { return XXH3_64bits(bytes, size); }

ck_hash *ck_hash_create(void) {
    XXH3_state_t *state = XXH3_createState();
    if (state) XXH3_64bits_reset(state);
    return (ck_hash *)state;
}

void ck_hash_update(ck_hash *hash, const void *bytes, size_t size) {
    XXH3_64bits_update((XXH3_state_t *)hash, bytes, size);
}

uint64_t ck_hash_value(const ck_hash *hash) { return XXH3_64bits_digest((const XXH3_state_t *)hash); }

void ck_hash_destroy(ck_hash *hash) { XXH3_freeState((XXH3_state_t *)hash); }
