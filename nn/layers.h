// The layers with a few lines each: Linear, Embedding, LayerNorm, and the table of sinusoidal positions. Dropout has no
// parameters and so no module: it is an operation (autograd/ops.h). Each layer starts with values drawn from seed 0;
// init(seed) of the whole model draws them anew, differently for each layer.
#pragma once

#include "nn/module.h"

namespace gradus::nn {

class Linear : public Module {
 public:
  Linear(int64_t inputs, int64_t outputs, bool bias = true);
  explicit Linear(Variable weight) : weight_(std::move(weight)) {}  // shares another's weight; no bias
  void members(Visitor& visit) override;
  Variable operator()(const Variable& x, std::optional<Unary> activation = {}) const;  // [.., inputs] -> [.., outputs]

 private:
  Variable weight_, bias_;  // [outputs, inputs], [outputs]
};

class LayerNorm : public Module {  // Ba, Kiros & Hinton 2016
 public:
  explicit LayerNorm(int64_t d_model, double eps = 1e-5);
  void members(Visitor& visit) override;
  Variable operator()(const Variable& x) const;

 private:
  Variable weight_, bias_;  // gain and bias, both [d_model]
  double eps_;
};

class Embedding : public Module {
 public:
  Embedding(int64_t vocab_size, int64_t d_model);
  explicit Embedding(Variable weight) : weight_(std::move(weight)) {}  // shares another's weight
  void members(Visitor& visit) override;
  // ids i32 -> [B, count, d_model]: scale * row + position
  Variable operator()(const IdColumns& ids, double scale = 1, const Tensor& positions = {}) const;
  const Variable& weight() const { return weight_; }  // [vocab_size, d_model]; also the output layer's when tied
  int64_t vocab_size() const { return weight_.shape()[0]; }

 private:
  Variable weight_;
};

// Vaswani et al. 2017, section 3.5: row t holds sin(t f_i) in column 2i and cos(t f_i) in column 2i + 1, with
// f_i = 10000^(-2i / d_model). Computed once in f64.
class SinusoidalPositions {
 public:
  SinusoidalPositions(int64_t longest, int64_t d_model);
  const Tensor& as(DType dtype, Device device) const;  // [longest, d_model]

 private:
  mutable Tensor table_;  // in the dtype last asked for
  int64_t longest_, d_model_;
};

}  // namespace gradus::nn
