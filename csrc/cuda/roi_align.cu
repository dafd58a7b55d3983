// RoIAlign on CUDA: one launch for all levels and images. The backward adds with atomics, or, where
// determinism is asked for, gathers: every pixel collects what the rois over it owe to it.
#include "../common/roi_align_call.h"
#include "../ops.h"
#include "launch.h"

namespace hrdet {
namespace {

constexpr int kThreads = 256;

// A thread's share: a few channels of one bin of one roi.
struct Share {
  int roi, channel, row, column;
};

// Neighbouring threads get neighbours in the memory of the maps: channels where those are last,
// else the bins of a row.
__device__ Share share_of(int64_t index, int groups, int channels_each, bool channels_last,
                          const RoiAlignOptions& options) {
  Share share;
  if (channels_last) {
    share.channel = static_cast<int>(index % groups) * channels_each;
    index /= groups;
  }
  share.column = static_cast<int>(index % options.width);
  index /= options.width;
  share.row = static_cast<int>(index % options.height);
  index /= options.height;
  if (!channels_last) {
    share.channel = static_cast<int>(index % groups) * channels_each;
    index /= groups;
  }
  share.roi = static_cast<int>(index);
  return share;
}

// Calls visit(offset, weight) for each pixel under the samples of a bin.
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
__global__ void __launch_bounds__(kThreads)
    forward_kernel(Pyramid<const Value> pyramid, Rois<accumulate_t<Value>> rois,
                   RoiAlignOptions options, Value* out) {
  using Real = accumulate_t<Value>;
  const int groups = pyramid.channels / kChannels;
  const int64_t bins = int64_t{options.height} * options.width;
  const int64_t work = rois.count * groups * bins;
  for (int64_t index = blockIdx.x * int64_t{kThreads} + threadIdx.x; index < work;
       index += gridDim.x * int64_t{kThreads}) {
    const Share share = share_of(index, groups, kChannels, pyramid.channels_last, options);
    const PlacedRoi<Real> roi = place_roi(rois, share.roi, pyramid, options);
    Real sums[kChannels] = {};
    if (roi.image >= 0) {
      const FeatureMap<const Value>& map = pyramid.level[roi.level];
      const Value* first =
          map.data + roi.image * map.image_stride + share.channel * map.channel_stride;
      for_each_pixel(roi, map, share.row, share.column, [&](int64_t offset, Real weight) {
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
    const int64_t bin = int64_t{share.row} * options.width + share.column;
    Value* target = out + (int64_t{share.roi} * pyramid.channels + share.channel) * bins + bin;
    for (int c = 0; c < kChannels; ++c) {
      target[c * bins] = static_cast<Value>(sums[c]);
    }
  }
}

template <typename Value, int kChannels>
__global__ void __launch_bounds__(kThreads)
    scatter_kernel(Pyramid<accumulate_t<Value>> pyramid, Rois<accumulate_t<Value>> rois,
                   RoiAlignOptions options, const Value* grad) {
  using Real = accumulate_t<Value>;
  const int groups = pyramid.channels / kChannels;
  const int64_t bins = int64_t{options.height} * options.width;
  const int64_t work = rois.count * groups * bins;
  for (int64_t index = blockIdx.x * int64_t{kThreads} + threadIdx.x; index < work;
       index += gridDim.x * int64_t{kThreads}) {
    const Share share = share_of(index, groups, kChannels, pyramid.channels_last, options);
    const PlacedRoi<Real> roi = place_roi(rois, share.roi, pyramid, options);
    if (roi.image < 0) {
      continue;
    }
    const int64_t bin = int64_t{share.row} * options.width + share.column;
    const Value* source =
        grad + (int64_t{share.roi} * pyramid.channels + share.channel) * bins + bin;
    Real values[kChannels];
    for (int c = 0; c < kChannels; ++c) {
      values[c] = static_cast<Real>(source[c * bins]);
    }
    const FeatureMap<Real>& map = pyramid.level[roi.level];
    Real* first = map.data + roi.image * map.image_stride + share.channel * map.channel_stride;
    for_each_pixel(roi, map, share.row, share.column, [&](int64_t offset, Real weight) {
      for (int c = 0; c < kChannels; ++c) {
        atomicAdd(first + offset + c * map.channel_stride, weight * values[c]);
      }
    });
  }
}

// The gathering backward: a block owns a tile of pixels and some channels of one image and level.
constexpr int kTile = 8;
constexpr int kTilePixels = kTile * kTile;
constexpr int kChannelsEach = 8;
constexpr int kTileChannels = kThreads / kTilePixels * kChannelsEach;

struct Tile {
  int level, image, top, left;
};

template <typename Real>
__host__ __device__ int tiles_of(const FeatureMap<Real>& map) {
  return ((map.height + kTile - 1) / kTile) * ((map.width + kTile - 1) / kTile);
}

template <typename Real>
__device__ Tile tile_of(int index, const Pyramid<Real>& pyramid) {
  int level = 0;
  while (index >= tiles_of(pyramid.level[level]) * pyramid.images) {
    index -= tiles_of(pyramid.level[level++]) * pyramid.images;
  }
  const int tiles = tiles_of(pyramid.level[level]);
  const int across = (pyramid.level[level].width + kTile - 1) / kTile;
  const int inside = index % tiles;
  return {level, index / tiles, inside / across * kTile, inside % across * kTile};
}

// Whether samples of a roi can reach the pixels [first, first + kTile) of an axis; errs on the side
// of true, by the pixel that a sample reaches beyond itself.
template <typename Real>
__device__ bool may_reach(const Axis<Real>& axis, int bins, int first) {
  const Real end = axis.start + axis.bin * bins;
  const Real low = axis.start < end ? axis.start : end;
  const Real high = axis.start < end ? end : axis.start;
  return high >= first - 2 && low <= first + kTile + 1;
}

// The share of pixel `at` in bin `p` of an axis.
template <typename Real>
__device__ Real pixel_weight(const Axis<Real>& axis, int p, int at) {
  Real weight = 0;
  for (int i = 0; i < axis.samples; ++i) {
    const Tap<Real> tap = axis.tap(p, i);
    weight += (tap.low == at ? tap.low_weight : 0) + (tap.high == at ? tap.high_weight : 0);
  }
  return weight;
}

template <typename Value>
__global__ void __launch_bounds__(kThreads)
    gather_kernel(Pyramid<accumulate_t<Value>> pyramid, Rois<accumulate_t<Value>> rois,
                  RoiAlignOptions options, const Value* grad) {
  using Real = accumulate_t<Value>;
  extern __shared__ char shared[];
  Real* row_weights = reinterpret_cast<Real*>(shared);  // (bins, kTile)
  Real* column_weights = row_weights + options.height * kTile;
  __shared__ unsigned reaching[kThreads / 32];  // one bit for each of kThreads rois

  const int thread = threadIdx.x;
  const Tile tile = tile_of(blockIdx.x, pyramid);
  const FeatureMap<Real>& map = pyramid.level[tile.level];
  const int y = thread % kTilePixels / kTile, x = thread % kTile;
  const int channel = blockIdx.y * kTileChannels + thread / kTilePixels * kChannelsEach;
  const int channels = min(kChannelsEach, pyramid.channels - channel);  // may be negative
  const int64_t bins = int64_t{options.height} * options.width;
  Real sums[kChannelsEach] = {};

  for (int base = 0; base < rois.count; base += kThreads) {
    bool reaches = false;
    if (base + thread < rois.count) {
      const PlacedRoi<Real> roi = place_roi(rois, base + thread, pyramid, options);
      reaches = roi.image == tile.image && roi.level == tile.level &&
                may_reach(roi.rows, options.height, tile.top) &&
                may_reach(roi.columns, options.width, tile.left);
    }
    const unsigned bits = __ballot_sync(0xffffffffu, reaches);
    __syncthreads();  // the bits of the round before are read
    if (thread % 32 == 0) {
      reaching[thread / 32] = bits;
    }
    __syncthreads();
    for (int word = 0; word < kThreads / 32; ++word) {
      for (unsigned left = reaching[word]; left != 0; left &= left - 1) {
        const int index = base + word * 32 + __ffs(left) - 1;
        const PlacedRoi<Real> roi = place_roi(rois, index, pyramid, options);
        __syncthreads();  // the weights of the roi before are read
        for (int i = thread; i < (options.height + options.width) * kTile; i += kThreads) {
          const int p = i / kTile, at = i % kTile;
          row_weights[i] = p < options.height
                               ? pixel_weight(roi.rows, p, tile.top + at)
                               : pixel_weight(roi.columns, p - options.height, tile.left + at);
        }
        __syncthreads();
        for (int ph = 0; ph < options.height; ++ph) {
          const Real row_weight = row_weights[ph * kTile + y];
          for (int pw = 0; row_weight != 0 && pw < options.width; ++pw) {
            const Real weight = row_weight * column_weights[pw * kTile + x];
            if (weight == 0) {
              continue;
            }
            const Value* source = grad + (int64_t{index} * pyramid.channels + channel) * bins +
                                  int64_t{ph} * options.width + pw;
            for (int c = 0; c < channels; ++c) {
              sums[c] = fma(weight, static_cast<Real>(source[c * bins]), sums[c]);
            }
          }
        }
      }
    }
  }
  if (tile.top + y < map.height && tile.left + x < map.width) {
    Real* target = map.data + tile.image * map.image_stride + channel * map.channel_stride +
                   (tile.top + y) * map.row_stride + (tile.left + x) * map.column_stride;
    for (int c = 0; c < channels; ++c) {
      target[c * map.channel_stride] = sums[c];
    }
  }
}

// Whether `count` channels can be read as one aligned word everywhere in the pyramid.
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
  if (can_pack(pyramid, 4)) {
    forward_kernel<Value, 4, true>
        <<<blocks_for(work / 4, kThreads), kThreads, 0, stream>>>(pyramid, rois, call.options, out);
  } else if (!pyramid.channels_last && pyramid.channels % 4 == 0) {
    forward_kernel<Value, 4, false>
        <<<blocks_for(work / 4, kThreads), kThreads, 0, stream>>>(pyramid, rois, call.options, out);
  } else {
    forward_kernel<Value, 1, false>
        <<<blocks_for(work, kThreads), kThreads, 0, stream>>>(pyramid, rois, call.options, out);
  }
  STD_CUDA_KERNEL_LAUNCH_CHECK();
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
  if (!pyramid.channels_last && pyramid.channels % 4 == 0) {
    scatter_kernel<Value, 4><<<blocks_for(work / 4, kThreads), kThreads, 0, stream>>>(
        pyramid, rois, call.options, grad);
  } else {
    scatter_kernel<Value, 1>
        <<<blocks_for(work, kThreads), kThreads, 0, stream>>>(pyramid, rois, call.options, grad);
  }
  STD_CUDA_KERNEL_LAUNCH_CHECK();
}

template <typename Value>
void gather(const RoiAlignCall& call, const Value* grad, cudaStream_t stream) {
  using Real = accumulate_t<Value>;
  const auto pyramid = call.pyramid<Real>();
  int tiles = 0;
  for (int i = 0; i < pyramid.levels; ++i) {
    tiles += tiles_of(pyramid.level[i]) * pyramid.images;
  }
  if (tiles == 0 || pyramid.channels == 0) {
    return;
  }
  const dim3 blocks(tiles, (pyramid.channels + kTileChannels - 1) / kTileChannels);
  const size_t shared = (call.options.height + call.options.width) * kTile * sizeof(Real);
  gather_kernel<Value>
      <<<blocks, kThreads, shared, stream>>>(pyramid, call.roi_view<Real>(), call.options, grad);
  STD_CUDA_KERNEL_LAUNCH_CHECK();
}

}  // namespace

Tensor roi_align_cuda(std::vector<Tensor> features, Tensor rois, std::optional<Tensor> levels,
                      std::vector<double> scales, double finest_scale, int64_t height,
                      int64_t width, int64_t sampling_ratio, bool half_pixel) {
  const RoiAlignCall call =
      forward_call(features, rois, levels, scales,
                   roi_align_options(height, width, sampling_ratio, half_pixel, finest_scale));
  const OnDeviceOf device(features[0]);
  Tensor out =
      torch::stable::new_empty(features[0], {rois.size(0), features[0].size(1), height, width});
  with_value_type(out.scalar_type(), "roi_align", [&](auto zero) {
    forward(call, static_cast<decltype(zero)*>(out.data_ptr()), device.stream());
  });
  return out;
}

std::vector<Tensor> roi_align_backward_cuda(Tensor grad, Tensor rois, std::optional<Tensor> levels,
                                            std::vector<int64_t> sizes, bool channels_last,
                                            std::vector<double> scales, double finest_scale,
                                            int64_t sampling_ratio, bool half_pixel,
                                            bool deterministic) {
  const OnDeviceOf device(grad);
  const Tensor rows = torch::stable::contiguous(grad);
  const RoiAlignCall call = backward_call(
      rows, rois, levels, sizes, channels_last, scales,
      roi_align_options(grad.size(2), grad.size(3), sampling_ratio, half_pixel, finest_scale));
  with_value_type(grad.scalar_type(), "roi_align_backward", [&](auto zero) {
    const auto* data = static_cast<const decltype(zero)*>(rows.data_ptr());
    deterministic ? gather(call, data, device.stream()) : scatter(call, data, device.stream());
  });
  return cast_to(call.maps, grad.scalar_type());
}

}  // namespace hrdet
