// Vectors of float32, read from and written to float32 or bfloat16, all lanes or the first few.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "../common/tensors.h"

namespace hrdet {

// Lanes of the widest vectors to use: ATEN_CPU_CAPABILITY limits them as it does torch's own.
inline int most_lanes() {
  const char* capability = std::getenv("ATEN_CPU_CAPABILITY");
  if (capability && std::strcmp(capability, "default") == 0) return 4;
  return capability && std::strcmp(capability, "avx2") == 0 ? 8 : 16;
}

template <int Lanes>
struct Vector {
  typedef float type __attribute__((vector_size(Lanes * sizeof(float))));
};

// The first `count` of a vector's lanes; the rest is zero.
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

// Calls function(V{}, first, count) for all of `channels` numbers: whole vectors, then the shortest
// that holds what is left; unless there are less than 4 in all, it overlaps what was done.
template <int Lanes, typename Function>
inline void each_vector(int64_t channels, const Function& function, int64_t first = 0) {
  for (; first + Lanes <= channels; first += Lanes) {
    function(typename Vector<Lanes>::type{}, first, Lanes);
  }
  if (first == channels) return;
  if constexpr (Lanes > 4) {
    if (channels - first <= Lanes / 2 || channels < Lanes) {
      return each_vector<Lanes / 2>(channels, function, first);
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
