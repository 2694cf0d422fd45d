#include "engines.h"
#include "../kernels/bf16.h"
#include "../kernels/chunk.h"
#include <pthread.h>
#include <stddef.h>

// Four rows' scales, then a tile of twelve at most (kernels/weights.h).
size_t ck_weights_scratch(size_t k) { return (k + 31) / 32 * 16 + 16 + 12 * ((k + 31) / 32 * 32 + 16); }

size_t ck_delta_scratch(size_t rows, size_t keys, size_t values) { return chunk_count(rows, keys, values); }

size_t ck_cached_attention_scratch(size_t keys, size_t part_count) { return 4 * (keys + 16 * part_count); }

#if defined(__x86_64__)
static ck_engine avx512;

static void pack(ck_gemm_precision precision, int is_a, const float *x, size_t ld, int transposed, float alpha,
                 size_t rows, size_t k_from, size_t k_to, size_t k, float *packed) {
    if (precision == CK_GEMM_BF16) ck_bf16_pack(is_a, x, ld, transposed, alpha, rows, k_from, k_to, k, packed);
    else ck_engine_avx512.pack(precision, is_a, x, ld, transposed, alpha, rows, k_from, k_to, k, packed);
}

static void multiply(ck_gemm_precision precision, const float *a, size_t a_slots, const float *b, size_t b_slots,
                     size_t m, size_t n, size_t k, float *c, size_t ldc, int accumulate) {
    if (precision == CK_GEMM_BF16) ck_bf16_multiply(a, a_slots, b, b_slots, m, n, k, c, ldc, accumulate);
    else ck_engine_avx512.multiply(precision, a, a_slots, b, b_slots, m, n, k, c, ldc, accumulate);
}

static void weights_product(const ck_weights *w, size_t first, size_t count, const ck_activations *x, float *y,
                            size_t ldy, float *scratch) {
    (x->rounded ? ck_bf16_weights_product : ck_engine_avx512.weights_product)(w, first, count, x, y, ldy, scratch);
}

static void choose(void) {
    __builtin_cpu_init();
    avx512 = ck_engine_avx512;
    if (!__builtin_cpu_supports("avx512bf16")) return;
    avx512.pack = pack;
    avx512.multiply = multiply;
    avx512.weights_product = weights_product;
    // Intel's processors issue their dot product of bf16 at half the rate of f32 or less: there large products multiply
    // as f32.
    avx512.bf16 = __builtin_cpu_is("intel") ? CK_GEMM_ROUNDED : CK_GEMM_BF16;
}

static const ck_engine *wide(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, choose);
    return __builtin_cpu_supports("x86-64-v4") ? &avx512 : NULL;
}

static const ck_engine *narrow(void) {
    __builtin_cpu_init();
    return __builtin_cpu_supports("x86-64-v3") ? &ck_engine_avx2 : NULL;
}
#else
static const ck_engine *wide(void) { return NULL; }
static const ck_engine *narrow(void) { return NULL; }
#endif

static const ck_engine *neon(void) {
#if defined(__aarch64__)
    return &ck_engine_neon;
#else
    return NULL;
#endif
}

static const ck_engine *portable(void) { return &ck_engine_portable; }

static const struct {
    const char *name, *needs;
    const ck_engine *(*get)(void);
} engines[CK_ENGINES] = {
    {"avx512", "a processor with AVX-512 (x86-64-v4)", wide},
    {"avx2", "a processor with AVX2 and FMA (x86-64-v3)", narrow},
    {"neon", "a 64-bit ARM processor", neon},
    {"portable", "nothing", portable},
    {"openblas", "libopenblas.so.0", ck_openblas},
};

const char *ck_engine_name(int index) { return engines[index].name; }
const char *ck_engine_needs(int index) { return engines[index].needs; }
const ck_engine *ck_engine_at(int index) { return engines[index].get(); }

const ck_engine *ck_engine_best(void) {
    for (int i = 0; i < CK_ENGINES; i++) {
        const ck_engine *engine = engines[i].get();
        if (engine) return engine;
    }
    return &ck_engine_portable;
}
