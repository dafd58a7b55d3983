// Bilinear upsampling of coarser maps fused with their addition to a base map, as in HRNet's fuse
// layers and the heads on top of it: one pass over memory, upsampled rows stay in the cache.
#include <algorithm>
#include <cstring>
#include <vector>

#include "../ops.h"
#include "taps.h"
#include "target_clones.h"
#include "vector.h"

namespace hrdet {
namespace {

constexpr int64_t kLanes = 16;  // of a vector; buffers have as many more, which vectors may overlap
constexpr int64_t kBlock = 16;  // pixels that are upsampled at once

typedef Vector<kLanes>::type Floats;

// One coarser map (N, h, w, C), contiguous, and where each row and column of the result is in it.
template <typename Value>
struct Term {
  const Value* values;
  int64_t height, width;
  Taps rows, columns;
};

// The base map (N, H, W, C), contiguous, that the terms are added to.
template <typename Value>
struct Job {
  Value* base;
  int64_t height, width, channels;
  bool relu;
  std::vector<Term<Value>> terms;
};

template <typename Value>
class Worker {
 public:
  explicit Worker(const Job<Value>& job) : job_(job), block_(kBlock * job.channels + kLanes) {
    size_t taps = 0;
    for (const Term<Value>& term : job.terms) {
      rows_.emplace_back(term.width * job.channels + kLanes);
      taps += term.columns.taps;
    }
    sources_.resize(taps);
    weights_.resize(taps);
  }

  // Rows `begin` to `end` of all images.
  inline void run(int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t image = row / job_.height, y = row % job_.height;
      for (size_t i = 0; i < rows_.size(); ++i) {
        const Taps& taps = job_.terms[i].rows;
        if (row == begin || y == 0 || !taps.same(y, y - 1)) interpolate_row(i, image, y);
      }
      Value* out = job_.base + row * job_.width * job_.channels;
      for (int64_t x = 0; x < job_.width; x += kBlock) {
        const int64_t pixels = std::min(kBlock, job_.width - x);
        interpolate_columns(x, pixels);
        add_block(out + x * job_.channels, pixels * job_.channels);
      }
    }
  }

 private:
  // rows_[i] (w, C) = the weighted sum of rows of term i.
  inline void interpolate_row(size_t i, int64_t image, int64_t y) {
    const Term<Value>& term = job_.terms[i];
    const int64_t length = term.width * job_.channels;
    float* out = rows_[i].data();
    for (int64_t t = 0; t < term.rows.taps; ++t) {
      const float weight = term.rows.weight[y * term.rows.taps + t];
      const int64_t source = image * term.height + term.rows.index[y * term.rows.taps + t];
      if (t > 0 && weight == 0) continue;
      const Value* from = term.values + source * length;
      for (int64_t at = 0; at < length; at += kLanes) {
        const int64_t count = std::min(kLanes, length - at);
        Floats sum = weight * load<Floats>(from + at, count);
        if (t > 0) sum += load<Floats>(out + at);
        store(out + at, sum, kLanes);
      }
    }
  }

  // block_ (pixels, C) = the weighted sum of columns of all rows_. A vector that is longer than the
  // rest of a pixel writes into the next one, which is written after it.
  inline void interpolate_columns(int64_t x, int64_t pixels) {
    const int64_t channels = job_.channels;
    for (int64_t pixel = 0; pixel < pixels; ++pixel) {
      size_t taps = 0;
      for (size_t i = 0; i < rows_.size(); ++i) {
        const Taps& columns = job_.terms[i].columns;
        for (int64_t t = (x + pixel) * columns.taps; t < (x + pixel + 1) * columns.taps; ++t) {
          weights_[taps] = columns.weight[t];
          sources_[taps++] = rows_[i].data() + columns.index[t] * channels;
        }
      }
      float* out = block_.data() + pixel * channels;
      for (int64_t c = 0; c < channels; c += kLanes) {
        Floats sum = weights_[0] * load<Floats>(sources_[0] + c);
        for (size_t t = 1; t < taps; ++t) sum += weights_[t] * load<Floats>(sources_[t] + c);
        store(out + c, sum, kLanes);
      }
    }
  }

  inline void add_block(Value* out, int64_t length) {
    for (int64_t at = 0; at < length; at += kLanes) {
      const int64_t count = std::min(kLanes, length - at);
      Floats sum = load<Floats>(out + at, count) + load<Floats>(block_.data() + at);
      if (job_.relu) sum = sum < 0.0f ? Floats{} : sum;
      store(out + at, sum, count);
    }
  }

  const Job<Value>& job_;
  std::vector<std::vector<float>> rows_;  // of each term: the row of it that is being added
  std::vector<float> block_;
  std::vector<const float*> sources_;  // of one pixel: its taps in all rows_
  std::vector<float> weights_;
};

HRDET_TARGET_CLONES void run(const Job<float>& job, int64_t begin, int64_t end) {
  Worker<float>(job).run(begin, end);
}

HRDET_TARGET_CLONES void run(const Job<BFloat16>& job, int64_t begin, int64_t end) {
  Worker<BFloat16>(job).run(begin, end);
}

template <typename Value>
void add(Tensor& base, const std::vector<Tensor>& terms, const std::vector<Tensor>& rows,
         const std::vector<Tensor>& row_weights, const std::vector<Tensor>& columns,
         const std::vector<Tensor>& column_weights, bool relu) {
  Job<Value> job{
      static_cast<Value*>(base.data_ptr()), base.size(1), base.size(2), base.size(3), relu, {}};
  for (size_t i = 0; i < terms.size(); ++i) {
    const int64_t height = terms[i].size(1), width = terms[i].size(2);
    const Term<Value> term{static_cast<const Value*>(terms[i].data_ptr()), height, width,
                           checked_taps("add_upsampled", rows[i], row_weights[i], height),
                           checked_taps("add_upsampled", columns[i], column_weights[i], width)};
    require(term.rows.count == job.height && term.columns.count == job.width,
            "add_upsampled: each row and column of the base needs its taps in every term");
    job.terms.push_back(term);
  }
  torch::stable::parallel_for(0, base.size(0) * job.height, 1,
                              [&](int64_t begin, int64_t end) { run(job, begin, end); });
}

}  // namespace

void add_upsampled_cpu(Tensor base, std::vector<Tensor> terms, std::vector<Tensor> rows,
                       std::vector<Tensor> row_weights, std::vector<Tensor> columns,
                       std::vector<Tensor> column_weights, bool relu) {
  const bool half = base.scalar_type() == ScalarType::BFloat16;
  require(
      base.dim() == 4 && base.is_contiguous() && (half || base.scalar_type() == ScalarType::Float),
      "add_upsampled: the base must be float32 or bfloat16 (N, H, W, C), contiguous");
  require(!terms.empty() && rows.size() == terms.size() && row_weights.size() == terms.size() &&
              columns.size() == terms.size() && column_weights.size() == terms.size(),
          "add_upsampled: there must be terms, with taps for each");
  for (const Tensor& term : terms) {
    require(term.dim() == 4 && term.scalar_type() == base.scalar_type() && term.is_contiguous() &&
                term.size(0) == base.size(0) && term.size(3) == base.size(3) &&
                term.size(1) <= kMaxSize && term.size(2) <= kMaxSize,
            "add_upsampled: terms must be (N, h, w, C) of the base's type, contiguous");
  }
  (half ? add<BFloat16> : add<float>)(base, terms, rows, row_weights, columns, column_weights,
                                      relu);
}

}  // namespace hrdet
