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
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tensor/ops.h"

namespace gradus {

struct Node;

// Where a rule adds one input's gradient.
class Gradient {
 public:
  explicit Gradient(Node* node) : node_(node) {}
  explicit operator bool() const { return node_ != nullptr; }  // false: nobody needs it, so do not compute it
  Gradient& operator+=(Tensor gradient);                       // sums what the forward pass had broadcast
  const Tensor& buffer();  // a block of our own, zeroed at first: the target of kernels that add

 private:
  Node* node_;
};

// dy: the gradient of the output. d[i]: where to add the gradient of input i.
using Backward = std::function<void(const Tensor& dy, std::span<Gradient> d)>;

class Variable {
 public:
  Variable() = default;
  explicit Variable(Tensor value, bool requires_grad = false);

  explicit operator bool() const { return value_ != nullptr; }
  const Tensor& value() const {
    check(value_ != nullptr, "variable: this one is empty");
    return *value_;
  }
  const Shape& shape() const { return value().shape(); }
  bool requires_grad() const { return node_ != nullptr; }
  Variable detach() const { return Variable(value()); }  // the same value, off the tape

  // From a scalar, or with a seed of this shape: adds into the gradients of all leaves behind this Variable.
  // The tape is freed as it is walked; walking it again throws.
  void backward() const;
  void backward(const Tensor& seed) const;

  // For leaves (made with requires_grad): gradients add up until zero_grad(), and are 0 before the first
  // backward().
  const Tensor& grad() const;
  void zero_grad() const;

  // Lets all copies of this leaf see another block; how an optimiser packs parameters into one.
  void rebind(Tensor value, Tensor grad) const;

  const std::shared_ptr<Node>& node() const { return node_; }

 private:
  friend Variable record(const char*, Tensor, std::vector<Variable>, Backward);
  std::shared_ptr<Tensor> value_;  // shared by copies, so that rebind reaches them all
  std::shared_ptr<Node> node_;     // null: no gradient wanted
};

struct NamedParameter {
  std::string name;
  Variable variable;
};

// The result of operation `op`: under NoGrad, or when no input needs a gradient, just the value.
Variable record(const char* op, Tensor value, std::vector<Variable> inputs, Backward backward);

struct Node {
  const char* op;  // nullptr for a leaf
  int64_t order;   // creation order, which is a topological order
  Shape shape;
  DType dtype;
  Device device;
  std::vector<std::shared_ptr<Node>> inputs;  // null where no gradient is wanted
  Backward backward;                          // dropped with its captures as soon as it ran
  Tensor grad;
  bool owns_grad = false;  // grad's block was made for this node: add in place

  Node(const char* op_name, int64_t created, const Tensor& value)
      : op(op_name), order(created), shape(value.shape()), dtype(value.dtype()), device(value.device()) {}
  bool leaf() const { return op == nullptr; }
  ~Node();
};

class ScopedFlag {  // while one lives, the flag has this value
 public:
  ScopedFlag(bool& flag, bool value) : flag_(flag), before_(std::exchange(flag, value)) {}
  ~ScopedFlag() { flag_ = before_; }
  ScopedFlag(const ScopedFlag&) = delete;

 private:
  bool &flag_, before_;
};

// While one lives, nothing is recorded: for evaluation and decoding.
struct NoGrad : ScopedFlag {
  NoGrad();
};

// While one lives, the first NaN or infinity in a result or in a gradient throws std::runtime_error that
// names the operation, the shape and the place. Every element is looked at, so it is slow: for finding a
// fault.
struct AnomalyMode : ScopedFlag {
  AnomalyMode();
};

}  // namespace gradus
