// Launching kernels on the current stream. Neither this nor the kernels synchronise with the host.
#pragma once

#include <cuda_runtime.h>
#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/macros.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <utility>

#include "../common/tensors.h"

namespace hrdet {

constexpr int kThreads = 256;  // per block
// Blocks that a multiprocessor must hold at a time, which bounds registers: 64 a thread for float32
// sums, 128 for float64. (Left to itself the compiler spills some to fit in more blocks.)
template <typename Real>
constexpr int kResidentBlocks = sizeof(Real) == sizeof(double) ? 2 : 4;

// Limits of every architecture from sm_75 on. A block has 48 KiB of shared memory unless its kernel
// opts in to more (163 KiB on sm_80, 227 KiB on sm_90); 9,152 bytes of it are left to static
// arrays.
constexpr int64_t kMaxGridX = std::numeric_limits<int32_t>::max(), kMaxGridYZ = 65535;
constexpr int64_t kMaxThreads = 1024;
constexpr int64_t kMaxDynamicSharedBytes = 40000;

// Makes the device of a tensor current; launches go to its current stream.
class StreamGuard {
 public:
  explicit StreamGuard(const Tensor& tensor) : guard_(tensor.get_device_index()) {
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

// The shape of a launch in 64 bits, so that sizes are checked before they are cut to 32.
struct LaunchShape {
  int64_t x, y = 1, z = 1;  // blocks
  int64_t threads = kThreads;
  int64_t shared_bytes = 0;  // dynamic shared memory
};

inline void check_launch(const char* op, const LaunchShape& shape) {
  require(shape.x >= 1 && shape.y >= 1 && shape.z >= 1 && shape.x <= kMaxGridX &&
              shape.y <= kMaxGridYZ && shape.z <= kMaxGridYZ,
          op, ": too large for CUDA, whose grids have at most ", kMaxGridX, " x ", kMaxGridYZ,
          " x ", kMaxGridYZ, " blocks, not ", shape.x, " x ", shape.y, " x ", shape.z);
  require(shape.threads >= 1 && shape.threads <= kMaxThreads, op, ": a CUDA block has at most ",
          kMaxThreads, " threads, not ", shape.threads);
  require(shape.shared_bytes >= 0 && shape.shared_bytes <= kMaxDynamicSharedBytes, op,
          ": a CUDA block has ", kMaxDynamicSharedBytes, " bytes of dynamic shared memory, not ",
          shape.shared_bytes);
}

// The only place that launches a kernel.
template <typename... Parameters, typename... Arguments>
void launch(const char* op, const LaunchShape& shape, cudaStream_t stream,
            void (*kernel)(Parameters...), Arguments&&... arguments) {
  check_launch(op, shape);
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(shape.x), static_cast<unsigned>(shape.y),
                        static_cast<unsigned>(shape.z));
  config.blockDim = dim3(static_cast<unsigned>(shape.threads));
  config.dynamicSmemBytes = static_cast<size_t>(shape.shared_bytes);
  config.stream = stream;
  cudaLaunchKernelEx(&config, kernel, std::forward<Arguments>(arguments)...);
  STD_CUDA_KERNEL_LAUNCH_CHECK();
}

// Blocks of a kernel with a grid-stride loop over `work` items. (Tests compile with a few blocks
// only.)
#ifndef HRDET_MAX_BLOCKS
#define HRDET_MAX_BLOCKS (1 << 16)
#endif
inline int64_t grid_size(int64_t work) {
  return std::min<int64_t>((work + kThreads - 1) / kThreads, HRDET_MAX_BLOCKS);
}

// The dynamic shared memory of the block, aligned for any T.
template <typename T>
__device__ T* dynamic_shared() {
#ifdef __CUDACC__
  extern __shared__ double2 dynamic_shared_memory[];
#else
  double2* dynamic_shared_memory = emulation::dynamic_shared_memory();
#endif
  return reinterpret_cast<T*>(dynamic_shared_memory);
}

}  // namespace hrdet
