// Soft masks of boxes to run lengths of whole images, without the images: one thread per mask.
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "../common/mask_paste.h"
#include "../common/tensors.h"
#include "../ops.h"
#include "run_lengths.h"

namespace hrdet {
namespace {

constexpr int64_t kMostPixels = 0xffffffff;  // COCO counts them in 32 bits

// Pixels of a column between the same two rows of the mask, and the weights of the first and last.
struct Stretch {
  int64_t row, begin, end;
  float first, last;
};

// What one thread needs, whatever the size of the image: the mask and its rows.
class Paster {
 public:
  Paster(int64_t height, int64_t width, float limit, bool inclusive)
      : height_(height),
        width_(width),
        limit_(limit),
        inclusive_(inclusive),
        columns_((height + 2) * (width + 2)),
        column_(height + 2) {}

  // `mask` (height, width) in `box`, on an image of `rows` by `columns` pixels.
  void paste(const float* mask, const float* box, int64_t rows, int64_t columns,
             std::string& text) {
    across_ = paste_axis(box[0], box[2], width_, columns, inclusive_);
    down_ = paste_axis(box[1], box[3], height_, rows, inclusive_);
    read(mask);
    find_stretches();
    RunLengths runs(text);
    for (int64_t x = across_.begin; x < across_.end; ++x) {
      interpolate_column(across_.position(x));
      for (const Stretch& stretch : stretches_) {
        add(stretch, x * rows, runs);
      }
    }
    runs.finish(rows * columns);
  }

 private:
  // By columns, so that neighbours lie side by side, with the border.
  void read(const float* mask) {
    for (int64_t x = -1; x <= width_; ++x) {
      for (int64_t y = -1; y <= height_; ++y) {
        const int64_t in_x = std::min(std::max<int64_t>(x, 0), width_ - 1);
        const int64_t in_y = std::min(std::max<int64_t>(y, 0), height_ - 1);
        const bool filled = inclusive_ || (x == in_x && y == in_y);
        columns_[(x + 1) * (height_ + 2) + y + 1] = filled ? mask[in_y * width_ + in_x] : 0;
      }
    }
  }

  void find_stretches() {
    stretches_.clear();
    for (int64_t y = down_.begin; y < down_.end; ++y) {
      const float place = down_.position(y);
      const int64_t row = down_.cell(place);
      if (stretches_.empty() || stretches_.back().row != row) {
        stretches_.push_back({row, y, y, place - row, 0});
      }
      stretches_.back().end = y + 1;
      stretches_.back().last = place - row;
    }
  }

  void interpolate_column(float place) {
    const int64_t cell = across_.cell(place), count = height_ + 2;
    const float* left = columns_.data() + (cell + 1) * count;
    for (int64_t y = 0; y < count; ++y) {
      column_[y] = between(left[y], left[count + y], place - cell);
    }
  }

  // Along a stretch the value rises or falls: equal ends mean no edge between them.
  void add(const Stretch& stretch, int64_t offset, RunLengths& runs) const {
    const float upper = column_[stretch.row + 1], lower = column_[stretch.row + 2];
    const bool first = between(upper, lower, stretch.first) >= limit_;
    const bool last = between(upper, lower, stretch.last) >= limit_;
    if (!first && !last) {
      return;
    }
    int64_t begin = stretch.begin, end = stretch.end;
    if (first != last) {
      int64_t like_first = begin, like_last = end - 1;
      while (like_last - like_first > 1) {
        const int64_t middle = (like_first + like_last) / 2;
        const float weight = down_.position(middle) - stretch.row;
        ((between(upper, lower, weight) >= limit_) == first ? like_first : like_last) = middle;
      }
      (first ? end : begin) = like_last;
    }
    runs.add(offset + begin, offset + end);
  }

  int64_t height_, width_;
  float limit_;
  bool inclusive_;
  PasteAxis across_, down_;
  std::vector<float> columns_, column_;
  std::vector<Stretch> stretches_;
};

void check_masks(const Tensor& probabilities, const Tensor& boxes, const Tensor& sizes) {
  require(probabilities.dim() == 3 && probabilities.size(1) > 0 && probabilities.size(2) > 0,
          "encode_masks: probabilities must have the shape (R, h, w)");
  const int64_t count = probabilities.size(0);
  require(boxes.dim() == 2 && boxes.size(0) == count && boxes.size(1) == 4,
          "encode_masks: boxes must have the shape (R, 4), with R = ", count);
  require(sizes.dim() == 2 && sizes.size(0) == count && sizes.size(1) == 2,
          "encode_masks: image_sizes must have the shape (R, 2), with R = ", count);
  require(probabilities.scalar_type() == ScalarType::Float &&
              boxes.scalar_type() == ScalarType::Float && sizes.scalar_type() == ScalarType::Long,
          "encode_masks: probabilities and boxes must be float32, image_sizes int64");
}

// All texts as one tensor of bytes, and where each of them ends.
std::tuple<Tensor, Tensor> joined(const std::vector<std::string>& texts, const Tensor& like) {
  const int64_t count = static_cast<int64_t>(texts.size());
  Tensor ends = torch::stable::new_empty(like, {count}, ScalarType::Long);
  int64_t* end_data = static_cast<int64_t*>(ends.data_ptr());
  int64_t length = 0;
  for (const std::string& text : texts) {
    *end_data++ = length += static_cast<int64_t>(text.size());
  }
  Tensor bytes = torch::stable::new_empty(like, {length}, ScalarType::Byte);
  char* data = static_cast<char*>(bytes.data_ptr());
  for (const std::string& text : texts) {
    data = std::copy(text.begin(), text.end(), data);
  }
  return {bytes, ends};
}

}  // namespace

std::tuple<Tensor, Tensor> encode_masks_cpu(Tensor probabilities, Tensor boxes, Tensor sizes,
                                            double threshold, bool inclusive) {
  check_masks(probabilities, boxes, sizes);
  probabilities = torch::stable::contiguous(probabilities);
  boxes = torch::stable::contiguous(boxes);
  sizes = torch::stable::contiguous(sizes);
  const int64_t count = probabilities.size(0);
  const int64_t height = probabilities.size(1), width = probabilities.size(2);
  const float* mask_data = static_cast<const float*>(probabilities.data_ptr());
  const float* box_data = static_cast<const float*>(boxes.data_ptr());
  const int64_t* size_data = static_cast<const int64_t*>(sizes.data_ptr());
  for (int64_t i = 0; i < count; ++i) {
    const int64_t rows = size_data[2 * i], columns = size_data[2 * i + 1];
    require(rows > 0 && columns > 0 && rows <= kMostPixels / columns,
            "encode_masks: image_sizes must be positive and of less than 2^32 pixels, not ", rows,
            " x ", columns);
  }
  // The releases of 2019 take what exceeds the threshold, mmdetection 3 also what equals it.
  const float least = static_cast<float>(threshold);
  const float limit = inclusive ? std::nextafter(least, INFINITY) : least;
  std::vector<std::string> texts(count);
  torch::stable::parallel_for(0, count, 1, [&](int64_t begin, int64_t end) {
    Paster paster(height, width, limit, inclusive);
    for (int64_t i = begin; i < end; ++i) {
      paster.paste(mask_data + i * height * width, box_data + 4 * i, size_data[2 * i],
                   size_data[2 * i + 1], texts[i]);
    }
  });
  return joined(texts, probabilities);
}

}  // namespace hrdet
