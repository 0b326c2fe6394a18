// Stochastic gradient descent with momentum (Polyak 1964), optionally Nesterov's (Sutskever et al. 2013), as
// PyTorch formulates it: velocity = momentum velocity + g + weight_decay w; w -= lr velocity.
#pragma once

#include "optim/optimizer.h"

namespace gradus::optim {

struct SgdOptions {
  double lr = 1e-2, momentum = 0, weight_decay = 0;
  bool nesterov = false;
};

class Sgd : public Optimizer {
 public:
  explicit Sgd(const std::vector<NamedParameter>& parameters, const SgdOptions& o = {})
      : Optimizer(parameters, o.lr), spec_{o.momentum, o.weight_decay, o.nesterov, decayed_},
        velocity_(zeros()) {
    check(o.momentum >= 0 && o.weight_decay >= 0, "sgd: expected momentum and weight decay >= 0, got ",
          o.momentum, " and ", o.weight_decay);
  }
  void step() override { kernels().sgd(spec_, lr_, gradients_, weights_, velocity_); }
  std::map<std::string, Tensor> state() const override { return by_name("sgd.velocity.", velocity_); }

 private:
  SgdSpec spec_;
  Tensor velocity_;
};

}  // namespace gradus::optim
