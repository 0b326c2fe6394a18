#include "losses/translation_loss.h"

#include <cmath>

namespace gradus::losses {

LossSums& LossSums::operator+=(const LossSums& other) {
  if (!sums_)
    sums_ = other.sums_ ? other.sums_.copy() : Tensor();
  else if (other.sums_)
    add_to(sums_, other.sums_);
  return *this;
}

double LossSums::perplexity() const { return std::exp(mean_nll()); }

TranslationLoss::TranslationLoss(int64_t vocab_size, int32_t pad_id, double smoothing, Smoothing convention,
                                 Reduction reduction)
    : vocab_size_(vocab_size),
      spec_(smoothed_spec("translation loss", smoothing, pad_id, convention, reduction, vocab_size, false)) {
  check_vocab("translation loss", vocab_size, spec_);
}

TranslationOutput TranslationLoss::operator()(const Variable& logits, const Tensor& target_ids) const {
  const Shape &z = logits.shape(), &y = target_ids.shape();
  check(z.rank() == 3 && y.rank() == 2 && z[0] == y[0] && z[1] == y[1] - 1 && z[2] == vocab_size_,
        "translation loss: expected logits [B, T-1, ", vocab_size_, "] and target_ids [B, T], got ", z, " and ", y);
  CrossEntropyOutput out = cross_entropy(logits, {target_ids, 1, y[1] - 1}, spec_);
  return {out.loss, LossSums(out.sums)};
}

void TranslationLoss::set_smoothing(double smoothing) {
  check(smoothing >= 0 && smoothing <= 1, "translation loss: expected smoothing in [0, 1], got ", smoothing);
  spec_.smoothing.assign(Tensor::full({1}, smoothing, DType::f64).to(spec_.smoothing.device()));
}

}  // namespace gradus::losses
