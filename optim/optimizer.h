// Optimizer: what SGD and Adam share. It holds handles of the parameters, which stay in their own blocks: so
// it may be made before or after a model moves to another dtype or device, and two optimisers may hold one
// parameter. An update is one kernel call over all of them.
#pragma once

#include <map>

#include "autograd/variable.h"

namespace gradus::optim {

// Parameters with settings of their own. Their learning rate is the optimiser's times lr_scale.
struct ParameterGroup {
  std::vector<NamedParameter> parameters;
  double lr_scale = 1;
  std::optional<double> weight_decay = {};  // none: that of the optimiser's options
};

// What an optimiser is made of: a list of parameters, or a list of groups.
class ParameterGroups {
 public:
  ParameterGroups(const std::vector<NamedParameter>& parameters) : groups_{{.parameters = parameters}} {}
  ParameterGroups(std::initializer_list<NamedParameter> parameters) : groups_{{.parameters = parameters}} {}
  ParameterGroups(std::vector<ParameterGroup> groups) : groups_(std::move(groups)) {}
  auto begin() const { return groups_.begin(); }
  auto end() const { return groups_.end(); }

 private:
  std::vector<ParameterGroup> groups_;
};

class Optimizer {
 public:
  virtual ~Optimizer() = default;
  Optimizer(Optimizer&&) = default;

  void step();
  void zero_grad();

  // Scales all gradients by min(1, max_norm / (norm + 1e-6)), norm over all of them together (Pascanu et al.
  // 2013). Returns the norm before, f64 [1]; reading it synchronises. Squares are added in double, so
  // gradients beyond 1e154 have the norm infinity.
  Tensor clip_gradients(double max_norm);
  // For accumulation: with losses summed over micro-batches, 1 / (tokens of the whole group) makes k batches
  // of B/k equal to one of B.
  void scale_gradients(double factor);

  // What the method remembers between steps, by name, and the learning rate; the weights are the model's to
  // keep. As with modules, state() shares, for a file that is written now, and snapshot() copies, to come
  // back to later. load writes into it, from files of the other real dtype, too; a file without a learning
  // rate keeps the current one, and in a file that counts no steps passed over there were none. If a name is
  // missing or misshapen it throws, names it, and has changed nothing.
  std::map<std::string, Tensor> state() const;
  std::map<std::string, Tensor> snapshot() const;
  void load(const std::map<std::string, Tensor>& tensors);

  void set_lr(double lr);
  double lr() const { return lr_.item(); }  // of a group: times its lr_scale

 protected:
  struct Parameter {
    std::string name;
    Variable variable;
    double lr_scale;
    double weight_decay;          // for matrices: biases and norms (one axis) are exempt, and have 0
    std::vector<Tensor> moments;  // what the method remembers, as many as it has names for
    // i32 [1]: in how many of the optimiser's steps it was frozen. Its first update is its own first step.
    Tensor passed_over = Tensor::zeros({1}, DType::i32);
  };

  struct Method {
    const char* name;                  // stands before each name in state()
    std::vector<const char*> moments;  // their names
    bool counts_steps;                 // whether an update depends on how many there were
  };
  // Parameters that want no gradient are left out, for good. To train a layer later, freeze it only after the
  // optimiser has been made: a parameter that is frozen later is passed over, and its moments too.
  Optimizer(Method method, const ParameterGroups& groups, double lr, double weight_decay);

  // One step of these parameters, with the gradients as they are.
  virtual void update(Backend& kernels, const std::vector<const Parameter*>& parameters) = 0;
  // How many updates this parameter has had, with the one that is being made.
  int64_t step_of(const Parameter& p) const;

 private:
  std::vector<const Parameter*> learning() const;  // those that are not frozen
  std::vector<Tensor> gradients() const;
  std::vector<Out> writable_gradients() const;  // their versions rise
  Backend& follow_parameters();  // moments go where their parameters went; throws unless those are together

  Method method_;
  std::vector<Parameter> parameters_;
  Tensor lr_ = Tensor::zeros({1}, DType::f64), steps_ = Tensor::zeros({1}, DType::i32);  // steps made so far
};

}  // namespace gradus::optim
