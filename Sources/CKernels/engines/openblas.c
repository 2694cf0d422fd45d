// Products through OpenBLAS, everything else as in the best engine of our own: the reference for the others. The
// library is loaded when the engine is first asked for, and has no effect on the process before.
#define _GNU_SOURCE // MAP_ANONYMOUS
#include "engines.h"
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

enum { ROW_MAJOR = 101, NO_TRANSPOSE = 111, TRANSPOSE = 112 };
typedef void sgemm_function(int order, int a_transposed, int b_transposed, int m, int n, int k, float alpha,
                            const float *a, int lda, const float *b, int ldb, float beta, float *c, int ldc);

static ck_engine engine;
static sgemm_function *sgemm;
static char error[256];

// A panel is one row, so that packed operands are plain matrices.
static void pack(ck_gemm_precision precision, int is_a, const float *x, size_t ld, int transposed, float alpha,
                 size_t rows, size_t k_from, size_t k_to, size_t k, float *packed) {
    (void)is_a;
    for (size_t i = 0; i < rows; i++) {
        float *out = packed + i * k + k_from;
        for (size_t p = 0; p < k_to - k_from; p++) out[p] = alpha * x[transposed ? p * ld + i : i * ld + p];
        if (precision != CK_GEMM_F32) engine.round_to_bf16(out, NULL, k_to - k_from);
    }
}

static void multiply(ck_gemm_precision precision, const float *a, size_t a_slots, const float *b, size_t b_slots,
                     size_t m, size_t n, size_t k, float *c, size_t ldc, int accumulate) {
    (void)precision;
    if (m > 0 && n > 0)
        sgemm(ROW_MAJOR, NO_TRANSPOSE, TRANSPOSE, (int)m, (int)n, (int)k, 1, a, (int)a_slots, b, (int)b_slots,
              accumulate ? 1 : 0, c, (int)ldc);
}

// OpenBLAS takes buffers at the first product, and for its own thread when it is loaded, and tries for ever where there
// is no room for them: so room for both is looked for, and a first product is made while it is there.
enum { BUFFERS = 512 << 20, FIRST = 128 };

static void take_buffers(void) {
    static float a[FIRST * FIRST], c[FIRST * FIRST];
    sgemm(ROW_MAJOR, NO_TRANSPOSE, TRANSPOSE, FIRST, FIRST, FIRST, 1, a, FIRST, a, FIRST, 0, c, FIRST);
}

static void open_library(void) {
    void *room = mmap(NULL, BUFFERS, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (room == MAP_FAILED) {
        snprintf(error, sizeof error, "OpenBLAS needs 512 MiB of address space");
        return;
    }
    munmap(room, BUFFERS);
#if defined(__APPLE__)
    void *library = dlopen("libopenblas.dylib", RTLD_NOW | RTLD_LOCAL);
#else
    void *library = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
#endif
    void (*set_threads)(int) = NULL;
    if (library) {
        *(void **)&sgemm = dlsym(library, "cblas_sgemm");
        *(void **)&set_threads = dlsym(library, "openblas_set_num_threads");
    }
    if (!library || !sgemm || !set_threads) {
        const char *why = library ? "it is not OpenBLAS" : dlerror();
        snprintf(error, sizeof error, "%s", why ? why : "libopenblas.so.0 cannot be loaded");
        sgemm = NULL;
        return;
    }
    set_threads(1); // global to the process; the work is divided by our own threads
    take_buffers();
    engine = *ck_engine_best();
    engine.name = "openblas";
    engine.m = engine.n = engine.a_slot = engine.b_slot = 1;
    engine.bf16 = CK_GEMM_ROUNDED;
    engine.cuts_freely = 0;
    engine.pack = pack;
    engine.multiply = multiply;
}

static pthread_once_t once = PTHREAD_ONCE_INIT;

const ck_engine *ck_openblas(void) {
    pthread_once(&once, open_library);
    return sgemm ? &engine : NULL;
}

const char *ck_openblas_error(void) { return error; }
