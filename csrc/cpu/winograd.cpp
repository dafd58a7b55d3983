// Winograd convolution F(4x4, 3x3) of channels-last maps on a CPU (Lavin and Gray, arXiv
// 1509.09308): 36 multiplications for 16 pixels instead of 144. Tiles are processed in chunks that
// stay in the cache between 1) input transform, 2) GEMM, one for each of the 36 elements of a
// transformed tile, 3) output transform, with bias, residual and ReLU. Sums are float32, also for
// bfloat16 maps.
#include <algorithm>
#include <memory>
#include <optional>
#include <vector>

#include "../ops.h"

#if defined(__clang__)
#pragma clang fp contract(fast)
#else
#pragma GCC optimize("fp-contract=fast")  // allow FMA, as GEMM libraries do
#endif

#include "vector.h"
#include "winograd_gemm.h"
#include "winograd_transform.h"

namespace hrdet {
namespace {

// Extra bytes between the 36 matrices of a buffer, against conflict misses in the L1 cache.
constexpr int kPadding = 64;
constexpr int kChunk = 24;  // tiles per chunk; its buffers fit the L2 cache

inline int64_t round_up(int64_t count, int64_t unit) { return (count + unit - 1) / unit * unit; }

// Arguments of the convolution. Maps are (N, H, W, C), contiguous.
template <typename Value>
struct Job {
  const Value* input;
  const void* weight;  // (36, panels, words, panel); a word is what MultiplyAdd takes at once
  const float* bias;
  const Value* residual;  // or null
  bool relu;
  Value* output;
  int64_t height, width, in_channels, out_channels, panel, rows, columns;  // of tiles
};

// Convolves chunks of tiles with vectors of `Lanes` floats and `Rows` x `Width` vectors of sums in
// registers.
template <typename Value, typename MultiplyAdd, int Lanes, int Rows, int Width>
class Worker {
  using Factor = typename MultiplyAdd::Factor;
  static constexpr int64_t kWord = static_cast<int64_t>(sizeof(float) / sizeof(Factor));

 public:
  explicit Worker(const Job<Value>& job)
      : job_(job),
        patch_stride_(round_up(job.in_channels, 16 * kWord)),
        sum_stride_(round_up(job.out_channels,
                             4 << (job.out_channels % 16 > 4) << (job.out_channels % 16 > 8))),
        patch_step_(kChunk * patch_stride_ + kPadding / sizeof(Factor)),
        sum_step_(kChunk * sum_stride_ + kPadding / sizeof(float)),
        buffer_(kElements * (patch_step_ / kWord + sum_step_) + 32),
        border_(kElements * job.in_channels) {
    void* start = buffer_.data();
    size_t space = buffer_.size() * sizeof(float);
    sums_ = static_cast<float*>(std::align(64, space - 64, start, space));
    patches_ = reinterpret_cast<Factor*>(sums_ + kElements * sum_step_);
  }

  inline void run(int64_t first, int64_t last) {
    for (int64_t t = first; t < last; ++t) {
      read_tile(t, static_cast<int>(t - first));
    }
    multiply(last - first);
    for (int64_t t = first; t < last; ++t) {
      write_tile(t, static_cast<int>(t - first));
    }
  }

 private:
  inline void read_tile(int64_t tile, int slot) {
    const int64_t channels = job_.in_channels;
    const int64_t y = tile / job_.columns % job_.rows * kTile - 1;
    const int64_t x = tile % job_.columns * kTile - 1;
    const Value* image =
        job_.input + tile / (job_.rows * job_.columns) * job_.height * job_.width * channels;
    const Value* corner = image + (y * job_.width + x) * channels;
    int64_t row = job_.width * channels;
    if (y < 0 || x < 0 || y + kPatch > job_.height || x + kPatch > job_.width) {
      corner = copy_border(corner, y, x);
      row = kPatch * channels;
    }
    Factor* patch = patches_ + slot * patch_stride_;
    for_each_vector<Lanes>(channels, [&](auto zero, int64_t c, int64_t count) {
      using V = decltype(zero);
      V d[kElements];
      for (int i = 0; i < kPatch; ++i) {
        for (int j = 0; j < kPatch; ++j) {
          d[i * kPatch + j] = load<V>(corner + i * row + j * channels + c, count);
          // Prefetch the part of the next tile that this one does not read.
          if (j > 1) __builtin_prefetch(corner + i * row + (j + kTile) * channels + c, 0, 2);
        }
        transform_input(d + i * kPatch, 1);
      }
      for (int i = 0; i < kPatch; ++i) transform_input(d + i, kPatch);
      for (int i = 0; i < kElements; ++i) store(patch + i * patch_step_ + c, d[i], count);
    });
  }

  // Copies a patch that crosses the border, with zero padding.
  inline const Value* copy_border(const Value* corner, int64_t y, int64_t x) {
    const int64_t channels = job_.in_channels;
    for (int64_t i = 0; i < kPatch; ++i) {
      for (int64_t j = 0; j < kPatch; ++j) {
        Value* to = border_.data() + (i * kPatch + j) * channels;
        if (y + i >= 0 && y + i < job_.height && x + j >= 0 && x + j < job_.width) {
          std::copy_n(corner + (i * job_.width + j) * channels, channels, to);
        } else {
          std::fill_n(to, channels, Value(0.0f));
        }
      }
    }
    return border_.data();
  }

  // 36 GEMMs: sums (tiles, outputs) = patches (tiles, channels) times weights (channels, outputs)
  inline void multiply(int64_t tiles) {
    MicroKernel<MultiplyAdd> kernel{nullptr,
                                    patch_stride_,
                                    static_cast<const Factor*>(job_.weight),
                                    job_.panel,
                                    round_up(job_.in_channels, kWord) / kWord,
                                    nullptr,
                                    sum_stride_};
    for (int i = 0; i < kElements; ++i) {
      for (int64_t done = 0; done < sum_stride_; done += job_.panel) {
        for (int64_t t = 0; t < tiles; t += Rows) {
          kernel.rows = patches_ + i * patch_step_ + t * patch_stride_;
          kernel.out = sums_ + i * sum_step_ + t * sum_stride_ + done;
          kernel.template run_all<Lanes, Rows, Width>(std::min(job_.panel, sum_stride_ - done));
        }
        kernel.weight += kernel.words * kWord * job_.panel;
      }
    }
  }

  inline void write_tile(int64_t tile, int slot) {
    const int64_t y = tile / job_.columns % job_.rows * kTile;
    const int64_t x = tile % job_.columns * kTile;
    const int64_t height = std::min<int64_t>(kTile, job_.height - y);
    const int64_t width = std::min<int64_t>(kTile, job_.width - x);
    const int64_t image = tile / (job_.rows * job_.columns);
    const int64_t corner = ((image * job_.height + y) * job_.width + x) * job_.out_channels;
    for_each_vector<Lanes>(job_.out_channels, [&](auto zero, int64_t c, int64_t count) {
      using V = decltype(zero);
      V m[kElements], half[kTile * kPatch];
      const float* from = sums_ + slot * sum_stride_ + c;
      for (int j = 0; j < kPatch; ++j) {
        for (int i = 0; i < kPatch; ++i)
          m[i * kPatch + j] = load<V>(from + (i * kPatch + j) * sum_step_);
        transform_output(half + j, m + j, kPatch, kPatch);
      }
      const V bias = load<V>(job_.bias + c, count);
      for (int i = 0; i < kTile; ++i) {
        V out[kTile];
        transform_output(out, half + i * kPatch, 1, 1);
        if (i >= height) break;
        for (int j = 0; j < kTile; ++j) {
          if (j >= width) break;
          const int64_t at = corner + (i * job_.width + j) * job_.out_channels + c;
          V value = out[j] + bias;
          if (job_.residual) value += load<V>(job_.residual + at, count);
          if (job_.relu) value = value < 0.0f ? V{} : value;
          store(job_.output + at, value, count);
          __builtin_prefetch(job_.output + at + kTile * job_.out_channels, 1, 2);
        }
      }
    });
  }

  const Job<Value>& job_;
  // Layout of patches and sums: (36, tiles of a chunk, channels).
  const int64_t patch_stride_, sum_stride_, patch_step_, sum_step_;
  std::vector<float> buffer_;
  std::vector<Value> border_;
  Factor* patches_;
  float* sums_;
};

template <typename Value, typename MultiplyAdd, int Lanes, int Rows, int Width>
inline void run(const Job<Value>& job, int64_t begin, int64_t end) {
  Worker<Value, MultiplyAdd, Lanes, Rows, Width> worker(job);
  for (int64_t first = begin; first < end; first += kChunk) {
    worker.run(first, std::min(end, first + kChunk));
  }
}

template <typename Value>
using Run = void (*)(const Job<Value>&, int64_t, int64_t);

#if defined(__x86_64__) && defined(__GNUC__)
template <typename Value>
__attribute__((target("avx512f,avx512vl"), flatten)) void run_avx512(const Job<Value>& job,
                                                                     int64_t begin, int64_t end) {
  run<Value, Float32MultiplyAdd, 16, 8, 3>(job, begin, end);
}

template <typename Value>
__attribute__((target("avx2,fma"), flatten)) void run_avx2(const Job<Value>& job, int64_t begin,
                                                           int64_t end) {
  run<Value, Float32MultiplyAdd, 8, 6, 2>(job, begin, end);
}
#endif

template <typename Value>
Run<Value> best_float32_run() {
#if defined(__x86_64__) && defined(__GNUC__)
  const int most = max_lanes();
  if (most >= 16 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl")) {
    return run_avx512<Value>;
  }
  if (most >= 8 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    return run_avx2<Value>;
  }
#endif
  return run<Value, Float32MultiplyAdd, 4, 6, 2>;
}

#ifdef HRDET_AVX512_BF16
template <typename Value>
__attribute__((target("avx512f,avx512vl,avx512bf16"),
               flatten)) void run_avx512_bf16(const Job<Value>& job, int64_t begin, int64_t end) {
  run<Value, BFloat16DotProduct, 16, 8, 3>(job, begin, end);
}
#endif

template <typename Value>
Run<Value> best_bfloat16_run() {
#ifdef HRDET_AVX512_BF16
  if (max_lanes() >= 16 && __builtin_cpu_supports("avx512bf16") &&
      __builtin_cpu_supports("avx512vl")) {
    return run_avx512_bf16<Value>;
  }
#endif
  return run<Value, BFloat16MultiplyAdd, 4, 6, 2>;
}

template <typename Value>
void convolve(const Tensor& input, const Tensor& weight, const Tensor& bias,
              const std::optional<Tensor>& residual, bool relu, Tensor& output) {
  const int64_t height = input.size(1), width = input.size(2);
  const Job<Value> job{static_cast<const Value*>(input.data_ptr()),
                       weight.data_ptr(),
                       static_cast<const float*>(bias.data_ptr()),
                       residual ? static_cast<const Value*>(residual->data_ptr()) : nullptr,
                       relu,
                       static_cast<Value*>(output.data_ptr()),
                       height,
                       width,
                       input.size(3),
                       output.size(3),
                       weight.size(3),
                       (height + kTile - 1) / kTile,
                       (width + kTile - 1) / kTile};
  static const Run<Value> singles = best_float32_run<Value>(), pairs = best_bfloat16_run<Value>();
  const Run<Value> kernel = weight.scalar_type() == ScalarType::Float ? singles : pairs;
  const int64_t tiles = input.size(0) * job.rows * job.columns;
  torch::stable::parallel_for(0, tiles, kChunk,
                              [&](int64_t begin, int64_t end) { kernel(job, begin, end); });
}

}  // namespace

Tensor winograd_conv_cpu(Tensor input, Tensor weight, Tensor bias, std::optional<Tensor> residual,
                         bool relu) {
  const bool half = input.scalar_type() == ScalarType::BFloat16;
  const bool pairs = weight.scalar_type() == ScalarType::BFloat16;
  require(input.dim() == 4 && input.is_contiguous() &&
              (half || input.scalar_type() == ScalarType::Float),
          "winograd_conv: the input must be float32 or bfloat16 (N, H, W, C), contiguous");
  require(weight.dim() == (pairs ? 5 : 4) && weight.size(0) == kElements &&
              weight.size(2) == (pairs ? (input.size(3) + 1) / 2 : input.size(3)) &&
              weight.size(3) > 0 && weight.size(3) % 16 == 0 && weight.is_contiguous() &&
              (pairs ? weight.size(4) == 2 : weight.scalar_type() == ScalarType::Float),
          "winograd_conv: the weight must come from winograd_weight, for ", input.size(3),
          " input channels");
  require(bias.dim() == 1 &&
              (bias.size(0) + weight.size(3) - 1) / weight.size(3) == weight.size(1) &&
              bias.is_contiguous() && bias.scalar_type() == ScalarType::Float,
          "winograd_conv: the bias must be float32, one number for each output channel");
  Tensor output =
      torch::stable::new_empty(input, {input.size(0), input.size(1), input.size(2), bias.size(0)});
  if (residual) {
    bool same = residual->dim() == 4 && residual->scalar_type() == input.scalar_type() &&
                residual->is_contiguous();
    for (int i = 0; same && i < 4; ++i) same = residual->size(i) == output.size(i);
    require(same, "winograd_conv: the residual must have the shape and type of the output");
  }
  (half ? convolve<BFloat16> : convolve<float>)(input, weight, bias, residual, relu, output);
  return output;
}

}  // namespace hrdet
