// Optimizer: what SGD and Adam share. It packs all parameters into one block and their gradients into
// another, and lets the parameters become views of it; so an update is one kernel, zero_grad one fill, the
// gradient norm one sum, however many parameters there are. Make it after the model has its dtype and device.
#pragma once

#include <map>

#include "autograd/variable.h"

namespace gradus::optim {

class Optimizer {
 public:
  virtual ~Optimizer() = default;
  Optimizer(Optimizer&&) = default;

  virtual void step() = 0;
  void zero_grad();

  // Scales all gradients by min(1, max_norm / (norm + 1e-6)), norm over all of them together (Pascanu et al.
  // 2013). Returns the norm before; reading it synchronises.
  Tensor clip_gradients(double max_norm);
  // For accumulation: with losses summed over micro-batches, 1 / (tokens of the whole group) makes k batches
  // of B/k equal to one of B.
  void scale_gradients(double factor);

  // What the method remembers between steps, by name, for checkpoints; the weights are the model's to keep.
  // load writes into it; if a name is missing or misshapen it throws, names it, and has changed nothing.
  virtual std::map<std::string, Tensor> state() const = 0;
  void load(const std::map<std::string, Tensor>& tensors);

  void set_lr(double lr);
  double lr() const { return lr_.item(); }

 protected:
  // Weight decay is for matrices: biases and norms (one axis) are exempt, and stand at the end of the block.
  Optimizer(const std::vector<NamedParameter>& parameters, double lr);

  Backend& kernels() const;  // of the block; throws if a parameter has left it
  // The parts of such a block that belong to each parameter, named `prefix` + its name.
  std::map<std::string, Tensor> by_name(const std::string& prefix, const Tensor& block) const;
  Tensor zeros() const { return Tensor::zeros(weights_.shape(), weights_.dtype(), weights_.device()); }

  std::vector<NamedParameter> parameters_;
  Tensor weights_, gradients_;  // [all elements]
  int64_t decayed_ = 0;         // the first so many have weight decay
  Tensor lr_;                   // f64 [1], on the device: a recorded step sees a change
};

}  // namespace gradus::optim
