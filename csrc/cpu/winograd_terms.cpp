// Transformed tiles of a map, for the weight gradient of Winograd's F(4x4, 3x3): 36 elements for
// every tile of a convolution's input, or of the gradient of its output (winograd_transform.h).
// The gradient of a transformed filter is the sum over tiles of their products (ops/winograd.py).
#include "../common/tensors.h"
#include "../ops.h"
#include "target_clones.h"
#include "vector.h"
#include "winograd_transform.h"

namespace hrdet {
namespace {

constexpr int kLanes = 8;

struct Job {
  const float* map;  // (N, height, width, channels)
  int64_t height, width, channels;
  int64_t rows, columns;  // of tiles in an image
  int64_t first, count;   // of the tiles
  float* transformed;     // (36, count, channels)
};

// Transforms tiles begin to end of the job, whose patches have an edge of `Edge` pixels: kPatch
// reads the input from one pixel before the tile, kTile the gradient. Pixels outside are 0.
template <int Edge>
inline void run_tiles(const Job& job, int64_t begin, int64_t end) {
  constexpr int kBefore = (Edge - kTile) / 2;
  for (int64_t slot = begin; slot < end; ++slot) {
    const int64_t tile = job.first + slot;
    const int64_t y = tile / job.columns % job.rows * kTile - kBefore;
    const int64_t x = tile % job.columns * kTile - kBefore;
    const int64_t image = tile / (job.rows * job.columns);
    const float* corner = job.map + ((image * job.height + y) * job.width + x) * job.channels;
    const bool inside = y >= 0 && x >= 0 && y + Edge <= job.height && x + Edge <= job.width;
    float* out = job.transformed + slot * job.channels;
    for_each_vector<kLanes>(job.channels, [&](auto zero, int64_t c, int64_t count) {
      using V = decltype(zero);
      V d[kElements] = {};
      // 1. The pixels, in the upper left of a 6x6 patch.
      for (int i = 0; i < Edge; ++i) {
        for (int j = 0; j < Edge; ++j) {
          if (inside || (y + i >= 0 && y + i < job.height && x + j >= 0 && x + j < job.width)) {
            d[i * kPatch + j] = load<V>(corner + (i * job.width + j) * job.channels + c, count);
          }
        }
      }
      // 2. Transformed by rows, then by columns.
      for (int i = 0; i < Edge; ++i) {
        Edge == kPatch ? transform_input(d + i * kPatch, 1) : transform_gradient(d + i * kPatch, 1);
      }
      for (int j = 0; j < kPatch; ++j) {
        Edge == kPatch ? transform_input(d + j, kPatch) : transform_gradient(d + j, kPatch);
      }
      for (int i = 0; i < kElements; ++i)
        store(out + i * job.count * job.channels + c, d[i], count);
    });
  }
}

HRDET_TARGET_CLONES void run(const Job& job, bool gradient, int64_t begin, int64_t end) {
  gradient ? run_tiles<kTile>(job, begin, end) : run_tiles<kPatch>(job, begin, end);
}

}  // namespace

Tensor winograd_terms_cpu(Tensor map, bool gradient, int64_t first, int64_t count) {
  require(map.dim() == 4 && map.is_contiguous() && map.scalar_type() == ScalarType::Float,
          "winograd_terms: the map must be float32 (N, H, W, C), contiguous");
  const int64_t rows = (map.size(1) + kTile - 1) / kTile,
                columns = (map.size(2) + kTile - 1) / kTile;
  require(first >= 0 && count >= 0 && count <= map.size(0) * rows * columns - first,
          "winograd_terms: there are ", map.size(0) * rows * columns, " tiles");
  Tensor transformed = torch::stable::new_empty(map, {kElements, count, map.size(3)});
  const Job job{static_cast<const float*>(map.data_ptr()),
                map.size(1),
                map.size(2),
                map.size(3),
                rows,
                columns,
                first,
                count,
                static_cast<float*>(transformed.data_ptr())};
  torch::stable::parallel_for(0, count, 16,
                              [&](int64_t begin, int64_t end) { run(job, gradient, begin, end); });
  return transformed;
}

}  // namespace hrdet
