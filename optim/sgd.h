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
  explicit Sgd(const std::vector<NamedParameter>& parameters, const SgdOptions& options = {})
      : Optimizer({"sgd", {"velocity"}, /*counts_steps=*/false}, parameters, options.lr), options_(options) {
    check(options.momentum >= 0 && options.weight_decay >= 0 && std::isfinite(options.momentum) &&
              std::isfinite(options.weight_decay),
          "sgd: expected momentum and weight decay >= 0, got ", options.momentum, " and ",
          options.weight_decay);
  }

 private:
  void update(Backend& kernels, int64_t) override {
    std::vector<SgdParameter> all;
    for (const Parameter& p : parameters_)
      all.push_back({p.variable.grad(), Out(p.variable.value()), Out(p.moments[0]), p.decays});
    kernels.sgd({.lr = lr(),
                 .momentum = options_.momentum,
                 .weight_decay = options_.weight_decay,
                 .nesterov = options_.nesterov},
                all);
  }

  SgdOptions options_;
};

}  // namespace gradus::optim
