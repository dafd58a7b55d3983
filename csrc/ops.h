// Kernels of torch.ops.hrdet.*, one set per device; cpu/library.cpp declares their schemas.
#pragma once

#include <torch/csrc/stable/tensor.h>

#include <cstdint>
#include <optional>
#include <tuple>
#include <vector>

namespace hrdet {

using torch::stable::Tensor;

#define HRDET_DECLARE_OPS(device)                                                                  \
  Tensor roi_align_##device(std::vector<Tensor> features, Tensor rois,                             \
                            std::optional<Tensor> levels, std::vector<double> scales,              \
                            double finest_scale, int64_t height, int64_t width,                    \
                            int64_t sampling_ratio, bool half_pixel);                              \
  std::vector<Tensor> roi_align_backward_##device(                                                 \
      Tensor grad, Tensor rois, std::optional<Tensor> levels, std::vector<int64_t> sizes,          \
      bool channels_last, std::vector<double> scales, double finest_scale, int64_t sampling_ratio, \
      bool half_pixel, bool deterministic);                                                        \
  std::tuple<Tensor, Tensor> nms_##device(Tensor boxes, Tensor scores, double iou_threshold,       \
                                          int64_t max_output);                                     \
  std::tuple<Tensor, Tensor, Tensor> soft_nms_##device(                                            \
      Tensor boxes, Tensor scores, double iou_threshold, double min_score, bool gaussian,          \
      double sigma, int64_t max_output);

HRDET_DECLARE_OPS(cpu)
HRDET_DECLARE_OPS(cuda)
#undef HRDET_DECLARE_OPS

// Masks to COCO run lengths, on the host only; csrc/cpu/mask.cpp.
std::tuple<Tensor, Tensor> encode_masks_cpu(Tensor probabilities, Tensor boxes, Tensor sizes,
                                            double threshold, bool inclusive);

// 3x3 convolution, + residual, ReLU on a CPU; csrc/cpu/winograd.cpp.
Tensor winograd_conv_cpu(Tensor input, Tensor weight, Tensor bias, std::optional<Tensor> residual,
                         bool relu);

// Transformed tiles, the factors of the gradient of its filters; csrc/cpu/winograd_terms.cpp.
Tensor winograd_terms_cpu(Tensor map, bool gradient, int64_t first, int64_t count);

// Resize and crop while an image is loaded; csrc/cpu/resize.cpp.
Tensor resize_window_cpu(Tensor image, int64_t new_height, int64_t new_width, int64_t top,
                         int64_t left, int64_t height, int64_t width);

// Fused upsampling of logits and argmax over the classes; csrc/cpu/argmax.cpp.
Tensor interpolate_argmax_cpu(Tensor logits, Tensor rows, Tensor row_weights, Tensor columns,
                              Tensor column_weights);

// Fused upsampling of coarser maps and addition to a base map, in place;
// csrc/cpu/add_upsampled.cpp.
void add_upsampled_cpu(Tensor base, std::vector<Tensor> terms, std::vector<Tensor> rows,
                       std::vector<Tensor> row_weights, std::vector<Tensor> columns,
                       std::vector<Tensor> column_weights, bool relu);

// Undo the row filters of a PNG; csrc/cpu/png.cpp.
Tensor png_unfilter_cpu(Tensor rows, int64_t height, int64_t width, int64_t channels);

}  // namespace hrdet
