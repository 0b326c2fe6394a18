#include "optim/optimizer.h"

#include <algorithm>
#include <cmath>

namespace gradus::optim {

Optimizer::Optimizer(const std::vector<NamedParameter>& parameters, double lr) {
  check(!parameters.empty(), "optimizer: no parameters");
  const Tensor& first = parameters[0].variable.value();
  lr_ = Tensor({1}, DType::f64, first.device());
  set_lr(lr);

  parameters_ = parameters;
  std::vector<NamedParameter>& order = parameters_;
  const auto exempt = std::stable_partition(order.begin(), order.end(),
                                            [](const auto& p) { return p.variable.shape().rank() >= 2; });
  constexpr int64_t kAlign = 16;  // slices begin at multiples of 64 bytes, so that products read aligned rows
  std::vector<int64_t> offsets{0};
  for (const auto& [name, variable] : order) {
    const Tensor& value = variable.value();
    check(value.dtype() == first.dtype() && value.device() == first.device(), "optimizer: ", name, " is ",
          value.dtype(), " on ", value.device(), ", the first parameter ", first.dtype(), " on ",
          first.device());
    offsets.push_back(offsets.back() + (value.size() + kAlign - 1) / kAlign * kAlign);
  }
  decayed_ = offsets[static_cast<size_t>(exempt - order.begin())];

  weights_ = Tensor::zeros({offsets.back()}, first.dtype(), first.device());  // the gaps stay 0
  gradients_ = zeros();
  for (size_t i = 0; i < order.size(); ++i) {
    const Variable& p = order[i].variable;
    const auto slice = [&](const Tensor& block) {
      return block.rows(offsets[i], offsets[i] + p.value().size()).reshape(p.shape());
    };
    slice(weights_).assign(p.value());
    slice(gradients_).assign(p.grad());
    p.rebind(slice(weights_), slice(gradients_));
  }
}

Backend& Optimizer::kernels() const {
  for (const auto& [name, variable] : parameters_) {
    const std::byte* grad = variable.grad().bytes();
    check(grad >= gradients_.bytes() && grad <= gradients_.bytes() + gradients_.byte_size(),
          "optimizer: ", name,
          " no longer lives in this optimiser's block; make the optimiser after to(), and one only");
  }
  return backend(gradients_.device());
}

void Optimizer::zero_grad() { backend(gradients_.device()).fill(0, gradients_); }

Tensor Optimizer::clip_gradients(double max_norm) {
  check(max_norm > 0, "clip_gradients: expected a positive norm, got ", max_norm);
  Backend& kernels = backend(gradients_.device());
  Tensor squares({1}, DType::f64, gradients_.device());
  kernels.sum_squares(gradients_, squares);
  kernels.clip(squares, max_norm, gradients_);
  return unary(Unary::sqrt, squares);
}

void Optimizer::scale_gradients(double factor) {
  const Tensor scalar = Tensor::full({}, factor, gradients_.dtype(), gradients_.device());
  backend(gradients_.device()).binary(Binary::mul, gradients_, scalar, gradients_);
}

std::map<std::string, Tensor> Optimizer::by_name(const std::string& prefix, const Tensor& block) const {
  std::map<std::string, Tensor> parts;
  for (const auto& [name, p] : parameters_) {
    const int64_t at = (p.grad().bytes() - gradients_.bytes()) / size_of(block.dtype());
    parts[prefix + name] = block.rows(at, at + p.value().size()).reshape(p.shape());
  }
  return parts;
}

void Optimizer::load(const std::map<std::string, Tensor>& tensors) {
  assign_all("optimizer", state(), tensors);
}

void Optimizer::set_lr(double lr) {
  check(lr >= 0 && std::isfinite(lr), "optimizer: expected a learning rate >= 0, got ", lr);
  backend(lr_.device()).fill(lr, lr_);
}

}  // namespace gradus::optim
