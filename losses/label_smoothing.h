// Label smoothing, as the course has it: class 0 is padding unless pad_id says otherwise, so rows with target
// 0 teach nothing. The target distribution q gives most of its mass to the target and spreads eps over the
// vocabulary. Two forms of the same loss and four conventions for q; README.md derives them and says where
// "the same" holds. The kernel reads the logits once; q and the probabilities are never stored.
#pragma once

#include "losses/cross_entropy.h"

namespace gradus::losses {

// sum_j q_j (ln q_j - ln p_j), with 0 ln 0 = 0: KL(q || p) where q sums to 1, which `as_printed` does not.
class LabelSmoothingLoss : public SmoothedLoss {
 public:
  explicit LabelSmoothingLoss(int64_t vocab_size, double smoothing = 0.1, ClassId pad_id = 0,
                              Smoothing convention = Smoothing::uniform,
                              Reduction reduction = Reduction::mean)
      : SmoothedLoss("label smoothing loss", vocab_size,
                     {.convention = convention,
                      .smoothing = smoothing,
                      .reduction = reduction,
                      .pad_id = pad_id,
                      .subtract_entropy = true}) {}
};

// -sum_j q_j ln p_j; for `uniform` this is (1 - eps) nll + eps mean_j(-ln p_j).
class LabelSmoothingCrossEntropy : public SmoothedLoss {
 public:
  explicit LabelSmoothingCrossEntropy(double smoothing = 0.1, ClassId pad_id = 0,
                                      Smoothing convention = Smoothing::uniform,
                                      Reduction reduction = Reduction::mean)
      : SmoothedLoss(
            "label smoothing cross-entropy", std::nullopt,
            {.convention = convention, .smoothing = smoothing, .reduction = reduction, .pad_id = pad_id}) {}
};

// The smoothing with which convention `to` trains as convention `from` does with eps. Throws where there is
// none. q of `others` with eps is q of `uniform` with eps' when off = eps / (V-1) = eps' / V. The other two
// conventions give q a hole or a sum below 1, which no eps' of another convention reproduces, except that eps
// = 0 is the same everywhere.
inline double convert(double eps, Smoothing from, Smoothing to, int64_t vocab_size) {
  const double v = vocab_size;
  check_smoothing("convert", eps);
  check(vocab_size >= 2, "convert: expected a vocabulary of at least 2, got ", vocab_size);
  if (from == to || eps == 0) return eps;
  const auto proper = [](Smoothing s) { return s == Smoothing::uniform || s == Smoothing::others; };
  check(proper(from) && proper(to),
        "convert: `as_printed` does not sum to 1 and `others_not_pad` has no mass on the pad column: neither "
        "equals another convention");
  const double converted = from == Smoothing::others ? eps * v / (v - 1) : eps * (v - 1) / v;
  check(converted <= 1, "convert: `others` with ", eps, " would need `uniform` with ", converted,
        ", above 1, at a vocabulary of ", vocab_size);
  return converted;
}

}  // namespace gradus::losses
