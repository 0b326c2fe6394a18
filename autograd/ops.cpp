#include "autograd/ops.h"

#include <algorithm>

namespace gradus {

// Each rule stands below its operation, with its equation: d.. is the gradient of the loss with respect to
// ... Adding to an input that needs no gradient does nothing; the rule asks first only where that saves work.

// y = f(x):  dx = dy f'(x)
Variable unary(const UnaryOp& op, const Variable& x) {
  Tensor y = unary(op, x.value());
  return visit(op, [&](auto fn) {  // keep what the slope reads and no more
    const Saved kept_x = fn.needs_x ? Saved(x.value()) : Saved(), kept_y = fn.needs_y ? Saved(y) : Saved();
    return record(name_of(op), y, {x}, [op, kept_x, kept_y](const Tensor& dy, Gradients d) {
      d[0] += unary_backward(op, kept_x, kept_y, dy);
    });
  });
}

// y = a + b:  da = dy, db = dy
Variable add(const Variable& a, const Variable& b) {
  return record("add", a.value() + b.value(), {a, b}, [](const Tensor& dy, Gradients d) {
    d[0] += dy;
    d[1] += dy;
  });
}

// y = a - b:  da = dy, db = -dy
Variable sub(const Variable& a, const Variable& b) {
  return record("sub", a.value() - b.value(), {a, b}, [](const Tensor& dy, Gradients d) {
    d[0] += dy;
    if (d[1]) d[1] += -dy;
  });
}

// y = a b:  da = dy b, db = dy a
Variable mul(const Variable& a, const Variable& b) {
  return record("mul", a.value() * b.value(), {a, b},
                [a = saved_for(b, a.value()), b = saved_for(a, b.value())](const Tensor& dy, Gradients d) {
                  if (d[0]) d[0] += dy * b;
                  if (d[1]) d[1] += dy * a;
                });
}

// y = a / b:  da = dy / b, db = -dy a / b^2 = -da y
Variable div(const Variable& a, const Variable& b) {
  Tensor y = a.value() / b.value();
  return record("div", y, {a, b}, [y = saved_for(b, y), b = Saved(b.value())](const Tensor& dy, Gradients d) {
    const Tensor da = dy / b;
    d[0] += da;
    if (d[1]) d[1] += -(da * y);
  });
}

void check_replaceable(const char* op, const Variable& x) {
  check(!x.requires_grad() || !x.node()->leaf(), op, ": would replace a leaf ", x.shape(),
        " that wants a gradient; an optimiser changes it in place, and so does value().assign");
}

// y = a where the mask holds, else b:  da = dy there, else 0;  db = dy elsewhere
Variable where(const Tensor& mask, const Variable& a, const Variable& b) {
  return record("where", where(mask, a.value(), b.value()), {a, b},
                [mask = Saved(mask)](const Tensor& dy, Gradients d) {
                  if (d[0]) d[0] += where(mask, dy, 0);
                  if (d[1]) d[1] += where(mask, 0, dy);
                });
}

Variable where(const Tensor& mask, const Variable& a, double b) {
  return where(mask, a, Variable(Tensor::full({}, b, a.dtype(), a.device())));
}

Variable where(const Tensor& mask, double a, const Variable& b) {
  return where(mask, Variable(Tensor::full({}, a, b.dtype(), b.device())), b);
}

// y = sum of x over axes:  dx = dy, again for each element that went into it
Variable sum(const Variable& x, const Axes& axes, bool keep) {
  const Shape kept = summed_shape("sum", x.shape(), axes, true);
  return record("sum", sum(x.value(), axes, keep), {x},
                [kept, shape = x.shape()](const Tensor& dy, Gradients d) {
                  d[0] += Tensor::zeros(shape, dy.dtype(), dy.device()) + dy.reshape(kept);
                });
}

Variable mean(const Variable& x, const Axes& axes, bool keep) {
  const Variable total = sum(x, axes, keep);
  const int64_t count = summed_count(x.shape(), axes);
  check(count > 0, "mean: of no elements, in ", x.shape());
  return total / static_cast<double>(count);
}

namespace {

// y [..] = the largest of each row of x [.., n]:  dx = dy at the first largest, 0 elsewhere
Variable max_of_rows(const Variable& x) {
  const int64_t n = x.shape()[-1];
  const Tensor ids = argmax(x, -1);
  return record("max", sum(where(first_largest(ids, n), x.value(), 0), -1), {x},
                [ids, n](const Tensor& dy, Gradients d) {
                  d[0] += where(first_largest(ids, n), dy.reshape(dy.shape().with_last(1)), 0);
                });
}

}  // namespace

Variable max(const Variable& x, const Axes& axes, bool keep) {
  backend_of("max", {&x.value()});
  const Shape rest = summed_shape("max", x.shape(), axes, false);
  const int64_t n = summed_count(x.shape(), axes);
  check(n > 0, "max: of no elements, in ", x.shape());
  const std::vector<int> order = reduced_last(x.shape(), axes);
  const bool in_place = std::ranges::is_sorted(order);  // nothing to move
  const Variable rows = reshape(in_place ? x : permute(x, order), rest.with_last(n));
  return reshape(max_of_rows(rows), summed_shape("max", x.shape(), axes, keep));
}

// y is x in another arrangement:  dx is dy in the arrangement of x. So it is for permute, too.
Variable reshape(const Variable& x, Shape shape) {
  return record("reshape", x.value().reshape(shape), {x},
                [from = x.shape()](const Tensor& dy, Gradients d) { d[0] += dy.reshape(from); });
}

Variable reshape(const Variable& x, std::initializer_list<int64_t> sizes) {
  return reshape(x, shape_with_rest(sizes, x.shape()));
}

Variable Variable::reshape(Shape shape) const { return gradus::reshape(*this, shape); }
Variable Variable::reshape(std::initializer_list<int64_t> sizes) const {
  return gradus::reshape(*this, sizes);
}

Variable permute(const Variable& x, std::vector<int> axes) {
  Tensor y = permute(x.value(), axes);
  std::vector<int> inverse(axes.size());
  for (size_t i = 0; i < axes.size(); ++i)
    inverse[static_cast<size_t>(x.shape().axis_index(axes[i]))] = static_cast<int>(i);
  return record("permute", y, {x},
                [inverse](const Tensor& dy, Gradients d) { d[0] += permute(dy, inverse); });
}

Variable transpose(const Variable& x) {
  check(x.shape().rank() >= 2, "transpose: expected at least two axes, got ", x.shape());
  return permute(x, swapped(x.shape(), -2, -1));
}

Variable concat(const std::vector<Variable>& parts, Axis along) {
  std::vector<Tensor> values;
  for (const Variable& part : parts) values.push_back(part.value());
  Tensor y = concat(values, along);
  const int axis = along.in(y.shape(), "concat");
  std::vector<int64_t> ends;  // of each part along the axis
  for (const Variable& part : parts) ends.push_back((ends.empty() ? 0 : ends.back()) + part.shape()[axis]);
  return record("concat", y, parts, [ends, axis](const Tensor& dy, Gradients d) {
    for (size_t i = 0; i < d.size(); ++i)
      if (d[i]) d[i] += slice(dy, axis, i == 0 ? 0 : ends[i - 1], ends[i]);
  });
}

// y = rows [from, to) of x:  those rows of dx = dy, the others 0
Variable rows(const Variable& x, int64_t from, int64_t to) {
  return record("rows", x.value().rows(from, to), {x},
                [from, to](const Tensor& dy, Gradients d) { add_to(d[0].buffer().rows(from, to), dy); });
}

// y = columns [from, to) of x along an axis:  those of dx = dy, the others 0
Variable slice(const Variable& x, Axis along, int64_t from, int64_t to) {
  const int axis = along.in(x.shape(), "slice");
  return record("slice", slice(x.value(), axis, from, to), {x},
                [axis, from, shape = x.shape()](const Tensor& dy, Gradients d) {
                  d[0] += padded(dy, axis, from, shape[axis]);
                });
}

namespace {

// y = op(a) op(b), matrix by matrix:  d op(a) = dy op(b)^T,  d op(b) = op(a)^T dy; where op transposes, so
// does its gradient.
Variable record_matmul(const Variable& a, const Variable& b, bool transpose_a, bool transpose_b, Tensor y) {
  return record("matmul", std::move(y), {a, b},
                [a = saved_for(b, a.value()), b = saved_for(a, b.value()), transpose_a, transpose_b](
                    const Tensor& dy, Gradients d) {
                  if (d[0] && transpose_a) d[0] += matmul(b, dy, transpose_b, true);
                  if (d[0] && !transpose_a) d[0] += matmul(dy, b, false, !transpose_b);
                  if (d[1] && transpose_b) d[1] += matmul(dy, a, true, transpose_a);
                  if (d[1] && !transpose_b) d[1] += matmul(a, dy, !transpose_a);
                });
}

}  // namespace

// One b for a whole batch of a is one tall product: the batch's matrices stand below one another.
Variable matmul(const Variable& a, const Variable& b, bool transpose_a, bool transpose_b) {
  Tensor y = matmul(a.value(), b.value(), transpose_a, transpose_b);
  if (a.shape().rank() == b.shape().rank()) return record_matmul(a, b, transpose_a, transpose_b, y);
  const Shape &sa = a.shape(), &sy = y.shape();
  const Variable tall = reshape(a, {sa.before(-1), sa[-1]});
  return reshape(record_matmul(tall, b, false, transpose_b, y.reshape({sy.before(-1), sy[-1]})), sy);
}

namespace {

// y = softmax(x) along the last axis:  dx = y (dy - sum y dy);  y = log_softmax(x):  dx = dy - exp(y) sum dy
Variable record_softmax(const Variable& x, const Tensor& y, bool log) {
  return record(log ? "log_softmax" : "softmax", y, {x}, [y = Saved(y), log](const Tensor& dy, Gradients d) {
    const Tensor dx = Tensor::like(dy);
    backend(dy.device()).softmax_backward(y, dy, log, Out(dx));
    d[0] += dx;
  });
}

Variable softmax_along(const Variable& x, Axis along, bool log) {
  const int axis = along.in(x.shape(), log ? "log_softmax" : "softmax");
  if (axis + 1 == x.shape().rank())
    return record_softmax(x, log ? log_softmax(x.value()) : softmax(x.value()), log);
  const std::vector<int> to_last = swapped(x.shape(), axis, -1);
  return permute(softmax_along(permute(x, to_last), -1, log), to_last);
}

}  // namespace

Variable softmax(const Variable& x, Axis axis) { return softmax_along(x, axis, false); }
Variable log_softmax(const Variable& x, Axis axis) { return softmax_along(x, axis, true); }

}  // namespace gradus
