// A window of a resized image with the exact arithmetic of OpenCV's bilinear resize of uint8:
// weights in units of 1/2048; horizontal interpolation to 15 bits, then vertical interpolation of
// two rows.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "../common/tensors.h"
#include "../ops.h"
#include "target_clones.h"

namespace hrdet {
namespace {

constexpr int kChannels = 3, kOne = 2048;
// Two neighbouring pixels (6 bytes) are loaded as 8 bytes and stored as 4 + 4, whose fourth byte
// the next pixel overwrites.
constexpr int kRead = 8, kWrite = 4;

// The two source pixels of an output pixel along one axis, and their weights.
struct Neighbours {
  int64_t first, second;
  int16_t first_weight, second_weight;
};

// OpenCV rounds the position to float32. Outside of the outermost pixel centres both neighbours are
// the same pixel: rows keep two weights (their products are rounded separately), columns use one.
Neighbours neighbours(int64_t position, int64_t edge, int64_t new_edge, bool column) {
  const double scale = 1 / (static_cast<double>(new_edge) / edge);
  const float place = static_cast<float>((position + 0.5) * scale - 0.5);
  const int64_t first = static_cast<int64_t>(std::floor(place));
  float weight = place - first;
  if (column && (first < 0 || first >= edge - 1)) weight = 0;
  // In an image with more than 2^24 pixels on a side the rounded position may lie beyond the edge.
  return {std::clamp<int64_t>(first, 0, edge - 1), std::min(first + 1, edge - 1),
          static_cast<int16_t>(std::lrint((1 - weight) * kOne)),
          static_cast<int16_t>(std::lrint(weight * kOne))};
}

HRDET_TARGET_CLONES void interpolate_row(int16_t* out, const uint8_t* first, const uint8_t* second,
                                         const int16_t* first_weights,
                                         const int16_t* second_weights, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    out[i] = (first[i] * first_weights[i] + second[i] * second_weights[i]) >> 4;
  }
}

HRDET_TARGET_CLONES void interpolate_rows(uint8_t* out, const int16_t* first, const int16_t* second,
                                          int16_t first_weight, int16_t second_weight,
                                          int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    const int16_t upper = (first[i] * first_weight) >> 16;
    const int16_t lower = (second[i] * second_weight) >> 16;
    out[i] = static_cast<int16_t>(upper + lower + 2) >> 2;
  }
}

// Interpolates the columns of a window, one source row at a time.
class HorizontalResize {
 public:
  HorizontalResize(const uint8_t* image, int64_t width, int64_t new_width, int64_t left,
                   int64_t count)
      : image_(image),
        stride_(width * kChannels),
        length_(count * kChannels),
        offsets_(count),
        first_weights_(length_),
        second_weights_(length_),
        first_(length_ + kWrite),
        second_(length_ + kWrite),
        cached_(2 * length_) {
    for (int64_t x = 0; x < count; ++x) {
      const Neighbours columns = neighbours(left + x, width, new_width, true);
      offsets_[x] = columns.first * kChannels;
      if (offsets_[x] + kRead <= stride_) inside_ = x + 1;
      std::fill_n(&first_weights_[x * kChannels], kChannels, columns.first_weight);
      std::fill_n(&second_weights_[x * kChannels], kChannels, columns.second_weight);
    }
  }

  // Source row `y` with resized columns, (length(),); two neighbouring rows stay cached.
  const int16_t* at(int64_t y) {
    int16_t* out = &cached_[y % 2 * length_];
    if (cached_row_[y % 2] != y) {
      cached_row_[y % 2] = y;
      gather_columns(image_ + y * stride_);
      interpolate_row(out, first_.data(), second_.data(), first_weights_.data(),
                      second_weights_.data(), length_);
    }
    return out;
  }

  int64_t length() const { return length_; }

 private:
  // Gathers both source pixels of every output pixel into two contiguous rows.
  void gather_columns(const uint8_t* row) {
    uint8_t *first = first_.data(), *second = second_.data();
    for (int64_t x = 0; x < inside_; ++x, first += kChannels, second += kChannels) {
      std::memcpy(first, row + offsets_[x], kWrite);
      std::memcpy(second, row + offsets_[x] + kChannels, kWrite);
    }
    for (int64_t x = inside_; x < static_cast<int64_t>(offsets_.size()); ++x) {
      for (int c = 0; c < kChannels; ++c, ++first, ++second) {
        *first = row[offsets_[x] + c];
        *second = row[std::min(offsets_[x] + kChannels, stride_ - kChannels) + c];
      }
    }
  }

  const uint8_t* image_;
  int64_t stride_, length_;
  std::vector<int64_t> offsets_;
  std::vector<int16_t> first_weights_, second_weights_;
  std::vector<uint8_t> first_, second_;
  std::vector<int16_t> cached_;
  int64_t inside_ = 0, cached_row_[2] = {-1, -1};
};

}  // namespace

Tensor resize_window_cpu(Tensor image, int64_t new_height, int64_t new_width, int64_t top,
                         int64_t left, int64_t height, int64_t width) {
  require(image.dim() == 3 && image.size(2) == kChannels && image.numel() > 0 &&
              image.scalar_type() == ScalarType::Byte,
          "resize_window: the image must be uint8 of the shape (h, w, 3), and have pixels");
  // Sizes are bounded first, so that the differences below cannot overflow.
  require(0 < height && height <= new_height && new_height <= kMaxSize && 0 < width &&
              width <= new_width && new_width <= kMaxSize && 0 <= top &&
              top <= new_height - height && 0 <= left && left <= new_width - width,
          "resize_window: the window must have pixels and lie in the resized image, which is ",
          new_height, " x ", new_width);
  image = torch::stable::contiguous(image);
  Tensor out = torch::stable::new_empty(image, {height, width, kChannels});
  uint8_t* out_data = static_cast<uint8_t*>(out.data_ptr());
  HorizontalResize rows(static_cast<const uint8_t*>(image.data_ptr()), image.size(1), new_width,
                        left, width);
  for (int64_t y = 0; y < height; ++y, out_data += rows.length()) {
    const Neighbours two = neighbours(top + y, image.size(0), new_height, false);
    const int16_t *first = rows.at(two.first), *second = rows.at(two.second);
    interpolate_rows(out_data, first, second, two.first_weight, two.second_weight, rows.length());
  }
  return out;
}

}  // namespace hrdet
