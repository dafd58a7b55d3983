// The deterministic backward of RoIAlign: every pixel sums the contributions of all rois, in their
// order. A block owns an 8 x 8 tile of pixels and 32 channels of one image and level:
// 1) all threads find which of the next 256 rois may reach the tile; 2) for each of these, all
// threads compute its row and column weights on the tile; 3) every thread adds the contribution to
// its pixel and channels.
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
__host__ __device__ int64_t tiles_of(const FeatureMap<Real>& map) {
  return int64_t{(map.height + kTile - 1) / kTile} * ((map.width + kTile - 1) / kTile);
}

template <typename Real>
__device__ Tile tile_of(int64_t index, const Pyramid<Real>& pyramid) {
  int level = 0;
  while (index >= tiles_of(pyramid.level[level]) * pyramid.images) {
    index -= tiles_of(pyramid.level[level++]) * pyramid.images;
  }
  const int64_t tiles = tiles_of(pyramid.level[level]);
  const int across = (pyramid.level[level].width + kTile - 1) / kTile;
  const int inside = static_cast<int>(index % tiles);
  return {level, static_cast<int>(index / tiles), inside / across * kTile, inside % across * kTile};
}

// Whether a roi may contribute to the pixels [first, first + kTile) of an axis. Conservative:
// samples contribute to pixels up to one away.
template <typename Real>
__device__ bool may_reach(const Axis<Real>& axis, int bins, int first) {
  const Real end = axis.start + axis.bin * bins;
  const Real low = axis.start < end ? axis.start : end;
  const Real high = axis.start < end ? end : axis.start;
  return high >= first - 2 && low <= first + kTile + 1;
}

// The weight of pixel `at` in bin `p` of an axis.
template <typename Real>
__device__ Real pixel_weight(const Axis<Real>& axis, int p, int at) {
  Real weight = 0;
  for (int i = 0; i < axis.samples; ++i) {
    const Tap<Real> tap = axis.tap(p, i);
    weight += (tap.low == at ? tap.low_weight : 0) + (tap.high == at ? tap.high_weight : 0);
  }
  return weight;
}

// Sets one bit in `reaching` for each of the kThreads rois from `base` on that may reach the tile.
// Called by all threads of the block; synchronises before it returns.
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
  __syncthreads();  // wait for readers of the previous bits
  if (thread % 32 == 0) {
    reaching[thread / 32] = bits;
  }
  __syncthreads();
}

// Fills `weights` with the weights of a roi's bins on the tile: (height, kTile) for rows, then
// (width, kTile) for columns. Called by all threads of the block; synchronises before it returns.
template <typename Real>
__device__ void fill_weights(const PlacedRoi<Real>& roi, const RoiAlignOptions& options,
                             const Tile& tile, Real* weights) {
  __syncthreads();  // wait for readers of the previous weights
  for (int i = threadIdx.x; i < (options.height + options.width) * kTile; i += kThreads) {
    const int p = i / kTile, at = i % kTile;
    weights[i] = p < options.height ? pixel_weight(roi.rows, p, tile.top + at)
                                    : pixel_weight(roi.columns, p - options.height, tile.left + at);
  }
  __syncthreads();
}

// Adds the contribution of one roi to pixel (y, x) of the tile; `source` is the gradient of its
// output, starting at the first of `channels` channels.
template <typename Real, typename Value>
__device__ void accumulate(const Value* source, const Real* weights, int y, int x,
                           const RoiAlignOptions& options, int channels,
                           Real (&sums)[kChannelsEach]) {
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
__global__ void __launch_bounds__(kThreads, kResidentBlocks<accumulate_t<Value>>)
    gather_kernel(Pyramid<accumulate_t<Value>> pyramid, Rois<accumulate_t<Value>> rois,
                  RoiAlignOptions options, const Value* grad) {
  using Real = accumulate_t<Value>;
  Real* weights = dynamic_shared<Real>();
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
        accumulate(source, weights, y, x, options, channels, sums);
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
  int64_t tiles = 0;
  for (int i = 0; i < pyramid.levels; ++i) {
    tiles += tiles_of(pyramid.level[i]) * pyramid.images;
  }
  if (tiles == 0 || pyramid.channels == 0) {
    return;
  }
  const int64_t channel_blocks = (int64_t{pyramid.channels} + kTileChannels - 1) / kTileChannels;
  const int64_t bins = call.options.height + call.options.width;
  const int64_t shared_bytes = bins * kTile * static_cast<int64_t>(sizeof(Real));
  launch("roi_align_backward", {tiles, channel_blocks, 1, kThreads, shared_bytes}, stream,
         gather_kernel<Value>, pyramid, call.roi_view<Real>(), call.options, grad);
}

}  // namespace
}  // namespace hrdet
