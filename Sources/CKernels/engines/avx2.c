#if defined(__x86_64__)
#define CK_AVX2 1
#include <immintrin.h> // before the target: these functions name their own
#include <math.h>
#include <string.h>
#define CK_LANES 8
#define CK_M 6
#define CK_A_SLOT 8
#define CK_NAME "avx2"
#define CK_TABLE ck_engine_avx2
#pragma clang attribute push(__attribute__((target("arch=x86-64-v3"))), apply_to = function)
#include "../kernels/engine.h"
#pragma clang attribute pop
#endif
