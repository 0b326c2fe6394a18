// one_hot: hard labels as a matrix, for losses that are written with whole tensors. It is given, not asked.
// The library never builds such a matrix: with a vocabulary of 32,000 it would be the largest tensor of the
// step.
#pragma once

#include "tensor/ops.h"

namespace gradus::exercises {

// target i32 [N] -> [N, V]: 1 at the target of each row; a row whose target is pad_id is 0 everywhere. So a
// row's sum is 1 where it counts and 0 where it does not.
inline Tensor one_hot(const Tensor& target, int64_t vocab, int32_t pad_id, DType dtype) {
  const std::vector<int32_t> ids = target.to_vector<int32_t>();
  std::vector<double> labels(ids.size() * vocab);
  for (size_t row = 0; row < ids.size(); ++row) {
    check(ids[row] >= 0 && ids[row] < vocab, "one_hot: expected ids in [0, ", vocab, "), got ", ids[row]);
    if (ids[row] != pad_id) labels[row * vocab + ids[row]] = 1;
  }
  return Tensor::from(labels, {target.size(), vocab}).to(dtype);
}

}  // namespace gradus::exercises
