#include "optim/optimizer.h"

#include <algorithm>
#include <cmath>

#include "optim/adam.h"
#include "optim/sgd.h"

namespace gradus::optim {

Optimizer::Optimizer(const std::vector<NamedParameter>& parameters, double lr) {
  check(!parameters.empty(), "optimizer: no parameters");
  const Tensor& first = parameters[0].variable.value();
  lr_ = Tensor::full({1}, lr, DType::f64, first.device());

  // Slices begin at multiples of 64 bytes, so that products read aligned rows; the gaps stay 0.
  constexpr int64_t kAlign = 16;
  std::vector<NamedParameter> order = parameters;
  const auto exempt =
      std::stable_partition(order.begin(), order.end(), [](const auto& p) { return p.variable.shape().rank() >= 2; });
  std::vector<int64_t> offsets;
  int64_t size = 0;
  for (auto p = order.begin(); p != order.end(); ++p) {
    const Tensor& value = p->variable.value();
    check(value.dtype() == first.dtype() && value.device() == first.device(), "optimizer: ", p->name, " is ",
          value.dtype(), " on ", value.device(), ", the first parameter ", first.dtype(), " on ", first.device());
    if (p == exempt) decayed_ = size;
    offsets.push_back(size);
    size += (value.size() + kAlign - 1) / kAlign * kAlign;
  }
  if (exempt == order.end()) decayed_ = size;

  weights_ = Tensor::zeros({size}, first.dtype(), first.device());
  gradients_ = Tensor::zeros({size}, first.dtype(), first.device());
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

void Optimizer::set_lr(double lr) {
  check(lr >= 0 && std::isfinite(lr), "optimizer: expected a learning rate >= 0, got ", lr);
  backend(lr_.device()).fill(lr, lr_);
}

Sgd::Sgd(const std::vector<NamedParameter>& parameters, const SgdOptions& options)
    : Optimizer(parameters, options.lr),
      spec_{options.momentum, options.weight_decay, options.nesterov, decayed_},
      velocity_(Tensor::zeros(weights_.shape(), weights_.dtype(), weights_.device())) {
  check(options.momentum >= 0 && options.weight_decay >= 0, "sgd: expected momentum and weight decay >= 0, got ",
        options.momentum, " and ", options.weight_decay);
  set_lr(options.lr);
}

void Sgd::step() { backend(weights_.device()).sgd(spec_, lr_, gradients_, weights_, velocity_); }

Adam::Adam(const std::vector<NamedParameter>& parameters, const AdamOptions& o, bool decoupled)
    : Optimizer(parameters, o.lr),
      spec_{o.beta1, o.beta2, o.eps, o.weight_decay, decoupled, decayed_},
      m_(Tensor::zeros(weights_.shape(), weights_.dtype(), weights_.device())),
      v_(m_.copy()),
      step_(Tensor::zeros({1}, DType::i32, weights_.device())) {
  check(o.beta1 >= 0 && o.beta1 < 1 && o.beta2 >= 0 && o.beta2 < 1 && o.eps > 0 && o.weight_decay >= 0,
        "adam: expected betas in [0, 1), eps > 0, weight decay >= 0, got ", o.beta1, ", ", o.beta2, ", ", o.eps, ", ",
        o.weight_decay);
  set_lr(o.lr);
}

void Adam::step() {
  step_.assign(Tensor::full({1}, step_.item() + 1, DType::i32, step_.device()));
  backend(weights_.device()).adam(spec_, lr_, step_, gradients_, weights_, m_, v_);
}

}  // namespace gradus::optim
