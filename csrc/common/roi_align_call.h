// Validated arguments of RoIAlign: tensors as plain pointers and strides that kernels can take.
#pragma once

#include <algorithm>
#include <optional>
#include <vector>

#include "roi_align.h"
#include "tensors.h"

namespace hrdet {

// One level of a feature pyramid, (N, C, height, width) with any strides.
template <typename Value>
struct FeatureMap {
  Value* data;
  int height, width;
  int64_t image_stride, channel_stride, row_stride, column_stride;
  double scale;  // feature pixels per image pixel
};

// All levels; small enough to pass to a kernel by value. Every level has unit stride along its
// columns or, with channels_last, along its channels.
template <typename Value>
struct Pyramid {
  FeatureMap<Value> level[kMaxLevels];
  int levels, images, channels;
  bool channels_last;
};

inline bool has_unit_stride(const std::vector<Tensor>& maps, int64_t dim) {
  for (const Tensor& map : maps) {
    if (map.stride(dim) != 1) {
      return false;
    }
  }
  return true;
}

inline bool is_channels_last(const std::vector<Tensor>& maps) {
  return maps[0].size(1) > 1 && has_unit_stride(maps, 1);
}

// The maps themselves if all have a layout that the kernels support, else contiguous copies.
inline std::vector<Tensor> with_supported_layout(const std::vector<Tensor>& maps) {
  if (is_channels_last(maps) || has_unit_stride(maps, 3)) {
    return maps;
  }
  std::vector<Tensor> copies;
  for (const Tensor& map : maps) {
    copies.push_back(torch::stable::contiguous(map));
  }
  return copies;
}

// The rois and their levels.
template <typename Real>
struct Rois {
  const Real* data;       // (count, 5): image, x1, y1, x2, y2
  const int64_t* levels;  // (count,), or null: by size
  int count;
};

// A roi on its feature map: image, level and both axes in feature pixels. The image is -1 for
// padding rows and for rows with an image or level index out of range.
template <typename Real>
struct PlacedRoi {
  int image, level;
  Axis<Real> rows, columns;
};

template <typename Real, typename Value>
HRDET_HOST_DEVICE PlacedRoi<Real> place_roi(const Rois<Real>& rois, int index,
                                            const Pyramid<Value>& pyramid,
                                            const RoiAlignOptions& options) {
  const Real* roi = rois.data + 5 * static_cast<int64_t>(index);
  const int64_t level =
      rois.levels != nullptr
          ? rois.levels[index]
          : pyramid_level<Real>(roi[3] - roi[1], roi[4] - roi[2],
                                static_cast<Real>(options.finest_scale), pyramid.levels);
  PlacedRoi<Real> placed{};
  if (!(roi[0] >= 0 && roi[0] < pyramid.images) || level < 0 || level >= pyramid.levels) {
    placed.image = -1;
    return placed;
  }
  const FeatureMap<Value>& map = pyramid.level[level];
  const Real scale = static_cast<Real>(map.scale);
  placed.image = static_cast<int>(roi[0]);
  placed.level = static_cast<int>(level);
  placed.columns = roi_axis(roi[1], roi[3], scale, options.width, map.width, options);
  placed.rows = roi_axis(roi[2], roi[4], scale, options.height, map.height, options);
  return placed;
}

inline void check_rois(const Tensor& rois, const std::optional<Tensor>& levels, ScalarType type,
                       const Tensor& like) {
  require(rois.dim() == 2 && rois.size(1) == 5,
          "roi_align: rois must have the shape (R, 5): image, x1, y1, x2, y2");
  require(rois.scalar_type() == accumulate_type(type),
          "roi_align: rois must be float32 (float64 beside float64 features)");
  require(rois.size(0) <= kMaxSize, "roi_align: takes fewer than 2^31 rois, not ", rois.size(0));
  require(same_device(rois, like), "roi_align: rois and features must be on one device");
  if (levels.has_value()) {
    require(levels->dim() == 1 && levels->size(0) == rois.size(0),
            "roi_align: levels must have the shape (R,), one level for each of ", rois.size(0),
            " rois");
    require(levels->scalar_type() == ScalarType::Long, "roi_align: levels must be int64");
    require(same_device(*levels, like), "roi_align: levels and features must be on one device");
  }
}

inline void check_levels(size_t levels, size_t scales) {
  require(levels >= 1 && levels <= kMaxLevels, "roi_align: takes 1 to ", kMaxLevels,
          " feature levels, not ", levels);
  require(scales == levels, "roi_align: ", levels, " feature levels need as many strides, not ",
          scales);
}

inline void check_features(const std::vector<Tensor>& features) {
  const Tensor& first = features[0];
  for (size_t i = 0; i < features.size(); ++i) {
    const Tensor& map = features[i];
    require(map.dim() == 4, "roi_align: feature level ", i, " must have the shape (N, C, H, W)");
    require(map.size(2) > 0 && map.size(3) > 0, "roi_align: feature level ", i, " is empty");
    for (int64_t dim = 0; dim < 4; ++dim) {
      require(map.size(dim) <= kMaxSize, "roi_align: feature level ", i, " has a size of ",
              map.size(dim), "; sizes must be below 2^31");
    }
    require(map.size(0) == first.size(0) && map.size(1) == first.size(1),
            "roi_align: feature level ", i, " has ", map.size(0), " images of ", map.size(1),
            " channels, level 0 has ", first.size(0), " of ", first.size(1));
    require(map.scalar_type() == first.scalar_type(),
            "roi_align: all feature levels must have one dtype");
    require(same_device(map, first), "roi_align: all feature levels must be on one device");
  }
}

struct RoiAlignCall {
  std::vector<Tensor> maps;  // the features, or accumulators of their gradients
  Tensor rois;
  std::optional<Tensor> levels;
  std::vector<double> scales;
  RoiAlignOptions options;

  template <typename Value>
  Pyramid<Value> pyramid() const {
    Pyramid<Value> pyramid{};
    pyramid.levels = static_cast<int>(maps.size());
    pyramid.images = static_cast<int>(maps[0].size(0));
    pyramid.channels = static_cast<int>(maps[0].size(1));
    pyramid.channels_last = is_channels_last(maps);
    for (size_t i = 0; i < maps.size(); ++i) {
      const Tensor& map = maps[i];
      pyramid.level[i] = {static_cast<Value*>(map.data_ptr()),
                          static_cast<int>(map.size(2)),
                          static_cast<int>(map.size(3)),
                          map.stride(0),
                          map.stride(1),
                          map.stride(2),
                          map.stride(3),
                          scales[i]};
    }
    return pyramid;
  }

  template <typename Real>
  Rois<Real> roi_view() const {
    return {static_cast<const Real*>(rois.data_ptr()),
            levels.has_value() ? static_cast<const int64_t*>(levels->data_ptr()) : nullptr,
            static_cast<int>(rois.size(0))};
  }
};

inline std::optional<Tensor> contiguous(const std::optional<Tensor>& tensor) {
  return tensor.has_value() ? std::optional<Tensor>(torch::stable::contiguous(*tensor))
                            : std::nullopt;
}

inline RoiAlignCall forward_call(const std::vector<Tensor>& features, const Tensor& rois,
                                 const std::optional<Tensor>& levels,
                                 const std::vector<double>& scales,
                                 const RoiAlignOptions& options) {
  check_levels(features.size(), scales.size());
  check_features(features);
  check_rois(rois, levels, features[0].scalar_type(), features[0]);
  return {with_supported_layout(features), torch::stable::contiguous(rois), contiguous(levels),
          scales, options};
}

inline RoiAlignOptions roi_align_options(int64_t height, int64_t width, int64_t sampling_ratio,
                                         bool half_pixel, double finest_scale) {
  require(std::min(height, width) > 0 && std::max(height, width) <= kMaxBins,
          "roi_align: the output size must be positive, and at most ", kMaxBins, " on a side");
  require(sampling_ratio >= 0 && sampling_ratio <= kMaxSamples,
          "roi_align: sampling_ratio must be 0 (adaptive) or a number up to ", kMaxSamples);
  return {static_cast<int>(height), static_cast<int>(width), static_cast<int>(sampling_ratio),
          half_pixel, finest_scale};
}

// `sizes` is N, C and then height, width of every level. The maps are zeros, for the gradients.
inline RoiAlignCall backward_call(const Tensor& grad, const Tensor& rois,
                                  const std::optional<Tensor>& levels,
                                  const std::vector<int64_t>& sizes, bool channels_last,
                                  const std::vector<double>& scales, double finest_scale,
                                  int64_t sampling_ratio, bool half_pixel) {
  require(sizes.size() >= 4 && sizes.size() % 2 == 0,
          "roi_align_backward: sizes must be N, C and height, width of every level");
  check_levels(sizes.size() / 2 - 1, scales.size());
  check_rois(rois, levels, grad.scalar_type(), grad);
  require(grad.dim() == 4 && grad.size(0) == rois.size(0) && grad.size(1) == sizes[1],
          "roi_align_backward: grad must have the shape (R, C, h, w)");
  const RoiAlignOptions options =
      roi_align_options(grad.size(2), grad.size(3), sampling_ratio, half_pixel, finest_scale);
  require(sizes[0] <= kMaxSize && sizes[1] <= kMaxSize,
          "roi_align_backward: sizes must be below 2^31");
  for (size_t i = 2; i < sizes.size(); ++i) {
    require(sizes[i] > 0, "roi_align_backward: feature level ", i / 2 - 1, " is empty");
    require(sizes[i] <= kMaxSize, "roi_align_backward: sizes must be below 2^31");
  }
  std::vector<Tensor> maps;
  for (size_t i = 2; i < sizes.size(); i += 2) {
    Tensor map = torch::stable::empty(
        {sizes[0], sizes[1], sizes[i], sizes[i + 1]}, accumulate_type(grad.scalar_type()),
        std::nullopt, grad.device(), std::nullopt,
        channels_last ? MemoryFormat::ChannelsLast : MemoryFormat::Contiguous);
    maps.push_back(torch::stable::zero_(map));
  }
  return {maps, torch::stable::contiguous(rois), contiguous(levels), scales, options};
}

inline std::vector<Tensor> cast_to(std::vector<Tensor> maps, ScalarType type) {
  if (type != accumulate_type(type)) {
    for (Tensor& map : maps) {
      map = torch::stable::to(map, type);
    }
  }
  return maps;
}

}  // namespace hrdet
