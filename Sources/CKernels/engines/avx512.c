#if defined(__x86_64__)
#define CK_AVX512 1
#include <immintrin.h>   // before the target: these functions name their own
#include <math.h>
#include <string.h>
#define CK_LANES 16
#define CK_M 14
#define CK_A_SLOT 16
#define CK_NAME "avx512"
#define CK_TABLE ck_engine_avx512
#pragma clang attribute push(__attribute__((target("arch=x86-64-v4"))), apply_to = function)
#include "../kernels/engine.h"
#pragma clang attribute pop
#endif
