// Bilinear upsampling of logits fused with the argmax over classes: the upsampled map is never
// materialised. Each row of it is interpolated into a buffer that stays in the cache, and each
// pixel is reduced to the class of its largest logit.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "../common/tensors.h"
#include "../ops.h"
#include "taps.h"
#include "target_clones.h"

namespace hrdet {
namespace {

constexpr int64_t kLanes = 16;        // classes are padded to a multiple of it
constexpr int64_t kMaxClasses = 255;  // labels are uint8, and 255 means ignored
// Below every logit. Finite: an infinity times a weight of zero would be NaN.
constexpr float kPadding = std::numeric_limits<float>::lowest();

typedef float Floats __attribute__((vector_size(kLanes * sizeof(float))));
typedef int32_t Ints __attribute__((vector_size(kLanes * sizeof(int32_t))));

struct Job {
  const float* logits;  // (h, w, classes)
  int64_t width, classes, padded;
  Taps rows, columns;
  uint8_t* labels;  // (rows.count, columns.count)
};

inline Floats load(const float* from) {
  Floats values;
  std::memcpy(&values, from, sizeof(values));
  return values;
}

inline void store(float* to, const Floats& values) { std::memcpy(to, &values, sizeof(values)); }

// out (w, padded) = the weighted sum of source rows (w, classes); padding is left alone.
inline void interpolate_row(const Job& job, int64_t y, float* out) {
  for (int64_t t = 0; t < job.rows.taps; ++t) {
    const float weight = job.rows.weight[y * job.rows.taps + t];
    const float* row = job.logits + job.rows.index[y * job.rows.taps + t] * job.width * job.classes;
    if (t > 0 && weight == 0) continue;
    for (int64_t x = 0; x < job.width; ++x) {
      float* pixel = out + x * job.padded;
      const float* source = row + x * job.classes;
      if (t == 0) {
        for (int64_t k = 0; k < job.classes; ++k) pixel[k] = weight * source[k];
      } else {
        for (int64_t k = 0; k < job.classes; ++k) pixel[k] += weight * source[k];
      }
    }
  }
}

// The label of the largest of `Lanes` values, by a tree reduction; ties: the lowest label.
template <int64_t Lanes>
inline int32_t label_of_largest(const float* values, const int32_t* labels) {
  if constexpr (Lanes == 1) {
    return labels[0];
  } else {
    constexpr int64_t kHalf = Lanes / 2;
    float kept[kHalf];
    int32_t kept_labels[kHalf];
    for (int64_t i = 0; i < kHalf; ++i) {
      const float other = values[i + kHalf];
      const int32_t label = labels[i + kHalf];
      const bool larger = (other > values[i]) | ((other == values[i]) & (label < labels[i]));
      kept[i] = larger ? other : values[i];
      kept_labels[i] = larger ? label : labels[i];
    }
    return label_of_largest<kHalf>(kept, kept_labels);
  }
}

// The class of the largest logit of column x of a row (w, padded); ties: the lowest class.
inline uint8_t label_of(const Job& job, int64_t x, const float* row) {
  // 1. The columns that this one is the weighted sum of.
  const int32_t* index = job.columns.index + x * job.columns.taps;
  const float* weight = job.columns.weight + x * job.columns.taps;
  // 2. In each lane the largest value of classes lane, lane + 16, ... and the class it belongs to.
  Floats best = {};
  Ints best_step = {};
  for (int64_t k = 0, step = 0; k < job.padded; k += kLanes, ++step) {
    Floats sum = weight[0] * load(row + index[0] * job.padded + k);
    for (int64_t t = 1; t < job.columns.taps; ++t) {
      sum += weight[t] * load(row + index[t] * job.padded + k);
    }
    if (step == 0) {
      best = sum;
    } else {
      const Ints larger = sum > best;
      best = larger ? sum : best;
      best_step = larger ? Ints{} + static_cast<int32_t>(step) : best_step;
    }
  }
  // 3. The largest of all lanes.
  float values[kLanes];
  int32_t labels[kLanes];
  std::memcpy(values, &best, sizeof(values));
  for (int32_t lane = 0; lane < kLanes; ++lane) labels[lane] = best_step[lane] * kLanes + lane;
  return static_cast<uint8_t>(label_of_largest<kLanes>(values, labels));
}

HRDET_TARGET_CLONES void run(const Job& job, int64_t begin, int64_t end, float* row) {
  for (int64_t y = begin; y < end; ++y) {
    interpolate_row(job, y, row);
    uint8_t* labels = job.labels + y * job.columns.count;
    for (int64_t x = 0; x < job.columns.count; ++x) labels[x] = label_of(job, x, row);
  }
}

}  // namespace

Tensor interpolate_argmax_cpu(Tensor logits, Tensor rows, Tensor row_weights, Tensor columns,
                              Tensor column_weights) {
  require(logits.dim() == 3 && logits.scalar_type() == ScalarType::Float &&
              logits.is_contiguous() && logits.size(2) > 0 && logits.size(2) <= kMaxClasses &&
              logits.size(0) <= kMaxSize && logits.size(1) <= kMaxSize,
          "interpolate_argmax: logits must be float32 (h, w, 1 to ", kMaxClasses,
          " classes), contiguous");
  const Taps row_taps = checked_taps("interpolate_argmax", rows, row_weights, logits.size(0));
  const Taps column_taps =
      checked_taps("interpolate_argmax", columns, column_weights, logits.size(1));
  Tensor labels =
      torch::stable::new_empty(logits, {row_taps.count, column_taps.count}, ScalarType::Byte);
  const int64_t classes = logits.size(2), padded = (classes + kLanes - 1) / kLanes * kLanes;
  const Job job{static_cast<const float*>(logits.data_ptr()),
                logits.size(1),
                classes,
                padded,
                row_taps,
                column_taps,
                static_cast<uint8_t*>(labels.data_ptr())};
  torch::stable::parallel_for(0, row_taps.count, 1, [&](int64_t begin, int64_t end) {
    std::vector<float> row(job.width * padded, kPadding);
    run(job, begin, end, row.data());
  });
  return labels;
}

}  // namespace hrdet
