// NMS and soft-NMS on CUDA for a batch of problems, without synchronising with the host.
//
// NMS: 1) sort by score (stable); 2) overlap_kernel: one bit for every pair of boxes; 3)
// keep_kernel: one block per problem visits the boxes in order and keeps those that no kept box
// suppresses.
#include <algorithm>
#include <array>

#include "../common/box.h"
#include "../ops.h"
#include "launch.h"

namespace hrdet {
namespace {

constexpr int kWord = 64;  // boxes per word of the overlap mask
using Word = unsigned long long;
// The overlap mask is 256 MiB at most, unless a single problem needs more; problems are processed
// in chunks that fit. (Tests compile with a smaller mask.)
#ifndef HRDET_NMS_MASK_BYTES
#define HRDET_NMS_MASK_BYTES (256 << 20)
#endif
constexpr int64_t kMaskWords = HRDET_NMS_MASK_BYTES / sizeof(Word);

// B problems of M boxes each, which are visited in `order` (best first); -inf rows come last.
template <typename Real>
struct Problems {
  const Box<Real>* boxes;  // (B, M)
  const Real* scores;      // (B, M), in order
  const int64_t* order;    // (B, M)
  int count;               // M

  __device__ Box<Real> box(int64_t problem, int rank) const {
    return boxes[problem * count + order[problem * count + rank]];
  }
  __device__ Real score(int64_t problem, int rank) const { return scores[problem * count + rank]; }
  __device__ bool is_padding(int64_t problem, int rank) const {
    return rank >= count || score(problem, rank) == -INFINITY;
  }
  __host__ __device__ int words() const { return (count + kWord - 1) / kWord; }
  // The problems from `first` on.
  Problems from(int64_t first) const {
    return {boxes + first * count, scores + first * count, order + first * count, count};
  }
};

// mask (B, M, words): for each box, the bits of the later boxes that it suppresses. A block
// computes one word for 64 boxes. Words left of the diagonal and rows of padding are neither
// written nor read.
template <typename Real>
__global__ void overlap_kernel(Problems<Real> all, Real threshold, Word* mask) {
  const int64_t problem = blockIdx.x;
  const int first_row = blockIdx.y * kWord, first_column = blockIdx.z * kWord;
  if (first_column < first_row || all.is_padding(problem, first_row)) {
    return;
  }
  // 1) Load the 64 boxes of the word into shared memory.
  __shared__ Box<Real> columns[kWord];
  __shared__ bool usable[kWord];
  const int lane = threadIdx.x;
  const int column = first_column + lane;
  usable[lane] = column < all.count && is_candidate(all.score(problem, column));
  if (usable[lane]) {
    columns[lane] = all.box(problem, column);
  }
  __syncthreads();
  // 2) Compare one box per thread with all of them.
  const int row = first_row + lane;
  if (row >= all.count) {
    return;
  }
  const Box<Real> box = all.box(problem, row);
  Word bits = 0;
  for (int i = 0; i < kWord; ++i) {
    if (first_column + i > row && usable[i] && iou(box, columns[i]) > threshold) {
      bits |= Word{1} << i;
    }
  }
  mask[(problem * all.count + row) * all.words() + blockIdx.z] = bits;
}

// One block per problem visits the boxes in order, 64 (a word) at a time.
template <typename Real>
__global__ void __launch_bounds__(kThreads)
    keep_kernel(Problems<Real> all, const Word* mask, int64_t max_output, int64_t* indices,
                bool* valid) {
  Word* suppressed = dynamic_shared<Word>();  // (words,)
  __shared__ Word diagonal[kWord], candidates[kWord], kept;
  __shared__ int64_t num_kept;
  const int64_t problem = blockIdx.x;
  const int thread = threadIdx.x;
  const int words = all.words();
  const Word* rows = mask + problem * all.count * words;
  for (int w = thread; w < words; w += kThreads) {
    suppressed[w] = 0;
  }
  int64_t before = 0;
  for (int word = 0; word < words && before < max_output; ++word) {
    const int first = word * kWord;
    if (all.is_padding(problem, first)) {
      break;
    }
    // 1) Load which of the 64 boxes are candidates, and which of the 64 each of them suppresses.
    const int row = first + thread;
    if (thread < kWord) {
      const bool candidate = row < all.count && is_candidate(all.score(problem, row));
      candidates[thread] = candidate ? Word{1} << thread : 0;
      diagonal[thread] = candidate ? rows[int64_t{row} * words + word] : 0;
    }
    __syncthreads();
    // 2) One thread decides which of them are kept, in order.
    if (thread == 0) {
      Word dropped = suppressed[word];
      kept = 0;
      num_kept = before;
      for (int i = 0; i < kWord && num_kept < max_output; ++i) {
        if (candidates[i] & ~dropped) {
          kept |= candidates[i];
          dropped |= diagonal[i];
          ++num_kept;
        }
      }
    }
    __syncthreads();
    // 3) Write the kept boxes.
    if (thread < kWord && (kept >> thread & 1)) {
      const int64_t place =
          problem * max_output + before + __popcll(kept & ((Word{1} << thread) - 1));
      indices[place] = all.order[problem * all.count + row];
      valid[place] = true;
    }
    // 4) Mark what they suppress in the words that follow.
    for (int w = word + 1 + thread; w < words; w += kThreads) {
      Word dropped = suppressed[w];
      for (Word left = kept; left != 0; left &= left - 1) {
        dropped |= rows[int64_t{first + __ffsll(left) - 1} * words + w];
      }
      suppressed[w] = dropped;
    }
    before = num_kept;
    __syncthreads();
  }
}

template <typename Real>
struct Best {
  Real score;
  int index;

  // The higher score wins; ties: the lower index.
  __device__ void update(const Best& other) {
    if (other.score > score || (other.score == score && other.index < index)) {
      *this = other;
    }
  }
};

// One block per problem; a thread owns every kThreads-th score.
template <typename Real>
__global__ void __launch_bounds__(kThreads, kResidentBlocks<Real>)
    soft_nms_kernel(const Box<Real>* boxes, Real* scores, int count, SoftNms<Real> rule,
                    int64_t max_output, int64_t* indices, Real* out_scores, bool* valid) {
  __shared__ Best<Real> bests[kThreads];
  const int64_t problem = blockIdx.x;
  const int thread = threadIdx.x;
  boxes += problem * count;
  scores += problem * count;
  Best<Real> best{-INFINITY, count};
  for (int i = thread; i < count; i += kThreads) {
    if (is_candidate(scores[i])) {
      best.update({scores[i], i});
    }
  }
  for (int64_t place = problem * max_output; place < (problem + 1) * max_output; ++place) {
    // 1) Find the best score of the block by a tree reduction.
    bests[thread] = best;
    for (int half = kThreads / 2; half > 0; half /= 2) {
      __syncthreads();
      if (thread < half) {
        bests[thread].update(bests[thread + half]);
      }
    }
    __syncthreads();
    const Best<Real> winner = bests[0];
    __syncthreads();
    if (!is_candidate(winner.score)) {
      break;
    }
    // 2) Write it.
    if (thread == 0) {
      indices[place] = winner.index;
      out_scores[place] = winner.score;
      valid[place] = true;
    }
    // 3) Lower the scores of the boxes that overlap it, and find the best of each thread.
    const Box<Real> picked = boxes[winner.index];
    best = {-INFINITY, count};
    for (int i = thread; i < count; i += kThreads) {
      if (i == winner.index) {
        scores[i] = -INFINITY;
      } else if (is_candidate(scores[i])) {
        if (intersection(picked, boxes[i]) > 0) {
          scores[i] = rule.decayed(scores[i], iou(picked, boxes[i]));
        }
        best.update({scores[i], i});
      }
    }
  }
}

// (scores, order) of every row, best first, ties by the lower index.
std::tuple<Tensor, Tensor> sorted(const Tensor& scores) {
  std::array<StableIValue, 4> stack{
      torch::stable::detail::from(scores), torch::stable::detail::from(std::optional<bool>(true)),
      torch::stable::detail::from(int64_t{1}), torch::stable::detail::from(true)};
  const auto status =
      torch_call_dispatcher("aten::sort", "stable", stack.data(), TORCH_ABI_VERSION);
  require(status == TORCH_SUCCESS, "nms: the scores could not be sorted");
  return {torch::stable::contiguous(torch::stable::detail::to<Tensor>(stack[0])),
          torch::stable::contiguous(torch::stable::detail::to<Tensor>(stack[1]))};
}

template <typename Real>
void keep_best(const Tensor& boxes, const Tensor& scores, const Tensor& order, double threshold,
               const Tensor& indices, const Tensor& valid, cudaStream_t stream) {
  const int64_t problems = boxes.size(0), count = boxes.size(1), max_output = indices.size(1);
  const Problems<Real> all{static_cast<const Box<Real>*>(boxes.data_ptr()),
                           static_cast<const Real*>(scores.data_ptr()),
                           static_cast<const int64_t*>(order.data_ptr()), static_cast<int>(count)};
  const int64_t words = all.words();
  const int64_t chunk = std::clamp<int64_t>(kMaskWords / (count * words), 1, problems);
  const Tensor mask = torch::stable::new_empty(boxes, {chunk, count, words}, ScalarType::Long);
  Word* mask_data = static_cast<Word*>(mask.data_ptr());
  for (int64_t first = 0; first < problems; first += chunk) {
    const Problems<Real> some = all.from(first);
    const int64_t blocks = std::min(chunk, problems - first);
    launch("nms", {blocks, words, words, kWord}, stream, overlap_kernel<Real>, some,
           static_cast<Real>(threshold), mask_data);
    const int64_t shared_bytes = words * static_cast<int64_t>(sizeof(Word));
    launch("nms", {blocks, 1, 1, kThreads, shared_bytes}, stream, keep_kernel<Real>, some,
           mask_data, max_output, static_cast<int64_t*>(indices.data_ptr()) + first * max_output,
           static_cast<bool*>(valid.data_ptr()) + first * max_output);
  }
}

}  // namespace

std::tuple<Tensor, Tensor> nms_cuda(Tensor boxes, Tensor scores, double iou_threshold,
                                    int64_t max_output) {
  check_candidates("nms", boxes, scores, max_output);
  // keep_kernel has one bit of shared memory for every box.
  constexpr int64_t most = kMaxDynamicSharedBytes / int64_t{sizeof(Word)} * kWord;
  require(boxes.size(1) <= most, "nms: takes up to ", most, " boxes on CUDA, not ", boxes.size(1));
  const StreamGuard device(boxes);
  boxes = torch::stable::contiguous(boxes);
  Tensor indices = torch::stable::new_zeros(boxes, {boxes.size(0), max_output}, ScalarType::Long);
  Tensor valid = torch::stable::new_zeros(boxes, {boxes.size(0), max_output}, ScalarType::Bool);
  if (boxes.numel() > 0 && max_output > 0) {
    const auto [sorted_scores, order] = sorted(scores);
    auto run = boxes.scalar_type() == ScalarType::Double ? keep_best<double> : keep_best<float>;
    run(boxes, sorted_scores, order, iou_threshold, indices, valid, device.stream());
  }
  return {indices, valid};
}

std::tuple<Tensor, Tensor, Tensor> soft_nms_cuda(Tensor boxes, Tensor scores, double iou_threshold,
                                                 double min_score, bool gaussian, double sigma,
                                                 int64_t max_output) {
  check_candidates("soft_nms", boxes, scores, max_output);
  const StreamGuard device(boxes);
  boxes = torch::stable::contiguous(boxes);
  const Tensor working = torch::stable::clone(torch::stable::contiguous(scores));
  const int64_t problems = boxes.size(0), count = boxes.size(1);
  Tensor indices = torch::stable::new_zeros(boxes, {problems, max_output}, ScalarType::Long);
  Tensor out_scores = torch::stable::new_zeros(scores, {problems, max_output});
  Tensor valid = torch::stable::new_zeros(boxes, {problems, max_output}, ScalarType::Bool);
  if (boxes.numel() > 0 && max_output > 0) {
    dispatch_real_type(boxes.scalar_type(), [&](auto zero) {
      using Real = decltype(zero);
      const SoftNms<Real> rule{static_cast<Real>(iou_threshold), static_cast<Real>(min_score),
                               static_cast<Real>(sigma), gaussian};
      launch("soft_nms", {problems}, device.stream(), soft_nms_kernel<Real>,
             static_cast<const Box<Real>*>(boxes.data_ptr()),
             static_cast<Real*>(working.data_ptr()), static_cast<int>(count), rule, max_output,
             static_cast<int64_t*>(indices.data_ptr()), static_cast<Real*>(out_scores.data_ptr()),
             static_cast<bool*>(valid.data_ptr()));
    });
  }
  return {indices, out_scores, valid};
}

}  // namespace hrdet
