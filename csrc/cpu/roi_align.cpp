// RoIAlign on a CPU: forward split over rois, backward split over channels. Every channel sees the
// rois in order, so gradients do not depend on the number of threads.
#include <algorithm>

#include "../ops.h"
#include "roi_weights.h"
#include "vector.h"

namespace hrdet {
namespace {

// The weights of one bin as places in the map, (row, column) entries multiplied out.
template <typename Real>
class BinPlaces {
 public:
  template <typename Value>
  Places<Real> of(const RoiWeights<Real>& roi, int ph, int pw, const FeatureMap<Value>& map) {
    offsets_.clear();
    weights_.clear();
    for (int j = roi.rows.begin[ph]; j < roi.rows.begin[ph + 1]; ++j) {
      for (int k = roi.columns.begin[pw]; k < roi.columns.begin[pw + 1]; ++k) {
        offsets_.push_back(roi.rows.pixel[j] * map.row_stride +
                           roi.columns.pixel[k] * map.column_stride);
        weights_.push_back(roi.rows.weight[j] * roi.columns.weight[k]);
      }
    }
    return {offsets_.data(), weights_.data(), static_cast<int>(offsets_.size())};
  }

  // The weights of all rows of bins, columns left out.
  template <typename Value>
  const int64_t* row_offsets(const RoiWeights<Real>& roi, const FeatureMap<Value>& map) {
    offsets_.clear();
    for (const int row : roi.rows.pixel) {
      offsets_.push_back(row * map.row_stride);
    }
    return offsets_.data();
  }

 private:
  std::vector<int64_t> offsets_;
  std::vector<Real> weights_;
};

template <typename Real>
Places<Real> row_places(const AxisWeights<Real>& rows, const int64_t* offsets, int ph) {
  return {offsets + rows.begin[ph], rows.weight.data() + rows.begin[ph], rows.entries(ph)};
}

// One roi at a time, all channels; the buffers live as long as a thread's share of the rois.
template <typename Value>
class Forward {
  using Real = accumulate_t<Value>;

 public:
  Forward(const Pyramid<const Value>& pyramid, const RoiAlignOptions& options)
      : pyramid_(pyramid), options_(options) {}

  void run(const Rois<Real>& rois, int index, Value* out) {
    roi_.fill(rois, index, pyramid_, options_);
    if (roi_.empty()) {
      std::fill(out, out + int64_t{pyramid_.channels} * options_.height * options_.width, Value(0));
      return;
    }
    const FeatureMap<const Value>& map = pyramid_.level[roi_.level];
    const Value* image = map.data + roi_.image * map.image_stride;
    pyramid_.channels_last ? across_channels(map, image, out) : along_rows(map, image, out);
  }

 private:
  // Rows of the map are summed a vector of columns at a time, then columns into bins.
  void along_rows(const FeatureMap<const Value>& map, const Value* image, Value* out) {
    const AxisWeights<Real>& columns = roi_.columns;
    const int64_t* offsets = places_.row_offsets(roi_, map);
    sums_.resize(columns.count);
    for (int c = 0; c < pyramid_.channels; ++c) {
      const Value* plane = image + c * map.channel_stride + columns.first;
      for (int ph = 0; ph < options_.height; ++ph) {
        weighted_sum(sums_.data(), plane, row_places(roi_.rows, offsets, ph), columns.count);
        for (int pw = 0; pw < options_.width; ++pw) {
          Real sum = 0;
          for (int k = columns.begin[pw]; k < columns.begin[pw + 1]; ++k) {
            sum += columns.weight[k] * sums_[columns.pixel[k] - columns.first];
          }
          *out++ = static_cast<Value>(sum);
        }
      }
    }
  }

  void across_channels(const FeatureMap<const Value>& map, const Value* image, Value* out) {
    const int channels = pyramid_.channels;
    const int bins = options_.height * options_.width;
    sums_.resize(int64_t{bins} * channels);
    for (int bin = 0; bin < bins; ++bin) {
      const auto places = places_.of(roi_, bin / options_.width, bin % options_.width, map);
      weighted_sum(sums_.data() + int64_t{bin} * channels, image, places, channels);
    }
    for (int c = 0; c < channels; ++c) {
      for (int bin = 0; bin < bins; ++bin) {
        *out++ = static_cast<Value>(sums_[int64_t{bin} * channels + c]);
      }
    }
  }

  const Pyramid<const Value>& pyramid_;
  const RoiAlignOptions& options_;
  RoiWeights<Real> roi_;
  BinPlaces<Real> places_;
  std::vector<Real> sums_;
};

// All rois in order, for the channels [begin, end).
template <typename Value>
class Backward {
  using Real = accumulate_t<Value>;

 public:
  Backward(const Pyramid<Real>& pyramid, const RoiAlignOptions& options, int begin, int end)
      : pyramid_(pyramid), options_(options), begin_(begin), end_(end) {}

  void run(const RoiWeights<Real>& roi, const Value* grad) {
    if (roi.empty()) {
      return;
    }
    const FeatureMap<Real>& map = pyramid_.level[roi.level];
    Real* image = map.data + roi.image * map.image_stride;
    const Value* first = grad + int64_t{begin_} * options_.height * options_.width;
    pyramid_.channels_last ? across_channels(roi, map, image, first)
                           : along_rows(roi, map, image, first);
  }

 private:
  void along_rows(const RoiWeights<Real>& roi, const FeatureMap<Real>& map, Real* image,
                  const Value* grad) {
    const AxisWeights<Real>& columns = roi.columns;
    const int64_t* offsets = places_.row_offsets(roi, map);
    for (int c = begin_; c < end_; ++c) {
      Real* plane = image + c * map.channel_stride + columns.first;
      for (int ph = 0; ph < options_.height; ++ph) {
        values_.assign(columns.count, 0);
        for (int pw = 0; pw < options_.width; ++pw) {
          const Real value = static_cast<Real>(*grad++);
          for (int k = columns.begin[pw]; k < columns.begin[pw + 1]; ++k) {
            values_[columns.pixel[k] - columns.first] += columns.weight[k] * value;
          }
        }
        scatter_add(plane, values_.data(), row_places(roi.rows, offsets, ph), columns.count);
      }
    }
  }

  void across_channels(const RoiWeights<Real>& roi, const FeatureMap<Real>& map, Real* image,
                       const Value* grad) {
    const int bins = options_.height * options_.width;
    const int channels = end_ - begin_;
    values_.resize(channels);
    for (int bin = 0; bin < bins; ++bin) {
      for (int c = 0; c < channels; ++c) {
        values_[c] = static_cast<Real>(grad[int64_t{c} * bins + bin]);
      }
      const auto places = places_.of(roi, bin / options_.width, bin % options_.width, map);
      scatter_add(image + begin_, values_.data(), places, channels);
    }
  }

  const Pyramid<Real>& pyramid_;
  const RoiAlignOptions& options_;
  const int begin_, end_;
  BinPlaces<Real> places_;
  std::vector<Real> values_;
};

template <typename Real>
Rois<Real> checked_rois(const RoiAlignCall& call) {
  const Rois<Real> rois = call.roi_view<Real>();
  const int64_t images = call.maps[0].size(0);
  const int64_t levels = static_cast<int64_t>(call.maps.size());
  for (int i = 0; i < rois.count; ++i) {
    const Real image = rois.data[5 * i];
    require(image < images, "roi_align: roi ", i, " is on image ", image, " of a batch of ",
            images);
    require(rois.levels == nullptr || image < 0 || (rois.levels[i] >= 0 && rois.levels[i] < levels),
            "roi_align: roi ", i, " is on a level outside 0..", levels - 1);
  }
  return rois;
}

template <typename Value>
void forward(const RoiAlignCall& call, Value* out) {
  const auto rois = checked_rois<accumulate_t<Value>>(call);
  const auto pyramid = call.pyramid<const Value>();
  const int64_t step = int64_t{pyramid.channels} * call.options.height * call.options.width;
  torch::stable::parallel_for(0, rois.count, 1, [&](int64_t begin, int64_t end) {
    Forward<Value> worker(pyramid, call.options);
    for (int64_t i = begin; i < end; ++i) {
      worker.run(rois, static_cast<int>(i), out + i * step);
    }
  });
}

template <typename Value>
void backward(const RoiAlignCall& call, const Value* grad) {
  using Real = accumulate_t<Value>;
  const auto rois = checked_rois<Real>(call);
  const auto pyramid = call.pyramid<Real>();
  std::vector<RoiWeights<Real>> weights(rois.count);
  torch::stable::parallel_for(0, rois.count, 16, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      weights[i].fill(rois, static_cast<int>(i), pyramid, call.options);
    }
  });
  const int64_t step = int64_t{pyramid.channels} * call.options.height * call.options.width;
  torch::stable::parallel_for(0, pyramid.channels, 1, [&](int64_t begin, int64_t end) {
    Backward<Value> worker(pyramid, call.options, static_cast<int>(begin), static_cast<int>(end));
    for (int i = 0; i < rois.count; ++i) {
      worker.run(weights[i], grad + i * step);
    }
  });
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
  with_value_type(out.scalar_type(), "roi_align",
                  [&](auto zero) { forward(call, static_cast<decltype(zero)*>(out.data_ptr())); });
  return out;
}

std::vector<Tensor> roi_align_backward_cpu(Tensor grad, Tensor rois, std::optional<Tensor> levels,
                                           std::vector<int64_t> sizes, bool channels_last,
                                           std::vector<double> scales, double finest_scale,
                                           int64_t sampling_ratio, bool half_pixel,
                                           bool /*deterministic: always*/) {
  const Tensor rows = torch::stable::contiguous(grad);
  const RoiAlignCall call = backward_call(
      rows, rois, levels, sizes, channels_last, scales,
      roi_align_options(grad.size(2), grad.size(3), sampling_ratio, half_pixel, finest_scale));
  with_value_type(grad.scalar_type(), "roi_align_backward", [&](auto zero) {
    backward(call, static_cast<const decltype(zero)*>(rows.data_ptr()));
  });
  return cast_to(call.maps, grad.scalar_type());
}

}  // namespace hrdet
