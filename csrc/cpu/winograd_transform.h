// Transforms of Winograd's F(4x4, 3x3), one axis at a time: the input transform of a 6x6 patch, and
// the output transform, which takes the element-wise products of patch and filter to 4x4 pixels.
// Backward, 4x4 gradients become 6x6 elements by the transpose of the output transform.
#pragma once

namespace hrdet {

constexpr int kTile = 4, kPatch = 6, kElements = kPatch * kPatch;

// Interpolation points 0, +-a, +-b and infinity. The rounding error is half that of the usual
// points 1 and 2 (measured), and the powers of these are exact in float32.
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

// d: 4 gradients in 6 places.
template <typename V>
inline void transform_gradient(V* d, int step) {
  const V d0 = d[0], d3 = d[3 * step];
  const V even_a = d0 + a2 * d[2 * step], odd_a = a * d[step] + a3 * d3;
  const V even_b = d0 + b2 * d[2 * step], odd_b = b * d[step] + b3 * d3;
  d[step] = even_a + odd_a;
  d[2 * step] = even_a - odd_a;
  d[3 * step] = even_b + odd_b;
  d[4 * step] = even_b - odd_b;
  d[5 * step] = d3;
}

}  // namespace hrdet
