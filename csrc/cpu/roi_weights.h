// Pixels and weights of one roi. The samples of a bin are merged per axis into a short list of
// pixels, since the mean over a bin is separable: sum over y of wy * (sum over x of wx * value).
#pragma once

#include <algorithm>
#include <vector>

#include "../common/roi_align_call.h"
#include "roi_align_loops.h"

namespace hrdet {

// Pixels and weights along one axis: bin p has the entries begin[p] to begin[p + 1].
template <typename Real>
struct AxisWeights {
  std::vector<int> begin, pixel;
  std::vector<int64_t> offset;  // of the pixel, in memory
  std::vector<Real> weight;
  int first = 0, count = 0;  // all pixels lie in [first, first + count)

  void fill(const Axis<Real>& axis, int bins, int64_t stride) {
    begin.assign(1, 0);
    pixel.clear();
    weight.clear();
    for (int p = 0; p < bins; ++p) {
      for (int i = 0; i < axis.samples; ++i) {
        const Tap<Real> tap = axis.tap(p, i);
        add(tap.low, tap.low_weight);
        add(tap.high, tap.high_weight);
      }
      begin.push_back(static_cast<int>(pixel.size()));
    }
    offset.clear();
    for (const int at : pixel) {
      offset.push_back(at * stride);
    }
    first = pixel.empty() ? 0 : *std::min_element(pixel.begin(), pixel.end());
    count = pixel.empty() ? 0 : *std::max_element(pixel.begin(), pixel.end()) + 1 - first;
  }

  WeightedPixels<Real> pixels(int p) const {
    return {offset.data() + begin[p], weight.data() + begin[p], begin[p + 1] - begin[p]};
  }

 private:
  void add(int at, Real value) {
    if (value == 0) {
      return;
    }
    for (int k = static_cast<int>(pixel.size()); k-- > begin.back();) {
      if (pixel[k] == at) {
        weight[k] += value;
        return;
      }
      if (pixel[k] < at - 1) {
        break;
      }
    }
    pixel.push_back(at);
    weight.push_back(value);
  }
};

// One roi: its image and level, and the pixels and weights of its bins on both axes.
template <typename Real>
struct RoiWeights {
  int level = 0, image = -1;  // image -1: a padding roi, no weights
  AxisWeights<Real> rows, columns;

  bool empty() const { return image < 0 || rows.count == 0 || columns.count == 0; }

  template <typename Value>
  void fill(const Rois<Real>& rois, int index, const Pyramid<Value>& pyramid,
            const RoiAlignOptions& options) {
    const PlacedRoi<Real> placed = place_roi(rois, index, pyramid, options);
    image = placed.image;
    level = placed.level;
    if (image >= 0) {
      const FeatureMap<Value>& map = pyramid.level[level];
      rows.fill(placed.rows, options.height, map.row_stride);
      columns.fill(placed.columns, options.width, map.column_stride);
    }
  }
};

}  // namespace hrdet
