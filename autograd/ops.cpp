#include "autograd/ops.h"

namespace gradus {

using Gradients = std::span<Gradient>;

Variable unary(Unary op, const Variable& x) {
  Tensor y = unary(op, x.value());
  return visit(op, [&](auto fn) {  // keep what the slope reads and no more
    return record(name_of(op), y, {x},
                  [op, x = fn.needs_x ? x.value() : Tensor(), y = fn.needs_y ? y : Tensor()](
                      const Tensor& dy, Gradients d) { d[0] += unary_backward(op, x, y, dy); });
  });
}

Variable add(const Variable& a, const Variable& b) {
  return record("add", a.value() + b.value(), {a, b}, [](const Tensor& dy, Gradients d) {
    if (d[0]) d[0] += dy;
    if (d[1]) d[1] += dy;
  });
}

Variable sub(const Variable& a, const Variable& b) {
  return record("sub", a.value() - b.value(), {a, b}, [](const Tensor& dy, Gradients d) {
    if (d[0]) d[0] += dy;
    if (d[1]) d[1] += -dy;
  });
}

Variable mul(const Variable& a, const Variable& b) {
  return record("mul", a.value() * b.value(), {a, b},
                [x = a.value(), y = b.value()](const Tensor& dz, Gradients d) {
                  if (d[0]) d[0] += dz * y;
                  if (d[1]) d[1] += dz * x;
                });
}

Variable div(const Variable& a, const Variable& b) {
  Tensor q = a.value() / b.value();
  return record("div", q, {a, b}, [q, y = b.value()](const Tensor& dq, Gradients d) {
    const Tensor da = dq / y;
    if (d[0]) d[0] += da;
    if (d[1]) d[1] += -(da * q);
  });
}

Variable operator*(const Variable& a, double factor) {
  return mul(a, Variable(Tensor::full({}, factor, a.value().dtype(), a.value().device())));
}

Variable sum(const Variable& x, std::vector<int> axes, bool keep) {
  const Shape kept = summed_shape(x.shape(), axes, true);
  return record("sum", sum(x.value(), axes, keep), {x},
                [kept, shape = x.shape()](const Tensor& dy, Gradients d) {
                  d[0] += Tensor::zeros(shape, dy.dtype(), dy.device()) + dy.reshape(kept);
                });
}

Variable mean(const Variable& x, std::vector<int> axes, bool keep) {
  const Variable total = sum(x, axes, keep);
  check(total.value().size() > 0 && x.value().size() > 0, "mean: of no elements, in ", x.shape());
  return total * (static_cast<double>(total.value().size()) / static_cast<double>(x.value().size()));
}

Variable reshape(const Variable& x, Shape shape) {
  return record("reshape", x.value().reshape(shape), {x},
                [from = x.shape()](const Tensor& dy, Gradients d) { d[0] += dy.reshape(from); });
}

Variable permute(const Variable& x, std::vector<int> axes) {
  Tensor y = permute(x.value(), axes);
  std::vector<int> inverse(axes.size());
  for (size_t i = 0; i < axes.size(); ++i)
    inverse[static_cast<size_t>(x.shape().axis_index(axes[i]))] = static_cast<int>(i);
  return record("permute", y, {x},
                [inverse](const Tensor& dy, Gradients d) { d[0] += permute(dy, inverse); });
}

Variable rows(const Variable& x, int64_t from, int64_t to) {
  return record("rows", x.value().rows(from, to), {x},
                [from, to](const Tensor& dy, Gradients d) { add_to(d[0].buffer().rows(from, to), dy); });
}

Variable concat(const std::vector<Variable>& parts, int axis) {
  std::vector<Tensor> values;
  for (const Variable& part : parts) values.push_back(part.value());
  Tensor y = concat(values, axis);
  std::vector<int64_t> ends;  // of each part along the axis
  for (const Variable& part : parts) ends.push_back((ends.empty() ? 0 : ends.back()) + part.shape()[axis]);
  return record("concat", y, parts, [ends, axis](const Tensor& dy, Gradients d) {
    for (size_t i = 0; i < d.size(); ++i)
      if (d[i]) d[i] += slice(dy, axis, i == 0 ? 0 : ends[i - 1], ends[i]);
  });
}

// c = op(a) op(b):  d op(a) = dc op(b)^T,  d op(b) = op(a)^T dc; where op transposes, so does its gradient.
Variable matmul(const Variable& a, const Variable& b, bool transpose_a, bool transpose_b) {
  Tensor c = matmul(a.value(), b.value(), transpose_a, transpose_b);
  return record("matmul", c, {a, b},
                [a = a.value(), b = b.value(), transpose_a, transpose_b](const Tensor& dc, Gradients d) {
                  if (d[0])
                    d[0] +=
                        transpose_a ? matmul(b, dc, transpose_b, true) : matmul(dc, b, false, !transpose_b);
                  if (!d[1]) return;
                  if (a.shape().rank() > b.shape().rank()) {  // one b for the whole batch: one tall product
                    const Tensor rows = a.reshape({a.shape().before(-1), a.shape()[-1]});
                    const Tensor drows = dc.reshape({dc.shape().before(-1), dc.shape()[-1]});
                    d[1] += transpose_b ? matmul(drows, rows, true) : matmul(rows, drows, true);
                  } else {
                    d[1] += transpose_b ? matmul(dc, a, true, transpose_a) : matmul(a, dc, !transpose_a);
                  }
                });
}

Variable softmax(const Variable& x, bool log) {
  Tensor y = softmax(x.value(), log);
  return record(log ? "log_softmax" : "softmax", y, {x}, [y, log](const Tensor& dy, Gradients d) {
    Tensor dx = Tensor::like(y);
    backend(y.device()).softmax_backward(y, dy, log, dx);
    d[0] += dx;
  });
}

}  // namespace gradus
