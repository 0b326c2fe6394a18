// Adam (Kingma & Ba 2015) and AdamW (Loshchilov & Hutter 2019). They differ in weight decay only: Adam adds it to the
// gradient, AdamW shrinks the weight itself.
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
  void step() override;

 protected:
  Adam(const std::vector<NamedParameter>& parameters, const AdamOptions& options, bool decoupled);

 private:
  AdamSpec spec_;
  Tensor m_, v_;  // running means of the gradient and of its square
  Tensor step_;   // i32 [1]: steps made
};

class AdamW : public Adam {
 public:
  explicit AdamW(const std::vector<NamedParameter>& parameters, const AdamOptions& options = {.weight_decay = 0.01})
      : Adam(parameters, options, /*decoupled=*/true) {}
};

}  // namespace gradus::optim
