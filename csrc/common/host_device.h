// Marks the functions of csrc/common, which are compiled for the CPU and for CUDA. Contraction to
// fused multiply-add is off in both builds (setup.py), so that comparisons with a threshold give
// the same result on both devices.
#pragma once

#ifdef __CUDACC__
#define HRDET_HOST_DEVICE __host__ __device__ __forceinline__
#else
#define HRDET_HOST_DEVICE inline
#endif
