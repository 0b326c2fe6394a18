// Label smoothing: the target distribution q gives most of its mass to the target and spreads eps over the
// vocabulary. Two forms of the same loss and four conventions for q; README.md derives them and says where
// "the same" holds. The kernel reads the logits once; q and the probabilities are never stored.
#pragma once

#include "losses/cross_entropy.h"

namespace gradus::losses {

// sum_j q_j (ln q_j - ln p_j), with 0 ln 0 = 0: KL(q || p) where q sums to 1, which `as_printed` does not.
class LabelSmoothingLoss : public SmoothedLoss {
 public:
  explicit LabelSmoothingLoss(int64_t vocab_size, double smoothing = 0.1, int32_t pad_id = 0,
                              Smoothing convention = Smoothing::uniform,
                              Reduction reduction = Reduction::mean);
};

// -sum_j q_j ln p_j; for `uniform` this is (1 - eps) nll + eps mean_j(-ln p_j).
class LabelSmoothingCrossEntropy : public SmoothedLoss {
 public:
  explicit LabelSmoothingCrossEntropy(double smoothing = 0.1, int32_t pad_id = 0,
                                      Smoothing convention = Smoothing::uniform,
                                      Reduction reduction = Reduction::mean);
};

// The smoothing with which convention `to` trains as convention `from` does with eps. Throws where there is
// none.
double convert(double eps, Smoothing from, Smoothing to, int64_t vocab_size);

}  // namespace gradus::losses
