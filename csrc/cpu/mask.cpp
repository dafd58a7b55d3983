// Pastes soft masks into images as COCO run lengths without materialising the images; parallel over
// masks.
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

constexpr int64_t kMaxPixels = 0xffffffff;  // COCO's counts are 32-bit
constexpr int64_t kMaxSide = 1 << 20;  // as in OpenCV; the time for a mask grows with both sides

// Pixels [begin, end) of a column that interpolate between mask rows `row` and `row` + 1, and the
// weights of the first and the last pixel.
struct Segment {
  int64_t row, begin, end;
  float first, last;
};

// Working memory of one thread, independent of the image size.
class MaskPaster {
 public:
  MaskPaster(int64_t height, int64_t width, float limit, bool inclusive)
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
    load_mask(mask);
    find_segments();
    RunLengths runs(text);
    for (int64_t x = across_.begin; x < across_.end; ++x) {
      interpolate_column(across_.position(x));
      for (const Segment& segment : segments_) {
        add_segment(segment, x * rows, runs);
      }
    }
    runs.finish(rows * columns);
  }

 private:
  // Copies the mask transposed, (w + 2, h + 2) with its border, so that columns are contiguous.
  void load_mask(const float* mask) {
    for (int64_t x = -1; x <= width_; ++x) {
      for (int64_t y = -1; y <= height_; ++y) {
        const int64_t in_x = std::min(std::max<int64_t>(x, 0), width_ - 1);
        const int64_t in_y = std::min(std::max<int64_t>(y, 0), height_ - 1);
        const bool filled = inclusive_ || (x == in_x && y == in_y);
        columns_[(x + 1) * (height_ + 2) + y + 1] = filled ? mask[in_y * width_ + in_x] : 0;
      }
    }
  }

  void find_segments() {
    segments_.clear();
    for (int64_t y = down_.begin; y < down_.end; ++y) {
      const float place = down_.position(y);
      const int64_t row = down_.cell(place);
      if (segments_.empty() || segments_.back().row != row) {
        segments_.push_back({row, y, y, place - row, 0});
      }
      segments_.back().end = y + 1;
      segments_.back().last = place - row;
    }
  }

  void interpolate_column(float place) {
    const int64_t cell = across_.cell(place), count = height_ + 2;
    const float* left = columns_.data() + (cell + 1) * count;
    for (int64_t y = 0; y < count; ++y) {
      column_[y] = interpolate(left[y], left[count + y], place - cell);
    }
  }

  // Values are monotonic along a segment: it has at most one edge, found by binary search.
  void add_segment(const Segment& segment, int64_t offset, RunLengths& runs) const {
    const float upper = column_[segment.row + 1], lower = column_[segment.row + 2];
    const bool first = interpolate(upper, lower, segment.first) >= limit_;
    const bool last = interpolate(upper, lower, segment.last) >= limit_;
    if (!first && !last) {
      return;
    }
    int64_t begin = segment.begin, end = segment.end;
    if (first != last) {
      int64_t like_first = begin, like_last = end - 1;
      while (like_last - like_first > 1) {
        const int64_t middle = (like_first + like_last) / 2;
        const float weight = down_.position(middle) - segment.row;
        ((interpolate(upper, lower, weight) >= limit_) == first ? like_first : like_last) = middle;
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
  std::vector<Segment> segments_;
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

// All encodings as one uint8 tensor, and the end offset of each, int64.
std::tuple<Tensor, Tensor> concatenate(const std::vector<std::string>& texts, const Tensor& like) {
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
    require(rows > 0 && columns > 0 && rows <= kMaxPixels / columns,
            "encode_masks: image_sizes must be positive and of less than 2^32 pixels, not ", rows,
            " x ", columns);
    require(rows <= kMaxSide && columns <= kMaxSide, "encode_masks: an image has at most ",
            kMaxSide, " pixels on a side, not ", rows, " x ", columns);
  }
  // A pixel is set above the threshold (2019 releases) or at least at it (mmdetection 3).
  const float least = static_cast<float>(threshold);
  const float limit = inclusive ? std::nextafter(least, INFINITY) : least;
  std::vector<std::string> texts(count);
  torch::stable::parallel_for(0, count, 1, [&](int64_t begin, int64_t end) {
    MaskPaster paster(height, width, limit, inclusive);
    for (int64_t i = begin; i < end; ++i) {
      paster.paste(mask_data + i * height * width, box_data + 4 * i, size_data[2 * i],
                   size_data[2 * i + 1], texts[i]);
    }
  });
  return concatenate(texts, probabilities);
}

}  // namespace hrdet
