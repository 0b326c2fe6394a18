#include "optim/optimizer.h"

#include <cmath>
#include <set>

namespace gradus::optim {

constexpr int32_t kMostSteps = 2'000'000'000;  // that their counter, an i32, is trusted with

Optimizer::Optimizer(Method method, const ParameterGroups& groups, double lr, double weight_decay)
    : method_(std::move(method)) {
  set_lr(lr);
  const auto share = [&](const char* what, double value) {
    check(value >= 0 && std::isfinite(value), method_.name, ": expected ", what, " >= 0, got ", value);
    return value;
  };
  share("weight decay", weight_decay);
  std::set<std::string> names;
  for (const ParameterGroup& group : groups) {
    share("lr_scale", group.lr_scale);
    const double decay = share("weight decay", group.weight_decay.value_or(weight_decay));
    for (const auto& [name, variable] : group.parameters) {
      check(variable && (!variable.node() || variable.node()->leaf()), method_.name, ": ", name,
            " is no leaf made with requires_grad");
      if (!variable.requires_grad()) continue;
      for (const Parameter& other : parameters_)
        check(!variable.value().overlaps(other.variable.value()), method_.name, ": ", name,
              name == other.name ? " is there twice" : " and " + other.name + " share elements",
              "; a parameter stands in one group, under one name");
      check(names.insert(name).second, method_.name, ": two parameters are called '", name, "'");
      Parameter& p = parameters_.emplace_back(
          Parameter{name, variable, group.lr_scale, variable.shape().rank() >= 2 ? decay : 0, {}});
      for (size_t i = 0; i < method_.moments.size(); ++i)
        p.moments.push_back(Tensor::zeros(variable.shape(), variable.dtype(), variable.device()));
    }
  }
  check(!parameters_.empty(), method_.name, ": no parameters that want a gradient");
  follow_parameters();
}

std::vector<const Optimizer::Parameter*> Optimizer::learning() const {
  std::vector<const Parameter*> all;
  for (const Parameter& p : parameters_)
    if (p.variable.requires_grad()) all.push_back(&p);
  return all;
}

Backend& Optimizer::follow_parameters() {
  check(!parameters_.empty(), method_.name, ": it was moved from, and has no parameters any more");
  const Tensor& first = parameters_[0].variable.value();
  for (Parameter& p : parameters_) {
    const Tensor& value = p.variable.value();
    check(value.dtype() == first.dtype() && value.device() == first.device(), method_.name, ": ", p.name,
          " is ", value.dtype(), " on ", value.device(), ", the first parameter ", first.dtype(), " on ",
          first.device());
    for (Tensor& moment : p.moments) moment = moment.to(value.dtype()).to(value.device());
  }
  return backend(first.device());
}

void Optimizer::step() {
  note_operation(method_.name);
  Backend& kernels = follow_parameters();
  int32_t& steps = *steps_.data<int32_t>();
  check(steps < kMostSteps, method_.name, ": no more than ", kMostSteps, " steps are counted");
  const std::vector<const Parameter*> parameters = learning();
  update(kernels, parameters);
  ++steps;
  for (const Parameter& p : parameters_)
    if (!p.variable.requires_grad()) ++*p.passed_over.data<int32_t>();
  for (const Parameter* p : parameters) p->variable.value().mark_changed();
}

int64_t Optimizer::step_of(const Parameter& p) const {
  return int64_t{*steps_.data<int32_t>()} + 1 - *p.passed_over.data<int32_t>();
}

std::vector<Tensor> Optimizer::gradients() const {
  std::vector<Tensor> all;
  for (const Parameter* p : learning()) all.push_back(p->variable.grad());
  return all;
}

std::vector<Out> Optimizer::writable_gradients() const {
  std::vector<Out> all;
  for (const Parameter* p : learning()) {
    all.emplace_back(p->variable.grad());
    all.back().mark_changed();
  }
  return all;
}

void Optimizer::zero_grad() {
  follow_parameters().clear(writable_gradients());
  for (const Parameter& p : parameters_)  // what is frozen now may learn again, and not from old gradients
    if (!p.variable.requires_grad()) p.variable.zero_grad();
}

Tensor Optimizer::clip_gradients(double max_norm) {
  check(max_norm > 0, "clip_gradients: expected a positive norm, got ", max_norm);
  Backend& kernels = follow_parameters();
  const Tensor squares({1}, DType::f64, parameters_[0].variable.value().device());
  kernels.sum_squares(gradients(), Out(squares));
  kernels.clip(squares, max_norm, writable_gradients());
  return unary(Unary::sqrt, squares);
}

void Optimizer::scale_gradients(double factor) {
  check(std::isfinite(factor), "scale_gradients: expected a finite factor, got ", factor);
  follow_parameters().scale(factor, writable_gradients());
}

std::map<std::string, Tensor> Optimizer::state() const {
  std::map<std::string, Tensor> all;
  const std::string prefix = method_.name + std::string(".");
  for (const Parameter& p : parameters_)
    for (size_t i = 0; i < method_.moments.size(); ++i)
      all[prefix + method_.moments[i] + "." + p.name] = p.moments[i];
  if (method_.counts_steps)
    for (const Parameter& p : parameters_) all[prefix + "passed_over." + p.name] = p.passed_over;
  all[prefix + "lr"] = lr_;
  if (method_.counts_steps) all[prefix + "step"] = steps_;
  return all;
}

std::map<std::string, Tensor> Optimizer::snapshot() const {
  std::map<std::string, Tensor> all = state();
  for (auto& [name, tensor] : all) tensor = tensor.copy();
  return all;
}

void Optimizer::load(const std::map<std::string, Tensor>& tensors) {
  follow_parameters();
  const std::map<std::string, Tensor> own = state();
  std::map<std::string, Tensor> file = tensors;
  const std::string prefix = method_.name + std::string(".");
  file.emplace(prefix + "lr", lr_);
  if (method_.counts_steps)
    for (const Parameter& p : parameters_)
      file.emplace(prefix + "passed_over." + p.name, Tensor::zeros({1}, DType::i32));
  for (auto& [name, tensor] : file) {
    check(static_cast<bool>(tensor), method_.name, ": ", name, " is an empty tensor");
    const auto found = own.find(name);  // a file may hold the other real dtype
    if (found != own.end() && tensor.dtype() != DType::i32 && found->second.dtype() != DType::i32)
      tensor = tensor.to(found->second.dtype());
  }
  const auto number = [&](const std::string& name) {  // of a file that assign_all may refuse for its shape
    const auto found = file.find(prefix + name);
    return found != file.end() && found->second.size() == 1 ? found->second.item() : 0;
  };
  check(number("lr") >= 0 && std::isfinite(number("lr")), method_.name, ": the learning rate in the file is ",
        number("lr"));
  check(number("step") >= 0 && number("step") < kMostSteps, method_.name,
        ": the number of steps in the file is ", number("step"));
  const auto steps = file.find(prefix + "step");
  for (const Parameter& p : parameters_) {
    if (steps == file.end() || steps->second.size() != 1) break;  // assign_all says so
    const double passed_over = number("passed_over." + p.name);
    check(passed_over >= 0 && passed_over <= number("step"), method_.name, ": of ", number("step"),
          " steps in the file, ", p.name, " was passed over in ", passed_over);
  }
  assign_all(method_.name, own, file);
}

void Optimizer::set_lr(double lr) {
  check(lr >= 0 && std::isfinite(lr), method_.name, ": expected a learning rate >= 0, got ", lr);
  *lr_.data<double>() = lr;
}

}  // namespace gradus::optim
