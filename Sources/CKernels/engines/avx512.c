#if defined(__x86_64__)
#include "avx512.h"
#define CK_NAME "avx512"
#define CK_TABLE ck_engine_avx512
#pragma clang attribute push(__attribute__((target("arch=x86-64-v4"))), apply_to = function)
#include "../kernels/engine.h"
#pragma clang attribute pop
#endif
