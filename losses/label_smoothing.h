// Label smoothing as in the course. By default class 0 is padding (pad_id), so rows with target 0 teach
// nothing. The target distribution q gives most of its mass to the target and spreads eps over the
// vocabulary. There are two forms of the loss, KL and cross-entropy, and four conventions for q. README.md
// derives them and says when the two forms are equivalent. The kernel never stores q or the probabilities.
#pragma once

#include "losses/cross_entropy.h"

namespace gradus::losses {

// sum_j q_j (ln q_j - ln p_j), with 0 ln 0 = 0. This is KL(q || p) if q sums to 1, as it does in all
// conventions except `as_printed`.
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

// Returns the smoothing eps' for which convention `to` has the same q as convention `from` with eps. Throws
// if there is none. `others` and `uniform` have the same q if eps / (V-1) = eps' / V. The other two
// conventions have a zero in q or a sum below 1, so they equal no other convention, unless eps = 0.
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
