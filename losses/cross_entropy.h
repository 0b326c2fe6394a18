// Plain cross-entropy, -ln p of the target, as PyTorch's F.cross_entropy has it: rows whose target is pad_id do not
// count, and with class weights row n counts w[target n] times, in the sum and in the mean's divisor.
#pragma once

#include "autograd/ops.h"

namespace gradus::losses {

using gradus::Reduction;
using gradus::Smoothing;

class CrossEntropy {
 public:
  explicit CrossEntropy(int32_t pad_id = 0, Reduction reduction = Reduction::mean, Tensor class_weight = {});

  // logits [B, T, V] or [N, V], target i32 [B, T] or [N] -> scalar, or target's shape for Reduction::none
  Variable operator()(const Variable& logits, const Tensor& target) const;

 private:
  CrossEntropySpec spec_;
};

// The whole of target [B, T] or [N], checked against logits' shape.
IdColumns target_columns(const char* op, const Variable& logits, const Tensor& target);

}  // namespace gradus::losses
