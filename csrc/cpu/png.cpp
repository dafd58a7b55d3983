// Undoes PNG's row filters (PNG specification, section 9), for one or three bytes a pixel.
#include <cstring>
#include <vector>

#include "../common/tensors.h"
#include "../ops.h"
#include "target_clones.h"

namespace hrdet {
namespace {

// Letters of the specification: a is the pixel to the left, b the one above, c the one above a.

HRDET_TARGET_CLONES void add_up(uint8_t* out, const uint8_t* raw, const uint8_t* above,
                                int64_t count) {
  for (int64_t i = 0; i < count; ++i) out[i] = raw[i] + above[i];
}

template <int Channels>
void add_left(uint8_t* out, const uint8_t* raw, int64_t pixels) {
  uint8_t a[Channels] = {};
  for (int64_t x = 0; x < pixels; ++x) {
    for (int k = 0; k < Channels; ++k) *out++ = a[k] += *raw++;
  }
}

template <int Channels>
void add_average(uint8_t* out, const uint8_t* raw, const uint8_t* above, int64_t pixels) {
  uint8_t a[Channels] = {};
  for (int64_t x = 0; x < pixels; ++x) {
    for (int k = 0; k < Channels; ++k) *out++ = a[k] = *raw++ + (a[k] + *above++) / 2;
  }
}

// The one of a, b, c that is nearest to a + b - c; ties: the first. Branch-free, because the branch
// would be unpredictable.
inline int32_t paeth(int32_t a, int32_t b, int32_t c) {
  const int32_t to_a = b - c, to_b = a - c, both = to_a + to_b;
  const int32_t pa = to_a < 0 ? -to_a : to_a, pb = to_b < 0 ? -to_b : to_b;
  const int32_t pc = both < 0 ? -both : both;
  const int32_t b_or_c = pb <= pc ? b : c, least = pb <= pc ? pb : pc;
  return pa <= least ? a : b_or_c;
}

// Pixels from `first` on.
template <int Channels>
void add_paeth(uint8_t* out, const uint8_t* raw, const uint8_t* above, int64_t first,
               int64_t pixels) {
  for (int64_t i = first * Channels; i < pixels * Channels; ++i) {
    const bool left = i >= Channels;
    out[i] = raw[i] + paeth(left ? out[i - Channels] : 0, above[i], left ? above[i - Channels] : 0);
  }
}

typedef int16_t Pixel __attribute__((vector_size(16)));  // three of eight lanes count
typedef uint8_t Bytes __attribute__((vector_size(8)));

inline Pixel load_pixel(const uint8_t* from) {
  Bytes bytes = {};
  std::memcpy(&bytes, from, 4);
  return __builtin_convertvector(bytes, Pixel);
}

inline Pixel absolute(Pixel value) { return value < 0 ? -value : value; }

// The three channels at once, in half the time.  Of each pixel four bytes are read and written, the
// fourth of which the next pixel overwrites: the last one of the row is left.
HRDET_TARGET_CLONES void add_paeth_rgb(uint8_t* out, const uint8_t* raw, const uint8_t* above,
                                       int64_t pixels) {
  Pixel a = {}, c = {};
  for (int64_t x = 0; x < pixels - 1; ++x, raw += 3, above += 3, out += 3) {
    const Pixel b = load_pixel(above), to_a = b - c, to_b = a - c;
    const Pixel pa = absolute(to_a), pb = absolute(to_b), pc = absolute(to_a + to_b);
    const Pixel b_or_c = pb <= pc ? b : c, least = pb <= pc ? pb : pc;
    a = (load_pixel(raw) + (pa <= least ? a : b_or_c)) & 0xff;
    c = b;
    const Bytes bytes = __builtin_convertvector(a, Bytes);
    std::memcpy(out, &bytes, 4);
  }
}

template <int Channels>
void unfilter(uint8_t* out, const uint8_t* raw, int64_t height, int64_t width) {
  const int64_t length = width * Channels;
  const std::vector<uint8_t> zeros(length);
  const uint8_t* above = zeros.data();
  for (int64_t y = 0; y < height; ++y, above = out, out += length, raw += length) {
    const uint8_t filter = *raw++;
    switch (filter) {
      case 0:
        std::memcpy(out, raw, length);
        break;
      case 1:
        add_left<Channels>(out, raw, width);
        break;
      case 2:
        add_up(out, raw, above, length);
        break;
      case 3:
        add_average<Channels>(out, raw, above, width);
        break;
      case 4:
        if (Channels == 3) add_paeth_rgb(out, raw, above, width);
        add_paeth<Channels>(out, raw, above, Channels == 3 ? width - 1 : 0, width);
        break;
      default:
        require(false, "png_unfilter: row ", y, " has the filter ", int{filter});
    }
  }
}

}  // namespace

Tensor png_unfilter_cpu(Tensor rows, int64_t height, int64_t width, int64_t channels) {
  require(channels == 1 || channels == 3, "png_unfilter: one or three channels, not ", channels);
  require(0 < height && height <= kMaxSize && 0 < width && width <= kMaxSize,
          "png_unfilter: sizes must be positive");
  require(rows.dim() == 1 && rows.scalar_type() == ScalarType::Byte &&
              rows.numel() == height * (1 + width * channels),
          "png_unfilter: ", height, " rows of 1 + ", width * channels, " bytes, as uint8");
  rows = torch::stable::contiguous(rows);
  Tensor out = torch::stable::new_empty(rows, {height, width, channels});
  uint8_t* to = static_cast<uint8_t*>(out.data_ptr());
  const uint8_t* from = static_cast<const uint8_t*>(rows.data_ptr());
  if (channels == 1) {
    unfilter<1>(to, from, height, width);
  } else {
    unfilter<3>(to, from, height, width);
  }
  return out;
}

}  // namespace hrdet
