#ifndef DPO_H
#define DPO_H
#include <stdint.h>
const char *dpo_version(void);
#endif
