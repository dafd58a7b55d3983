// The two inner loops of RoIAlign on a CPU, compiled for several instruction sets; the loader picks
// the widest one that the machine has. Values are read as Value and summed as Real.
#pragma once

#include <cstdint>
#include <cstring>

#include "../common/tensors.h"

#if defined(__x86_64__) && defined(__gnu_linux__)
#define HRDET_EVERY_CPU __attribute__((target_clones("default", "avx2", "avx512f"), flatten))
#else
#define HRDET_EVERY_CPU
#endif

namespace hrdet {

// Weighted places: weights[k] at data[offsets[k]].
template <typename Real>
struct Places {
  const int64_t* offsets;
  const Real* weights;
  int count;
};

template <typename Real>
struct Lanes {
  static constexpr int count = 32 / sizeof(Real);
  typedef Real type __attribute__((vector_size(32)));
};

// One vector of out[i] = sum over k of weights[k] * data[offsets[k] + i].
template <typename Value, typename Real>
inline void weighted_sum_lanes(Real* out, const Value* data, const Places<Real>& places) {
  typename Lanes<Real>::type sum = {};
  for (int k = 0; k < places.count; ++k) {
    const Value* source = data + places.offsets[k];
    typename Lanes<Real>::type values;
    for (int i = 0; i < Lanes<Real>::count; ++i) {
      values[i] = static_cast<Real>(source[i]);
    }
    sum += places.weights[k] * values;
  }
  std::memcpy(out, &sum, sizeof(sum));
}

// out[i] = sum over k of weights[k] * data[offsets[k] + i], i < length
template <typename Value, typename Real>
inline void weighted_sum_loop(Real* out, const Value* data, const Places<Real>& places,
                              int length) {
  constexpr int lanes = Lanes<Real>::count;
  if (length < lanes) {
    for (int i = 0; i < length; ++i) {
      Real sum = 0;
      for (int k = 0; k < places.count; ++k) {
        sum += places.weights[k] * static_cast<Real>(data[places.offsets[k] + i]);
      }
      out[i] = sum;
    }
    return;
  }
  for (int i = 0; i + lanes <= length; i += lanes) {
    weighted_sum_lanes(out + i, data + i, places);
  }
  const int last = length - lanes;  // the rest, overlapping what is done already
  weighted_sum_lanes(out + last, data + last, places);
}

// data[offsets[k] + i] += weights[k] * values[i], i < length
template <typename Real>
inline void scatter_add_loop(Real* data, const Real* values, const Places<Real>& places,
                             int length) {
  for (int k = 0; k < places.count; ++k) {
    Real* target = data + places.offsets[k];
    const Real weight = places.weights[k];
    for (int i = 0; i < length; ++i) {
      target[i] += weight * values[i];
    }
  }
}

// A function template cannot be compiled for several instruction sets: these can.
#define HRDET_WEIGHTED_SUM(Value, Real)                                              \
  HRDET_EVERY_CPU inline void weighted_sum(Real* out, const Value* data,             \
                                           const Places<Real>& places, int length) { \
    weighted_sum_loop<Value, Real>(out, data, places, length);                       \
  }
HRDET_WEIGHTED_SUM(float, float)
HRDET_WEIGHTED_SUM(double, double)
HRDET_WEIGHTED_SUM(Half, float)
HRDET_WEIGHTED_SUM(BFloat16, float)
#undef HRDET_WEIGHTED_SUM

#define HRDET_SCATTER_ADD(Real)                                                     \
  HRDET_EVERY_CPU inline void scatter_add(Real* data, const Real* values,           \
                                          const Places<Real>& places, int length) { \
    scatter_add_loop<Real>(data, values, places, length);                           \
  }
HRDET_SCATTER_ADD(float)
HRDET_SCATTER_ADD(double)
#undef HRDET_SCATTER_ADD

}  // namespace hrdet
