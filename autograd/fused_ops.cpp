// The operations of a Transformer that are one kernel each: what tensor/fused_ops.h computes, and its
// gradient.
#include "tensor/fused_ops.h"

#include "autograd/ops.h"

namespace gradus {

namespace {

Tensor value_if_any(const Variable& v) { return v ? v.value() : Tensor(); }

// Ids that a rule keeps.
struct SavedIds {
  Saved ids;
  int64_t first, count;

  explicit SavedIds(const IdColumns& c) : ids(c.ids), first(c.first), count(c.count) {}
  operator IdColumns() const { return {ids, first, count}; }
};

}  // namespace

// y = gain h + bias with h = (x - mean) rstd, u = gain dy:
// dx = rstd (u - mean(u) - h mean(u h)), dgain = sum dy h, dbias = sum dy
Variable layer_norm(const Variable& x, const Variable& gain, const Variable& bias, double eps) {
  const auto [y, statistics] = layer_norm_forward(x.value(), gain.value(), bias.value(), eps);
  const Saved kept_x = saved_for(x.requires_grad() ? x : gain, x.value());  // dx reads both, dgain x alone
  return record("layer_norm", y, {x, gain, bias},
                [x = kept_x, gain = saved_for(x, gain.value()), statistics = statistics](const Tensor& dy,
                                                                                         Gradients d) {
                  const Tensor& in = x ? x.get() : dy;  // for dbias alone any x will do
                  const auto [dx, adds] = d[0].target();
                  backend(dy.device())
                      .layer_norm_backward(dy, in, gain, statistics, adds, dx, d[1].buffer(), d[2].buffer());
                });
}

namespace {

struct Dropped {
  double p;
  Draw draw;
};

// By the rows [from, from + M) of w and b, which are `weight` [M, K] and `bias` [M].
// y = f(pre), pre = x w^T + b:  dpre = dy f'(pre), dx = dpre w, dw = dpre^T x, db = sum of dpre over rows.
// Where relu is followed by dropout, dpre is dy / (1 - p) where y > 0, and else 0: y itself says what was
// kept.
Variable linear_by(const Variable& x, const Variable& w, const Variable& b, const Tensor& weight,
                   const Tensor& bias, int64_t from, std::optional<UnaryOp> activation,
                   const std::optional<Dropped>& dropped = {}) {
  // Of the activation's argument and value, what its slope reads and no more.
  const bool keep_pre = activation && visit(*activation, [](auto fn) { return fn.needs_x; });
  const bool keep_y = activation && visit(*activation, [](auto fn) { return fn.needs_y; });
  auto [y, pre] = linear_forward(x.value(), weight, bias, activation, keep_pre);
  if (dropped) {
    y = dropout(y, {}, dropped->p, dropped->draw);
    activation = UnaryOp::scaled_relu(dropout_scale(dropout_threshold(dropped->p)));
  }
  const auto rule = [x = saved_for(w, x.value()), w = saved_for(x, weight), shape = x.shape(), activation,
                     from, pre = Saved(pre), y = keep_y ? Saved(y) : Saved()](const Tensor& dy, Gradients d) {
    const Tensor dpre = activation ? unary_backward(*activation, pre, y, dy) : dy;
    const int64_t n = dpre.shape().before(-1), m = dpre.shape()[-1];
    const Tensor dpre_rows = dpre.reshape({n, m});
    if (d[0]) d[0] += matmul(dpre_rows, w).reshape(shape);
    if (d[1]) {  // dw [m, k] += dpre [n, m]^T x [n, k]
      const Out dw(d[1].buffer().rows(from, from + m));
      backend(dy.device()).gemm({m, shape[-1], n, true, false}, dpre, x, 1, dw);
    }
    if (d[2]) add_sum_to(d[2].buffer().rows(from, from + m), dpre_rows);
  };
  return record("linear", y, {x, w, b}, rule);
}

}  // namespace

Variable linear(const Variable& x, const Variable& w, const Variable& b, std::optional<UnaryOp> activation) {
  return linear_by(x, w, b, w.value(), value_if_any(b), 0, activation);
}

Variable linear_dropout(const Variable& x, const Variable& w, const Variable& b, const UnaryOp& activation,
                        double p, Generator& generator) {
  check_probability("dropout", p);
  if (p == 0 || activation.name != Unary::relu) return dropout(linear(x, w, b, activation), p, generator);
  return linear_by(x, w, b, w.value(), value_if_any(b), 0, activation, Dropped{p, generator.next_draw()});
}

Variable linear_rows(const Variable& x, const Variable& w, const Variable& b, int64_t from, int64_t to) {
  return linear_by(x, w, b, w.value().rows(from, to), b ? b.value().rows(from, to) : Tensor(), from, {});
}

// y = residual + x kept / (1 - p):
// dx = dy kept / (1 - p), by the same random bits, drawn again; dresidual = dy
Variable dropout_add(const Variable& x, const Variable& residual, double p, Generator& generator) {
  check_probability("dropout", p);
  check(!residual || residual.shape() == x.shape(), "dropout_add: shapes differ: ", x.shape(), " and ",
        residual ? residual.shape() : Shape{});
  backend_of("dropout", {&x.value(), residual ? &residual.value() : &x.value()});
  if (p == 0) return residual ? add(residual, x) : x;
  const Draw draw = generator.next_draw();
  const Tensor y = dropout(x.value(), value_if_any(residual), p, draw);
  return record(residual ? "dropout_add" : "dropout", y, {x, residual},
                [p, draw](const Tensor& dy, Gradients d) {
                  if (d[0]) d[0] += dropout(dy, {}, p, draw);
                  d[1] += dy;
                });
}

// y[r] = scale table[id r] + position:  dtable[id r] += scale dy[r], once for each place where the id stands
Variable embedding(const Variable& table, const IdColumns& columns, double scale, const Tensor& positions) {
  const Tensor& t = table.value();
  check(t.shape().rank() == 2, "embedding: expected a table [V, D], got ", t.shape());
  const IdColumns ids = checked_ids("embedding", columns, t.shape()[0], t.device());
  return record("embedding", embedding_forward(t, ids, scale, positions), {table},
                [ids = SavedIds(ids), scale](const Tensor& dy, Gradients d) {
                  backend(dy.device()).embedding_backward(dy, ids, scale, d[0].buffer());
                });
}

namespace {

// Whether q, k and v are columns apart that make up all of their Variables, of which none is empty.
bool fill_all(std::initializer_list<Columns> parts, int64_t d_model) {
  for (const Columns& a : parts) {
    int64_t columns = 0;
    for (const Columns& b : parts) {
      if (b.packed.node() != a.packed.node()) continue;
      if (&a != &b && a.first == b.first) return false;
      columns += d_model;
    }
    if (columns != a.packed.shape()[2] || a.packed.size() == 0) return false;
  }
  return true;
}

}  // namespace

// Backend::attention_backward has the equations. Often two or three of q, k and v are columns of one tensor:
// each gradient has its own columns of it, so where these are all there is and nothing came before, it is
// written and not added.
Variable attention(const Columns& q, const Columns& k, const Columns& v, const AttentionSpec& asked) {
  const Qkv x{{q.packed.value(), q.first}, {k.packed.value(), k.first}, {v.packed.value(), v.first}};
  auto [y, statistics, spec] = attention_forward(x, asked);
  Saved lengths = spec.key_lengths;
  spec.key_lengths = {};
  const bool all = fill_all({q, k, v}, spec.d_model);
  const auto rule = [all, q = Saved(x.q.tensor), k = Saved(x.k.tensor), v = Saved(x.v.tensor), lengths,
                     spec = spec, y = Saved(y), statistics = statistics, at_q = q.first, at_k = k.first,
                     at_v = v.first](const Tensor& dy, Gradients d) {
    AttentionSpec same = spec;
    same.key_lengths = lengths;
    const bool add = !all || d[0].adds() || d[1].adds() || d[2].adds();
    const auto block = [&](int input) { return add ? d[input].buffer() : d[input].target().block; };
    backend(dy.device())
        .attention_backward({{q, at_q}, {k, at_k}, {v, at_v}}, same, y, statistics, dy, add, block(0),
                            block(1), block(2));
  };
  return record("attention", y, {q.packed, k.packed, v.packed}, rule);
}

namespace {

// The logits are the largest tensor of a step: when nobody else sees them, their gradient is written over
// them.
Tensor block_for_gradient(const Tensor& logits) { return logits.unique() ? logits : Tensor::like(logits); }

}  // namespace

// loss = the mean, or another reduction, of -sum q ln p:
// dlogits = scale ((sum q) p - q), scale = dy w / divisor
CrossEntropyOutput cross_entropy(const Variable& logits, const IdColumns& columns,
                                 const CrossEntropySpec& asked) {
  const Tensor& z = logits.value();
  const IdColumns target = checked_ids("cross_entropy", columns, z.shape()[-1], z.device(), asked.pad_id);
  const auto [loss, sums, log_sum_exp] = cross_entropy_forward(z, target, asked);
  CrossEntropySpec spec = asked;
  Saved weight = spec.class_weight;
  spec.class_weight = {};
  const auto rule = [z = Saved(z), target = SavedIds(target), spec, weight, log_sum_exp = log_sum_exp,
                     sums = Saved(sums)](const Tensor& dy, Gradients d) {
    CrossEntropySpec same = spec;
    same.class_weight = weight;
    const Tensor dz = block_for_gradient(z);
    backend(dy.device()).cross_entropy_backward(z, target, same, log_sum_exp, sums, dy, Out(dz));
    d[0] += dz;
  };
  return {record("cross_entropy", loss, {logits}, rule), sums};
}

// y[i] = row ids[i] of x:  row ids[i] of dx += dy[i], once for each place where the id stands
Variable rows(const Variable& x, const Tensor& ids) {
  const IdColumns checked = row_ids(x.value(), ids);
  return record("rows", rows_forward(x.value(), checked), {x},
                [ids = SavedIds(checked), n = x.shape()[0]](const Tensor& dy, Gradients d) {
                  const Tensor dx = d[0].buffer().reshape({n, -1});
                  backend(dy.device()).embedding_backward(dy, ids, 1, Out(dx));
                });
}

// loss = -sum prior ln p, row by row:  dlogits = dy ((sum prior) p - prior)
Variable prior_cross_entropy(const Variable& logits, const Tensor& prior, const IdColumns& columns,
                             int32_t pad_id) {
  const Tensor& z = logits.value();
  const IdColumns target = checked_ids("prior_cross_entropy", columns, z.shape()[-1], z.device(), pad_id);
  const auto [loss, sums, log_sum_exp] = prior_cross_entropy_forward(z, prior, target, pad_id);
  return record(
      "prior_cross_entropy", loss, {logits},
      [z = Saved(z), prior = Saved(prior), target = SavedIds(target), pad_id, log_sum_exp = log_sum_exp](
          const Tensor& dy, Gradients d) {
        const Tensor dz = block_for_gradient(z);
        backend(dy.device()).prior_cross_entropy_backward(z, prior, target, pad_id, log_sum_exp, dy, Out(dz));
        d[0] += dz;
      });
}

}  // namespace gradus
