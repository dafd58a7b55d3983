// RoIAlign on a CPU. Contiguous maps: one channel at a time for all rois, so that its plane stays
// in the cache. Channels-last maps: all channels of a bin at a time. The backward is always
// parallel over channels and adds rois in order, so gradients do not depend on the number of
// threads.
#include <algorithm>

#include "../ops.h"
#include "roi_align_loops.h"
#include "roi_weights.h"

namespace hrdet {
namespace {

struct Channels {
  int begin, end;

  int count() const { return end - begin; }
};

// Pixels and weights of one bin: the outer product of its rows and columns.
template <typename Real>
class BinPixels {
 public:
  WeightedPixels<Real> of(const RoiWeights<Real>& roi, int ph, int pw) {
    offsets_.clear();
    weights_.clear();
    const WeightedPixels<Real> rows = roi.rows.pixels(ph), columns = roi.columns.pixels(pw);
    for (int j = 0; j < rows.count; ++j) {
      for (int k = 0; k < columns.count; ++k) {
        offsets_.push_back(rows.offsets[j] + columns.offsets[k]);
        weights_.push_back(rows.weights[j] * columns.weights[k]);
      }
    }
    return {offsets_.data(), weights_.data(), static_cast<int>(offsets_.size())};
  }

 private:
  std::vector<int64_t> offsets_;
  std::vector<Real> weights_;
};

// Computes some channels of one roi; `out` (C, h, w) is the output of the roi.
template <typename Value>
class Forward {
  using Real = accumulate_t<Value>;

 public:
  Forward(const Pyramid<const Value>& pyramid, const RoiAlignOptions& options)
      : pyramid_(pyramid), height_(options.height), width_(options.width) {}

  void run(const RoiWeights<Real>& roi, Channels channels, Value* out) {
    out += int64_t{channels.begin} * height_ * width_;
    if (roi.empty()) {
      std::fill(out, out + int64_t{channels.count()} * height_ * width_, Value(0));
      return;
    }
    const FeatureMap<const Value>& map = pyramid_.level[roi.level];
    const Value* first =
        map.data + roi.image * map.image_stride + channels.begin * map.channel_stride;
    if (pyramid_.channels_last) {
      across_channels(roi, first, channels.count(), out);
    } else {
      for (int c = 0; c < channels.count(); ++c) {
        along_rows(roi, first + c * map.channel_stride, out + int64_t{c} * height_ * width_);
      }
    }
  }

 private:
  // 1) Weighted sum of rows, a vector of columns at a time; 2) weighted sum of columns, per bin.
  void along_rows(const RoiWeights<Real>& roi, const Value* plane, Value* out) {
    const int left = roi.columns.first;
    sums_.resize(roi.columns.count);
    for (int ph = 0; ph < height_; ++ph) {
      weighted_sum(sums_.data(), plane + left, roi.rows.pixels(ph), roi.columns.count);
      for (int pw = 0; pw < width_; ++pw) {
        const WeightedPixels<Real> pixels = roi.columns.pixels(pw);
        Real sum = 0;
        for (int k = 0; k < pixels.count; ++k) {
          sum += pixels.weights[k] * sums_[pixels.offsets[k] - left];
        }
        *out++ = static_cast<Value>(sum);
      }
    }
  }

  void across_channels(const RoiWeights<Real>& roi, const Value* image, int channels, Value* out) {
    const int bins = height_ * width_;
    sums_.resize(int64_t{bins} * channels);
    for (int bin = 0; bin < bins; ++bin) {
      weighted_sum(sums_.data() + int64_t{bin} * channels, image,
                   pixels_.of(roi, bin / width_, bin % width_), channels);
    }
    for (int c = 0; c < channels; ++c) {
      for (int bin = 0; bin < bins; ++bin) {
        *out++ = static_cast<Value>(sums_[int64_t{bin} * channels + c]);
      }
    }
  }

  const Pyramid<const Value>& pyramid_;
  const int height_, width_;
  BinPixels<Real> pixels_;
  std::vector<Real> sums_;
};

// Adds the gradient of some channels of one roi; `grad` (C, h, w) is that of the roi's output.
template <typename Value>
class Backward {
  using Real = accumulate_t<Value>;

 public:
  Backward(const Pyramid<Real>& pyramid, const RoiAlignOptions& options)
      : pyramid_(pyramid), height_(options.height), width_(options.width) {}

  void run(const RoiWeights<Real>& roi, Channels channels, const Value* grad) {
    if (roi.empty()) {
      return;
    }
    const FeatureMap<Real>& map = pyramid_.level[roi.level];
    Real* first = map.data + roi.image * map.image_stride + channels.begin * map.channel_stride;
    grad += int64_t{channels.begin} * height_ * width_;
    if (pyramid_.channels_last) {
      across_channels(roi, first, channels.count(), grad);
    } else {
      for (int c = 0; c < channels.count(); ++c) {
        along_rows(roi, first + c * map.channel_stride, grad + int64_t{c} * height_ * width_);
      }
    }
  }

 private:
  void along_rows(const RoiWeights<Real>& roi, Real* plane, const Value* grad) {
    const int left = roi.columns.first;
    for (int ph = 0; ph < height_; ++ph) {
      values_.assign(roi.columns.count, 0);
      for (int pw = 0; pw < width_; ++pw) {
        const Real value = static_cast<Real>(*grad++);
        const WeightedPixels<Real> pixels = roi.columns.pixels(pw);
        for (int k = 0; k < pixels.count; ++k) {
          values_[pixels.offsets[k] - left] += pixels.weights[k] * value;
        }
      }
      scatter_add(plane + left, values_.data(), roi.rows.pixels(ph), roi.columns.count);
    }
  }

  void across_channels(const RoiWeights<Real>& roi, Real* image, int channels, const Value* grad) {
    const int bins = height_ * width_;
    values_.resize(channels);
    for (int bin = 0; bin < bins; ++bin) {
      for (int c = 0; c < channels; ++c) {
        values_[c] = static_cast<Real>(grad[int64_t{c} * bins + bin]);
      }
      scatter_add(image, values_.data(), pixels_.of(roi, bin / width_, bin % width_), channels);
    }
  }

  const Pyramid<Real>& pyramid_;
  const int height_, width_;
  BinPixels<Real> pixels_;
  std::vector<Real> values_;
};

template <typename Real>
Rois<Real> checked_rois(const RoiAlignCall& call) {
  const Rois<Real> rois = call.roi_view<Real>();
  const int64_t images = call.maps[0].size(0);
  const int64_t levels = static_cast<int64_t>(call.maps.size());
  for (int i = 0; i < rois.count; ++i) {
    const Real image = rois.data[5 * int64_t{i}];
    require(image < images, "roi_align: roi ", i, " is on image ", image, " of a batch of ",
            images);
    require(rois.levels == nullptr || image < 0 || (rois.levels[i] >= 0 && rois.levels[i] < levels),
            "roi_align: roi ", i, " is on a level outside 0..", levels - 1);
  }
  return rois;
}

template <typename Real, typename Value>
std::vector<RoiWeights<Real>> compute_weights(const Rois<Real>& rois, const Pyramid<Value>& pyramid,
                                              const RoiAlignOptions& options) {
  std::vector<RoiWeights<Real>> weights(rois.count);
  torch::stable::parallel_for(0, rois.count, 16, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      weights[i].fill(rois, static_cast<int>(i), pyramid, options);
    }
  });
  return weights;
}

// Calls worker.run(roi, channels, data of the roi) for all rois, in parallel over channels.
template <typename Worker, typename Weights, typename Value>
void run_by_channel(const Worker& prototype, const Weights& rois, int channels, bool one_at_a_time,
                    Value* data, int64_t step) {
  torch::stable::parallel_for(0, channels, 1, [&](int64_t begin, int64_t end) {
    Worker worker = prototype;
    const int share = one_at_a_time ? 1 : static_cast<int>(end - begin);
    for (int c = static_cast<int>(begin); c < end; c += share) {
      for (size_t i = 0; i < rois.size(); ++i) {
        worker.run(rois[i], {c, c + share}, data + i * step);
      }
    }
  });
}

template <typename Value>
void forward(const RoiAlignCall& call, Value* out) {
  const auto pyramid = call.pyramid<const Value>();
  const auto rois = compute_weights(checked_rois<accumulate_t<Value>>(call), pyramid, call.options);
  const int64_t step = int64_t{pyramid.channels} * call.options.height * call.options.width;
  const Forward<Value> prototype(pyramid, call.options);
  if (!pyramid.channels_last) {
    run_by_channel(prototype, rois, pyramid.channels, true, out, step);
    return;
  }
  torch::stable::parallel_for(0, rois.size(), 1, [&](int64_t begin, int64_t end) {
    Forward<Value> worker = prototype;
    for (int64_t i = begin; i < end; ++i) {
      worker.run(rois[i], {0, pyramid.channels}, out + i * step);
    }
  });
}

template <typename Value>
void backward(const RoiAlignCall& call, const Value* grad) {
  const auto pyramid = call.pyramid<accumulate_t<Value>>();
  const auto rois = compute_weights(checked_rois<accumulate_t<Value>>(call), pyramid, call.options);
  const int64_t step = int64_t{pyramid.channels} * call.options.height * call.options.width;
  run_by_channel(Backward<Value>(pyramid, call.options), rois, pyramid.channels,
                 !pyramid.channels_last, grad, step);
}

}  // namespace

Tensor roi_align_cpu(std::vector<Tensor> features, Tensor rois, std::optional<Tensor> levels,
                     std::vector<double> scales, double finest_scale, int64_t height, int64_t width,
                     int64_t sampling_ratio, bool half_pixel) {
  const RoiAlignCall call =
      forward_call(features, rois, levels, scales,
                   roi_align_options(height, width, sampling_ratio, half_pixel, finest_scale));
  Tensor out =
      torch::stable::new_empty(features[0], {rois.size(0), features[0].size(1), height, width});
  dispatch_value_type(out.scalar_type(), "roi_align", [&](auto zero) {
    forward(call, static_cast<decltype(zero)*>(out.data_ptr()));
  });
  return out;
}

std::vector<Tensor> roi_align_backward_cpu(Tensor grad, Tensor rois, std::optional<Tensor> levels,
                                           std::vector<int64_t> sizes, bool channels_last,
                                           std::vector<double> scales, double finest_scale,
                                           int64_t sampling_ratio, bool half_pixel,
                                           bool /*deterministic: always*/) {
  const Tensor rows = torch::stable::contiguous(grad);
  const RoiAlignCall call = backward_call(rows, rois, levels, sizes, channels_last, scales,
                                          finest_scale, sampling_ratio, half_pixel);
  dispatch_value_type(grad.scalar_type(), "roi_align_backward", [&](auto zero) {
    backward(call, static_cast<const decltype(zero)*>(rows.data_ptr()));
  });
  return cast_to(call.maps, grad.scalar_type());
}

}  // namespace hrdet
