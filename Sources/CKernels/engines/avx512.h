// What both files of the engine avx512 agree on: their panels are the same.
#define CK_AVX512 1
#define CK_LANES 16
#define CK_M 14
#define CK_A_SLOT 16
#include <immintrin.h> // before the target: these functions name their own
#include <math.h>
#include <string.h>
