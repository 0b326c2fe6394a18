// Stochastic gradient descent with momentum (Polyak 1964), optionally Nesterov's (Sutskever et al. 2013), as PyTorch
// formulates it: velocity = momentum velocity + g + weight_decay w; w -= lr velocity.
#pragma once

#include "optim/optimizer.h"

namespace gradus::optim {

struct SgdOptions {
  double lr = 1e-2, momentum = 0, weight_decay = 0;
  bool nesterov = false;
};

class Sgd : public Optimizer {
 public:
  explicit Sgd(const std::vector<NamedParameter>& parameters, const SgdOptions& options = {});
  void step() override;

 private:
  SgdSpec spec_;
  Tensor velocity_;
};

}  // namespace gradus::optim
