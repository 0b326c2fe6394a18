// Adam (Kingma & Ba 2015) and AdamW (Loshchilov & Hutter 2019). They differ in weight decay only: Adam adds
// it to the gradient, AdamW shrinks the weight itself.
#pragma once

#include <cmath>

#include "optim/optimizer.h"

namespace gradus::optim {

struct AdamOptions {
  double lr = 1e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0;
};

class Adam : public Optimizer {
 public:
  explicit Adam(const std::vector<NamedParameter>& parameters, const AdamOptions& options = {})
      : Adam(parameters, options, /*decoupled=*/false) {}

 protected:
  Adam(const std::vector<NamedParameter>& parameters, const AdamOptions& options, bool decoupled)
      : Optimizer({"adam", {"m", "v"}, /*counts_steps=*/true}, parameters, options.lr), options_(options),
        decoupled_(decoupled) {
    const auto& [lr, beta1, beta2, eps, weight_decay] = options_;
    check(beta1 >= 0 && beta1 < 1 && beta2 >= 0 && beta2 < 1 && eps > 0 && weight_decay >= 0 &&
              std::isfinite(eps) && std::isfinite(weight_decay),
          "adam: expected betas in [0, 1), eps > 0, weight decay >= 0, got ", beta1, ", ", beta2, ", ", eps,
          ", ", weight_decay);
  }

 private:
  void update(Backend& kernels, int64_t step) override {
    std::vector<AdamParameter> all;
    for (const Parameter& p : parameters_)  // m and v: running means of the gradient and of its square
      all.push_back(
          {p.variable.grad(), Out(p.variable.value()), Out(p.moments[0]), Out(p.moments[1]), p.decays});
    kernels.adam({.lr = lr(),
                  .beta1 = options_.beta1,
                  .beta2 = options_.beta2,
                  .eps = options_.eps,
                  .weight_decay = options_.weight_decay,
                  .step = step,
                  .decoupled = decoupled_},
                 all);
  }

  AdamOptions options_;
  bool decoupled_;
};

struct AdamWOptions {
  double lr = 1e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0.01;
};

class AdamW : public Adam {
 public:
  explicit AdamW(const std::vector<NamedParameter>& parameters, const AdamWOptions& o = {})
      : Adam(parameters, {o.lr, o.beta1, o.beta2, o.eps, o.weight_decay}, /*decoupled=*/true) {}
};

}  // namespace gradus::optim
