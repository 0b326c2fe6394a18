// Module: something with parameters. A module writes one function, members(), that names its parameters and
// its sub-modules; lists of parameters, saving and loading, initial values, train and eval mode, and moves
// between dtypes and devices all come from it. There is no registry and no virtual forward: each module has
// its own operator().
//
// Modules are moved, not copied: a copy would share its parameters with the original.
#pragma once

#include <functional>
#include <map>
#include <memory>

#include "autograd/ops.h"

namespace gradus::nn {

// A parameter with its first values, which are different for each one made: f32, on the CPU, wants a
// gradient. A number means that constant everywhere.
Variable parameter(Shape shape, const Init& init = 0);

class Visitor;

class Module {
 public:
  Module() = default;
  Module(Module&&) = default;
  Module& operator=(Module&&) = default;
  virtual ~Module() = default;

  // Names everything inside: visit("weight", weight_), visit("norm", norm_), and modules without parameters,
  // too: visit("dropout", dropout_). What is not visited is not trained, saved, moved or put into eval mode.
  // check_members finds parameters that were forgotten.
  virtual void members(Visitor& visit) = 0;

  // In members' order; a shared one once, under its first name. One name for two parameters is an error.
  std::vector<NamedParameter> parameters() const;
  // Those whose name begins so, "decoder." for instance; none is an error.
  std::vector<NamedParameter> parameters(const std::string& prefix) const;
  int64_t parameter_count() const;

  std::map<std::string, Tensor> state() const;     // by name, sharing the parameters' blocks
  std::map<std::string, Tensor> snapshot() const;  // copies, to come back to later: load(snapshot)
  // Writes into the existing blocks. Strict: a missing, unknown or misshapen name throws and is named; then
  // nothing has changed. Files of the other real dtype are converted. A tied parameter may stand under any or
  // all of its names, with the same values.
  void load(const std::map<std::string, Tensor>& tensors);

  // Draws every parameter made by nn::parameter anew, by the seed and its own full name, and seeds the
  // generator, which all that is inside shares from now on. Of a part of a model it leaves the model's
  // generator as it is.
  void init(uint64_t seed);
  void set_requires_grad(bool on);  // of all parameters: frozen ones cost no gradient, and do not learn
  void to(DType dtype);             // f32 or f64
  void to(Device device);

  void train(bool on = true);  // in training, the initial mode, dropout is active
  void eval() { train(false); }
  bool training() const { return training_; }

  // The source of dropout masks, one for all that is inside. A model asks for it at the end of its
  // constructor, which makes and shares it; what is added later shares it from the next init on. A module
  // that was never inside such a model has one of its own, with a seed of its own.
  Generator& generator();

 private:
  friend class EvalMode;
  void share_generator(std::shared_ptr<Generator> shared);
  // Const functions only read what members() shows.
  Module& self() const { return const_cast<Module&>(*this); }

  bool training_ = true;
  std::shared_ptr<Generator> generator_;
};

// Walks through a module and calls back for each parameter, by full name, and for each module, outer ones
// first.
class Visitor {
 public:
  using OnParameter = std::function<void(const std::string& name, const Variable& parameter)>;
  using OnModule = std::function<void(Module& module)>;
  explicit Visitor(OnParameter on_parameter, OnModule on_module = {});

  void operator()(const std::string& name, const Variable& parameter);  // an empty one is passed over
  void operator()(const std::string& name, const Tensor&) = delete;  // to() could not move it: say Variable
  void operator()(const std::string& name, Module& child);
  template <class M> void operator()(const std::string& name, std::vector<M>& children) {
    for (size_t i = 0; i < children.size(); ++i) (*this)(name + "." + std::to_string(i), children[i]);
  }
  template <class M> void operator()(const std::string& name, std::unique_ptr<M>& child) {
    if (child) (*this)(name, *child);
  }
  void root(Module& module);

  // The other names of parameters that were visited more than once -> their first names.
  const std::map<std::string, std::string>& aliases() const { return aliases_; }

 private:
  OnParameter on_parameter_;
  OnModule on_module_;
  std::string prefix_;
  std::vector<const Module*> inside_;                 // of these, the outermost first
  std::map<const Tensor*, std::string> first_names_;  // a tied parameter is called back once
  std::map<std::string, const Tensor*> by_name_;
  std::map<std::string, std::string> aliases_;
};

// Throws where the loss depends on a parameter (made by nn::parameter) that the module does not name: a
// member that members() forgets, which would be neither trained nor saved. For the first step of a new model,
// before backward().
void check_members(const Module& module, const Variable& loss);

// Writes the module's summary (nn/summary.h).
std::ostream& operator<<(std::ostream& out, const Module& module);

// While one lives, the module and all modules inside it are in eval mode; then each gets its own mode back.
// The modules must stay where they are meanwhile.
class [[nodiscard]] EvalMode {
 public:
  [[nodiscard]] explicit EvalMode(Module& module);
  ~EvalMode();
  EvalMode(const EvalMode&) = delete;

 private:
  std::vector<std::pair<Module*, bool>> before_;  // listed now, because a destructor must not allocate
};

// While one lives, the module is in eval mode and nothing is recorded.
struct [[nodiscard]] Evaluating : EvalMode {
  [[nodiscard]] explicit Evaluating(Module& module) : EvalMode(module) {}
  NoGrad no_grad;
};

}  // namespace gradus::nn
