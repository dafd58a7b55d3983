// Registers the emulated kernels as torch.ops.hrdet_emulated.*, and stands in for the functions of
// CUDA builds of torch that csrc/cuda calls. The library is linked with -Bsymbolic, so that it
// calls these and not those of torch.
#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/library.h>

#include "../../../csrc/cuda/launch.h"
#include "../../../csrc/ops.h"

// Each launch runs to its end before it returns: warp operations give every lane its own result,
// and a failed one throws.
extern "C" {

AOTITorchError aoti_torch_create_device_guard(int32_t, DeviceGuardHandle* guard) {
  *guard = nullptr;
  return TORCH_SUCCESS;
}

AOTITorchError aoti_torch_delete_device_guard(DeviceGuardHandle) { return TORCH_SUCCESS; }

AOTITorchError aoti_torch_get_current_cuda_stream(int32_t, void** stream) {
  *stream = nullptr;
  return TORCH_SUCCESS;
}

AOTITorchError torch_c10_cuda_check_msg(int32_t, const char*, const char*, uint32_t, bool,
                                        char** message) {
  *message = nullptr;
  return TORCH_SUCCESS;
}

void torch_c10_cuda_free_error_msg(char*) {}

// Checks a launch without making it; writes the error, or an empty string.
__attribute__((visibility("default"))) void emulation_check_launch(int64_t x, int64_t y, int64_t z,
                                                                   int64_t threads, int64_t bytes,
                                                                   char* error, size_t length) {
  error[0] = 0;
  try {
    hrdet::check_launch("op", {x, y, z, threads, bytes});
  } catch (const std::exception& refused) {
    std::strncpy(error, refused.what(), length - 1);
    error[length - 1] = 0;
  }
}

}  // extern "C"

STABLE_TORCH_LIBRARY_IMPL(hrdet_emulated, CPU, m) {
  m.impl("roi_align", TORCH_BOX(&hrdet::roi_align_cuda));
  m.impl("roi_align_backward", TORCH_BOX(&hrdet::roi_align_backward_cuda));
  m.impl("nms", TORCH_BOX(&hrdet::nms_cuda));
  m.impl("soft_nms", TORCH_BOX(&hrdet::soft_nms_cuda));
}
