// Label smoothing: the target distribution q gives most of its mass to the target and spreads eps over the vocabulary.
// Two forms of the same loss and four conventions for q; README.md derives them and says where "the same" holds.
// With N rows whose target is not pad_id, a batch without any such row has loss 0 and gradient 0 (PyTorch: NaN).
// The kernel reads the logits once; q and the probabilities are never stored.
#pragma once

#include "losses/cross_entropy.h"

namespace gradus::losses {

// The smoothing with which convention `to` trains as convention `from` does with eps. Throws where there is none.
double convert(double eps, Smoothing from, Smoothing to, int64_t vocab_size);

// sum_j q_j (ln q_j - ln p_j), with 0 ln 0 = 0: KL(q || p) where q sums to 1, which `as_printed` does not.
class LabelSmoothingLoss {
 public:
  explicit LabelSmoothingLoss(int64_t vocab_size, double smoothing = 0.1, int32_t pad_id = 0,
                              Smoothing convention = Smoothing::uniform, Reduction reduction = Reduction::mean);
  // logits [B, T, V] or [N, V], target i32 [B, T] or [N] -> scalar, or target's shape for Reduction::none
  Variable operator()(const Variable& logits, const Tensor& target) const;

 private:
  int64_t vocab_size_;
  CrossEntropySpec spec_;
};

// -sum_j q_j ln p_j; for `uniform` this is (1 - eps) nll + eps mean_j(-ln p_j).
class LabelSmoothingCrossEntropy {
 public:
  explicit LabelSmoothingCrossEntropy(double smoothing = 0.1, int32_t pad_id = 0,
                                      Smoothing convention = Smoothing::uniform,
                                      Reduction reduction = Reduction::mean);
  Variable operator()(const Variable& logits, const Tensor& target) const;

 private:
  CrossEntropySpec spec_;
};

// What all smoothed losses check and share: the spec of a kernel call. vocab_size 0: known only at the call.
CrossEntropySpec smoothed_spec(const char* op, double smoothing, int32_t pad_id, Smoothing convention,
                               Reduction reduction, int64_t vocab_size, bool subtract_entropy);
void check_vocab(const char* op, int64_t vocab_size, const CrossEntropySpec& spec);

}  // namespace gradus::losses
