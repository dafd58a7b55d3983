// RoIAlign on CUDA: one launch for all levels and images. The backward scatters with atomics, or
// gathers (roi_align_gather.cuh) if a deterministic result is requested.
#include "../common/roi_align_call.h"
#include "../ops.h"
#include "launch.h"
#include "roi_align_gather.cuh"

namespace hrdet {
namespace {

// What a thread computes at a time: a few channels of one bin of one roi.
struct WorkItem {
  int roi, channel, row, column;
};

// Neighbouring threads read neighbouring memory: channels of channels_last maps, else bins of a
// row.
__device__ WorkItem work_item(int64_t index, int groups, int channels_each, bool channels_last,
                              const RoiAlignOptions& options) {
  WorkItem item;
  if (channels_last) {
    item.channel = static_cast<int>(index % groups) * channels_each;
    index /= groups;
  }
  item.column = static_cast<int>(index % options.width);
  index /= options.width;
  item.row = static_cast<int>(index % options.height);
  index /= options.height;
  if (!channels_last) {
    item.channel = static_cast<int>(index % groups) * channels_each;
    index /= groups;
  }
  item.roi = static_cast<int>(index);
  return item;
}

// Calls visit(offset, weight) for the four pixels of every sample of a bin.
template <typename Real, typename Value, typename Visit>
__device__ void for_each_pixel(const PlacedRoi<Real>& roi, const FeatureMap<Value>& map, int row,
                               int column, const Visit& visit) {
  for (int i = 0; i < roi.rows.samples; ++i) {
    const Tap<Real> y = roi.rows.tap(row, i);
    if (y.low_weight == 0 && y.high_weight == 0) {
      continue;
    }
    for (int j = 0; j < roi.columns.samples; ++j) {
      const Tap<Real> x = roi.columns.tap(column, j);
      if (x.low_weight == 0 && x.high_weight == 0) {
        continue;
      }
      const int64_t top = y.low * map.row_stride, bottom = y.high * map.row_stride;
      const int64_t left = x.low * map.column_stride, right = x.high * map.column_stride;
      visit(top + left, y.low_weight * x.low_weight);
      visit(top + right, y.low_weight * x.high_weight);
      visit(bottom + left, y.high_weight * x.low_weight);
      visit(bottom + right, y.high_weight * x.high_weight);
    }
  }
}

// Channels that lie side by side and are read at once.
template <typename Value, int kChannels>
struct alignas(sizeof(Value) * kChannels) Pack {
  Value values[kChannels];
};

template <typename Value, int kChannels, bool kPacked>
__global__ void __launch_bounds__(kThreads, kResidentBlocks<accumulate_t<Value>>)
    forward_kernel(Pyramid<const Value> pyramid, Rois<accumulate_t<Value>> rois,
                   RoiAlignOptions options, Value* out) {
  using Real = accumulate_t<Value>;
  const int groups = pyramid.channels / kChannels;
  const int64_t bins = int64_t{options.height} * options.width;
  const int64_t work = bins * rois.count * groups;
  for (int64_t index = blockIdx.x * int64_t{kThreads} + threadIdx.x; index < work;
       index += gridDim.x * int64_t{kThreads}) {
    const WorkItem item = work_item(index, groups, kChannels, pyramid.channels_last, options);
    const PlacedRoi<Real> roi = place_roi(rois, item.roi, pyramid, options);
    Real sums[kChannels] = {};
    if (roi.image >= 0) {
      const FeatureMap<const Value>& map = pyramid.level[roi.level];
      const Value* first =
          map.data + roi.image * map.image_stride + item.channel * map.channel_stride;
      for_each_pixel(roi, map, item.row, item.column, [&](int64_t offset, Real weight) {
        Pack<Value, kChannels> pack;
        if constexpr (kPacked) {
          pack = *reinterpret_cast<const Pack<Value, kChannels>*>(first + offset);
        } else {
          for (int c = 0; c < kChannels; ++c) {
            pack.values[c] = first[offset + c * map.channel_stride];
          }
        }
        for (int c = 0; c < kChannels; ++c) {
          sums[c] = fma(weight, static_cast<Real>(pack.values[c]), sums[c]);
        }
      });
    }
    const int64_t bin = int64_t{item.row} * options.width + item.column;
    Value* target = out + (int64_t{item.roi} * pyramid.channels + item.channel) * bins + bin;
    for (int c = 0; c < kChannels; ++c) {
      target[c * bins] = static_cast<Value>(sums[c]);
    }
  }
}

template <typename Value, int kChannels>
__global__ void __launch_bounds__(kThreads, kResidentBlocks<accumulate_t<Value>>)
    scatter_kernel(Pyramid<accumulate_t<Value>> pyramid, Rois<accumulate_t<Value>> rois,
                   RoiAlignOptions options, const Value* grad) {
  using Real = accumulate_t<Value>;
  const int groups = pyramid.channels / kChannels;
  const int64_t bins = int64_t{options.height} * options.width;
  const int64_t work = bins * rois.count * groups;
  for (int64_t index = blockIdx.x * int64_t{kThreads} + threadIdx.x; index < work;
       index += gridDim.x * int64_t{kThreads}) {
    const WorkItem item = work_item(index, groups, kChannels, pyramid.channels_last, options);
    const PlacedRoi<Real> roi = place_roi(rois, item.roi, pyramid, options);
    if (roi.image < 0) {
      continue;
    }
    const int64_t bin = int64_t{item.row} * options.width + item.column;
    const Value* source = grad + (int64_t{item.roi} * pyramid.channels + item.channel) * bins + bin;
    Real values[kChannels];
    for (int c = 0; c < kChannels; ++c) {
      values[c] = static_cast<Real>(source[c * bins]);
    }
    const FeatureMap<Real>& map = pyramid.level[roi.level];
    Real* first = map.data + roi.image * map.image_stride + item.channel * map.channel_stride;
    for_each_pixel(roi, map, item.row, item.column, [&](int64_t offset, Real weight) {
      for (int c = 0; c < kChannels; ++c) {
        atomicAdd(first + offset + c * map.channel_stride, weight * values[c]);
      }
    });
  }
}

// Whether every `count` channels of the pyramid can be loaded as one aligned word.
template <typename Value>
bool can_pack(const Pyramid<const Value>& pyramid, int count) {
  bool aligned = pyramid.channels_last && pyramid.channels % count == 0;
  for (int i = 0; i < pyramid.levels; ++i) {
    const FeatureMap<const Value>& map = pyramid.level[i];
    aligned = aligned && reinterpret_cast<uintptr_t>(map.data) % (sizeof(Value) * count) == 0 &&
              map.image_stride % count == 0 && map.row_stride % count == 0 &&
              map.column_stride % count == 0;
  }
  return aligned;
}

int64_t bins_of(const RoiAlignCall& call) {
  return call.rois.size(0) * call.options.height * call.options.width;
}

template <typename Value>
void forward(const RoiAlignCall& call, Value* out, cudaStream_t stream) {
  const auto rois = call.roi_view<accumulate_t<Value>>();
  const auto pyramid = call.pyramid<const Value>();
  const int64_t work = bins_of(call) * pyramid.channels;
  if (work == 0) {
    return;
  }
  const auto run = [&](int channels_each, auto kernel) {
    launch("roi_align", {grid_size(work / channels_each)}, stream, kernel, pyramid, rois,
           call.options, out);
  };
  if (can_pack(pyramid, 4)) {
    run(4, forward_kernel<Value, 4, true>);
  } else if (!pyramid.channels_last && pyramid.channels % 4 == 0) {
    run(4, forward_kernel<Value, 4, false>);
  } else {
    run(1, forward_kernel<Value, 1, false>);
  }
}

template <typename Value>
void scatter(const RoiAlignCall& call, const Value* grad, cudaStream_t stream) {
  using Real = accumulate_t<Value>;
  const auto pyramid = call.pyramid<Real>();
  const auto rois = call.roi_view<Real>();
  const int64_t work = bins_of(call) * pyramid.channels;
  if (work == 0) {
    return;
  }
  const auto run = [&](int channels_each, auto kernel) {
    launch("roi_align_backward", {grid_size(work / channels_each)}, stream, kernel, pyramid, rois,
           call.options, grad);
  };
  if (!pyramid.channels_last && pyramid.channels % 4 == 0) {
    run(4, scatter_kernel<Value, 4>);
  } else {
    run(1, scatter_kernel<Value, 1>);
  }
}

}  // namespace

Tensor roi_align_cuda(std::vector<Tensor> features, Tensor rois, std::optional<Tensor> levels,
                      std::vector<double> scales, double finest_scale, int64_t height,
                      int64_t width, int64_t sampling_ratio, bool half_pixel) {
  const RoiAlignCall call =
      forward_call(features, rois, levels, scales,
                   roi_align_options(height, width, sampling_ratio, half_pixel, finest_scale));
  const StreamGuard device(features[0]);
  Tensor out =
      torch::stable::new_empty(features[0], {rois.size(0), features[0].size(1), height, width});
  dispatch_value_type(out.scalar_type(), "roi_align", [&](auto zero) {
    forward(call, static_cast<decltype(zero)*>(out.data_ptr()), device.stream());
  });
  return out;
}

std::vector<Tensor> roi_align_backward_cuda(Tensor grad, Tensor rois, std::optional<Tensor> levels,
                                            std::vector<int64_t> sizes, bool channels_last,
                                            std::vector<double> scales, double finest_scale,
                                            int64_t sampling_ratio, bool half_pixel,
                                            bool deterministic) {
  const StreamGuard device(grad);
  const Tensor rows = torch::stable::contiguous(grad);
  const RoiAlignCall call = backward_call(rows, rois, levels, sizes, channels_last, scales,
                                          finest_scale, sampling_ratio, half_pixel);
  dispatch_value_type(grad.scalar_type(), "roi_align_backward", [&](auto zero) {
    const auto* data = static_cast<const decltype(zero)*>(rows.data_ptr());
    deterministic ? gather(call, data, device.stream()) : scatter(call, data, device.stream());
  });
  return cast_to(call.maps, grad.scalar_type());
}

}  // namespace hrdet
