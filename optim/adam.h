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
  explicit Adam(const ParameterGroups& groups, const AdamOptions& options = {})
      : Adam(groups, options, /*decoupled=*/false) {}
  explicit Adam(std::initializer_list<ParameterGroup> groups, const AdamOptions& options = {})
      : Adam(ParameterGroups(groups), options) {}

 protected:
  Adam(const ParameterGroups& groups, const AdamOptions& o, bool decoupled)
      : Optimizer({"adam", {"m", "v"}, /*counts_steps=*/true}, groups, o.lr, o.weight_decay), beta1_(o.beta1),
        beta2_(o.beta2), eps_(o.eps), decoupled_(decoupled) {
    check(beta1_ >= 0 && beta1_ < 1 && beta2_ >= 0 && beta2_ < 1 && eps_ > 0 && std::isfinite(eps_),
          "adam: expected betas in [0, 1) and eps > 0, got ", beta1_, ", ", beta2_, ", ", eps_);
  }

 private:
  void update(Backend& kernels, const std::vector<const Parameter*>& parameters) override {
    std::vector<AdamParameter> all;  // m and v: running means of the gradient and of its square
    for (const Parameter* p : parameters)
      all.push_back({.gradient = p->variable.grad(),
                     .weight = Out(p->variable.value()),
                     .m = Out(p->moments[0]),
                     .v = Out(p->moments[1]),
                     .lr = lr() * p->lr_scale,
                     .weight_decay = p->weight_decay,
                     .step = step_of(*p)});
    kernels.adam({.beta1 = beta1_, .beta2 = beta2_, .eps = eps_, .decoupled = decoupled_}, all);
  }

  double beta1_, beta2_, eps_;
  bool decoupled_;
};

struct AdamWOptions {
  double lr = 1e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0.01;
};

class AdamW : public Adam {
 public:
  explicit AdamW(const ParameterGroups& groups, const AdamWOptions& o = {})
      : Adam(groups, {o.lr, o.beta1, o.beta2, o.eps, o.weight_decay}, /*decoupled=*/true) {}
  explicit AdamW(std::initializer_list<ParameterGroup> groups, const AdamWOptions& options = {})
      : AdamW(ParameterGroups(groups), options) {}
};

}  // namespace gradus::optim
