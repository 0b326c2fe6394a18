// The layers with a few lines each: Linear, Embedding, LayerNorm, and the table of sinusoidal positions;
// those without parameters stand in sequential.h. Weights are drawn when a layer is made, differently for
// each; init(seed) draws those of a whole model again, so that they follow from the seed.
#pragma once

#include <cmath>

#include "nn/module.h"

namespace gradus::nn {

inline int64_t at_least_1(const char* layer, int64_t size) {
  check(size >= 1, layer, ": expected a size of at least 1, got ", size);
  return size;
}

class Linear : public Module {
 public:
  Linear(int64_t inputs, int64_t outputs, bool bias = true)
      : weight_(parameter({at_least_1("linear", outputs), at_least_1("linear", inputs)},
                          Init::xavier_uniform(inputs, outputs))) {
    if (bias) bias_ = parameter({outputs});
  }
  explicit Linear(Variable weight) : weight_(std::move(weight)) {}  // shares another's weight; no bias

  void members(Visitor& visit) override {
    visit("weight", weight_);
    visit("bias", bias_);
  }

  // [.., inputs] -> [.., outputs]
  Variable operator()(const Variable& x, std::optional<UnaryOp> activation = {}) const {
    return linear(x, weight_, bias_, activation);
  }

  // dropout((*this)(x, activation))
  Variable dropped(const Variable& x, const UnaryOp& activation, double p, Generator& generator) const {
    return linear_dropout(x, weight_, bias_, activation, p, generator);
  }

  const Variable& weight() const { return weight_; }

 private:
  Variable weight_, bias_;  // [outputs, inputs], [outputs]
};

class LayerNorm : public Module {  // Ba, Kiros & Hinton 2016
 public:
  explicit LayerNorm(int64_t d_model, double eps = 1e-5)
      : weight_(parameter({at_least_1("layer_norm", d_model)}, 1)), bias_(parameter({d_model})), eps_(eps) {
    check(eps > 0, "layer_norm: expected eps > 0, got ", eps);
  }

  void members(Visitor& visit) override {
    visit("weight", weight_);
    visit("bias", bias_);
  }

  Variable operator()(const Variable& x) const { return layer_norm(x, weight_, bias_, eps_); }

 private:
  Variable weight_, bias_;  // gain and bias, both [d_model]
  double eps_;
};

class Embedding : public Module {
 public:
  Embedding(int64_t vocab_size, int64_t d_model)
      : weight_(parameter({at_least_1("embedding", vocab_size), d_model},
                          Init::normal(1 / std::sqrt(double(at_least_1("embedding", d_model)))))) {}
  explicit Embedding(Variable weight) : weight_(std::move(weight)) {}  // shares another's weight

  void members(Visitor& visit) override { visit("weight", weight_); }

  // ids i32, a Tensor or some of its columns -> the ids' shape and d_model: scale * row + position
  Variable operator()(const IdColumns& ids, double scale = 1, const Tensor& positions = {}) const {
    return embedding(weight_, ids, scale, positions);
  }

  const Variable& weight() const { return weight_; }  // [vocab_size, d_model]

 private:
  Variable weight_;
};

// Vaswani et al. 2017, section 3.5: row t holds sin(t f_i) in column 2i and cos(t f_i) in column 2i + 1, with
// f_i = 10000^(-2i / d_model).
class SinusoidalPositions {
 public:
  SinusoidalPositions(int64_t longest, int64_t d_model) {
    std::vector<double> values;
    for (int64_t t = 0; t < longest; ++t)
      for (int64_t column = 0; column < d_model; ++column) {
        const double frequency = std::pow(10000., -double(column / 2 * 2) / d_model);
        values.push_back(column % 2 == 0 ? std::sin(t * frequency) : std::cos(t * frequency));
      }
    table_ = Tensor::from(values, {longest, d_model});
  }

  // [to - from, d_model]. The table stays f64 on the host, so that threads may share it.
  Tensor rows(int64_t from, int64_t to, DType dtype, Device device) const {
    return table_.rows(from, to).to(dtype).to(device);
  }

 private:
  Tensor table_;
};

}  // namespace gradus::nn
