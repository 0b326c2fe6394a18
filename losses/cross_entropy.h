// CrossEntropy: -ln p of the target, like PyTorch's F.cross_entropy, with label smoothing, class weights and
// a prior as options. The other classes of this folder come from the course and fix some of the options.
// Losses are values: copies are independent, and threads may share a const loss.
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <optional>
#include <utility>

#include "autograd/ops.h"
#include "tensor/fused_ops.h"

namespace gradus::losses {

using gradus::Reduction;
using gradus::Smoothing;

// The id of a class. Only whole numbers convert to it, so a smoothing in the place of an id does not compile.
class ClassId {
 public:
  template <std::integral Integer>
  requires(!std::same_as<Integer, bool>) constexpr ClassId(Integer id) : id_(static_cast<int32_t>(id)) {
    check(std::in_range<int32_t>(id), "class id: ", id, " is no i32");
  }
  constexpr operator int32_t() const { return id_; }

 private:
  int32_t id_;
};

inline void check_smoothing(const char* name, double smoothing) {
  check(smoothing >= 0 && smoothing <= 1, name, ": expected smoothing in [0, 1], got ", smoothing);
}

// The ids of the target, row by row. Throws unless the target's shape fits that of the logits.
inline IdColumns target_columns(const char* name, const Variable& logits, const Tensor& target) {
  const Shape& z = logits.shape();
  check((z.rank() == 2 || z.rank() == 3) && target && target.shape() == z.without_last(), name,
        ": expected logits [B, T, V] and target [B, T], or [N, V] and [N], got ", z, " and ",
        target ? message(target.shape()) : "an empty tensor");
  check(target.dtype() == DType::i32, name, ": expected a target of class ids, i32, got ", target.dtype(),
        " ", target.shape());
  return target;
}

// The share of rows whose largest logit is that of the target. If several logits are largest, the first one
// counts as the prediction. Rows whose target is the pad id do not count. Without any rows the result is 0.
// logits [B, T, V] or [N, V], target i32 [B, T] or [N].
inline double accuracy(const Variable& logits, const Tensor& target, ClassId pad_id = kNoPad) {
  const IdColumns ids = target_columns("accuracy", logits, target);
  checked_ids("accuracy", ids, logits.shape()[-1], Device::cpu, pad_id);
  const std::vector<int32_t> expected = target.to_vector<int32_t>(),
                             found = argmax(logits, -1).to_vector<int32_t>();
  int64_t rows = 0, correct = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    if (expected[i] == pad_id) continue;
    ++rows;
    correct += expected[i] == found[i];
  }
  return rows > 0 ? static_cast<double>(correct) / static_cast<double>(rows) : 0;
}

// Checks that values [V] are finite and not negative. Returns their sum.
inline double check_shares(const char* name, const Tensor& values) {
  check(values && values.shape().rank() == 1, name, ": expected [V], got ",
        values ? message(values.shape()) : "an empty tensor");
  double sum = 0;
  for (double x : values.to(DType::f64).to_vector<double>()) {
    check(x >= 0 && std::isfinite(x), name, ": expected finite numbers of at least 0, got ", x);
    sum += x;
  }
  return sum;
}

// The common base of the losses: a target distribution, a reduction, and the id of padding.
class SmoothedLoss {
 public:
  // logits [B, T, V] or [N, V], target i32 [B, T] or [N] -> scalar, or target's shape for Reduction::none.
  // Rows whose target is the pad id do not count and are not read. The pad id may lie outside the vocabulary.
  // A batch that is all padding has loss 0 and gradient 0 (PyTorch: loss NaN, gradient 0).
  Variable operator()(const Variable& logits, const Tensor& target) const {
    const IdColumns columns = target_columns(name_, logits, target);
    check(
        !prior_ || (prior_.dtype() == logits.value().dtype() && prior_.shape() == Shape{logits.shape()[-1]}),
        name_, ": expected a prior, or class weights, ", logits.value().dtype(), " [", logits.shape()[-1],
        "], got ", prior_.dtype(), " ", prior_.shape());
    if (!prior_ || spec_.smoothing == 0) return compute(logits, columns).loss;
    return towards_prior(logits, columns);
  }

  void set_smoothing(double smoothing) {  // for schedules; losses computed earlier keep theirs
    check_smoothing(name_, smoothing);
    spec_.smoothing = smoothing;
  }
  double smoothing() const { return spec_.smoothing; }

 protected:
  // vocab_size: the last axis that logits must have; without it any size is accepted.
  SmoothedLoss(const char* name, std::optional<int64_t> vocab_size, CrossEntropySpec spec)
      : name_(name), vocab_size_(vocab_size), spec_(std::move(spec)) {
    check_smoothing(name_, spec_.smoothing);
    if (vocab_size) check_vocab(*vocab_size);
  }

  CrossEntropyOutput compute(const Variable& logits, const IdColumns& target) const {
    const int64_t vocab = logits.shape()[-1];
    check(!vocab_size_ || vocab_size_ == vocab, name_, ": expected a last axis of ",
          vocab_size_.value_or(vocab), ", got logits ", logits.shape());
    check_vocab(vocab);
    return cross_entropy(logits, target, spec_);
  }

  // Smooths towards a prior instead of the uniform distribution. The loss of a row with weight w_y is then
  //   (1 - eps) w_y (-ln p_y) + eps share (-sum_j prior_j ln p_j)
  void smooth_towards(Tensor prior, double share) {
    prior_ = std::move(prior);
    prior_share_ = share;
  }

  const char* name_;  // for messages
  std::optional<int64_t> vocab_size_;
  CrossEntropySpec spec_;

 private:
  void check_vocab(int64_t vocab_size) const {
    const bool pad_column = spec_.pad_id >= 0 && spec_.pad_id < vocab_size;
    const int64_t least = spec_.convention == Smoothing::others_not_pad && pad_column ? 3 : 2;
    check(vocab_size >= least, name_, ": expected a vocabulary of at least ", least, ", got ", vocab_size);
  }

  Variable towards_prior(const Variable& logits, const IdColumns& target) const {
    const double eps = spec_.smoothing;
    CrossEntropySpec hard_spec = spec_;
    hard_spec.smoothing = 0;
    hard_spec.reduction = Reduction::none;
    const auto [hard, sums] = cross_entropy(logits, target, hard_spec);
    const Variable soft = prior_cross_entropy(logits, prior_, target, spec_.pad_id) * (eps * prior_share_);
    const Variable rows = eps < 1 ? hard * (1 - eps) + soft : soft;  // 0 times an infinite loss is NaN
    if (spec_.reduction == Reduction::none) return rows;
    const double weights = sums.rows(kWeights, kWeights + 1).item();
    return sum(rows) * (1 / loss_divisor(spec_.reduction, weights));
  }

  Tensor prior_ = {};  // [V] or none
  double prior_share_ = 1;
};

// Two meanings of class weights w [V]. For both, the mean is divided by the sum of w[target] over the rows
// that count. They differ only with smoothing.
//   per_target: w[y] (-sum_j q_j ln p_j). The weight says how much a row counts. The optimum stays p = q.
//   per_class:  -sum_j w[j] q_j ln p_j, as in PyTorch. A class with a large weight also gets more of the
//               smoothing in the rows of other targets.
enum class ClassWeighting { per_target, per_class };

struct CrossEntropyOptions {
  double smoothing = 0;
  ClassId pad_id = kNoPad;  // rows with this target are left out
  Smoothing convention = Smoothing::uniform;
  Reduction reduction = Reduction::mean;
  Tensor class_weight = {};  // [V] or none; it and the prior have the logits' dtype and device
  ClassWeighting weighting = ClassWeighting::per_target;
  Tensor prior = {};  // [V] or none: replaces 1 / V in the smoothing (Pereyra et al. 2017, 3.2)
};

class CrossEntropy : public SmoothedLoss {
 public:
  CrossEntropy() : CrossEntropy(CrossEntropyOptions{}) {}
  explicit CrossEntropy(const CrossEntropyOptions& o)
      : SmoothedLoss("cross-entropy", std::nullopt,
                     {.convention = o.convention,
                      .smoothing = o.smoothing,
                      .reduction = o.reduction,
                      .pad_id = o.pad_id,
                      .class_weight = o.class_weight ? o.class_weight.copy() : Tensor()}) {
    const bool per_class = o.class_weight && o.weighting == ClassWeighting::per_class;
    check(!o.prior || !o.class_weight, "cross-entropy: a prior and class weights do not go together");
    check(!(o.prior || per_class) || o.convention == Smoothing::uniform,
          "cross-entropy: a prior, or weights per class, go with `uniform` only");
    if (o.prior) {
      const double sum = check_shares("cross-entropy: prior", o.prior);
      check(std::abs(sum - 1) < 1e-3, "cross-entropy: expected a prior that sums to 1, got ", sum);
      smooth_towards(o.prior.copy(), 1);
    }
    if (!o.class_weight) return;
    check(o.class_weight.dtype() != DType::i32, "cross-entropy: class weights: expected f32 or f64, got i32");
    const double sum = check_shares("cross-entropy: class weights", o.class_weight);
    // (eps / V) sum_j w_j (-ln p_j) is eps mean(w) times the cross-entropy towards w / sum(w).
    const double mean = sum / static_cast<double>(o.class_weight.size());
    if (per_class && sum > 0) smooth_towards(o.class_weight * (1 / sum), mean);
  }
};

}  // namespace gradus::losses
