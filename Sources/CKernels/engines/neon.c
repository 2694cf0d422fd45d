#if defined(__aarch64__)
#include <arm_neon.h>
#define CK_NEON 1
#define CK_LANES 4
#define CK_M 14
#define CK_A_SLOT 16
#define CK_NAME "neon"
#define CK_TABLE ck_engine_neon
#include "../kernels/engine.h"
#endif
