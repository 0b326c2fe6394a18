// Variable: a Tensor that remembers how it was computed. Each operation on Variables records one Node on an
// eager tape: its inputs and a rule that turns the gradient of its output into gradients of its inputs.
// backward() runs the rules from the newest to the oldest. There is no graph to compile and no second
// derivative: rules compute on Tensors.
//
// A Node holds no values. What a rule needs later is what its closure captured, so the capture list *is* the
// list of saved tensors, and an activation lives exactly as long as a rule wants it.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tensor/ops.h"

namespace gradus {

struct Node;

// A tensor that a rule keeps for backward. Reading it throws std::invalid_argument, with the operation's
// name, where the tensor was changed in place after it was saved: its gradient would be wrong. It must be the
// rule's only handle, since a second one would keep unique() from being true.
class Saved {
 public:
  Saved() = default;
  Saved(Tensor tensor) : tensor_(std::move(tensor)), version_(tensor_.version()) {}
  explicit operator bool() const { return static_cast<bool>(tensor_); }
  const Tensor& get() const;
  operator const Tensor&() const { return get(); }

 private:
  Tensor tensor_;
  uint64_t version_ = 0;
};

class Variable;
// A value that only the gradient of `wanting` reads: kept where that is wanted.
Saved saved_for(const Variable& wanting, const Tensor& value);

// Where a rule adds one input's gradient.
class Gradient {
 public:
  explicit Gradient(Node* node) : node_(node) {}
  explicit operator bool() const { return node_ != nullptr; }  // false: nobody needs it; do not compute it
  // Sums what the forward pass had broadcast; does nothing if nobody needs it.
  Gradient& operator+=(Tensor gradient);
  // A block of our own, zeroed at first: the target of kernels that add. An empty one if nobody needs it.
  Out buffer();
  // Whether there is something to add to: a leaf's block, or what came before.
  bool adds() const;
  // The same for a kernel that can do both: it adds where something is there already, else it writes.
  struct Target {
    Out block;
    bool adds = false;
  };
  Target target();

 private:
  Node* node_;
};

// One place for each input of an operation, in order.
class Gradients : public std::span<Gradient> {
 public:
  using std::span<Gradient>::span;
  Gradients(std::span<Gradient> all) : std::span<Gradient>(all) {}
  Gradient& operator[](size_t input) const;  // throws where there is no such input
};

// dy: the gradient of the output. d[i]: where to add the gradient of input i.
using Backward = std::function<void(const Tensor& dy, Gradients d)>;

struct Node {
  const char* op;  // nullptr for a leaf
  int64_t order;   // creation order, which is a topological order
  Shape shape;
  DType dtype;
  Device device;
  std::vector<std::shared_ptr<Node>> inputs;  // null where no gradient is wanted
  Backward backward;                          // dropped with its captures as soon as it ran
  Tensor grad;
  bool owns_grad = false;     // grad's block was made for this node: add in place
  bool requires_grad = true;  // of a leaf: false while it is frozen
  bool retains_grad = false;  // of a result: somebody asked for its gradient

  std::optional<Init> init = {};  // of a leaf that is a module's parameter: how it begins
  int64_t moved = -1;             // of a leaf: when it last changed its dtype or device, in creation order

  std::shared_ptr<Node> next_dying;  // for ~Node

  Node(const char* op_name, int64_t created, const Tensor& value)
      : op(op_name), order(created), shape(value.shape()), dtype(value.dtype()), device(value.device()) {}
  bool leaf() const { return op == nullptr; }
  ~Node();
};

class Variable {
 public:
  Variable() = default;
  Variable(Tensor value, bool requires_grad = false);  // a Tensor is a constant where a Variable is wanted

  explicit operator bool() const { return state_ != nullptr; }
  const Tensor& value() const {
    check(state_ != nullptr, "variable: this one is empty");
    return state_->value;
  }
  const Shape& shape() const { return value().shape(); }
  int64_t size() const { return value().size(); }
  DType dtype() const { return value().dtype(); }
  Device device() const { return value().device(); }
  double item() const { return value().item(); }
  operator Comparand() const { return value(); }  // x > 0.0, as Tensors are compared

  Variable reshape(Shape shape) const;  // see autograd/ops.h
  Variable reshape(std::initializer_list<int64_t> sizes) const;
  Variable detach() const { return Variable(value()); }  // the same value, off the tape

  bool requires_grad() const { return node() && node()->requires_grad; }
  // Freezes a leaf, for all of its handles, or lets it learn again: nothing is recorded for a frozen one.
  // Throws for the result of an operation.
  void set_requires_grad(bool on) const;

  // From a scalar, or with a seed of this shape: adds into the gradients of all leaves behind this Variable.
  // The tape is freed as it is walked; walking it again throws.
  void backward() const;
  void backward(const Tensor& seed) const;

  // For leaves (made with requires_grad): gradients add up until zero_grad(), and are 0 before the first
  // backward(). The result of an operation has a gradient after retain_grad(), said before backward(). The
  // first call may make the zeros, so threads do not share it.
  const Tensor& grad() const;
  void zero_grad() const;
  void retain_grad() const;

  // All copies of this leaf, or constant, then see its value, and its gradient, in that dtype and there.
  void move_to(DType dtype, Device device) const;

  std::shared_ptr<Node> node() const { return state_ ? state_->node : nullptr; }

 private:
  friend Variable record(const char*, Tensor, std::vector<Variable>, Backward);
  struct State {
    Tensor value;
    std::shared_ptr<Node> node;  // null: it never wanted a gradient
  };
  std::shared_ptr<State> state_;  // shared by copies, so that move_to and set_requires_grad reach them all
};

std::ostream& operator<<(std::ostream& out, const Variable& variable);  // its value

struct NamedParameter {
  std::string name;
  Variable variable;
};

// The result of operation `op`, a literal: under NoGrad, or when no input needs a gradient, just the value.
Variable record(const char* op, Tensor value, std::vector<Variable> inputs, Backward backward);

// All nodes that a gradient can reach from a Variable on the tape, newest first.
std::vector<std::shared_ptr<Node>> nodes_behind(const Variable& root);

class [[nodiscard]] ScopedFlag {  // while one lives, the flag has this value
 public:
  [[nodiscard]] ScopedFlag(bool& flag, bool value) : flag_(flag), before_(std::exchange(flag, value)) {}
  ~ScopedFlag() { flag_ = before_; }
  ScopedFlag(const ScopedFlag&) = delete;

 private:
  bool &flag_, before_;
};

// While one lives, nothing is recorded in this thread: for evaluation and decoding.
struct [[nodiscard]] NoGrad : ScopedFlag {
  [[nodiscard]] NoGrad();
};

// While one lives, the first NaN or infinity in a result or in a gradient throws std::runtime_error that
// names the operation, the shape and the place. Every element is looked at, so it is slow: for finding a
// fault.
struct [[nodiscard]] AnomalyMode : ScopedFlag {
  [[nodiscard]] AnomalyMode();
};

}  // namespace gradus
