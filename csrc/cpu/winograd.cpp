// 3x3 convolution of channels-last maps on a CPU by Winograd's minimal filtering, F(4x4, 3x3)
// (Lavin and Gray, arXiv 1509.09308): 36 products for 16 pixels, where the direct way takes 144.
// A chunk of tiles is transformed, multiplied and transformed back while it is in the cache. Sums
// are float32, also between maps of bfloat16.
#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "../ops.h"
#include "lanes.h"

#if defined(__clang__)
#pragma clang fp contract(fast)
#else
#pragma GCC optimize("fp-contract=fast")  // products are summed with FMA, as in any GEMM
#endif

namespace hrdet {
namespace {

constexpr int kPanel = 48;  // output channels whose weights lie together
constexpr int kTile = 4, kPatch = 6, kTerms = kPatch * kPatch;
// Between the 36 parts of a buffer, lest all of them compete for the same lines of the L1 cache.
constexpr int kApart = 16;
constexpr int kChunk = 24;  // tiles worked on together: what they become fits the L2 cache

// What every chunk of tiles needs to know. Maps are (images, height, width, channels).
template <typename Value>
struct Job {
  const Value* input;
  const float* weight;  // (36, panels, in_channels, 48)
  const float* bias;
  Value* output;
  int64_t height, width, in_channels, out_channels, rows, columns;  // of tiles

  int64_t panels() const { return (out_channels + kPanel - 1) / kPanel; }
};

// A polynomial's values at 0, +-a, +-b and infinity, and back. These points lose half the digits
// that the usual 1 and 2 lose (found by trying), and their powers are exact.
constexpr float a = 0.75f, b = 1.5f, a2 = a * a, b2 = b * b, a3 = a * a2, b3 = b * b2;

template <typename V>
inline void transform_input(V* d, int step) {
  const V d1 = d[step], d2 = d[2 * step], d3 = d[3 * step], d4 = d[4 * step];
  const V even_a = d4 - b2 * d2, odd_a = a * (d3 - b2 * d1);
  const V even_b = d4 - a2 * d2, odd_b = b * (d3 - a2 * d1);
  d[0] = a2 * b2 * d[0] - (a2 + b2) * d2 + d4;
  d[step] = even_a + odd_a;
  d[2 * step] = even_a - odd_a;
  d[3 * step] = even_b + odd_b;
  d[4 * step] = even_b - odd_b;
  d[5 * step] = a2 * b2 * d1 - (a2 + b2) * d3 + d[5 * step];
}

template <typename V>
inline void transform_output(V* out, const V* m, int out_step, int step) {
  const V even_a = m[step] + m[2 * step], odd_a = m[step] - m[2 * step];
  const V even_b = m[3 * step] + m[4 * step], odd_b = m[3 * step] - m[4 * step];
  out[0] = m[0] + even_a + even_b;
  out[out_step] = a * odd_a + b * odd_b;
  out[2 * out_step] = a2 * even_a + b2 * even_b;
  out[3 * out_step] = a3 * odd_a + b3 * odd_b + m[5 * step];
}

// Some tiles of the maps, for a machine with vectors of `Lanes` and registers for `Rows` times
// `Width` sums.
template <typename Value, int Lanes, int Rows, int Width>
class Worker {
  using V = typename Vector<Lanes>::type;

 public:
  explicit Worker(const Job<Value>& job)
      : job_(job),
        patch_stride_((job.in_channels + 15) / 16 * 16),
        sum_stride_(job.panels() * kPanel),
        patch_step_(kChunk * patch_stride_ + kApart),
        sum_step_(kChunk * sum_stride_ + kApart),
        buffer_(kTerms * (patch_step_ + sum_step_) + 16),
        zeros_(job.in_channels, Value(0.0f)) {
    void* start = buffer_.data();
    size_t space = buffer_.size() * sizeof(float);
    patches_ = static_cast<float*>(std::align(64, space - 64, start, space));
    sums_ = patches_ + kTerms * patch_step_;
  }

  inline void run(int64_t first, int64_t last) {
    for (int64_t t = first; t < last; ++t) {
      read_tile(t, static_cast<int>(t - first));
    }
    for (int i = 0; i < kTerms; ++i) {
      for (int64_t p = 0; p < job_.panels(); ++p) {
        multiply(i, p, last - first);
      }
    }
    for (int64_t t = first; t < last; ++t) {
      write_tile(t, static_cast<int>(t - first));
    }
  }

 private:
  inline void read_tile(int64_t tile, int slot) {
    const int64_t y = tile / job_.columns % job_.rows * kTile - 1;
    const int64_t x = tile % job_.columns * kTile - 1;
    const Value* image = job_.input + tile / (job_.rows * job_.columns) * job_.height * job_.width *
                                          job_.in_channels;
    const Value* pixels[kTerms];
    for (int i = 0; i < kTerms; ++i) {
      const int64_t row = y + i / kPatch, column = x + i % kPatch;
      const bool inside = row >= 0 && row < job_.height && column >= 0 && column < job_.width;
      pixels[i] = inside ? image + (row * job_.width + column) * job_.in_channels : zeros_.data();
    }
    const int64_t count = std::min<int64_t>(Lanes, job_.in_channels);
    for (int64_t next = 0; next < job_.in_channels; next += Lanes) {
      const int64_t c = std::min(next, job_.in_channels - count);  // the last overlaps
      V d[kTerms];
      for (int i = 0; i < kTerms; ++i) d[i] = load<V>(pixels[i] + c, count);
      for (int i = 0; i < kPatch; ++i) transform_input(d + i * kPatch, 1);
      for (int i = 0; i < kPatch; ++i) transform_input(d + i, kPatch);
      float* to = patches_ + slot * patch_stride_ + c;
      for (int i = 0; i < kTerms; ++i) {
        std::memcpy(to + i * patch_step_, &d[i], sizeof(V));
      }
    }
  }

  // sums (tiles, 48) = patches (tiles, C) times a panel of weights (C, 48)
  inline void multiply(int term, int64_t panel, int64_t tiles) {
    const int64_t channels = std::min<int64_t>(kPanel, job_.out_channels - panel * kPanel);
    const float* weight = job_.weight + (term * job_.panels() + panel) * job_.in_channels * kPanel;
    for (int64_t t = 0; t < tiles; t += Rows) {
      const float* rows = patches_ + term * patch_step_ + t * patch_stride_;
      float* out = sums_ + term * sum_step_ + t * sum_stride_ + panel * kPanel;
      int64_t done = 0;
      for (; done + (Width - 1) * Lanes < channels; done += Width * Lanes) {
        multiply_rows<Width>(rows, weight + done, out + done);
      }
      for (; done + Lanes < channels; done += 2 * Lanes) {
        multiply_rows<2>(rows, weight + done, out + done);
      }
      for (; done < channels; done += Lanes) {
        multiply_rows<1>(rows, weight + done, out + done);
      }
    }
  }

  template <int Count>
  inline void multiply_rows(const float* rows, const float* weight, float* out) {
    V sums[Rows][Count] = {};
    for (int64_t c = 0; c < job_.in_channels; ++c) {
      V w[Count];
      for (int k = 0; k < Count; ++k) w[k] = load<V>(weight + c * kPanel + k * Lanes);
      for (int r = 0; r < Rows; ++r) {
        const float value = rows[r * patch_stride_ + c];
        for (int k = 0; k < Count; ++k) sums[r][k] += value * w[k];
      }
    }
    for (int r = 0; r < Rows; ++r) {
      for (int k = 0; k < Count; ++k) {
        std::memcpy(out + r * sum_stride_ + k * Lanes, &sums[r][k], sizeof(V));
      }
    }
  }

  inline void write_tile(int64_t tile, int slot) {
    const int64_t y = tile / job_.columns % job_.rows * kTile;
    const int64_t x = tile % job_.columns * kTile;
    const int64_t height = std::min<int64_t>(kTile, job_.height - y);
    const int64_t width = std::min<int64_t>(kTile, job_.width - x);
    const int64_t image = tile / (job_.rows * job_.columns);
    const int64_t corner = (image * job_.height + y) * job_.width + x;
    const int64_t count = std::min<int64_t>(Lanes, job_.out_channels);
    for (int64_t next = 0; next < job_.out_channels; next += Lanes) {
      const int64_t c = std::min(next, job_.out_channels - count);
      V m[kTerms], half[kTile * kPatch], out[kTile * kTile];
      const float* from = sums_ + slot * sum_stride_ + c;
      for (int i = 0; i < kTerms; ++i) m[i] = load<V>(from + i * sum_step_);
      for (int i = 0; i < kPatch; ++i) transform_output(half + i, m + i, kPatch, kPatch);
      for (int i = 0; i < kTile; ++i) transform_output(out + i * kTile, half + i * kPatch, 1, 1);
      const V bias = load<V>(job_.bias + c, count);
      for (int64_t i = 0; i < height; ++i) {
        for (int64_t j = 0; j < width; ++j) {
          const int64_t at = (corner + i * job_.width + j) * job_.out_channels + c;
          store(job_.output + at, out[i * kTile + j] + bias, count);
        }
      }
    }
  }

  const Job<Value>& job_;
  // Patches and sums are (36, tiles of a chunk, channels), with room for whole vectors and panels.
  const int64_t patch_stride_, sum_stride_, patch_step_, sum_step_;
  std::vector<float> buffer_;
  const std::vector<Value> zeros_;  // a pixel outside
  float *patches_, *sums_;
};

template <typename Value, int Lanes, int Rows, int Width>
inline void run(const Job<Value>& job, int64_t begin, int64_t end) {
  Worker<Value, Lanes, Rows, Width> worker(job);
  for (int64_t first = begin; first < end; first += kChunk) {
    worker.run(first, std::min(end, first + kChunk));
  }
}

template <typename Value>
using Run = void (*)(const Job<Value>&, int64_t, int64_t);

#if defined(__x86_64__) && defined(__GNUC__)
template <typename Value>
__attribute__((target("avx512f"), flatten)) void run_avx512(const Job<Value>& job, int64_t begin,
                                                            int64_t end) {
  run<Value, 16, 8, 3>(job, begin, end);
}

template <typename Value>
__attribute__((target("avx2,fma"), flatten)) void run_avx2(const Job<Value>& job, int64_t begin,
                                                           int64_t end) {
  run<Value, 8, 6, 2>(job, begin, end);
}
#endif

template <typename Value>
Run<Value> best_run() {
#if defined(__x86_64__) && defined(__GNUC__)
  if (__builtin_cpu_supports("avx512f")) return run_avx512<Value>;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return run_avx2<Value>;
#endif
  return run<Value, 4, 6, 2>;
}

template <typename Value>
void convolve(const Tensor& input, const Tensor& weight, const Tensor& bias, Tensor& output) {
  const int64_t height = input.size(1), width = input.size(2);
  const Job<Value> job{static_cast<const Value*>(input.data_ptr()),
                       static_cast<const float*>(weight.data_ptr()),
                       static_cast<const float*>(bias.data_ptr()),
                       static_cast<Value*>(output.data_ptr()),
                       height,
                       width,
                       input.size(3),
                       output.size(3),
                       (height + kTile - 1) / kTile,
                       (width + kTile - 1) / kTile};
  static const Run<Value> kernel = best_run<Value>();
  const int64_t tiles = input.size(0) * job.rows * job.columns;
  torch::stable::parallel_for(0, tiles, kChunk,
                              [&](int64_t begin, int64_t end) { kernel(job, begin, end); });
}

}  // namespace

Tensor winograd_conv_cpu(Tensor input, Tensor weight, Tensor bias) {
  const bool half = input.scalar_type() == ScalarType::BFloat16;
  require(input.dim() == 4 && input.is_contiguous() &&
              (half || input.scalar_type() == ScalarType::Float),
          "winograd_conv: the input must be float32 or bfloat16 (N, H, W, C), contiguous");
  require(weight.dim() == 4 && weight.size(0) == kTerms && weight.size(2) == input.size(3) &&
              weight.size(3) == kPanel && weight.is_contiguous() &&
              weight.scalar_type() == ScalarType::Float,
          "winograd_conv: the weight must come from winograd_weight, for ", input.size(3),
          " input channels");
  require(bias.dim() == 1 && (bias.size(0) + kPanel - 1) / kPanel == weight.size(1) &&
              bias.is_contiguous() && bias.scalar_type() == ScalarType::Float,
          "winograd_conv: the bias must be float32, one number for each output channel");
  Tensor output =
      torch::stable::new_empty(input, {input.size(0), input.size(1), input.size(2), bias.size(0)});
  (half ? convolve<BFloat16> : convolve<float>)(input, weight, bias, output);
  return output;
}

}  // namespace hrdet
