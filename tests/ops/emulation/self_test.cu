// Kernels that try the emulation itself: what it computes, and the faults that it must find.
#include <cstring>
#include <exception>
#include <string>

#include "cuda_runtime.h"

namespace {

// Sum, maximum lane of a positive value and broadcast by shuffles and ballots of one warp.
__global__ void warp(int* data, int count) {
  const int lane = threadIdx.x;
  const int value = data[lane];
  int sum = value;
  for (int offset = 16; offset > 0; offset /= 2) {
    sum += __shfl_down_sync(0xffffffffu, sum, offset);
  }
  sum = __shfl_sync(0xffffffffu, sum, 0);
  int across = value;
  for (int bits = 16; bits > 0; bits /= 2) {
    across += __shfl_xor_sync(0xffffffffu, across, bits);
  }
  const unsigned positive = __ballot_sync(0xffffffffu, value > 0);
  const int above = __shfl_up_sync(0xffffffffu, value, 1);
  const bool all = __all_sync(0xffffffffu, across == sum);
  const bool any = __any_sync(0xffffffffu, value > 1000);
  data[lane] = all && !any ? sum + 1000 * __popc(positive) + 100000 * above : -1;
}

// Lanes of two halves that never meet.
__global__ void halves(int* data, int count) {
  const int lane = threadIdx.x;
  const unsigned mask = lane < 16 ? 0x0000ffffu : 0xffff0000u;
  if (lane < 16) __syncwarp(mask);
  data[lane] = static_cast<int>(__ballot_sync(mask, data[lane]) >> (lane / 16 * 16));
}

// Reverses an array in shared memory.
__global__ void reverse(int* data, int count) {
  int* shared = reinterpret_cast<int*>(emulation::dynamic_shared_memory());
  shared[threadIdx.x] = data[threadIdx.x];
  __syncthreads();
  data[threadIdx.x] = shared[count - 1 - threadIdx.x];
}

// A grid of three dimensions, each thread at its own place.
__global__ void indices(int* data, int count) {
  const int block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  const int thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
  const int threads = blockDim.x * blockDim.y * blockDim.z;
  atomicAdd(data + block * threads + thread, block * threads + thread);
}

__global__ void uninitialised(int* data, int count) {
  __shared__ int shared[64];
  data[threadIdx.x] = shared[threadIdx.x];
  shared[threadIdx.x] = 1;
}

__global__ void race(int* data, int count) {
  __shared__ int shared[64];
  shared[threadIdx.x] = data[threadIdx.x];  // no barrier
  data[threadIdx.x] = shared[(threadIdx.x + 1) % count];
}

__global__ void race_over_warp_operation(int* data, int count) {
  __shared__ int shared[64];
  shared[threadIdx.x] = data[threadIdx.x];
  __ballot_sync(0xffffffffu, 1);  // orders no memory
  data[threadIdx.x] = shared[(threadIdx.x + 1) % count];
}

__global__ void overflow(int* data, int count) {
  int* shared = reinterpret_cast<int*>(emulation::dynamic_shared_memory());
  shared[threadIdx.x + 1] = data[threadIdx.x];  // one int behind the end
}

__global__ void static_overflow(int* data, int count) {
  __shared__ int shared[64];
  int* pointer = shared;
  pointer[threadIdx.x + 64 - count + 1] = data[threadIdx.x];
}

__global__ void undefined(int* data, int count) { data[threadIdx.x] += 0x7fffffff; }

__global__ void barrier_of_some(int* data, int count) {
  if (threadIdx.x % 2 == 0) return;
  __syncthreads();
}

__global__ void different_barriers(int* data, int count) {
  if (threadIdx.x % 2 == 0) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}

__global__ void ballot_of_some(int* data, int count) {
  if (threadIdx.x % 2 == 0) __ballot_sync(0xffffffffu, 1);
}

__global__ void lane_outside_of_its_mask(int* data, int count) { __ballot_sync(0x1u, 1); }

struct Test {
  const char* name;
  void (*kernel)(int*, int);
  dim3 blocks, threads;  // {0}: one thread for each value
};

const Test kTests[] = {
    {"warp", warp, {1}, {0}},
    {"halves", halves, {1}, {0}},
    {"reverse", reverse, {1}, {0}},
    {"indices", indices, {3, 2, 2}, {4, 3, 2}},
    {"uninitialised", uninitialised, {2}, {0}},
    {"race", race, {1}, {0}},
    {"race_over_warp_operation", race_over_warp_operation, {1}, {0}},
    {"overflow", overflow, {1}, {0}},
    {"static_overflow", static_overflow, {1}, {0}},
    {"undefined", undefined, {1}, {0}},
    {"barrier_of_some", barrier_of_some, {1}, {0}},
    {"different_barriers", different_barriers, {1}, {0}},
    {"ballot_of_some", ballot_of_some, {1}, {0}},
    {"lane_outside_of_its_mask", lane_outside_of_its_mask, {1}, {0}},
};

}  // namespace

extern "C" __attribute__((visibility("default"))) void emulation_self_test(const char* name,
                                                                           int* data, int count,
                                                                           char* error,
                                                                           size_t length) {
  std::string message = "no such test";
  for (const Test& test : kTests) {
    if (std::strcmp(test.name, name) != 0) continue;
    cudaLaunchConfig_t config{};
    config.gridDim = test.blocks;
    config.blockDim = test.threads.x == 0 ? dim3(count) : test.threads;
    config.dynamicSmemBytes = count * sizeof(int);
    message.clear();
    try {
      cudaLaunchKernelEx(&config, test.kernel, data, count);
    } catch (const std::exception& refused) {
      message = refused.what();
    }
  }
  std::strncpy(error, message.c_str(), length - 1);
  error[length - 1] = 0;
}
