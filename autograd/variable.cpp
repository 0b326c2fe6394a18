#include "autograd/variable.h"

#include <algorithm>
#include <atomic>
#include <unordered_set>

namespace gradus {
namespace {

thread_local bool recording = true;
thread_local bool anomaly_mode = false;
std::atomic<int64_t> nodes_created = 0;

void check_finite(const Tensor& x, const char* what, const char* op) {
  const int64_t at = x.dtype() == DType::i32 ? -1 : backend(x.device()).first_nonfinite(x);
  if (at < 0) return;
  std::vector<int64_t> place;
  for (int axis = 0; axis < x.shape().rank(); ++axis)
    place.push_back(at / x.shape().after(axis) % x.shape()[axis]);
  check_world(false, "anomaly: ", what, " ", op, " is ", x.reshape({x.size()}).rows(at, at + 1).item(),
              " at ", Shape(place), " of ", x.shape());
}

}  // namespace

NoGrad::NoGrad() : ScopedFlag(recording, false) {}
AnomalyMode::AnomalyMode() : ScopedFlag(anomaly_mode, true) {}

// The default destructor would recurse along the tape and overflow the stack after some 100,000 operations.
Node::~Node() {
  std::vector<std::shared_ptr<Node>> orphans = std::move(inputs);
  backward = nullptr;
  while (!orphans.empty()) {
    std::shared_ptr<Node> node = std::move(orphans.back());
    orphans.pop_back();
    if (!node || node.use_count() > 1) continue;
    std::move(node->inputs.begin(), node->inputs.end(), std::back_inserter(orphans));
    node->inputs.clear();
  }
}

Gradient& Gradient::operator+=(Tensor gradient) {
  Tensor& grad = node_->grad;
  check(gradient.dtype() == node_->dtype, "gradient: expected ", node_->dtype, ", got ", gradient.dtype());
  gradient = sum_to(gradient, node_->shape);
  // A rule may hand one tensor to two inputs, so a block is written only when nobody else holds it or when it
  // was made for this node. A leaf's block is its own from the start: others look at it, and must see the
  // sum.
  if (!grad) grad = node_->leaf() && !gradient.unique() ? gradient.copy() : std::move(gradient);
  else if (node_->owns_grad || grad.unique()) add_to(grad, gradient);
  else grad = grad + gradient;
  return *this;
}

const Tensor& Gradient::buffer() {
  Tensor& grad = node_->grad;
  if (!grad) grad = Tensor::zeros(node_->shape, node_->dtype, node_->device);
  else if (!node_->owns_grad && !grad.unique()) grad = grad.copy();
  node_->owns_grad = true;
  return grad;
}

Variable::Variable(Tensor value, bool requires_grad) : value_(std::make_shared<Tensor>(std::move(value))) {
  if (!requires_grad) return;
  check(value_->dtype() != DType::i32, "variable: only f32 and f64 have gradients, not i32 ", shape());
  node_ = std::make_shared<Node>(nullptr, nodes_created++, *value_);
  node_->owns_grad = true;
}

Variable record(const char* op, Tensor value, std::vector<Variable> inputs, Backward backward) {
  if (anomaly_mode) check_finite(value, "the result of", op);
  Variable result(std::move(value));
  const auto needs_grad = [](const Variable& v) { return v.requires_grad(); };
  if (!recording || std::none_of(inputs.begin(), inputs.end(), needs_grad)) return result;
  result.node_ = std::make_shared<Node>(op, nodes_created++, result.value());
  for (Variable& input : inputs) result.node_->inputs.push_back(input.node_);
  result.node_->backward = std::move(backward);
  return result;
}

void Variable::backward() const {
  check(value_ && value_->size() == 1, "backward: expected a scalar, got ", *this ? shape() : Shape{},
        "; pass a seed of that shape");
  backward(Tensor::full(shape(), 1, value_->dtype(), value_->device()));
}

namespace {

// All nodes that a gradient can reach from root, newest first.
std::vector<std::shared_ptr<Node>> newest_first(const std::shared_ptr<Node>& root) {
  std::vector<std::shared_ptr<Node>> nodes, pending{root};
  std::unordered_set<Node*> seen{root.get()};
  while (!pending.empty()) {
    std::shared_ptr<Node> node = std::move(pending.back());
    pending.pop_back();
    for (const auto& input : node->inputs)
      if (input && seen.insert(input.get()).second) pending.push_back(input);
    nodes.push_back(std::move(node));
  }
  std::sort(nodes.begin(), nodes.end(), [](const auto& a, const auto& b) { return a->order > b->order; });
  return nodes;
}

void run_rule(Node& node) {
  check(node.backward != nullptr, "backward: the tape behind ", node.op,
        " has been walked already; compute the loss again");
  std::vector<Gradient> gradients;
  for (const auto& input : node.inputs) gradients.emplace_back(input.get());
  node.backward(node.grad, gradients);
  if (anomaly_mode)
    for (const auto& input : node.inputs)
      if (input && input->grad) check_finite(input->grad, "a gradient from", node.op);
}

}  // namespace

void Variable::backward(const Tensor& seed) const {
  check(requires_grad(),
        "backward: nothing here needs a gradient (no input was made with requires_grad, or NoGrad)");
  check(seed.shape() == shape() && seed.dtype() == value_->dtype(), "backward: expected a seed ",
        value_->dtype(), " ", shape(), ", got ", seed.dtype(), " ", seed.shape());
  Gradient(node_.get()) += seed.to(value_->device());
  for (std::shared_ptr<Node>& node : newest_first(node_)) {
    if (node->leaf()) continue;
    if (node->grad) run_rule(*node);
    node->backward = nullptr;
    node->inputs.clear();
    node->grad = Tensor();
  }
}

const Tensor& Variable::grad() const {
  check(requires_grad() && node_->leaf(), "grad: only a leaf made with requires_grad keeps its gradient");
  return Gradient(node_.get()).buffer();
}

void Variable::zero_grad() const {
  check(requires_grad() && node_->leaf(),
        "zero_grad: only a leaf made with requires_grad keeps its gradient");
  if (node_->grad) backend(node_->device).fill(0, node_->grad);
}

void Variable::rebind(Tensor value, Tensor grad) const {
  check(requires_grad() && node_->leaf(), "rebind: only a leaf can change its block");
  check(value.shape() == shape() && (!grad || grad.shape() == shape()), "rebind: expected ", shape(),
        ", got ", value.shape());
  node_->dtype = value.dtype();
  node_->device = value.device();
  node_->grad = std::move(grad);
  *value_ = std::move(value);
}

}  // namespace gradus
