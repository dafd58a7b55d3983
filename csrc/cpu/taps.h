// Filter taps of a resampled map: the source rows (or columns) and weights that each of its rows
// (or columns) is the weighted sum of.
#pragma once

#include <algorithm>
#include <cstdint>

#include "../common/tensors.h"

namespace hrdet {

constexpr int64_t kMaxTaps = 16;  // of a row or column: four resizings in turn

// Source rows and their weights for each row of the result: (count, taps).
struct Taps {
  const int32_t* index;
  const float* weight;
  int64_t count, taps;

  bool same(int64_t row, int64_t other) const {
    return std::equal(index + row * taps, index + (row + 1) * taps, index + other * taps) &&
           std::equal(weight + row * taps, weight + (row + 1) * taps, weight + other * taps);
  }
};

// For a source of `size` rows.
inline Taps checked_taps(const char* op, const Tensor& index, const Tensor& weight, int64_t size) {
  require(index.dim() == 2 && index.scalar_type() == ScalarType::Int && index.is_contiguous() &&
              weight.dim() == 2 && weight.scalar_type() == ScalarType::Float &&
              weight.is_contiguous() && index.size(0) == weight.size(0) &&
              index.size(1) == weight.size(1) && 0 < index.size(1) && index.size(1) <= kMaxTaps,
          op, ": taps must be int32 and float32 of one shape (count, 1 to ", kMaxTaps,
          "), contiguous");
  const Taps taps{static_cast<const int32_t*>(index.data_ptr()),
                  static_cast<const float*>(weight.data_ptr()), index.size(0), index.size(1)};
  const bool inside = std::all_of(taps.index, taps.index + taps.count * taps.taps,
                                  [&](int32_t i) { return 0 <= i && i < size; });
  require(inside, op, ": a tap lies outside of 0 to ", size - 1);
  return taps;
}

}  // namespace hrdet
