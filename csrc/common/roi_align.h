// Sampling positions and weights of RoIAlign (Mask R-CNN, section 3). A bin averages a grid of
// bilinear samples; their weights are separable, so this file handles one axis at a time.
#pragma once

#include <cmath>

#include "host_device.h"

namespace hrdet {

constexpr int kMaxLevels = 8;
// Upper bound of adaptive sampling, wider than any feature map: diverged boxes must not cost
// unbounded time.
constexpr int kMaxSamples = 1024;
// Per side of the output; the weights of all bins fit into the shared memory of a CUDA block.
constexpr int kMaxBins = 256;

// The two pixels that a sample interpolates and their weights, 0 where it lies off the map.
template <typename Real>
struct Tap {
  int low, high;
  Real low_weight, high_weight;
};

// One axis of a roi on one feature map: `samples` evenly spaced samples in each of its bins.
template <typename Real>
struct Axis {
  Real start, bin;  // in feature pixels
  int samples;      // per bin
  int size;         // pixels of the map along this axis

  // Sample `i` of bin `p`; its weights sum to 1 / samples, so that a bin comes out as a mean.
  HRDET_HOST_DEVICE Tap<Real> tap(int p, int i) const {
    const Real mean = Real(1) / samples;
    Real at = start + p * bin + (i + Real(0.5)) * bin / samples;
    if (!(at >= -1 && at <= size)) {
      return {0, 0, 0, 0};
    }
    at = at > 0 ? at : Real(0);
    const int low = static_cast<int>(at);
    if (low >= size - 1) {
      return {size - 1, size - 1, mean, 0};
    }
    const Real fraction = at - low;
    return {low, low + 1, (1 - fraction) * mean, fraction * mean};
  }
};

struct RoiAlignOptions {
  int height, width;   // bins
  int sampling_ratio;  // samples per bin and axis; 0: as many as the bin has feature pixels
  bool half_pixel;     // true: pixel centres at +0.5, size as it is; false: at 0, size >= 0
  double finest_scale;
};

// The axis of a roi from `low` to `high` in image pixels.
template <typename Real>
HRDET_HOST_DEVICE Axis<Real> roi_axis(Real low, Real high, Real scale, int bins, int size,
                                      const RoiAlignOptions& options) {
  const Real shift = options.half_pixel ? Real(0.5) : Real(0);
  const Real start = low * scale - shift;
  Real length = (high * scale - shift) - start;
  if (!options.half_pixel && length < 0) {
    length = 0;
  }
  const Real bin = length / bins;
  int samples = options.sampling_ratio;
  if (samples <= 0) {
    // A NaN takes the last branch: no samples, and the bin is 0.
    samples = bin > 0 ? (bin < kMaxSamples ? static_cast<int>(std::ceil(bin)) : kMaxSamples) : 0;
  }
  return {start, bin, samples, size};
}

// FPN, equation 1, as the HRNet detection release has it: level 0 below 2 * finest_scale pixels
// (square root of the area), one more for every doubling. A roi without area belongs to level 0.
template <typename Real>
HRDET_HOST_DEVICE int pyramid_level(Real width, Real height, Real finest_scale, int levels) {
  const Real area = (width > 0 ? width : Real(0)) * (height > 0 ? height : Real(0));
  const Real level = std::floor(std::log2(std::sqrt(area) / finest_scale + Real(1e-6)));
  if (!(level > 0)) {
    return 0;
  }
  return level < levels ? static_cast<int>(level) : levels - 1;
}

}  // namespace hrdet
