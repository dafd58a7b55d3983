// SIMD vectors of float32: full or partial loads and stores as float32 or bfloat16.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "../common/tensors.h"

namespace hrdet {

// The widest vectors to use; ATEN_CPU_CAPABILITY limits them, as it limits torch's kernels.
inline int max_lanes() {
  const char* capability = std::getenv("ATEN_CPU_CAPABILITY");
  if (capability && std::strcmp(capability, "default") == 0) return 4;
  return capability && std::strcmp(capability, "avx2") == 0 ? 8 : 16;
}

template <int Lanes>
struct Vector {
  typedef float type __attribute__((vector_size(Lanes * sizeof(float))));
};

// Loads the first `count` lanes; the others are zero.
template <typename V>
inline V load(const float* from, int64_t count = sizeof(V) / sizeof(float)) {
  V values = {};
  if (count * sizeof(float) == sizeof(V)) {
    std::memcpy(&values, from, sizeof(V));
  } else {
    for (int64_t i = 0; i < count; ++i) values[i] = from[i];
  }
  return values;
}

template <typename V>
inline void store(float* to, const V& values, int64_t count) {
  if (count * sizeof(float) == sizeof(V)) {
    std::memcpy(to, &values, sizeof(V));
  } else {
    for (int64_t i = 0; i < count; ++i) to[i] = values[i];
  }
}

// Calls function(V{}, first, count) until all `channels` are covered: full vectors first, then the
// shortest vector that holds the rest, shifted left to overlap finished lanes so that it is full
// too (unless there are fewer than 4 channels in all).
template <int Lanes, typename Function>
inline void for_each_vector(int64_t channels, const Function& function, int64_t first = 0) {
  for (; first + Lanes <= channels; first += Lanes) {
    function(typename Vector<Lanes>::type{}, first, Lanes);
  }
  if (first == channels) return;
  if constexpr (Lanes > 4) {
    if (channels - first <= Lanes / 2 || channels < Lanes) {
      return for_each_vector<Lanes / 2>(channels, function, first);
    }
    function(typename Vector<Lanes>::type{}, channels - Lanes, Lanes);
  } else if (channels >= Lanes) {
    function(typename Vector<Lanes>::type{}, channels - Lanes, Lanes);
  } else {
    function(typename Vector<Lanes>::type{}, first, channels);
  }
}

// bfloat16 is the upper half of float32's bits.
template <typename V>
struct Bits {
  typedef uint32_t whole __attribute__((vector_size(sizeof(V))));
  typedef uint16_t upper __attribute__((vector_size(sizeof(V) / 2)));
};

template <typename V>
inline V load(const BFloat16* from, int64_t count) {
  typename Bits<V>::upper upper = {};
  if (count * sizeof(float) == sizeof(V)) {
    std::memcpy(&upper, from, sizeof(upper));
  } else {
    for (int64_t i = 0; i < count; ++i) upper[i] = from[i].x;
  }
  const auto bits = __builtin_convertvector(upper, typename Bits<V>::whole) << 16;
  V values;
  std::memcpy(&values, &bits, sizeof(V));
  return values;
}

// Rounded to the nearest, ties to even.
template <typename V>
inline void store(BFloat16* to, const V& values, int64_t count) {
  typename Bits<V>::whole bits;
  std::memcpy(&bits, &values, sizeof(V));
  bits = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
  const auto upper = __builtin_convertvector(bits, typename Bits<V>::upper);
  if (count * sizeof(float) == sizeof(V)) {
    std::memcpy(to, &upper, sizeof(upper));
  } else {
    for (int64_t i = 0; i < count; ++i) to[i].x = upper[i];
  }
}

}  // namespace hrdet
