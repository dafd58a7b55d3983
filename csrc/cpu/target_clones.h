// Compiles a function for several x86 instruction sets; the loader picks the widest supported one.
// A function template cannot be cloned: instantiate it in plain functions that carry this macro.
#pragma once

#if defined(__x86_64__) && defined(__gnu_linux__)
#define HRDET_TARGET_CLONES __attribute__((target_clones("default", "avx2", "avx512f"), flatten))
#else
#define HRDET_TARGET_CLONES
#endif
