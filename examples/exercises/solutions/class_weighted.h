// Solution of exercise 2. In `per_class` the label w q is no distribution: its largest entry may stand on a
// class that is not the target, and there the optimum p = w q / sum(w q) has it, too. So the wrong class
// wins.
#pragma once

#include "autograd/ops.h"
#include "examples/exercises/one_hot.h"

namespace gradus::exercises {

enum class ClassWeights { per_target, per_class };

// logits [N, V], target i32 [N], weight [V] of the logits' dtype -> scalar
inline Variable class_weighted(const Variable& logits, const Tensor& target, const Tensor& weight, double eps,
                               ClassWeights meaning, int32_t pad_id = 0) {
  const int64_t vocab = logits.shape()[-1];
  const Tensor label = one_hot(target, vocab, pad_id, logits.value().dtype());
  const Tensor counts = sum(label, {-1}, /*keep=*/true);               // [N, 1]
  const Tensor row_weight = sum(label * weight, {-1}, /*keep=*/true);  // [N, 1]
  const Tensor q = label * (1 - eps) + counts * (eps / vocab);
  const Tensor weighted = q * (meaning == ClassWeights::per_target ? row_weight : weight);
  const double total = sum(row_weight).item();
  return sum(Variable(weighted) * log_softmax(logits)) * (total > 0 ? -1 / total : 0);
}

}  // namespace gradus::exercises
