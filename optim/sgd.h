// Stochastic gradient descent with momentum (Polyak 1964), optionally Nesterov's (Sutskever et al. 2013), as
// PyTorch formulates it: velocity = momentum velocity + g + weight_decay w; w -= lr velocity.
#pragma once

#include <cmath>

#include "optim/optimizer.h"

namespace gradus::optim {

struct SgdOptions {
  double lr = 1e-2, momentum = 0, weight_decay = 0;
  bool nesterov = false;
};

class Sgd : public Optimizer {
 public:
  explicit Sgd(const ParameterGroups& groups, const SgdOptions& o = {})
      : Optimizer({"sgd", {"velocity"}, /*counts_steps=*/false}, groups, o.lr, o.weight_decay),
        momentum_(o.momentum), nesterov_(o.nesterov) {
    check(momentum_ >= 0 && std::isfinite(momentum_), "sgd: expected momentum >= 0, got ", momentum_);
  }
  explicit Sgd(std::initializer_list<ParameterGroup> groups, const SgdOptions& options = {})
      : Sgd(ParameterGroups(groups), options) {}

 private:
  void update(Backend& kernels, const std::vector<const Parameter*>& parameters) override {
    std::vector<SgdParameter> all;
    for (const Parameter* p : parameters)
      all.push_back({.gradient = p->variable.grad(),
                     .weight = Out(p->variable.value()),
                     .velocity = Out(p->moments[0]),
                     .lr = lr() * p->lr_scale,
                     .weight_decay = p->weight_decay});
    kernels.sgd({.momentum = momentum_, .nesterov = nesterov_}, all);
  }

  double momentum_;
  bool nesterov_;
};

}  // namespace gradus::optim
