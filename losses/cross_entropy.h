// SmoothedLoss: the one loss behind all classes of this folder, which differ only in what they pass to it.
// CrossEntropy, the plainest of them, is here: -ln p of the target, as PyTorch's F.cross_entropy has it.
#pragma once

#include "autograd/ops.h"

namespace gradus::losses {

using gradus::Reduction;
using gradus::Smoothing;

inline void check_smoothing(const char* name, double smoothing) {
  check(smoothing >= 0 && smoothing <= 1, name, ": expected smoothing in [0, 1], got ", smoothing);
}

class SmoothedLoss {
 public:
  // logits [B, T, V] or [N, V], target i32 [B, T] or [N] -> scalar, or target's shape for Reduction::none.
  // Rows whose target is the pad id do not count; a batch of nothing else has loss 0 and gradient 0 (PyTorch:
  // NaN).
  Variable operator()(const Variable& logits, const Tensor& target) const {
    return compute(logits, columns_of(logits, target)).loss;
  }

  // For schedules, between steps: a loss that is not yet walked backward sees the change, too.
  void set_smoothing(double smoothing) {
    check_smoothing(name_, smoothing);
    spec_.smoothing.assign(Tensor::full({1}, smoothing, DType::f64));
  }
  double smoothing() const { return spec_.smoothing.item(); }

 protected:
  static constexpr int64_t kAnyVocab = -1;  // whatever the logits have
  SmoothedLoss(const char* name, int64_t vocab_size, double smoothing, CrossEntropySpec spec)
      : name_(name), vocab_size_(vocab_size), spec_(std::move(spec)) {
    check_smoothing(name, smoothing);
    spec_.smoothing = Tensor::full({1}, smoothing, DType::f64);
    if (vocab_size != kAnyVocab) check_vocab(vocab_size);
  }

  IdColumns columns_of(const Variable& logits, const Tensor& target) const {
    const Shape& z = logits.shape();
    check((z.rank() == 2 || z.rank() == 3) && target && target.shape() == z.without_last(), name_,
          ": expected logits [B, T, V] and target [B, T], or [N, V] and [N], got ", z, " and ",
          target.shape());
    const Tensor rows = z.rank() == 3 ? target : target.reshape({1, z[0]});
    return {rows, 0, rows.shape()[1]};
  }

  CrossEntropyOutput compute(const Variable& logits, const IdColumns& target) const {
    const int64_t vocab = logits.shape()[-1];
    check(vocab_size_ == kAnyVocab || vocab_size_ == vocab, name_, ": expected a last axis of ", vocab_size_,
          ", got logits ", logits.shape());
    check_vocab(vocab);
    spec_.smoothing = spec_.smoothing.to(logits.value().device());  // stays there
    return cross_entropy(logits, target, spec_);
  }

  void check_vocab(int64_t vocab_size) const {
    const int64_t least = spec_.convention == Smoothing::others_not_pad && spec_.pad_id >= 0 ? 3 : 2;
    check(vocab_size >= least, name_, ": expected a vocabulary of at least ", least, ", got ", vocab_size);
    check(spec_.pad_id >= -1 && spec_.pad_id < vocab_size, name_, ": pad id ", spec_.pad_id,
          " is neither -1 nor in [0, ", vocab_size, ")");
  }

  const char* name_;  // for messages
  int64_t vocab_size_;
  mutable CrossEntropySpec spec_;
};

// With class weights row n counts w[target n] times, in the sum and in the mean's divisor.
class CrossEntropy : public SmoothedLoss {
 public:
  explicit CrossEntropy(int32_t pad_id = 0, Reduction reduction = Reduction::mean, Tensor class_weight = {})
      : SmoothedLoss("cross-entropy", kAnyVocab, 0,
                     {Smoothing::uniform, reduction, pad_id, false, {}, std::move(class_weight)}) {}
};

}  // namespace gradus::losses
