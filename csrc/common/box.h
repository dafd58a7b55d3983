// Boxes (x1, y1, x2, y2) in continuous coordinates: overlap, and the score rule of soft-NMS.
#pragma once

#include <cmath>

#include "host_device.h"

namespace hrdet {

template <typename Real>
struct Box {
  Real x1, y1, x2, y2;

  HRDET_HOST_DEVICE Real area() const { return (x2 - x1) * (y2 - y1); }
};

template <typename Real>
HRDET_HOST_DEVICE Real positive(Real value) {
  return value > 0 ? value : Real(0);
}

template <typename Real>
HRDET_HOST_DEVICE Real intersection(const Box<Real>& a, const Box<Real>& b) {
  const Real left = a.x1 > b.x1 ? a.x1 : b.x1;
  const Real top = a.y1 > b.y1 ? a.y1 : b.y1;
  const Real right = a.x2 < b.x2 ? a.x2 : b.x2;
  const Real bottom = a.y2 < b.y2 ? a.y2 : b.y2;
  return positive(right - left) * positive(bottom - top);
}

// The IoU of two empty boxes is 0 / 0 = NaN, which exceeds no threshold.
template <typename Real>
HRDET_HOST_DEVICE Real iou(const Box<Real>& a, const Box<Real>& b) {
  const Real shared = intersection(a, b);
  return shared / (a.area() + b.area() - shared);
}

// Rows with score -inf are padding; a NaN score is treated the same way.
template <typename Real>
HRDET_HOST_DEVICE bool is_candidate(Real score) {
  return score > -INFINITY;
}

template <typename Real>
struct SoftNms {
  Real iou_threshold, min_score, sigma;
  bool gaussian;

  // The new score of a box whose IoU with the box just picked is `overlap`; -inf drops it. Only
  // boxes that intersect a picked box are compared with min_score, as in the 2019 releases.
  HRDET_HOST_DEVICE Real decayed(Real score, Real overlap) const {
    Real weight = 1;
    if (gaussian) {
      weight = overlap > 0 ? std::exp(-(overlap * overlap) / sigma) : Real(1);  // also for NaN
    } else if (overlap > iou_threshold) {
      weight = 1 - overlap;
    }
    score *= weight;
    return score < min_score ? Real(-INFINITY) : score;
  }
};

}  // namespace hrdet
