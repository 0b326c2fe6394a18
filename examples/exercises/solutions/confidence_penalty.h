// Solution of exercise 1: -ln p_y - beta H(p) = sum_j ln p_j (beta p_j - onehot_j). The gradient with respect
// to the logits is p - onehot + beta p (ln p + H).
#pragma once

#include "autograd/ops.h"
#include "examples/exercises/one_hot.h"

namespace gradus::exercises {

// logits [N, V], target i32 [N] -> scalar
inline Variable confidence_penalty(const Variable& logits, const Tensor& target, double beta,
                                   int32_t pad_id = 0) {
  const Variable log_p = log_softmax(logits), p = exp(log_p);
  const Tensor label = one_hot(target, logits.shape()[-1], pad_id, logits.value().dtype());
  const Tensor counts = sum(label, {-1}, /*keep=*/true);  // [N, 1]
  const double rows = std::max(sum(counts).item(), 1.);
  return sum(log_p * (beta * (Variable(counts) * p) - Variable(label))) * (1 / rows);
}

}  // namespace gradus::exercises
