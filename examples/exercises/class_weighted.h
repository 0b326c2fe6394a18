// Exercise 2: class weights beside label smoothing.
//
// Some words are rare, and a weight w_j per class lets them count for more. With soft labels that can mean
// two things. Let q = (1 - eps) onehot(y) + eps / V, and W = sum of w[y] over the rows that count.
//
//     per_target    L = sum over rows of  w[y] (-sum_j q_j ln p_j) / W     a row weighs what its target does
//     per_class     L = sum over rows of  (-sum_j w_j q_j ln p_j) / W      each class weighs alone: PyTorch's
//
// Write both. Rows whose target is pad_id do not count, neither above nor in W. Where W is 0 the loss is 0.
// Then think: minimise `per_class` for a single row, eps = 0.5, with a large weight on a class that is not
// the target. Which class wins? (pytorch/pytorch#104776)
//
// What stands here now ignores the weights. Useful: log_softmax, one_hot, sum(x, {-1}, /*keep=*/true).
#pragma once

#include "examples/exercises/one_hot.h"
#include "losses/label_smoothing.h"

namespace gradus::exercises {

enum class ClassWeights { per_target, per_class };

// logits [N, V], target i32 [N], weight [V] of the logits' dtype -> scalar
inline Variable class_weighted(const Variable& logits, const Tensor& target, const Tensor& weight, double eps,
                               ClassWeights meaning, int32_t pad_id = 0) {
  return losses::LabelSmoothingCrossEntropy(eps, pad_id)(logits, target);
}

}  // namespace gradus::exercises
