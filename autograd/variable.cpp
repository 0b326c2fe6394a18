#include "autograd/variable.h"

#include <algorithm>
#include <atomic>
#include <unordered_set>

namespace gradus {
namespace {

thread_local bool recording = true;
thread_local bool anomaly_mode = false;
thread_local const char* running_rule = "backward";  // for messages
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
// This one takes the nodes that die with it apart, one after the other, and links them through a member of
// theirs, since a destructor must not allocate.
Node::~Node() {
  std::shared_ptr<Node> dying;
  const auto release_inputs = [&dying](Node& node) {
    for (std::shared_ptr<Node>& input : node.inputs) {
      std::shared_ptr<Node> last_owner = std::move(input);
      if (!last_owner || last_owner.use_count() > 1) continue;
      last_owner->next_dying = std::move(dying);
      dying = std::move(last_owner);
    }
    node.inputs.clear();
  };
  release_inputs(*this);
  while (dying) {
    const std::shared_ptr<Node> node = std::move(dying);
    dying = std::move(node->next_dying);
    release_inputs(*node);
  }
}

const Tensor& Saved::get() const {
  check(tensor_.version() == version_, running_rule, ": its gradient needs a tensor ", tensor_.shape(),
        " that was changed after the forward pass (by assign, load or an optimiser's step); compute the loss "
        "again");
  return tensor_;
}

Saved saved_for(const Variable& wanting, const Tensor& value) {
  return wanting.requires_grad() ? Saved(value) : Saved();
}

Gradient& Gradient::operator+=(Tensor gradient) {
  if (!node_) return *this;
  Tensor& grad = node_->grad;
  const auto fits = [](const Shape& from, const Shape& to) {  // `to` stretches to `from`
    for (int axis = 1; axis <= to.rank(); ++axis)
      if (axis > from.rank() || (to[-axis] != from[-axis] && to[-axis] != 1)) return false;
    return true;
  };
  check(gradient && gradient.dtype() == node_->dtype && gradient.device() == node_->device &&
            fits(gradient.shape(), node_->shape),
        running_rule, ": the gradient of an input ", node_->dtype, " ", node_->shape, " on ", node_->device,
        " came as ", gradient ? name_of(gradient.dtype()) : "an empty tensor", " ", gradient.shape(), " on ",
        gradient.device());
  // A rule may hand one tensor to two inputs, so a block is written only when nobody else holds it or when it
  // was made for this node. A leaf's block is its own from the start: others look at it, and must see the
  // sum.
  if (grad && (node_->owns_grad || grad.unique())) {
    add_sum_to(grad, gradient);
    return *this;
  }
  gradient = sum_to(gradient, node_->shape);
  if (grad) grad = grad + gradient;
  else grad = node_->leaf() && !gradient.unique() ? gradient.copy() : std::move(gradient);
  return *this;
}

Gradient& Gradients::operator[](size_t input) const {
  check(input < size(), running_rule, ": its rule wants the gradient of input ", input, " of ", size());
  return std::span<Gradient>::operator[](input);
}

Out Gradient::buffer() {
  if (!node_) return Out();
  Tensor& grad = node_->grad;
  if (!grad) grad = Tensor::zeros(node_->shape, node_->dtype, node_->device);
  else if (!node_->owns_grad && !grad.unique()) grad = grad.copy();
  node_->owns_grad = true;
  grad.mark_changed();  // by whoever asked for it
  return Out(grad);
}

bool Gradient::adds() const { return node_ && (node_->grad || node_->leaf()); }

Gradient::Target Gradient::target() {
  if (!node_ || adds()) return {buffer(), true};
  node_->grad = Tensor(node_->shape, node_->dtype, node_->device);
  node_->owns_grad = true;
  return {Out(node_->grad), false};
}

Variable::Variable(Tensor value, bool requires_grad)
    : state_(std::make_shared<State>(State{std::move(value), nullptr})) {
  if (requires_grad) set_requires_grad(true);
}

void Variable::set_requires_grad(bool on) const {
  const Tensor& x = value();
  std::shared_ptr<Node>& node = state_->node;
  check(!node || node->leaf(), "set_requires_grad: this is the result of ", node ? node->op : "",
        ", and only a leaf can be frozen; detach() takes a result off the tape");
  if (node) node->requires_grad = on;
  if (node || !on) return;
  check(x.dtype() != DType::i32, "variable: only f32 and f64 have gradients, not i32 ", x.shape());
  node = std::make_shared<Node>(nullptr, nodes_created++, x);
  node->owns_grad = true;
}

Variable record(const char* op, Tensor value, std::vector<Variable> inputs, Backward backward) {
  check(backward != nullptr, "record: ", op, " has no rule");
  if (anomaly_mode) check_finite(value, "the result of", op);
  Variable result(std::move(value));
  const auto needs_grad = [](const Variable& v) { return v.requires_grad(); };
  if (!recording || std::none_of(inputs.begin(), inputs.end(), needs_grad)) return result;
  const auto node = std::make_shared<Node>(op, nodes_created++, result.value());
  for (const Variable& input : inputs) node->inputs.push_back(input.requires_grad() ? input.node() : nullptr);
  node->backward = std::move(backward);
  result.state_->node = node;
  return result;
}

void Variable::backward() const {
  check(value().size() == 1, "backward: expected a scalar, got ", shape(), "; pass a seed of that shape");
  backward(Tensor::ones(shape(), dtype(), device()));
}

std::vector<std::shared_ptr<Node>> nodes_behind(const Variable& root) {
  std::vector<std::shared_ptr<Node>> nodes, pending;
  std::unordered_set<Node*> seen;
  const auto meet = [&](const std::shared_ptr<Node>& node) {
    if (node && seen.insert(node.get()).second) pending.push_back(node);
  };
  meet(root.node());
  while (!pending.empty()) {
    std::shared_ptr<Node> node = std::move(pending.back());
    pending.pop_back();
    for (const auto& input : node->inputs) meet(input);
    nodes.push_back(std::move(node));
  }
  std::sort(nodes.begin(), nodes.end(), [](const auto& a, const auto& b) { return a->order > b->order; });
  return nodes;
}

namespace {

// While one lives, messages name this rule. A rule may walk a tape of its own: then the outer one comes back.
struct RunningRule {
  explicit RunningRule(const char* op) : before(std::exchange(running_rule, op)) {}
  ~RunningRule() { running_rule = before; }
  const char* before;
};

// A rule runs once: what it kept is dropped, also where it throws.
void run_rule(Node& node) {
  check(node.backward != nullptr, "backward: the tape behind ", node.op,
        " has been walked already; compute the loss again");
  const Backward rule = std::exchange(node.backward, nullptr);
  const RunningRule named(node.op);
  std::vector<Gradient> gradients;
  for (const auto& input : node.inputs) {
    check(!input || input->moved < node.order, node.op, ": an input ", input ? input->shape : Shape{},
          " changed its dtype or device after the forward pass; compute the loss again");
    gradients.emplace_back(input.get());
  }
  rule(node.grad, gradients);
  if (anomaly_mode)
    for (const auto& input : node.inputs)
      if (input && input->grad) check_finite(input->grad, "a gradient from", node.op);
}

void forget_gradients(const std::vector<std::shared_ptr<Node>>& nodes) {
  for (const std::shared_ptr<Node>& node : nodes) {
    if (node->leaf()) continue;
    node->grad = Tensor();
    node->owns_grad = false;
  }
}

}  // namespace

void Variable::backward(const Tensor& seed) const {
  check(requires_grad(),
        "backward: nothing here needs a gradient (no input was made with requires_grad, or NoGrad)");
  check(seed.shape() == shape() && seed.dtype() == dtype(), "backward: expected a seed ", dtype(), " ",
        shape(), ", got ", seed.dtype(), " ", seed.shape());
  const std::vector<std::shared_ptr<Node>> nodes = nodes_behind(*this);
  const RunningRule named("backward");
  Gradient(node().get()) += seed.to(device()).copy();  // the caller's may be the gradient of a leaf
  try {
    for (const std::shared_ptr<Node>& node : nodes) {
      if (node->leaf()) continue;
      if (node->grad) run_rule(*node);
      node->backward = nullptr;
      node->inputs.clear();
      if (!node->retains_grad) node->grad = Tensor();
      else if (node->grad && !node->owns_grad && !node->grad.unique())
        node->grad = node->grad.copy();  // rules may hand one block to several inputs
    }
  } catch (...) {  // a part of a gradient must not meet the next one
    forget_gradients(nodes);
    throw;
  }
}

const Tensor& Variable::grad() const {
  const std::shared_ptr<Node> kept = node();
  check(kept && (kept->leaf() || kept->retains_grad),
        "grad: only a leaf made with requires_grad keeps its gradient; say retain_grad() before backward() "
        "for the result of an operation");
  if (!kept->grad) Gradient(kept.get()).buffer();  // 0: nothing came yet
  return kept->grad;
}

void Variable::zero_grad() const {
  const std::shared_ptr<Node> leaf = node();
  check(leaf && leaf->leaf(), "zero_grad: only a leaf made with requires_grad keeps its gradient");
  if (!leaf->grad) return;
  backend(leaf->device).fill(0, Out(leaf->grad));
  leaf->grad.mark_changed();
}

void Variable::retain_grad() const {
  check(requires_grad(), "retain_grad: nothing here needs a gradient");
  check(node()->leaf() || node()->backward, "retain_grad: backward() has passed ", node()->op,
        " already; call it before backward()");
  node()->retains_grad = true;
}

void Variable::move_to(DType dtype, Device device) const {
  const Tensor& x = value();
  const std::shared_ptr<Node> leaf = node();
  check(!leaf || leaf->leaf(), "move_to: only what is no result of an operation can be moved");
  check(!leaf || dtype != DType::i32, "move_to: a leaf ", x.shape(), " has gradients, which are f32 or f64");
  state_->value = x.to(dtype).to(device);
  if (!leaf) return;
  if (leaf->grad) leaf->grad = leaf->grad.to(dtype).to(device);
  if (dtype != leaf->dtype || device != leaf->device) leaf->moved = nodes_created++;
  leaf->dtype = dtype;
  leaf->device = device;
}

std::ostream& operator<<(std::ostream& out, const Variable& variable) {
  return variable ? out << variable.value() : out << "(no variable)";
}

}  // namespace gradus
