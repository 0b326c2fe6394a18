#include "nn/module.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <set>

#include "nn/summary.h"

namespace gradus::nn {
namespace {

std::atomic<uint64_t> parameters_made = 0, generators_made = 0;  // in any thread: two never begin alike

}  // namespace

Variable parameter(Shape shape, const Init& init) {
  // Without a name yet, a number in its place makes each one different.
  const Tensor values = init.draw(shape, /*seed=*/0, message("parameter ", ++parameters_made));
  Variable p(values.to(DType::f32), /*requires_grad=*/true);
  p.node()->init = init;
  return p;
}

Visitor::Visitor(OnParameter on_parameter, OnModule on_module)
    : on_parameter_(std::move(on_parameter)), on_module_(std::move(on_module)) {}

void Visitor::operator()(const std::string& name, const Variable& parameter) {
  if (!parameter) return;
  const std::string full_name = prefix_ + name;
  const Tensor* identity = &parameter.value();
  check(by_name_.emplace(full_name, identity).first->second == identity, "module: two parameters are called ",
        full_name);
  const auto [first, is_new] = first_names_.emplace(identity, full_name);
  if (!is_new && first->second != full_name) aliases_.emplace(full_name, first->second);
  if (is_new && on_parameter_) on_parameter_(full_name, parameter);
}

void Visitor::operator()(const std::string& name, Module& child) {
  const size_t before = prefix_.size();
  prefix_ += name + ".";
  root(child);
  prefix_.resize(before);
}

void Visitor::root(Module& module) {
  check(std::ranges::find(inside_, &module) == inside_.end(), "module: ", prefix_,
        " is the module itself again");
  inside_.push_back(&module);
  if (on_module_) on_module_(module);
  module.members(*this);
  inside_.pop_back();
}

std::vector<NamedParameter> Module::parameters() const {
  std::vector<NamedParameter> found;
  Visitor([&](const std::string& name, const Variable& p) { found.push_back({name, p}); }).root(self());
  return found;
}

std::vector<NamedParameter> Module::parameters(const std::string& prefix) const {
  std::vector<NamedParameter> found = parameters();
  std::erase_if(found, [&](const NamedParameter& p) { return !p.name.starts_with(prefix); });
  check(!found.empty(), "module: no parameter's name begins with '", prefix, "'");
  return found;
}

int64_t Module::parameter_count() const {
  int64_t count = 0;
  for (const NamedParameter& p : parameters()) count += p.variable.value().size();
  return count;
}

std::map<std::string, Tensor> Module::state() const {
  std::map<std::string, Tensor> tensors;
  for (const NamedParameter& p : parameters()) tensors[p.name] = p.variable.value();
  return tensors;
}

std::map<std::string, Tensor> Module::snapshot() const {
  std::map<std::string, Tensor> tensors = state();
  for (auto& [name, tensor] : tensors) tensor = tensor.copy();
  return tensors;
}

namespace {

bool same_bits(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && a.dtype() == b.dtype() &&
         std::memcmp(a.to(Device::cpu).bytes(), b.to(Device::cpu).bytes(), a.byte_size()) == 0;
}

}  // namespace

void Module::load(const std::map<std::string, Tensor>& tensors) {
  std::map<std::string, Tensor> own, file = tensors;
  Visitor visitor([&](const std::string& name, const Variable& p) { own[name] = p.value(); });
  visitor.root(*this);
  const auto name_here = [&](const std::string& name) {
    const auto alias = visitor.aliases().find(name);
    return alias == visitor.aliases().end() ? name : alias->second;
  };
  for (auto& [name, tensor] : file) {
    check(static_cast<bool>(tensor), "load: ", name, " is an empty tensor");
    const auto found = own.find(name_here(name));  // a file may hold the other real dtype
    if (found != own.end() && tensor.dtype() != DType::i32) tensor = tensor.to(found->second.dtype());
  }
  for (const auto& [alias, name] : visitor.aliases()) {  // what is tied here may stand in a file twice
    const auto found = file.find(alias);
    if (found == file.end()) continue;
    const auto [first, only] = file.emplace(name, found->second);
    check(only || same_bits(first->second, found->second), "load: ", alias, " and ", name,
          " are one parameter here, and have different values in the file");
    file.erase(found);
  }
  assign_all("load", own, file);
}

void Module::init(uint64_t seed) {
  generator();
  long holders = 0;
  Visitor({}, [&](Module& inside) { holders += inside.generator_ == generator_; }).root(*this);
  if (generator_.use_count() == holders)
    generator_->set_seed(seed);  // else the whole has it, and we are a part
  share_generator(generator_);   // with what came after it was made, too
  for (const auto& [name, p] : parameters())
    if (p.node() && p.node()->init)
      p.value().assign(
          p.node()->init->draw(p.shape(), seed, name).to(p.value().dtype()).to(p.value().device()));
}

void Module::set_requires_grad(bool on) {
  for (const NamedParameter& p : parameters())
    if (p.variable.dtype() != DType::i32) p.variable.set_requires_grad(on);  // ids have no gradient
}

void Module::to(DType dtype) {
  check(dtype != DType::i32, "module: parameters are f32 or f64, not i32");
  for (const auto& [name, p] : parameters())
    if (p.dtype() != DType::i32) p.move_to(dtype, p.device());  // ids stay ids
}

void Module::to(Device device) {
  for (const auto& [name, p] : parameters()) p.move_to(p.value().dtype(), device);
}

void Module::train(bool on) {
  Visitor({}, [on](Module& module) { module.training_ = on; }).root(*this);
}

Generator& Module::generator() {
  if (!generator_) share_generator(std::make_shared<Generator>(generators_made++));
  return *generator_;
}

void Module::share_generator(std::shared_ptr<Generator> shared) {
  Visitor({}, [&](Module& module) { module.generator_ = shared; }).root(*this);
}

EvalMode::EvalMode(Module& module) {
  Visitor({}, [&](Module& inside) { before_.emplace_back(&inside, inside.training()); }).root(module);
  // Nothing throws from here on. What is in eval mode already is not written, so threads may share it.
  for (const auto& [inside, training] : before_)
    if (training) inside->training_ = false;
}

EvalMode::~EvalMode() {
  for (const auto& [inside, training] : before_)
    if (training) inside->training_ = true;
}

std::ostream& operator<<(std::ostream& out, const Module& module) { return out << summary(module); }

void check_members(const Module& module, const Variable& loss) {
  std::set<const Node*> named;
  for (const NamedParameter& p : module.parameters()) named.insert(p.variable.node().get());
  const std::vector<std::shared_ptr<Node>> behind = nodes_behind(loss);
  check(behind.size() > 1 && behind[0]->backward,
        "check_members: this loss has no tape; call it before "
        "backward(), and not under NoGrad");
  for (const std::shared_ptr<Node>& node : behind)
    check(!node->init || named.contains(node.get()), "check_members: the loss depends on a parameter ",
          node->shape,
          " that the module does not name; is it, or the module that holds it, missing in members()?");
}

}  // namespace gradus::nn
