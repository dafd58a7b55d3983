// Pasting a soft mask into an image, one axis at a time: which pixels the mask covers, and at which
// position of the mask each pixel samples. The rest is bilinear interpolation and a threshold.
#pragma once

#include <cmath>
#include <cstdint>

#include "host_device.h"

namespace hrdet {

// The mask has `cells` values along this axis, at positions 0 to cells - 1, and a border of one
// more on either side: copies of the outermost values for inclusive boxes, zeros for continuous
// ones.
struct PasteAxis {
  double start, extent;  // the box, in pixels
  int64_t cells;
  double scale;        // cells per pixel
  int64_t begin, end;  // the pixels of the image that may be covered

  // Where a pixel samples the mask, in [-1, cells]. Monotonic in the pixel, which the binary search
  // for a mask's edge relies on.
  HRDET_HOST_DEVICE float position(int64_t pixel) const {
    const double place = (pixel - start + 0.5) * scale - 0.5;
    return static_cast<float>(place < -1 ? -1 : place > cells ? cells : place);
  }

  // The cell to the left of a position; its value is interpolated between this cell and the next.
  HRDET_HOST_DEVICE int64_t cell(float place) const {
    const int64_t before = static_cast<int64_t>(std::floor(place));
    return before < cells ? before : cells - 1;
  }

  HRDET_HOST_DEVICE void cover(double low, double high, int64_t pixels) {
    const bool covers = std::isfinite(start) && std::isfinite(extent) && extent > 0;
    low = low > 0 ? low : 0;
    high = high < pixels ? high : pixels;
    begin = covers && low < high ? static_cast<int64_t>(low) : 0;
    end = covers && low < high ? static_cast<int64_t>(high) : 0;
  }
};

// A box from `low` to `high` in an image of `pixels` pixels; inclusive boxes are stored with high
// + 1.
HRDET_HOST_DEVICE PasteAxis paste_axis(double low, double high, int64_t cells, int64_t pixels,
                                       bool inclusive) {
  PasteAxis axis{low, high - low, cells, 0, 0, 0};
  if (inclusive) {
    const double first = std::trunc(low), count = std::trunc(high - 1) - first + 1;
    axis.start = first;
    axis.extent = count < 1 ? 1 : count;
    axis.cover(first, first + axis.extent, pixels);
  } else {
    const double border = axis.extent / cells / 2;  // where values fade to zero outside of the box
    axis.cover(std::floor(low - border), std::ceil(high + border), pixels);
  }
  axis.scale = 1 / (axis.extent / cells);
  return axis;
}

// Linear interpolation that is monotonic in `weight`, also after rounding.
HRDET_HOST_DEVICE float interpolate(float from, float to, float weight) {
  return from + (to - from) * weight;
}

}  // namespace hrdet
