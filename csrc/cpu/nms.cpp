// NMS and soft-NMS on a CPU, in parallel over the B problems of a batch.
#include <algorithm>
#include <numeric>

#include "../common/box.h"
#include "../common/tensors.h"
#include "../ops.h"
#include "target_clones.h"

namespace hrdet {
namespace {

// The candidates of one problem in descending score order, as columns for SIMD comparison.
template <typename Real>
struct Candidates {
  std::vector<int64_t> index;
  std::vector<Real> x1, y1, x2, y2;
  std::vector<int32_t> suppressed;

  void fill(const Real* boxes, const Real* scores, int64_t count) {
    index.clear();
    for (int64_t i = 0; i < count; ++i) {
      if (is_candidate(scores[i])) {
        index.push_back(i);
      }
    }
    std::stable_sort(index.begin(), index.end(),
                     [=](int64_t a, int64_t b) { return scores[a] > scores[b]; });
    const size_t size = index.size();
    for (auto* column : {&x1, &y1, &x2, &y2}) {
      column->resize(size);
    }
    for (size_t i = 0; i < size; ++i) {
      const Real* box = boxes + 4 * index[i];
      x1[i] = box[0];
      y1[i] = box[1];
      x2[i] = box[2];
      y2[i] = box[3];
    }
    suppressed.assign(size, 0);
  }
};

template <typename Real>
struct BoxColumns {
  const Real *x1, *y1, *x2, *y2;
};

template <typename Real>
inline void suppress_loop(const BoxColumns<Real>& all, int64_t best, int64_t count, Real threshold,
                          int32_t* suppressed) {
  const Box<Real> picked{all.x1[best], all.y1[best], all.x2[best], all.y2[best]};
  for (int64_t i = best + 1; i < count; ++i) {
    const Box<Real> other{all.x1[i], all.y1[i], all.x2[i], all.y2[i]};
    suppressed[i] |= iou(picked, other) > threshold;
  }
}

#define HRDET_SUPPRESS(Real)                                                                  \
  HRDET_TARGET_CLONES void suppress(const BoxColumns<Real>& all, int64_t best, int64_t count, \
                                    Real threshold, int32_t* suppressed) {                    \
    suppress_loop<Real>(all, best, count, threshold, suppressed);                             \
  }
HRDET_SUPPRESS(float)
HRDET_SUPPRESS(double)
#undef HRDET_SUPPRESS

template <typename Real>
void nms_one(Candidates<Real>& all, Real threshold, int64_t max_output, int64_t* indices,
             bool* valid) {
  const BoxColumns<Real> columns{all.x1.data(), all.y1.data(), all.x2.data(), all.y2.data()};
  const int64_t count = static_cast<int64_t>(all.index.size());
  int64_t picked = 0;
  for (int64_t i = 0; i < count && picked < max_output; ++i) {
    if (!all.suppressed[i]) {
      indices[picked] = all.index[i];
      valid[picked++] = true;
      suppress(columns, i, count, threshold, all.suppressed.data());
    }
  }
}

template <typename Real>
void soft_nms_one(const Box<Real>* boxes, std::vector<Real>& scores, const SoftNms<Real>& rule,
                  int64_t max_output, int64_t* indices, Real* out_scores, bool* valid) {
  for (int64_t picked = 0; picked < max_output && !scores.empty(); ++picked) {
    const auto best = std::max_element(scores.begin(), scores.end());  // ties: lowest index
    if (!is_candidate(*best)) {
      return;
    }
    const int64_t index = best - scores.begin();
    indices[picked] = index;
    out_scores[picked] = *best;
    valid[picked] = true;
    *best = -INFINITY;
    for (size_t i = 0; i < scores.size(); ++i) {
      if (is_candidate(scores[i]) && intersection(boxes[index], boxes[i]) > 0) {
        scores[i] = rule.decayed(scores[i], iou(boxes[index], boxes[i]));
      }
    }
  }
}

}  // namespace

std::tuple<Tensor, Tensor> nms_cpu(Tensor boxes, Tensor scores, double iou_threshold,
                                   int64_t max_output) {
  check_candidates("nms", boxes, scores, max_output);
  boxes = torch::stable::contiguous(boxes);
  scores = torch::stable::contiguous(scores);
  const int64_t problems = boxes.size(0), count = boxes.size(1);
  Tensor indices = torch::stable::new_zeros(boxes, {problems, max_output}, ScalarType::Long);
  Tensor valid = torch::stable::new_zeros(boxes, {problems, max_output}, ScalarType::Bool);
  dispatch_real_type(boxes.scalar_type(), [&](auto zero) {
    using Real = decltype(zero);
    const Real* box_data = static_cast<const Real*>(boxes.data_ptr());
    const Real* score_data = static_cast<const Real*>(scores.data_ptr());
    int64_t* index_data = static_cast<int64_t*>(indices.data_ptr());
    bool* valid_data = static_cast<bool*>(valid.data_ptr());
    torch::stable::parallel_for(0, problems, 1, [&](int64_t begin, int64_t end) {
      Candidates<Real> all;
      for (int64_t b = begin; b < end; ++b) {
        all.fill(box_data + 4 * b * count, score_data + b * count, count);
        nms_one(all, static_cast<Real>(iou_threshold), max_output, index_data + b * max_output,
                valid_data + b * max_output);
      }
    });
  });
  return {indices, valid};
}

std::tuple<Tensor, Tensor, Tensor> soft_nms_cpu(Tensor boxes, Tensor scores, double iou_threshold,
                                                double min_score, bool gaussian, double sigma,
                                                int64_t max_output) {
  check_candidates("soft_nms", boxes, scores, max_output);
  boxes = torch::stable::contiguous(boxes);
  scores = torch::stable::contiguous(scores);
  const int64_t problems = boxes.size(0), count = boxes.size(1);
  Tensor indices = torch::stable::new_zeros(boxes, {problems, max_output}, ScalarType::Long);
  Tensor out_scores = torch::stable::new_zeros(scores, {problems, max_output});
  Tensor valid = torch::stable::new_zeros(boxes, {problems, max_output}, ScalarType::Bool);
  dispatch_real_type(boxes.scalar_type(), [&](auto zero) {
    using Real = decltype(zero);
    const Box<Real>* box_data = static_cast<const Box<Real>*>(boxes.data_ptr());
    const Real* score_data = static_cast<const Real*>(scores.data_ptr());
    const SoftNms<Real> rule{static_cast<Real>(iou_threshold), static_cast<Real>(min_score),
                             static_cast<Real>(sigma), gaussian};
    int64_t* index_data = static_cast<int64_t*>(indices.data_ptr());
    Real* out_data = static_cast<Real*>(out_scores.data_ptr());
    bool* valid_data = static_cast<bool*>(valid.data_ptr());
    torch::stable::parallel_for(0, problems, 1, [&](int64_t begin, int64_t end) {
      std::vector<Real> working;
      for (int64_t b = begin; b < end; ++b) {
        working.assign(score_data + b * count, score_data + (b + 1) * count);
        std::replace_if(
            working.begin(), working.end(), [](Real s) { return !is_candidate(s); },
            Real(-INFINITY));
        soft_nms_one(box_data + b * count, working, rule, max_output, index_data + b * max_output,
                     out_data + b * max_output, valid_data + b * max_output);
      }
    });
  });
  return {indices, out_scores, valid};
}

}  // namespace hrdet
