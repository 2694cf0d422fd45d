#include <hdf5.h>

/* Identifiers that libhdf5 offers as macros or mutable globals, neither of which Swift 6 imports. H5open() first. */
static inline hid_t ch5_float32(void) { return H5T_IEEE_F32LE_g; }
static inline hid_t ch5_float64(void) { return H5T_IEEE_F64LE_g; }
static inline hid_t ch5_int64(void) { return H5T_STD_I64LE_g; }
static inline hid_t ch5_int32(void) { return H5T_STD_I32LE_g; }
static inline hid_t ch5_uint8(void) { return H5T_STD_U8LE_g; }
static inline hid_t ch5_c_string(void) { return H5T_C_S1_g; }
static inline size_t ch5_variable_size(void) { return H5T_VARIABLE; }
static inline hid_t ch5_file_create(void) { return H5P_CLS_FILE_CREATE_ID_g; }
static inline hid_t ch5_file_access(void) { return H5P_CLS_FILE_ACCESS_ID_g; }
static inline hid_t ch5_dataset_create(void) { return H5P_CLS_DATASET_CREATE_ID_g; }
static inline hid_t ch5_default(void) { return H5P_DEFAULT; }
static inline hid_t ch5_default_errors(void) { return H5E_DEFAULT; }
static inline unsigned ch5_truncate(void) { return 0x0002u; }
static inline H5F_libver_t ch5_latest_format(void) { return H5F_LIBVER_LATEST; }
static inline haddr_t ch5_undefined_address(void) { return HADDR_UNDEF; }
