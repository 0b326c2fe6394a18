#include "autograd/ops.h"

namespace gradus {

using Gradients = std::span<Gradient>;

namespace {

// unary_backward as a function: dy * slope(x, y), of which x or y may be empty.
Tensor times_slope(Unary op, const Tensor& x, const Tensor& y, const Tensor& dy) {
  Tensor dx = Tensor::like(dy);
  backend(dy.device()).unary_backward(op, x, y, dy, dx);
  return dx;
}

}  // namespace

Variable unary(Unary op, const Variable& x) {
  Tensor y = unary(op, x.value());
  return visit(op, [&](auto fn) {  // keep what the slope reads and no more
    return record(name_of(op), y, {x},
                  [op, x = fn.needs_x ? x.value() : Tensor(), y = fn.needs_y ? y : Tensor()](
                      const Tensor& dy, Gradients d) { d[0] += times_slope(op, x, y, dy); });
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

namespace {

// dst += op(a) op(b), in place.
void add_product(const Tensor& dst, const GemmShape& shape, const Tensor& a, const Tensor& b) {
  backend(dst.device()).gemm(shape, 1, a, b, 1, dst);
}

}  // namespace

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

namespace {

Variable record_softmax(const char* op, Tensor y, const Variable& x, bool log) {
  return record(op, y, {x}, [y, log](const Tensor& dy, Gradients d) {
    Tensor dx = Tensor::like(y);
    backend(y.device()).softmax_backward(y, dy, log, dx);
    d[0] += dx;
  });
}

}  // namespace

Variable softmax(const Variable& x) { return record_softmax("softmax", softmax(x.value()), x, false); }
Variable log_softmax(const Variable& x) {
  return record_softmax("log_softmax", log_softmax(x.value()), x, true);
}

Variable layer_norm(const Variable& x, const Variable& gain, const Variable& bias, double eps) {
  LayerNormResult r = layer_norm(x.value(), gain.value(), bias.value(), eps);
  return record(
      "layer_norm", r.y, {x, gain, bias},
      [x = x.value(), gain = gain.value(), mean = r.mean, rstd = r.rstd](const Tensor& dy, Gradients d) {
        const Tensor dx = d[0] ? Tensor::like(x) : Tensor();
        backend(x.device())
            .layer_norm_backward(dy, x, gain, mean, rstd, dx, d[1] ? d[1].buffer() : Tensor(),
                                 d[2] ? d[2].buffer() : Tensor());
        if (d[0]) d[0] += dx;
      });
}

Variable linear(const Variable& x, const Variable& w, const Variable& b, std::optional<Unary> op) {
  LinearResult r = linear(x.value(), w.value(), b ? b.value() : Tensor(), op);
  const Tensor y = op && !r.pre ? r.y : Tensor();  // the slope reads one of the two
  return record("linear", r.y, {x, w, b},
                [x = x.value(), w = w.value(), op, pre = r.pre, y](const Tensor& dy, Gradients d) {
                  const Tensor dpre = op ? times_slope(*op, pre, y, dy) : dy;
                  const int64_t n = x.shape().before(-1), k = w.shape()[1], m = w.shape()[0];
                  if (d[0]) d[0] += matmul(dpre.reshape({n, m}), w).reshape(x.shape());
                  if (d[1])
                    add_product(d[1].buffer(), {m, k, n, true, false}, dpre, x);  // dpre [n, m]^T x [n, k]
                  if (d[2]) d[2] += dpre.reshape({n, m});
                });
}

Variable dropout(const Variable& x, double p, Generator& generator) {
  check_probability("dropout", p);
  if (p == 0) return x;
  const Draw draw = generator.next_draw();
  return record("dropout", dropout(x.value(), {}, p, draw), {x},
                [p, draw](const Tensor& dy, Gradients d) { d[0] += dropout(dy, {}, p, draw); });
}

Variable dropout_add(const Variable& x, const Variable& residual, double p, Generator& generator) {
  check_probability("dropout_add", p);
  if (p == 0) return add(residual, x);
  const Draw draw = generator.next_draw();
  return record("dropout_add", dropout(x.value(), residual.value(), p, draw), {x, residual},
                [p, draw](const Tensor& dy, Gradients d) {
                  if (d[0]) d[0] += dropout(dy, {}, p, draw);
                  if (d[1]) d[1] += dy;
                });
}

Variable embedding(const Variable& table, const IdColumns& ids, double scale, const Tensor& positions) {
  return record("embedding", embedding(table.value(), ids, scale, positions), {table},
                [ids, scale](const Tensor& dy, Gradients d) {
                  backend(dy.device()).embedding_backward(dy, ids, scale, d[0].buffer());
                });
}

Variable attention(const Columns& q, const Columns& k, const Columns& v, const AttentionSpec& spec) {
  const PackedHeads qh{q.packed.value(), q.first}, kh{k.packed.value(), k.first},
      vh{v.packed.value(), v.first};
  AttentionResult r = attention(qh, kh, vh, spec);
  return record("attention", r.y, {q.packed, k.packed, v.packed},
                [qh, kh, vh, spec, r](const Tensor& dy, Gradients d) {
                  // Often two or three of these are one tensor: each kernel call adds to its own columns of
                  // it.
                  const auto target = [&](size_t i, const PackedHeads& heads) {
                    return PackedHeads{
                        d[i] ? d[i].buffer() : Tensor::zeros(heads.tensor.shape(), dy.dtype(), dy.device()),
                        heads.first};
                  };
                  backend(dy.device())
                      .attention_backward(qh, kh, vh, spec, r.y, r.log_sum_exp, dy, target(0, qh),
                                          target(1, kh), target(2, vh));
                });
}

CrossEntropyOutput cross_entropy(const Variable& logits, const IdColumns& target,
                                 const CrossEntropySpec& spec) {
  CrossEntropyResult r = cross_entropy(logits.value(), target, spec);
  Variable loss = record(
      "cross_entropy", r.loss, {logits},
      [z = logits.value(), target, spec, lse = r.log_sum_exp, sums = r.sums](const Tensor& dy, Gradients d) {
        // The logits are the largest tensor of a step: when nobody else sees them, their gradient
        // is written over them.
        const Tensor dz = z.unique() ? z : Tensor::like(z);
        backend(z.device()).cross_entropy_backward(z, target, spec, lse, sums, dy, dz);
        d[0] += dz;
      });
  return {loss, r.sums};
}

}  // namespace gradus
