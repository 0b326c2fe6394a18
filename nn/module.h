// Module: something with parameters. A module writes one function, members(), that names its parameters and
// its sub-modules; lists of parameters, saving and loading, initial values, train and eval mode, and moves
// between dtypes and devices all come from it. There is no registry and no virtual forward: each module has
// its own operator().
//
// Modules are moved, not copied: a copy would share its parameters with the original.
#pragma once

#include <functional>
#include <map>
#include <set>

#include "autograd/ops.h"

namespace gradus::nn {

// How a parameter begins. xavier_uniform: Glorot & Bengio 2010, U(-a, a) with a = sqrt(6 / (fan in + fan
// out)).
struct Init {
  enum Kind { constant, normal, xavier_uniform } kind;
  double value = 0;  // the constant, or the deviation
};

class Visitor;

class Module {
 public:
  Module() = default;
  Module(Module&&) = default;
  Module& operator=(Module&&) = default;
  virtual ~Module() = default;

  virtual void members(Visitor& visit) = 0;

  std::vector<NamedParameter> parameters();  // in members' order; a shared one once, under its first name
  int64_t parameter_count();

  std::map<std::string, Tensor> state();  // by name: for write_safetensors
  // Writes into the existing blocks. Strict: a missing, unknown or misshapen name throws and is named; then
  // nothing has changed. Files of the other real dtype are converted.
  void load(const std::map<std::string, Tensor>& tensors);

  void init(uint64_t seed);  // draws every parameter anew and seeds the generator
  void to(DType dtype);      // make the optimiser after this and the next
  void to(Device device);

  void train(bool on = true);  // in training, the initial mode, dropout is active
  void eval() { train(false); }
  bool training() const { return training_; }

  // The source of dropout masks. A model asks for it at the end of its constructor: that makes one and hands
  // it to everything inside.
  Generator& generator();

 private:
  bool training_ = true;
  std::shared_ptr<Generator> generator_;
};

// Walks through a module and calls back for each parameter, by full name, and for each module, outer ones
// first.
class Visitor {
 public:
  using OnParameter = std::function<void(const std::string& name, Variable& parameter, const Init& init)>;
  using OnModule = std::function<void(Module& module)>;
  explicit Visitor(OnParameter on_parameter, OnModule on_module = {});

  void operator()(const std::string& name, Variable& parameter, Init init);
  void operator()(const std::string& name, Module& child);
  template <class M> void operator()(const std::string& name, std::vector<M>& children) {
    for (size_t i = 0; i < children.size(); ++i) (*this)(name + "." + std::to_string(i), children[i]);
  }
  void root(Module& module);

 private:
  OnParameter on_parameter_;
  OnModule on_module_;
  std::string prefix_;
  std::set<const Tensor*> seen_;  // a tied parameter is visited once
};

// While one lives, the module is in eval mode.
class EvalMode {
 public:
  explicit EvalMode(Module& module) : module_(module), before_(module.training()) { module.eval(); }
  ~EvalMode() { module_.train(before_); }
  EvalMode(const EvalMode&) = delete;

 private:
  Module& module_;
  bool before_;
};

// While one lives, the module is in eval mode and nothing is recorded.
struct Evaluating : EvalMode {
  using EvalMode::EvalMode;
  NoGrad no_grad;
};

}  // namespace gradus::nn
