// A Batch as the tensors that a model takes.
#pragma once

#include "examples/support/batch.h"
#include "tensor/tensor.h"

namespace gradus::examples {

struct TensorBatch {
  explicit TensorBatch(const std::vector<IdPair>& pairs) : TensorBatch(make_batch(pairs)) {}
  explicit TensorBatch(const Batch& b)
      : source(Tensor::from(b.source, {b.rows, b.source_width})),
        source_lengths(Tensor::from(b.source_lengths, {b.rows})),
        target(Tensor::from(b.target, {b.rows, b.target_width})),
        target_lengths(Tensor::from(b.target_lengths, {b.rows})), target_tokens(b.target_tokens) {}

  // i32 [B, T-1]: target without BOS, what is to be predicted.
  Tensor labels() const {
    const int64_t rows = target.shape()[0], columns = target.shape()[1];
    std::vector<int32_t> rest;
    for (int64_t i = 0; i < rows * columns; ++i)
      if (i % columns != 0) rest.push_back(target.data<int32_t>()[i]);
    return Tensor::from(rest, {rows, columns - 1});
  }

  Tensor source, source_lengths;  // i32 [B, S], [B]
  Tensor target, target_lengths;  // i32 [B, T] with BOS and EOS, [B]
  int64_t target_tokens;          // those to be predicted
};

}  // namespace gradus::examples
