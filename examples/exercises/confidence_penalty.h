// Exercise 1: the confidence penalty (Pereyra et al. 2017).
//
// Label smoothing softens the label. One may also leave the label hard and charge for being sure:
//
//     L = mean of  -ln p_y - beta H(p),       H(p) = -sum_j p_j ln p_j
//
// The entropy H is small where p is sure, so to subtract beta H makes such a p dear.
//
// Write this loss with the operations of autograd/ops.h; then its gradient comes by itself.
//  - Rows whose target is pad_id count neither in the sum nor in the number that it is divided by.
//  - A batch of nothing but padding has loss 0, not NaN.
//  - beta = 0 is plain cross-entropy, which is all that stands here now.
// Useful: log_softmax, exp, one_hot from one_hot.h, and sum(x, {-1}, /*keep=*/true), over the last axis.
// `Variable(tensor)` makes a constant of a Tensor.
#pragma once

#include "examples/exercises/one_hot.h"
#include "losses/cross_entropy.h"

namespace gradus::exercises {

// logits [N, V], target i32 [N] -> scalar
inline Variable confidence_penalty(const Variable& logits, const Tensor& target, double beta,
                                   int32_t pad_id = 0) {
  return losses::CrossEntropy({.pad_id = pad_id})(logits, target);
}

}  // namespace gradus::exercises
