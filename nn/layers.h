// The layers with a few lines each: Linear, Embedding, LayerNorm, and the table of sinusoidal positions.
// Dropout has no parameters and so no module: it is an operation (autograd/ops.h). A layer alone begins
// at 0 (a norm at 1); init(seed) draws the weights, of a whole model at once, differently for each layer.
#pragma once

#include <cmath>

#include "nn/module.h"

namespace gradus::nn {

inline Variable parameter(Shape shape, double value = 0) {
  return Variable(Tensor::full(shape, value), /*requires_grad=*/true);
}

class Linear : public Module {
 public:
  Linear(int64_t inputs, int64_t outputs, bool bias = true) : weight_(parameter({outputs, inputs})) {
    if (bias) bias_ = parameter({outputs});
  }
  explicit Linear(Variable weight) : weight_(std::move(weight)) {}  // shares another's weight; no bias

  void members(Visitor& visit) override {
    visit("weight", weight_, {Init::xavier_uniform});
    visit("bias", bias_, {Init::constant, 0});
  }

  // [.., inputs] -> [.., outputs]
  Variable operator()(const Variable& x, std::optional<Unary> activation = {}) const {
    return linear(x, weight_, bias_, activation);
  }

 private:
  Variable weight_, bias_;  // [outputs, inputs], [outputs]
};

class LayerNorm : public Module {  // Ba, Kiros & Hinton 2016
 public:
  explicit LayerNorm(int64_t d_model, double eps = 1e-5)
      : weight_(parameter({d_model}, 1)), bias_(parameter({d_model})), eps_(eps) {}

  void members(Visitor& visit) override {
    visit("weight", weight_, {Init::constant, 1});
    visit("bias", bias_, {Init::constant, 0});
  }

  Variable operator()(const Variable& x) const { return layer_norm(x, weight_, bias_, eps_); }

 private:
  Variable weight_, bias_;  // gain and bias, both [d_model]
  double eps_;
};

class Embedding : public Module {
 public:
  Embedding(int64_t vocab_size, int64_t d_model) : weight_(parameter({vocab_size, d_model})) {}
  explicit Embedding(Variable weight) : weight_(std::move(weight)) {}  // shares another's weight

  void members(Visitor& visit) override {
    visit("weight", weight_, {Init::normal, 1 / std::sqrt(weight_.shape()[1])});
  }

  // ids i32 -> [B, count, d_model]: scale * row + position
  Variable operator()(const IdColumns& ids, double scale = 1, const Tensor& positions = {}) const {
    return embedding(weight_, ids, scale, positions);
  }

  const Variable& weight() const { return weight_; }  // [vocab_size, d_model]

 private:
  Variable weight_;
};

// Vaswani et al. 2017, section 3.5: row t holds sin(t f_i) in column 2i and cos(t f_i) in column 2i + 1, with
// f_i = 10000^(-2i / d_model). Computed in f64, kept in the dtype last asked for.
class SinusoidalPositions {
 public:
  SinusoidalPositions(int64_t longest, int64_t d_model) : longest_(longest), d_model_(d_model) {}

  const Tensor& as(DType dtype, Device device) const {  // [longest, d_model]
    if (table_ && table_.dtype() == dtype && table_.device() == device) return table_;
    std::vector<double> values;
    for (int64_t t = 0; t < longest_; ++t)
      for (int64_t column = 0; column < d_model_; ++column) {
        const double angle = t * std::pow(10000., -double(column / 2 * 2) / d_model_);
        values.push_back(column % 2 == 0 ? std::sin(angle) : std::cos(angle));
      }
    return table_ = Tensor::from(values, {longest_, d_model_}).to(dtype).to(device);
  }

 private:
  int64_t longest_, d_model_;
  mutable Tensor table_;
};

}  // namespace gradus::nn
