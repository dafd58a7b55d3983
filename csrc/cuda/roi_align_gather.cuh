// The deterministic backward of RoIAlign: every pixel collects what the rois over it owe to it, in
// the order of the rois. A block owns a tile of pixels and some channels of one image and level.
#pragma once

#include "../common/roi_align_call.h"
#include "launch.h"

namespace hrdet {
namespace {

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

// One bit for each of the kThreads rois from `base` on: whether it may reach the tile. All threads
// of the block call it, and all may read `reaching` afterwards.
template <typename Real>
__device__ void find_reaching(const Rois<Real>& rois, int base, const Pyramid<Real>& pyramid,
                              const RoiAlignOptions& options, const Tile& tile,
                              unsigned* reaching) {
  const int thread = threadIdx.x;
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
}

// The weights of a roi's bins on the tile, (height, kTile) for rows and then (width, kTile) for
// columns. All threads of the block call it, and all may read `weights` afterwards.
template <typename Real>
__device__ void fill_weights(const PlacedRoi<Real>& roi, const RoiAlignOptions& options,
                             const Tile& tile, Real* weights) {
  __syncthreads();  // the weights of the roi before are read
  for (int i = threadIdx.x; i < (options.height + options.width) * kTile; i += kThreads) {
    const int p = i / kTile, at = i % kTile;
    weights[i] = p < options.height ? pixel_weight(roi.rows, p, tile.top + at)
                                    : pixel_weight(roi.columns, p - options.height, tile.left + at);
  }
  __syncthreads();
}

// What one roi owes to pixel (y, x) of the tile; `source` is its gradient, from the first of
// `channels` channels on.
template <typename Real, typename Value>
__device__ void collect(const Value* source, const Real* weights, int y, int x,
                        const RoiAlignOptions& options, int channels, Real (&sums)[kChannelsEach]) {
  const int64_t bins = int64_t{options.height} * options.width;
  const Real* column_weights = weights + options.height * kTile;
  for (int ph = 0; ph < options.height; ++ph) {
    const Real row_weight = weights[ph * kTile + y];
    for (int pw = 0; row_weight != 0 && pw < options.width; ++pw) {
      const Real weight = row_weight * column_weights[pw * kTile + x];
      const Value* bin = source + int64_t{ph} * options.width + pw;
      if (weight == 0) {
        continue;
      }
#pragma unroll  // sums stay in registers
      for (int c = 0; c < kChannelsEach; ++c) {
        if (c < channels) {
          sums[c] = fma(weight, static_cast<Real>(bin[c * bins]), sums[c]);
        }
      }
    }
  }
}

template <typename Value>
__global__ void __launch_bounds__(kThreads)
    gather_kernel(Pyramid<accumulate_t<Value>> pyramid, Rois<accumulate_t<Value>> rois,
                  RoiAlignOptions options, const Value* grad) {
  using Real = accumulate_t<Value>;
  extern __shared__ double2 shared[];  // aligned for any Real
  Real* weights = reinterpret_cast<Real*>(shared);
  __shared__ unsigned reaching[kThreads / 32];

  const Tile tile = tile_of(blockIdx.x, pyramid);
  const int y = threadIdx.x % kTilePixels / kTile, x = threadIdx.x % kTile;
  const int channel = blockIdx.y * kTileChannels + threadIdx.x / kTilePixels * kChannelsEach;
  const int channels = min(kChannelsEach, pyramid.channels - channel);  // may be negative
  const int64_t bins = int64_t{options.height} * options.width;
  Real sums[kChannelsEach] = {};

  for (int base = 0; base < rois.count; base += kThreads) {
    find_reaching(rois, base, pyramid, options, tile, reaching);
    for (int word = 0; word < kThreads / 32; ++word) {
      for (unsigned left = reaching[word]; left != 0; left &= left - 1) {
        const int index = base + word * 32 + __ffs(left) - 1;
        fill_weights(place_roi(rois, index, pyramid, options), options, tile, weights);
        const Value* source = grad + (int64_t{index} * pyramid.channels + channel) * bins;
        collect(source, weights, y, x, options, channels, sums);
      }
    }
  }
  const FeatureMap<Real>& map = pyramid.level[tile.level];
  if (tile.top + y < map.height && tile.left + x < map.width) {
    Real* target = map.data + tile.image * map.image_stride + channel * map.channel_stride +
                   (tile.top + y) * map.row_stride + (tile.left + x) * map.column_stride;
#pragma unroll
    for (int c = 0; c < kChannelsEach; ++c) {
      if (c < channels) {
        target[c * map.channel_stride] = sums[c];
      }
    }
  }
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
}  // namespace hrdet
