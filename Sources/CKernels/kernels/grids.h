#ifndef CK_KERNELS_GRIDS_H
#define CK_KERNELS_GRIDS_H
#include <stdint.h>

/// The grids of the IQ formats (grids.c): element i of eight has bits 2 i and 2 i + 1, of four bits 4 i … 4 i + 2.
extern const uint16_t ck_iq1_grid[2048];                                              // q stands for q − 1
extern const uint16_t ck_iq2_xxs_grid[256], ck_iq2_xs_grid[512], ck_iq2_s_grid[1024]; // for 8, 25, 43
extern const uint16_t ck_iq3_xxs_grid[256];                                           // for 4, 12, … 52, 62
extern const uint16_t ck_iq3_s_grid[512];                                             // for 2 q + 1
#endif
