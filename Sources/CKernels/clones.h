#ifndef CK_CLONES_H
#define CK_CLONES_H
/// Compiles a function for AVX-512, AVX2 and any x86-64; the loader takes the best that the machine has.
#if defined(__x86_64__)
#define CK_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define CK_CLONES
#endif
#endif
