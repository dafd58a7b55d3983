// What every launch needs. Nothing here or in the kernels makes the host wait for the device.
#pragma once

#include <cuda_runtime.h>
#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/macros.h>

#include <algorithm>

#include "../common/tensors.h"

namespace hrdet {

constexpr int kThreads = 256;  // in a block

// Makes a tensor's device current, and knows the stream to launch on.
class OnDeviceOf {
 public:
  explicit OnDeviceOf(const Tensor& tensor) : guard_(tensor.get_device_index()) {
    void* stream = nullptr;
    const auto status = aoti_torch_get_current_cuda_stream(tensor.get_device_index(), &stream);
    require(status == TORCH_SUCCESS, "hrdet: there is no current CUDA stream");
    stream_ = static_cast<cudaStream_t>(stream);
  }

  cudaStream_t stream() const { return stream_; }

 private:
  torch::stable::accelerator::DeviceGuard guard_;
  cudaStream_t stream_;
};

// Blocks of a kernel whose threads step through `work` items by the size of the grid.
inline int blocks_for(int64_t work) {
  constexpr int64_t enough = 1 << 16;
  return static_cast<int>(std::min((work + kThreads - 1) / kThreads, enough));
}

}  // namespace hrdet
