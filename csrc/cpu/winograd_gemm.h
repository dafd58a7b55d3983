// The micro-kernel of Winograd's GEMM: rows of patches times a packed panel of weights, accumulated
// in registers. Factors are float32, or bfloat16 in pairs of neighbouring channels.
#pragma once

#include "vector.h"

// AVX512-BF16 multiplies and adds pairs of bfloat16, at twice the rate of float32.
#if defined(__x86_64__) && (__GNUC__ >= 11 || __clang_major__ >= 11)
#include <immintrin.h>
#define HRDET_AVX512_BF16
#endif

namespace hrdet {

// sums += word * weights; a word is one channel of a row in float32, or two in bfloat16.
struct Float32MultiplyAdd {
  using Factor = float;
  using Word = float;

  template <typename V>
  static inline void add(V& sums, Word word, const V& weights) {
    sums += word * weights;
  }
};

struct BFloat16MultiplyAdd {
  using Factor = BFloat16;
  using Word = uint32_t;

  template <typename V>
  static inline void add(V& sums, Word word, const V& weights) {
    using Whole = typename Bits<V>::whole;
    const Whole row = word - Whole{}, bits = (Whole)weights;  // reinterprets the bits
    sums += (V)(row << 16) * (V)(bits << 16);
    sums += (V)(row & 0xffff0000u) * (V)(bits & 0xffff0000u);
  }
};

#ifdef HRDET_AVX512_BF16
struct BFloat16DotProduct : BFloat16MultiplyAdd {
  using BFloat16MultiplyAdd::add;

  __attribute__((target("avx512f,avx512bf16"))) static inline void add(
      Vector<16>::type& sums, Word word, const Vector<16>::type& weights) {
    sums = _mm512_dpbf16_ps(sums, (__m512bh)_mm512_set1_epi32(word), (__m512bh)weights);
  }
};
#endif

template <typename MultiplyAdd>
struct MicroKernel {
  using Factor = typename MultiplyAdd::Factor;

  const Factor* rows;  // (rows, channels), whole words
  int64_t row_stride;
  const Factor* weight;  // (words, panel, channels of a word)
  int64_t panel, words;
  float* out;  // (rows, panel)
  int64_t out_stride;

  // (Rows, Count * Lanes + Tail columns) of the product.
  template <int Lanes, int Rows, int Count, int Tail>
  inline void run(int64_t column) const {
    using V = typename Vector<Lanes>::type;
    using T = typename Vector<Tail ? Tail : 4>::type;
    using Word = typename MultiplyAdd::Word;
    V sums[Rows][Count + 1] = {};
    T rest[Rows] = {};
    const auto* words_of = reinterpret_cast<const float*>(weight) + column;
    for (int64_t i = 0; i < words; ++i) {
      V w[Count + 1];
      T last = {};
      for (int k = 0; k < Count; ++k) w[k] = load<V>(words_of + i * panel + k * Lanes);
      if (Tail) last = load<T>(words_of + i * panel + Count * Lanes);
      for (int r = 0; r < Rows; ++r) {
        Word word;
        std::memcpy(&word, rows + r * row_stride + i * (sizeof(Word) / sizeof(Factor)),
                    sizeof(Word));
        for (int k = 0; k < Count; ++k) MultiplyAdd::add(sums[r][k], word, w[k]);
        if (Tail) MultiplyAdd::add(rest[r], word, last);
      }
    }
    for (int r = 0; r < Rows; ++r) {
      float* to = out + r * out_stride + column;
      for (int k = 0; k < Count; ++k) std::memcpy(to + k * Lanes, &sums[r][k], sizeof(V));
      if (Tail) std::memcpy(to + Count * Lanes, &rest[r], sizeof(T));
    }
  }

  // All columns (a multiple of 4): Width vectors at a time, then the fewest lanes for the rest.
  template <int Lanes, int Rows, int Width>
  inline void run_all(int64_t columns) const {
    int64_t done = 0;
    for (; done + Width * Lanes <= columns; done += Width * Lanes) {
      run<Lanes, Rows, Width, 0>(done);
    }
    run_last<Lanes, Rows, Width - 1>(done, columns - done);
  }

 private:
  template <int Lanes, int Rows, int Count>
  inline void run_last(int64_t column, int64_t rest) const {
    const int64_t lanes = rest - Count * Lanes;
    if (lanes > Lanes / 2) {
      run<Lanes, Rows, Count + 1, 0>(column);
    } else if (Lanes > 8 && lanes > 4) {
      run<Lanes, Rows, Count, 8>(column);
    } else if (Lanes > 4 && lanes > 0) {
      run<Lanes, Rows, Count, 4>(column);
    } else if (lanes == 0 && Count > 0) {
      run<Lanes, Rows, Count, 0>(column);
    } else if constexpr (Count > 0) {
      run_last<Lanes, Rows, Count - 1>(column, rest);
    }
  }
};

}  // namespace hrdet
