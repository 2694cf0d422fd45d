#ifndef CK_ENGINES_H
#define CK_ENGINES_H
#include "ck_engine.h"
extern const ck_engine ck_engine_avx512, ck_engine_avx2, ck_engine_neon, ck_engine_portable;
/// NULL: it cannot be loaded.
const ck_engine *ck_openblas(void);
#endif
