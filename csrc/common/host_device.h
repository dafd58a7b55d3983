// The functions of csrc/common run on both sides: compiled by g++ into the CPU library and by nvcc
// into the CUDA library. Contraction to fused multiply-add is off on both (see setup.py), so that a
// comparison against a threshold falls the same way on both.
#pragma once

#ifdef __CUDACC__
#define HRDET_HOST_DEVICE __host__ __device__ __forceinline__
#else
#define HRDET_HOST_DEVICE inline
#endif
