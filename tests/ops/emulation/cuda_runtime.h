// Stands in for CUDA's header, so that a host compiler builds csrc/cuda/*.cu unchanged into a
// library that runs on the CPU. It has what those files use: qualifiers, indices, shared memory,
// barriers, warp operations, atomics and launches. scheduler.cpp runs the threads.
#pragma once

#include <math.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <tuple>
#include <utility>

#define __global__
#define __host__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)
// Blocks run one after another, so one copy of an array serves them all. The build collects these
// arrays in a section that the scheduler fills with garbage before every block.
#define __shared__ static

struct uint3 {
  unsigned x, y, z;
};

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

struct alignas(16) double2 {
  double x, y;
};

extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;

using cudaStream_t = void*;

enum cudaError_t : int { cudaSuccess = 0, cudaErrorInvalidConfiguration = 9 };

struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  size_t dynamicSmemBytes;
  cudaStream_t stream;
};

namespace emulation {

// Where a barrier or a warp operation was called.
struct Site {
  const char* file;
  int line;
};

cudaError_t launch(const cudaLaunchConfig_t& config, const std::function<void()>& kernel);
void block_barrier(Site site);
// Every lane in `mask` contributes a value and reads the values of all lanes, in the slots of the
// returned array; a memory fence only where `fence`.
const uint64_t* exchange(unsigned mask, uint64_t value, bool fence, Site site);
unsigned lane();
double2* dynamic_shared_memory();

template <typename T>
uint64_t to_bits(T value) {
  static_assert(sizeof(T) <= sizeof(uint64_t));
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  return bits;
}

template <typename T>
T from_bits(uint64_t bits) {
  T value;
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

}  // namespace emulation

#define EMULATION_SITE const char *file = __builtin_FILE(), int line = __builtin_LINE()

inline void __syncthreads(EMULATION_SITE) { emulation::block_barrier({file, line}); }

inline void __syncwarp(unsigned mask = 0xffffffffu, EMULATION_SITE) {
  emulation::exchange(mask, 0, true, {file, line});
}

inline unsigned __ballot_sync(unsigned mask, int predicate, EMULATION_SITE) {
  const uint64_t* values = emulation::exchange(mask, predicate != 0, false, {file, line});
  unsigned bits = 0;
  for (unsigned i = 0; i < 32; ++i) {
    bits |= (mask >> i & 1) && values[i] ? 1u << i : 0;
  }
  return bits;
}

inline int __any_sync(unsigned mask, int predicate, EMULATION_SITE) {
  return __ballot_sync(mask, predicate, file, line) != 0;
}

inline int __all_sync(unsigned mask, int predicate, EMULATION_SITE) {
  return __ballot_sync(mask, predicate, file, line) == mask;
}

namespace emulation {
// The value of lane `from`, or the caller's own where that is outside of its segment of the warp.
template <typename T>
T shuffle(unsigned mask, T value, int from, int width, Site site) {
  const uint64_t* values = exchange(mask, to_bits(value), false, site);
  const int first = static_cast<int>(lane()) / width * width;
  return from >= first && from < first + width ? from_bits<T>(values[from]) : value;
}
}  // namespace emulation

template <typename T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32, EMULATION_SITE) {
  const int first = static_cast<int>(emulation::lane()) / width * width;
  return emulation::shuffle(mask, value, first + (source & (width - 1)), width, {file, line});
}

template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, EMULATION_SITE) {
  const int from = static_cast<int>(emulation::lane()) - static_cast<int>(delta);
  return emulation::shuffle(mask, value, from, width, {file, line});
}

template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, EMULATION_SITE) {
  const int from = static_cast<int>(emulation::lane() + delta);
  return emulation::shuffle(mask, value, from, width, {file, line});
}

template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32, EMULATION_SITE) {
  const int from = static_cast<int>(emulation::lane()) ^ bits;
  return emulation::shuffle(mask, value, from, width, {file, line});
}

template <typename T>
T atomicAdd(T* address, T value) {
  using Bits = std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>;
  static_assert(sizeof(T) == sizeof(Bits));
  Bits* bits = reinterpret_cast<Bits*>(address);
  Bits old = __atomic_load_n(bits, __ATOMIC_RELAXED), sum;
  T before;
  do {
    std::memcpy(&before, &old, sizeof(T));
    const T after = before + value;
    std::memcpy(&sum, &after, sizeof(T));
  } while (!__atomic_compare_exchange_n(bits, &old, sum, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
  return before;
}

inline int __ffs(int bits) { return __builtin_ffs(bits); }
inline int __ffsll(long long bits) { return __builtin_ffsll(bits); }
inline int __popc(unsigned bits) { return __builtin_popcount(bits); }
inline int __popcll(unsigned long long bits) { return __builtin_popcountll(bits); }

using std::max;
using std::min;

template <typename... Parameters, typename... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  const std::tuple<Parameters...> parameters(std::forward<Arguments>(arguments)...);
  return emulation::launch(*config, [&] { std::apply(kernel, parameters); });
}

inline cudaError_t cudaGetLastError() { return cudaSuccess; }
