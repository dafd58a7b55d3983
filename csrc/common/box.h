// Overlap of boxes (x1, y1, x2, y2), continuous coordinates, and what NMS and soft-NMS make of it.
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

// Two empty boxes have no overlap to speak of: 0 / 0 is NaN, which exceeds no threshold.
template <typename Real>
HRDET_HOST_DEVICE Real iou(const Box<Real>& a, const Box<Real>& b) {
  const Real shared = intersection(a, b);
  return shared / (a.area() + b.area() - shared);
}

// A row takes part in NMS when its score is above -inf: -inf marks padding, and NaN is no score.
template <typename Real>
HRDET_HOST_DEVICE bool is_candidate(Real score) {
  return score > -INFINITY;
}

template <typename Real>
struct SoftNms {
  Real iou_threshold, min_score, sigma;
  bool gaussian;

  // The score of a box after a better box of overlap `overlap` > 0 was picked; -inf drops it. The
  // test against min_score is made only here: a weak box that meets no other stays.
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
