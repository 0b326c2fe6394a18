// The course's exercises that are not options of CrossEntropy: the confidence penalty, and smoothing that
// changes during training. The penalty is a separate term, to be added to a loss. The schedules only compute
// a number, for criterion.set_smoothing(...) before each step. With their neutral setting (a factor of 0,
// smoothing 0) all are plain cross-entropy.
#pragma once

#include <algorithm>
#include <cmath>
#include <numbers>

#include "losses/cross_entropy.h"

namespace gradus::losses {

// counts [V] of the training targets -> their shares [V], in the same dtype, or f32 if the counts are i32.
// Used as the prior of CrossEntropy, they give frequent classes more of eps.
inline Tensor unigram_prior(const Tensor& counts) {
  const double sum = check_shares("unigram prior", counts);
  check(sum > 0, "unigram prior: expected a count above 0, got only zeros");
  return (counts.dtype() == DType::i32 ? counts.to(DType::f32) : counts) * (1 / sum);
}

// -H(p) = sum_j p_j ln p_j, the mean over tokens (Pereyra et al. 2017). It is large if the model is
// confident. Add it to a loss: loss + beta * penalty(logits, target). Its gradient is p_j (ln p_j + H). The
// gradient of a wrong class vanishes with its p_j, whereas smoothing keeps that p_j above a floor. With a
// threshold (their section 3.1) the penalty is max(0, threshold - H), so rows with a higher entropy are not
// penalised, and with threshold 0 none is. In their annealed form beta grows: beta * linear_smoothing(step,
// total, 0, 1).
class ConfidencePenalty {
 public:
  explicit ConfidencePenalty(ClassId pad_id = -1, Reduction reduction = Reduction::mean,
                             double threshold = INFINITY)
      : pad_id_(pad_id), reduction_(reduction), threshold_(threshold) {
    check(threshold >= 0, "confidence penalty: expected a threshold of at least 0, got ", threshold);
  }

  // Like CrossEntropy: logits [B, T, V] and target i32 [B, T], or [N, V] and [N]. Rows whose target is the
  // pad id do not count and are not read.
  Variable operator()(const Variable& logits, const Tensor& target) const {
    const Shape rows = target_columns("confidence penalty", logits, target).shape();
    const int64_t vocab = logits.shape()[-1];
    check(vocab >= 2, "confidence penalty: expected a vocabulary of at least 2, got ", vocab);
    backend(target.device()).check_ids("confidence penalty", target, vocab, pad_id_);
    const auto [counted, place] = counted_rows(target);
    const Variable z = embedding(reshape(logits, {rows.numel(), vocab}), counted);
    Variable penalty = sum(x_log_x(softmax(z)), {-1});  // one for each row that counts
    if (threshold_ < INFINITY) {
      const Tensor& p = penalty.value();
      penalty = relu(penalty + Variable(Tensor::full({1}, threshold_, p.dtype(), p.device())));
    }
    if (reduction_ == Reduction::sum) return sum(penalty);
    const double count = static_cast<double>(counted.size());
    if (reduction_ == Reduction::mean) return sum(penalty) * (1 / std::max(count, 1.));
    const Variable zero(Tensor::zeros({1}, penalty.value().dtype(), penalty.value().device()));
    const Variable table = concat({penalty, zero}, 0);
    return reshape(embedding(reshape(table, {table.shape()[0], 1}), place), rows);
  }

 private:
  // The indices of the rows that count, and for each row its position among them. Rows that do not count get
  // the position after the last.
  std::pair<Tensor, Tensor> counted_rows(const Tensor& target) const {
    std::vector<int32_t> counted, place;
    const std::vector<int32_t> ids = target.to_vector<int32_t>();
    const auto end =
        static_cast<int32_t>(std::ranges::count_if(ids, [&](int32_t id) { return id != pad_id_; }));
    for (size_t row = 0; row < ids.size(); ++row) {
      place.push_back(ids[row] == pad_id_ ? end : static_cast<int32_t>(counted.size()));
      if (ids[row] != pad_id_) counted.push_back(static_cast<int32_t>(row));
    }
    const auto tensor = [](const std::vector<int32_t>& v) {
      return Tensor::from(v, {static_cast<int64_t>(v.size())});
    };
    return {tensor(counted), tensor(place)};
  }

  int32_t pad_id_;
  Reduction reduction_;
  double threshold_;
};

// eps as a function of the step, which counts from 1. It goes from `first` at step 1 to `last` at step
// `total`, along a straight line or half a cosine, and stays there.
inline double linear_smoothing(double step, double total, double first, double last) {
  check_smoothing("linear smoothing", first);
  check_smoothing("linear smoothing", last);
  check(step >= 1 && total > 1, "linear smoothing: expected step >= 1 and total > 1, got ", step, " and ",
        total);
  return first + (last - first) * std::min((step - 1) / (total - 1), 1.);
}
inline double cosine_smoothing(double step, double total, double first, double last) {
  check_smoothing("cosine smoothing", first);
  check_smoothing("cosine smoothing", last);
  const double progress = linear_smoothing(step, total, 0, 1);
  return first + (last - first) * (1 - std::cos(std::numbers::pi * progress)) / 2;
}

// No smoothing until the running confidence reaches `threshold`. Above it, eps grows linearly, up to
// `largest` at confidence 1. The confidence of a batch is exp(-nll), the geometric mean of p_y, which the
// loss provides.
class ConfidenceTriggered {
 public:
  explicit ConfidenceTriggered(double largest, double threshold = 0.5, double momentum = 0.95)
      : largest_(largest), threshold_(threshold), momentum_(momentum) {
    check_smoothing("confidence-triggered smoothing", largest);
    check(threshold >= 0 && threshold < 1 && momentum >= 0 && momentum < 1,
          "confidence-triggered smoothing: expected threshold and momentum in [0, 1), got ", threshold,
          " and ", momentum);
  }

  // To be saved with a checkpoint, and set when training resumes.
  double confidence() const { return confidence_; }
  void set_confidence(double confidence) {
    check(confidence >= 0 && confidence <= 1,
          "confidence-triggered smoothing: expected a confidence in [0, 1], got ", confidence);
    confidence_ = confidence;
  }

  // unsmoothed mean nll of the last batch -> eps for the next one
  double operator()(double mean_nll) {
    check(mean_nll >= 0, "confidence-triggered smoothing: expected an nll of at least 0, got ", mean_nll);
    confidence_ = momentum_ * confidence_ + (1 - momentum_) * std::exp(-mean_nll);
    return largest_ * std::max(0., (confidence_ - threshold_) / (1 - threshold_));
  }

 private:
  double largest_, threshold_, momentum_, confidence_ = 0;
};

}  // namespace gradus::losses
