// Host code of both libraries: argument checks and dispatch by dtype.
#pragma once

#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>

#include <cstdint>
#include <limits>
#include <sstream>
#include <stdexcept>

namespace hrdet {

using torch::headeronly::BFloat16;
using torch::headeronly::Half;
using torch::headeronly::MemoryFormat;
using torch::headeronly::ScalarType;
using torch::stable::Tensor;

template <typename... Parts>
void require(bool condition, const Parts&... parts) {
  if (!condition) {
    std::ostringstream message;
    (message << ... << parts);
    throw std::runtime_error(message.str());
  }
}

constexpr int64_t kMaxSize = std::numeric_limits<int32_t>::max();  // kernels index with int

// The type of sums and coordinates for features of type Value: float32 for half precision.
template <typename Value>
struct Accumulate {
  using type = float;
};
template <>
struct Accumulate<double> {
  using type = double;
};
template <typename Value>
using accumulate_t = typename Accumulate<Value>::type;

// Calls function(Value{}) with the C++ type behind a floating-point scalar type.
template <typename Function>
auto dispatch_value_type(ScalarType type, const char* op, const Function& function) {
  switch (type) {
    case ScalarType::Double:
      return function(double{});
    case ScalarType::Half:
      return function(Half{});
    case ScalarType::BFloat16:
      return function(BFloat16{});
    default:
      require(type == ScalarType::Float, op,
              ": the dtype must be float32, float64, float16 or bfloat16");
      return function(float{});
  }
}

// The same for boxes and scores, which are float32 or float64 (check_candidates).
template <typename Function>
void dispatch_real_type(ScalarType type, const Function& function) {
  type == ScalarType::Double ? function(double{}) : function(float{});
}

// The dtype of boxes, scores and rois for features of this dtype.
inline ScalarType accumulate_type(ScalarType type) {
  return type == ScalarType::Double ? ScalarType::Double : ScalarType::Float;
}

inline bool same_device(const Tensor& a, const Tensor& b) {
  return a.is_cuda() == b.is_cuda() && a.get_device_index() == b.get_device_index();
}

inline void check_candidates(const char* op, const Tensor& boxes, const Tensor& scores,
                             int64_t max_output) {
  require(boxes.dim() == 3 && boxes.size(2) == 4, op, ": boxes must have the shape (B, M, 4)");
  require(scores.dim() == 2 && scores.size(0) == boxes.size(0) && scores.size(1) == boxes.size(1),
          op, ": scores must have the shape (B, M), here (", boxes.size(0), ", ", boxes.size(1),
          ")");
  require(boxes.scalar_type() == scores.scalar_type() &&
              accumulate_type(boxes.scalar_type()) == boxes.scalar_type(),
          op, ": boxes and scores must both be float32 or both float64");
  require(same_device(boxes, scores), op, ": boxes and scores must be on one device");
  require(boxes.size(0) <= kMaxSize && boxes.size(1) <= kMaxSize, op,
          ": B and M must be below 2^31, not ", boxes.size(0), " and ", boxes.size(1));
  require(max_output >= 0, op, ": max_output must not be negative");
}

}  // namespace hrdet
