// What the course sets as exercises: smoothing towards another distribution than the uniform one, class
// weights in both meanings in use, the confidence penalty, and smoothing that changes while a model trains.
// The first two are the kernel of cross_entropy.h with a prior; the third is a loss of its own, to be added
// to one; the last decides a number and nothing else, for criterion.set_smoothing(...) before each step. At
// their neutral setting (smoothing 0, weights of 1, a factor of 0) all are plain cross-entropy.
#pragma once

#include <algorithm>
#include <cmath>
#include <numbers>

#include "losses/cross_entropy.h"

namespace gradus::losses {

// values [V]: finite, none negative, and not all 0. Returns their sum.
inline double check_shares(const char* name, const Tensor& values) {
  check(values && values.shape().rank() == 1, name, ": expected [V], got ", values.shape());
  double sum = 0;
  for (double x : values.to(DType::f64).to_vector<double>()) {
    check(x >= 0 && std::isfinite(x), name, ": expected finite numbers of at least 0, got ", x);
    sum += x;
  }
  check(sum > 0, name, ": expected one above 0, got only zeros");
  return sum;
}

// counts [V] of the training targets -> their shares, of the same dtype.
inline Tensor unigram_prior(const Tensor& counts) {
  return counts * (1 / check_shares("unigram prior", counts));
}

// -sum_j q_j ln p_j with q = (1 - eps) onehot + eps prior (Pereyra et al. 2017, section 3.2): frequent
// classes get more of eps. prior [V] sums to 1, in the logits' dtype and on their device.
class UnigramSmoothing : public SmoothedLoss {
 public:
  explicit UnigramSmoothing(Tensor prior, double smoothing = 0.1, int32_t pad_id = 0,
                            Reduction reduction = Reduction::mean)
      : SmoothedLoss("unigram smoothing", prior.size(), smoothing,
                     {Smoothing::uniform, reduction, pad_id, false, {}, {}, prior}) {
    const double sum = check_shares("unigram smoothing", prior);
    check(std::abs(sum - 1) < 1e-3, "unigram smoothing: expected a prior that sums to 1, got ", sum);
  }
};

// Row n has target y; both meanings divide by the sum of w[y] over the rows that count. per_target: w[y]
// (-sum_j q_j ln p_j), how much a row counts; what it pulls to stays q. per_class, PyTorch's: -sum_j w[j] q_j
// ln p_j, where a heavy class also gets more of everybody's smoothing.
enum class ClassWeighting { per_target, per_class };

class ClassWeightedSmoothing : public SmoothedLoss {
 public:
  // class_weight [V], in the logits' dtype and on their device
  ClassWeightedSmoothing(Tensor class_weight, ClassWeighting weighting, double smoothing = 0.1,
                         int32_t pad_id = 0, Reduction reduction = Reduction::mean)
      : SmoothedLoss("class-weighted smoothing", class_weight.size(), smoothing,
                     {Smoothing::uniform, reduction, pad_id, false, {}, class_weight}) {
    check_shares("class-weighted smoothing", class_weight);
    if (weighting == ClassWeighting::per_target) return;
    spec_.prior = class_weight * (1. / static_cast<double>(class_weight.size()));
    spec_.weighted_prior = true;
  }
};

// -H(p) = sum_j p_j ln p_j, the mean over tokens (Pereyra et al. 2017): large where a model is sure of
// itself. Add it to a loss: loss + beta * penalty(logits, target). Its gradient is p_j (ln p_j + H). It sets
// no floor under the p_j of a wrong class, as smoothing does: its pull vanishes with p_j. With a threshold
// (their section 3.1) it is max(0, threshold - H): rows whose entropy is above it are left alone, with 0 all.
// Their other form, annealed, is a beta that grows: beta * linear_smoothing(step, total, 0, 1).
class ConfidencePenalty : SmoothedLoss {  // for its checks
 public:
  explicit ConfidencePenalty(int32_t pad_id = 0, Reduction reduction = Reduction::mean,
                             double threshold = INFINITY)
      : SmoothedLoss("confidence penalty", kAnyVocab, 0, {Smoothing::uniform, reduction, pad_id}),
        threshold_(threshold) {
    check(threshold >= 0, "confidence penalty: expected a threshold of at least 0, got ", threshold);
  }

  // As cross-entropy has it: logits [B, T, V], target i32 [B, T], or [N, V] and [N]; rows whose target is the
  // pad id do not count.
  Variable operator()(const Variable& logits, const Tensor& target) const {
    const IdColumns columns = columns_of(logits, target);
    const Shape& z = logits.shape();
    check_vocab(z[-1]);
    Tensor counted = Tensor::full({z[-1], 1}, 1, logits.value().dtype(), logits.value().device());
    if (spec_.pad_id >= 0) counted.rows(spec_.pad_id, spec_.pad_id + 1).assign(counted.rows(0, 1) * 0.);
    counted = embedding(Variable(counted), columns).value().reshape(z.without_last());
    Variable penalty = sum(x_log_x(softmax(logits)), {-1});
    if (threshold_ < INFINITY)
      penalty = relu(penalty + Variable(Tensor::full({1}, threshold_, counted.dtype(), counted.device())));
    penalty = penalty * Variable(counted);
    if (spec_.reduction == Reduction::none) return penalty;
    if (spec_.reduction == Reduction::sum) return sum(penalty);
    return sum(penalty) * (1 / std::max(gradus::sum(counted).item(), 1.));
  }

 private:
  double threshold_;
};

// eps as a function of the step, counted from 1: from `first` at step 1 to `last` at step `total` and after,
// in a straight line, or half a cosine.
inline double linear_smoothing(double step, double total, double first, double last) {
  check_smoothing("linear smoothing", first), check_smoothing("linear smoothing", last);
  check(step >= 1 && total > 1, "adaptive smoothing: expected step >= 1 and total > 1, got ", step, " and ",
        total);
  return first + (last - first) * std::min((step - 1) / (total - 1), 1.);
}
inline double cosine_smoothing(double step, double total, double first, double last) {
  check_smoothing("cosine smoothing", first), check_smoothing("cosine smoothing", last);
  const double progress = linear_smoothing(step, total, 0, 1);
  return first + (last - first) * (1 - std::cos(std::numbers::pi * progress)) / 2;
}

// No smoothing until the running confidence reaches `threshold`; from there it grows in proportion, up to
// `largest` at confidence 1. Confidence is the geometric mean of p_y, exp(-nll) of a batch: a by-product of
// the loss.
class ConfidenceTriggered {
 public:
  explicit ConfidenceTriggered(double largest, double threshold = 0.5, double momentum = 0.95)
      : largest_(largest), threshold_(threshold), momentum_(momentum) {
    check_smoothing("confidence-triggered smoothing", largest);
    check(threshold >= 0 && threshold < 1 && momentum >= 0 && momentum < 1,
          "confidence-triggered smoothing: expected threshold and momentum in [0, 1), got ", threshold,
          " and ", momentum);
  }

  // mean_nll of the batch just seen, unsmoothed -> eps for the next one
  double operator()(double mean_nll) {
    check(mean_nll >= 0, "confidence-triggered smoothing: expected an nll of at least 0, got ", mean_nll);
    confidence_ = momentum_ * confidence_ + (1 - momentum_) * std::exp(-mean_nll);
    return largest_ * std::max(0., (confidence_ - threshold_) / (1 - threshold_));
  }

 private:
  double largest_, threshold_, momentum_, confidence_ = 0;
};

}  // namespace gradus::losses
