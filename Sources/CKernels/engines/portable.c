#define CK_PORTABLE 1
#define CK_LANES 4
#define CK_M 6
#define CK_A_SLOT 8
#define CK_NAME "portable"
#define CK_TABLE ck_engine_portable
#include "../kernels/engine.h"
