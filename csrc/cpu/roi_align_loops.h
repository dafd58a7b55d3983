// The two inner loops of RoIAlign on a CPU: a weighted sum of pixels and its transpose,
// scatter-add. Features are of type Value, sums of type Real.
#pragma once

#include <cstdint>
#include <cstring>

#include "../common/tensors.h"
#include "target_clones.h"

namespace hrdet {

// Pixel k is data[offsets[k]] and has the weight weights[k].
template <typename Real>
struct WeightedPixels {
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
inline void weighted_sum_lanes(Real* out, const Value* data, const WeightedPixels<Real>& pixels) {
  typename Lanes<Real>::type sum = {};
  for (int k = 0; k < pixels.count; ++k) {
    const Value* source = data + pixels.offsets[k];
    typename Lanes<Real>::type values;
    for (int i = 0; i < Lanes<Real>::count; ++i) {
      values[i] = static_cast<Real>(source[i]);
    }
    sum += pixels.weights[k] * values;
  }
  std::memcpy(out, &sum, sizeof(sum));
}

// out[i] = sum over k of weights[k] * data[offsets[k] + i], i < length
template <typename Value, typename Real>
inline void weighted_sum_loop(Real* out, const Value* data, const WeightedPixels<Real>& pixels,
                              int length) {
  constexpr int lanes = Lanes<Real>::count;
  if (length < lanes) {
    for (int i = 0; i < length; ++i) {
      Real sum = 0;
      for (int k = 0; k < pixels.count; ++k) {
        sum += pixels.weights[k] * static_cast<Real>(data[pixels.offsets[k] + i]);
      }
      out[i] = sum;
    }
    return;
  }
  for (int i = 0; i + lanes <= length; i += lanes) {
    weighted_sum_lanes(out + i, data + i, pixels);
  }
  const int last = length - lanes;  // the last vector overlaps finished elements
  weighted_sum_lanes(out + last, data + last, pixels);
}

// data[offsets[k] + i] += weights[k] * values[i], i < length
template <typename Real>
inline void scatter_add_loop(Real* data, const Real* values, const WeightedPixels<Real>& pixels,
                             int length) {
  for (int k = 0; k < pixels.count; ++k) {
    Real* target = data + pixels.offsets[k];
    const Real weight = pixels.weights[k];
    for (int i = 0; i < length; ++i) {
      target[i] += weight * values[i];
    }
  }
}

#define HRDET_WEIGHTED_SUM(Value, Real)                                                          \
  HRDET_TARGET_CLONES inline void weighted_sum(Real* out, const Value* data,                     \
                                               const WeightedPixels<Real>& pixels, int length) { \
    weighted_sum_loop<Value, Real>(out, data, pixels, length);                                   \
  }
HRDET_WEIGHTED_SUM(float, float)
HRDET_WEIGHTED_SUM(double, double)
HRDET_WEIGHTED_SUM(Half, float)
HRDET_WEIGHTED_SUM(BFloat16, float)
#undef HRDET_WEIGHTED_SUM

#define HRDET_SCATTER_ADD(Real)                                                                 \
  HRDET_TARGET_CLONES inline void scatter_add(Real* data, const Real* values,                   \
                                              const WeightedPixels<Real>& pixels, int length) { \
    scatter_add_loop<Real>(data, values, pixels, length);                                       \
  }
HRDET_SCATTER_ADD(float)
HRDET_SCATTER_ADD(double)
#undef HRDET_SCATTER_ADD

}  // namespace hrdet
