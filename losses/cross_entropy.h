// SmoothedLoss: the one loss behind all classes of this folder, which differ only in what they pass to it.
// CrossEntropy, the plainest of them, is here: -ln p of the target, as PyTorch's F.cross_entropy has it.
#pragma once

#include "autograd/ops.h"

namespace gradus::losses {

using gradus::Reduction;
using gradus::Smoothing;

class SmoothedLoss {
 public:
  // logits [B, T, V] or [N, V], target i32 [B, T] or [N] -> scalar, or target's shape for Reduction::none.
  // Rows whose target is the pad id do not count; a batch of nothing else has loss 0 and gradient 0 (PyTorch:
  // NaN).
  Variable operator()(const Variable& logits, const Tensor& target) const;

  // For schedules, between steps: a loss that is not yet walked backward sees the change, too.
  void set_smoothing(double smoothing);
  double smoothing() const { return spec_.smoothing.item(); }

 protected:
  static constexpr int64_t kAnyVocab = -1;  // whatever the logits have
  SmoothedLoss(const char* name, int64_t vocab_size, double smoothing, CrossEntropySpec spec);
  CrossEntropyOutput compute(const Variable& logits, const IdColumns& target) const;

  const char* name_;  // for messages
  int64_t vocab_size_;
  CrossEntropySpec spec_;
};

// With class weights row n counts w[target n] times, in the sum and in the mean's divisor.
class CrossEntropy : public SmoothedLoss {
 public:
  explicit CrossEntropy(int32_t pad_id = 0, Reduction reduction = Reduction::mean, Tensor class_weight = {})
      : SmoothedLoss("cross-entropy", kAnyVocab, 0,
                     {Smoothing::uniform, reduction, pad_id, false, {}, std::move(class_weight)}) {}
};

}  // namespace gradus::losses
