// TranslationLoss: the loss for training a translator. One pass over the logits computes the smoothed loss to
// minimise, and for the log the unsmoothed nll, the accuracy and the number of tokens. It drops the first
// target column (BOS) itself, so it takes the same target_ids as the model. As in the course, id 0 is padding
// by default (pad_id).
#pragma once

#include <cmath>

#include "losses/label_smoothing.h"

namespace gradus::losses {

// Sums over tokens, kept on the device, so reading one waits for the device. Add them up over batches to get
// the perplexity of a corpus, exp(sum nll / sum tokens), which no mean of batch means equals.
class LossSums {
 public:
  LossSums() = default;  // of no tokens
  explicit LossSums(Tensor sums) : sums_(std::move(sums)) {}

  // Makes a new tensor and leaves the old one unchanged. Copies of this object may share the old one, and a
  // recorded backward rule divides by its number of tokens.
  LossSums& operator+=(const LossSums& other) {
    if (other.sums_) sums_ = sums_ ? sums_ + other.sums_ : other.sums_;
    return *this;
  }

  double smoothed() const { return at(kSmoothed); }
  double nll() const { return at(kNll); }
  double correct() const { return at(kCorrect); }
  double tokens() const { return at(kTokens); }
  // Without tokens the three means are 0, and so the perplexity is 1.
  double mean_smoothed() const { return per_token(smoothed()); }
  double mean_nll() const { return per_token(nll()); }
  double accuracy() const { return per_token(correct()); }
  double perplexity() const { return std::exp(mean_nll()); }

 private:
  double at(int64_t i) const { return sums_ ? sums_.rows(i, i + 1).item() : 0; }
  double per_token(double sum) const { return tokens() > 0 ? sum / tokens() : 0; }
  Tensor sums_;  // f64 [kLossSums], see Backend::cross_entropy
};

struct TranslationOutput {
  Variable loss;  // scalar, or [B, T-1] for Reduction::none
  LossSums sums;
  double nll_loss() const { return sums.mean_nll(); }  // mean over tokens, without smoothing
  double accuracy() const { return sums.accuracy(); }
  int64_t num_tokens() const { return static_cast<int64_t>(sums.tokens()); }
};

class TranslationLoss : private SmoothedLoss {
 public:
  explicit TranslationLoss(int64_t vocab_size, ClassId pad_id = 0, double smoothing = 0.1,
                           Smoothing convention = Smoothing::uniform, Reduction reduction = Reduction::mean)
      : SmoothedLoss(
            "translation loss", vocab_size,
            {.convention = convention, .smoothing = smoothing, .reduction = reduction, .pad_id = pad_id}) {}

  // logits [B, T-1, V], target_ids i32 [B, T], BOS first
  TranslationOutput operator()(const Variable& logits, const Tensor& target_ids) const {
    const Shape &z = logits.shape(), &y = target_ids.shape();
    check(z.rank() == 3 && y.rank() == 2 && z[0] == y[0] && z[1] == y[1] - 1 && z[2] == *vocab_size_,
          "translation loss: expected logits [B, T-1, ", *vocab_size_, "] and target_ids [B, T], got ", z,
          " and ", y);
    const CrossEntropyOutput out = compute(logits, {target_ids, 1, y[1] - 1});
    return {out.loss, LossSums(out.sums)};
  }

  using SmoothedLoss::set_smoothing;
  using SmoothedLoss::smoothing;
};

}  // namespace gradus::losses
