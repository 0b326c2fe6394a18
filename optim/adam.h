// Adam (Kingma & Ba 2015) and AdamW (Loshchilov & Hutter 2019). They differ in weight decay only: Adam adds
// it to the gradient, AdamW shrinks the weight itself.
#pragma once

#include "optim/optimizer.h"

namespace gradus::optim {

struct AdamOptions {
  double lr = 1e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0;
};

class Adam : public Optimizer {
 public:
  explicit Adam(const std::vector<NamedParameter>& parameters, const AdamOptions& options = {})
      : Adam(parameters, options, /*decoupled=*/false) {}

  void step() override {
    kernels().increment(step_);
    kernels().adam(spec_, lr_, step_, gradients_, weights_, m_, v_);
  }

  std::map<std::string, Tensor> state() const override {
    std::map<std::string, Tensor> all = by_name("adam.m.", m_);
    all.merge(by_name("adam.v.", v_));
    all["adam.step"] = step_;
    return all;
  }

 protected:
  Adam(const std::vector<NamedParameter>& parameters, const AdamOptions& o, bool decoupled)
      : Optimizer(parameters, o.lr), spec_{o.beta1, o.beta2, o.eps, o.weight_decay, decoupled, decayed_},
        m_(zeros()), v_(zeros()), step_(Tensor::zeros({1}, DType::i32, weights_.device())) {
    check(o.beta1 >= 0 && o.beta1 < 1 && o.beta2 >= 0 && o.beta2 < 1 && o.eps > 0 && o.weight_decay >= 0,
          "adam: expected betas in [0, 1), eps > 0, weight decay >= 0, got ", o.beta1, ", ", o.beta2, ", ",
          o.eps, ", ", o.weight_decay);
  }

 private:
  AdamSpec spec_;
  Tensor m_, v_;  // running means of the gradient and of its square
  Tensor step_;   // i32 [1]: steps made
};

class AdamW : public Adam {
 public:
  explicit AdamW(const std::vector<NamedParameter>& parameters,
                 const AdamOptions& options = {.weight_decay = 0.01})
      : Adam(parameters, options, /*decoupled=*/true) {}
};

}  // namespace gradus::optim
