#include "nn/module.h"

#include <cmath>

namespace gradus::nn {

Visitor::Visitor(OnParameter on_parameter, OnModule on_module)
    : on_parameter_(std::move(on_parameter)), on_module_(std::move(on_module)) {}

void Visitor::operator()(const std::string& name, Variable& parameter, Init init) {
  if (parameter && seen_.insert(&parameter.value()).second && on_parameter_)
    on_parameter_(prefix_ + name, parameter, init);
}

void Visitor::operator()(const std::string& name, Module& child) {
  const size_t before = prefix_.size();
  prefix_ += name + ".";
  root(child);
  prefix_.resize(before);
}

void Visitor::root(Module& module) {
  if (on_module_) on_module_(module);
  module.members(*this);
}

std::vector<NamedParameter> Module::parameters() {
  std::vector<NamedParameter> found;
  Visitor([&](const std::string& name, Variable& p, const Init&) { found.push_back({name, p}); }).root(*this);
  return found;
}

int64_t Module::parameter_count() {
  int64_t count = 0;
  for (const NamedParameter& p : parameters()) count += p.variable.value().size();
  return count;
}

std::map<std::string, Tensor> Module::state() {
  std::map<std::string, Tensor> tensors;
  for (const NamedParameter& p : parameters()) tensors[p.name] = p.variable.value();
  return tensors;
}

void Module::load(const std::map<std::string, Tensor>& tensors) {
  const std::map<std::string, Tensor> own = state();
  std::map<std::string, Tensor> file = tensors;
  for (auto& [name, tensor] : file)  // a file may hold the other real dtype
    if (own.contains(name) && tensor.dtype() != DType::i32) tensor = tensor.to(own.at(name).dtype());
  assign_all("load", own, file);
}

void Module::init(uint64_t seed) {
  Generator& source = generator();
  source.set_seed(seed);
  const auto draw = [&](const Shape& shape, const Init& init) {
    if (init.kind == Init::constant) return Tensor::full(shape, init.value, DType::f64);
    if (init.kind == Init::normal) return source.normal(shape, init.value);
    const double bound = std::sqrt(6. / (shape[0] + shape[-1]));
    return source.uniform(shape, -bound, bound);
  };
  Visitor([&](const std::string&, Variable& p, const Init& init) {
    p.value().assign(draw(p.shape(), init).to(p.value().dtype()).to(p.value().device()));
  }).root(*this);
}

void Module::to(DType dtype) {
  for (const auto& [name, p] : parameters())
    if (p.value().dtype() != dtype) p.rebind(p.value().to(dtype), {});
}

void Module::to(Device device) {
  for (const auto& [name, p] : parameters())
    if (p.value().device() != device) p.rebind(p.value().to(device), {});
  generator().to(device);
}

void Module::train(bool on) {
  Visitor({}, [on](Module& module) { module.training_ = on; }).root(*this);
}

Generator& Module::generator() {
  if (generator_) return *generator_;
  const auto shared = std::make_shared<Generator>();
  Visitor({}, [&](Module& module) { module.generator_ = shared; }).root(*this);
  return *shared;
}

}  // namespace gradus::nn
