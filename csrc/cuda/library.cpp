// The CUDA library: registers the CUDA kernels of the operators that cpu/library.cpp declares.
#include <torch/csrc/stable/library.h>

#include "../ops.h"

STABLE_TORCH_LIBRARY_IMPL(hrdet, CUDA, m) {
  m.impl("roi_align", TORCH_BOX(&hrdet::roi_align_cuda));
  m.impl("roi_align_backward", TORCH_BOX(&hrdet::roi_align_backward_cuda));
  m.impl("nms", TORCH_BOX(&hrdet::nms_cuda));
  m.impl("soft_nms", TORCH_BOX(&hrdet::soft_nms_cuda));
}

// The architectures that setup.py compiled for; hrdet.ops.library reads them.
extern "C" __attribute__((visibility("default"))) const char* hrdet_cuda_archs() {
  return HRDET_CUDA_ARCHS;
}
