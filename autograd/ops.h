// One function per differentiable operation: it computes on Tensors (tensor/ops.h describes shapes and
// errors of those that are there, too) and records the rule for its gradient. Forward and gradient stand on
// one screen, in ops.cpp and fused_ops.cpp.
#pragma once

#include "autograd/variable.h"
#include "tensor/fused_ops.h"

namespace gradus {

Variable unary(const UnaryOp& op, const Variable& x);
inline Variable neg(const Variable& x) { return unary(Unary::neg, x); }
inline Variable exp(const Variable& x) { return unary(Unary::exp, x); }
inline Variable log(const Variable& x) { return unary(Unary::log, x); }
inline Variable sqrt(const Variable& x) { return unary(Unary::sqrt, x); }
inline Variable tanh(const Variable& x) { return unary(Unary::tanh, x); }
inline Variable sigmoid(const Variable& x) { return unary(Unary::sigmoid, x); }
inline Variable relu(const Variable& x) { return unary(Unary::relu, x); }
inline Variable gelu(const Variable& x) { return unary(Unary::gelu, x); }
inline Variable silu(const Variable& x) { return unary(Unary::silu, x); }
inline Variable abs(const Variable& x) { return unary(Unary::abs, x); }
inline Variable x_log_x(const Variable& x) { return unary(Unary::x_log_x, x); }  // 0 at 0
inline Variable pow(const Variable& x, double exponent) { return unary(UnaryOp::pow(exponent), x); }
inline Variable clamp(const Variable& x, double low, double high) { return unary(clamp_op(low, high), x); }

Variable add(const Variable& a, const Variable& b);  // these four broadcast
Variable sub(const Variable& a, const Variable& b);
Variable mul(const Variable& a, const Variable& b);
Variable div(const Variable& a, const Variable& b);
inline Variable operator+(const Variable& a, const Variable& b) { return add(a, b); }
inline Variable operator-(const Variable& a, const Variable& b) { return sub(a, b); }
inline Variable operator*(const Variable& a, const Variable& b) { return mul(a, b); }
inline Variable operator/(const Variable& a, const Variable& b) { return div(a, b); }
inline Variable operator-(const Variable& x) { return neg(x); }
inline Variable operator+(const Variable& x, double c) { return unary(UnaryOp::affine(1, c), x); }
inline Variable operator+(double c, const Variable& x) { return unary(UnaryOp::affine(1, c), x); }
inline Variable operator-(const Variable& x, double c) { return unary(UnaryOp::affine(1, -c), x); }
inline Variable operator-(double c, const Variable& x) { return unary(UnaryOp::affine(-1, c), x); }
inline Variable operator*(const Variable& x, double c) { return unary(UnaryOp::scale(c), x); }
inline Variable operator*(double c, const Variable& x) { return unary(UnaryOp::scale(c), x); }
inline Variable operator/(const Variable& x, double c) { return unary(UnaryOp::divide(c), x); }
inline Variable operator/(double c, const Variable& x) { return unary(UnaryOp::reciprocal(c), x); }

// x = x + y and its kin: a new value in this handle. A leaf that wants a gradient would be lost: it throws.
void check_replaceable(const char* op, const Variable& x);
template <class Y> Variable& operator+=(Variable& x, const Y& y) {
  check_replaceable("+=", x);
  return x = x + y;
}
template <class Y> Variable& operator-=(Variable& x, const Y& y) {
  check_replaceable("-=", x);
  return x = x - y;
}
template <class Y> Variable& operator*=(Variable& x, const Y& y) {
  check_replaceable("*=", x);
  return x = x * y;
}
template <class Y> Variable& operator/=(Variable& x, const Y& y) {
  check_replaceable("/=", x);
  return x = x / y;
}

// a where the mask is not 0, else b; all three broadcast.
Variable where(const Tensor& mask, const Variable& a, const Variable& b);
Variable where(const Tensor& mask, const Variable& a, double b);
Variable where(const Tensor& mask, double a, const Variable& b);

Variable sum(const Variable& x, const Axes& axes = {}, bool keep = false);
Variable mean(const Variable& x, const Axes& axes = {}, bool keep = false);
Variable max(const Variable& x, const Axes& axes = {},
             bool keep = false);  // the gradient: to the first largest
inline Tensor argmax(const Variable& x, Axis axis, bool keep = false) {
  return argmax(x.value(), axis, keep);
}

Variable reshape(const Variable& x, Shape shape);
Variable reshape(const Variable& x, std::initializer_list<int64_t> sizes);  // one may be -1: whatever is left
Variable permute(const Variable& x, std::vector<int> axes);
Variable transpose(const Variable& x);                       // swaps the last two axes
Variable rows(const Variable& x, int64_t from, int64_t to);  // a view of [from, to) along the first axis
Variable rows(const Variable& x, const Tensor& ids);         // a copy of these, in this order
Variable slice(const Variable& x, Axis axis, int64_t from, int64_t to);  // a copy of [from, to) along an axis
Variable concat(const std::vector<Variable>& parts, Axis axis);
inline Variable concat(std::initializer_list<Variable> parts, Axis axis) {
  return concat(std::vector(parts), axis);
}

Variable matmul(const Variable& a, const Variable& b, bool transpose_a = false, bool transpose_b = false);
Variable softmax(const Variable& x, Axis axis = -1);
Variable log_softmax(const Variable& x, Axis axis = -1);
Variable layer_norm(const Variable& x, const Variable& gain, const Variable& bias, double eps = 1e-5);

// activation(x w^T + b); b may be an empty Variable, and without an activation it is the identity.
Variable linear(const Variable& x, const Variable& w, const Variable& b,
                std::optional<UnaryOp> activation = {});

// dropout(linear(x, w, b, activation), p, generator); with relu its gradient is one pass.
Variable linear_dropout(const Variable& x, const Variable& w, const Variable& b, const UnaryOp& activation,
                        double p, Generator& generator);

// linear by the rows [from, to) of w and b alone. Their gradients go straight into those rows.
Variable linear_rows(const Variable& x, const Variable& w, const Variable& b, int64_t from, int64_t to);

// residual + dropout(x), or without a residual dropout(x) alone. Each call takes one draw from the generator,
// unless p is 0.
Variable dropout_add(const Variable& x, const Variable& residual, double p, Generator& generator);
inline Variable dropout(const Variable& x, double p, Generator& g) { return dropout_add(x, {}, p, g); }

// scale * row of the table [V, D] + position; ids i32 of any rank -> their shape and D.
Variable embedding(const Variable& table, const IdColumns& ids, double scale = 1,
                   const Tensor& positions = {});

// Attention over packed heads, see AttentionSpec: q, k and v are columns of the given Variables, from `first`
// on.
struct Columns {
  Columns(Variable all, int64_t first_column = 0) : packed(std::move(all)), first(first_column) {}
  Variable packed;
  int64_t first;
};
Variable attention(const Columns& q, const Columns& k, const Columns& v, const AttentionSpec& spec);

struct CrossEntropyOutput {
  Variable loss;  // [] or, for Reduction::none, the logits' shape without the last axis
  Tensor sums;    // f64 [kLossSums], see Backend::cross_entropy
};
CrossEntropyOutput cross_entropy(const Variable& logits, const IdColumns& target,
                                 const CrossEntropySpec& spec);

// Towards one distribution for all rows: -sum_j prior_j ln p_j, with the logits' shape without the last axis;
// 0 where the target is pad_id. prior [V], in the logits' dtype and on their device.
Variable prior_cross_entropy(const Variable& logits, const Tensor& prior, const IdColumns& target,
                             int32_t pad_id);

}  // namespace gradus
