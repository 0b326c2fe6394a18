#include "nn/layers.h"

#include <cmath>

namespace gradus::nn {
namespace {

Variable parameter(Shape shape) { return Variable(Tensor::zeros(shape), /*requires_grad=*/true); }

}  // namespace

Linear::Linear(int64_t inputs, int64_t outputs, bool bias) : weight_(parameter({outputs, inputs})) {
  if (bias) bias_ = parameter({outputs});
  init(0);
}

void Linear::members(Visitor& visit) {
  visit("weight", weight_, {Init::xavier_uniform});
  visit("bias", bias_, {Init::constant, 0});
}

Variable Linear::operator()(const Variable& x, std::optional<Unary> activation) const {
  return linear(x, weight_, bias_, activation);
}

LayerNorm::LayerNorm(int64_t d_model, double eps)
    : weight_(parameter({d_model})), bias_(parameter({d_model})), eps_(eps) {
  init(0);
}

void LayerNorm::members(Visitor& visit) {
  visit("weight", weight_, {Init::constant, 1});
  visit("bias", bias_, {Init::constant, 0});
}

Variable LayerNorm::operator()(const Variable& x) const { return layer_norm(x, weight_, bias_, eps_); }

Embedding::Embedding(int64_t vocab_size, int64_t d_model) : weight_(parameter({vocab_size, d_model})) { init(0); }

void Embedding::members(Visitor& visit) {
  visit("weight", weight_, {Init::normal, 1 / std::sqrt(static_cast<double>(weight_.shape()[1]))});
}

Variable Embedding::operator()(const IdColumns& ids, double scale, const Tensor& positions) const {
  return embedding(weight_, ids, scale, positions);
}

SinusoidalPositions::SinusoidalPositions(int64_t longest, int64_t d_model) : longest_(longest), d_model_(d_model) {}

const Tensor& SinusoidalPositions::as(DType dtype, Device device) const {
  if (table_ && table_.dtype() == dtype && table_.device() == device) return table_;
  std::vector<double> values;
  for (int64_t t = 0; t < longest_; ++t)
    for (int64_t column = 0; column < d_model_; ++column) {
      const double pair = static_cast<double>(column / 2 * 2) / static_cast<double>(d_model_);
      const double angle = static_cast<double>(t) * std::pow(10000., -pair);
      values.push_back(column % 2 == 0 ? std::sin(angle) : std::cos(angle));
    }
  return table_ = Tensor::from(values, {longest_, d_model_}).to(dtype).to(device);
}

}  // namespace gradus::nn
