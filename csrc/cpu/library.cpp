// The CPU library, loaded first: declares all operators of hrdet and registers their CPU kernels.
#include <torch/csrc/stable/library.h>

#include "../ops.h"

STABLE_TORCH_LIBRARY(hrdet, m) {
  m.def(
      "roi_align(Tensor[] features, Tensor rois, Tensor? levels, float[] scales, "
      "float finest_scale, int height, int width, int sampling_ratio, bool half_pixel) -> Tensor");
  m.def(
      "roi_align_backward(Tensor grad, Tensor rois, Tensor? levels, SymInt[] sizes, "
      "bool channels_last, float[] scales, float finest_scale, int sampling_ratio, "
      "bool half_pixel, bool deterministic) -> Tensor[]");
  m.def(
      "nms(Tensor boxes, Tensor scores, float iou_threshold, int max_output) -> (Tensor, Tensor)");
  m.def(
      "soft_nms(Tensor boxes, Tensor scores, float iou_threshold, float min_score, bool gaussian, "
      "float sigma, int max_output) -> (Tensor, Tensor, Tensor)");
  m.def(
      "encode_masks(Tensor probabilities, Tensor boxes, Tensor sizes, float threshold, "
      "bool inclusive) -> (Tensor, Tensor)");
  m.def(
      "winograd_conv(Tensor input, Tensor weight, Tensor bias, Tensor? residual, bool relu) -> "
      "Tensor");
  m.def("winograd_terms(Tensor map, bool gradient, int first, int count) -> Tensor");
  m.def(
      "resize_window(Tensor image, int new_height, int new_width, int top, int left, int height, "
      "int width) -> Tensor");
  m.def(
      "interpolate_argmax(Tensor logits, Tensor rows, Tensor row_weights, Tensor columns, "
      "Tensor column_weights) -> Tensor");
  m.def(
      "add_upsampled(Tensor(a!) base, Tensor[] terms, Tensor[] rows, Tensor[] row_weights, "
      "Tensor[] columns, Tensor[] column_weights, bool relu) -> ()");
  m.def("png_unfilter(Tensor rows, int height, int width, int channels) -> Tensor");
}

STABLE_TORCH_LIBRARY_IMPL(hrdet, CPU, m) {
  m.impl("roi_align", TORCH_BOX(&hrdet::roi_align_cpu));
  m.impl("roi_align_backward", TORCH_BOX(&hrdet::roi_align_backward_cpu));
  m.impl("nms", TORCH_BOX(&hrdet::nms_cpu));
  m.impl("soft_nms", TORCH_BOX(&hrdet::soft_nms_cpu));
  m.impl("encode_masks", TORCH_BOX(&hrdet::encode_masks_cpu));
  m.impl("winograd_conv", TORCH_BOX(&hrdet::winograd_conv_cpu));
  m.impl("winograd_terms", TORCH_BOX(&hrdet::winograd_terms_cpu));
  m.impl("resize_window", TORCH_BOX(&hrdet::resize_window_cpu));
  m.impl("interpolate_argmax", TORCH_BOX(&hrdet::interpolate_argmax_cpu));
  m.impl("add_upsampled", TORCH_BOX(&hrdet::add_upsampled_cpu));
  m.impl("png_unfilter", TORCH_BOX(&hrdet::png_unfilter_cpu));
}
