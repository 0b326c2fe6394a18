// The operations of a Transformer that are one kernel each. Their arguments are checked here, once for the
// kernel and its gradient.
#include "autograd/ops.h"

namespace gradus {

using Gradients = std::span<Gradient>;

namespace {

Tensor value_if_any(const Variable& v) { return v ? v.value() : Tensor(); }

// The block that a kernel adds to, or none where nobody needs it.
Tensor buffer_if_any(Gradient& d) { return d ? d.buffer() : Tensor(); }

void check_columns(const char* op, const IdColumns& c) {
  const Shape& s = c.ids.shape();
  const int64_t end = c.first + c.count;
  check(c.ids && c.ids.dtype() == DType::i32 && s.rank() == 2 && c.first >= 0 && c.count >= 0 && end <= s[1],
        op, ": expected ids i32 [B, T] with columns ", c.first, " to ", end, ", got ", c.ids.dtype(), " ", s);
}

// Ids on the host are checked there, at once, and a copy goes where the kernel runs.
IdColumns checked_ids(const char* op, const IdColumns& c, int64_t vocab, Device device) {
  backend(c.ids.device()).check_ids(op, c, vocab);
  return {c.ids.to(device), c.first, c.count};
}

}  // namespace

Variable layer_norm(const Variable& input, const Variable& gain, const Variable& bias, double eps) {
  const Tensor &x = input.value(), &g = gain.value(), &b = bias.value();
  Backend& kernels = backend_of("layer_norm", {&x, &g, &b});
  check(x.shape().rank() >= 1 && g.shape() == Shape{x.shape()[-1]} && b.shape() == g.shape(),
        "layer_norm: expected gain and bias [D] for x [.., D], got x ", x.shape(), ", gain ", g.shape(),
        ", bias ", b.shape());
  const Tensor y = Tensor::like(x), mean = Tensor::like(x, {x.shape().before(-1)}), rstd = Tensor::like(mean);
  kernels.layer_norm(x, g, b, eps, y, mean, rstd);
  return record("layer_norm", y, {input, gain, bias}, [x, g, mean, rstd](const Tensor& dy, Gradients d) {
    const Tensor dx = d[0] ? Tensor::like(x) : Tensor(), dgain = buffer_if_any(d[1]);
    backend(x.device()).layer_norm_backward(dy, x, g, mean, rstd, dx, dgain, buffer_if_any(d[2]));
    if (d[0]) d[0] += dx;
  });
}

Variable linear(const Variable& input, const Variable& weight, const Variable& bias,
                std::optional<Unary> op) {
  const Tensor &x = input.value(), &w = weight.value(), b = value_if_any(bias);
  Backend& kernels = backend_of("linear", {&x, &w, b ? &b : &w});
  const Shape &sx = x.shape(), &sw = w.shape();
  check(sx.rank() >= 1 && sw.rank() == 2 && sx[-1] == sw[1], "linear: expected x [.., K] and w [M, K], got ",
        sx, " and ", sw);
  check(!b || b.shape() == Shape{sw[0]}, "linear: expected b [", sw[0], "], got ", b.shape());
  const int64_t n = sx.before(-1), m = sw[0], k = sw[1];
  check(std::max({n, m, k}) <= INT32_MAX, "linear: sizes above 2^31: ", sx, " and ", sw);
  const Tensor y = Tensor::like(x, sx.with(-1, m));
  const bool slope_reads_x = op && visit(*op, [](auto fn) { return fn.needs_x; });
  const Tensor pre = slope_reads_x ? Tensor::like(y) : Tensor(), out = op && !pre ? y : Tensor();
  kernels.linear(x, w, b, op, y, pre);
  return record("linear", y, {input, weight, bias},
                [x, w, op, pre, out, n, m, k](const Tensor& dy, Gradients d) {
                  const Tensor dpre = op ? unary_backward(*op, pre, out, dy) : dy;
                  if (d[0]) d[0] += matmul(dpre.reshape({n, m}), w).reshape(x.shape());
                  if (d[1])  // dw [m, k] += dpre [n, m]^T x [n, k]
                    backend(x.device()).gemm({m, k, n, true, false}, 1, dpre, x, 1, d[1].buffer());
                  if (d[2]) d[2] += dpre.reshape({n, m});
                });
}

Variable dropout_add(const Variable& x, const Variable& residual, double p, Generator& generator) {
  check_probability("dropout", p);
  if (p == 0) return residual ? add(residual, x) : x;
  const Draw draw = generator.next_draw();
  return record(residual ? "dropout_add" : "dropout", dropout(x.value(), value_if_any(residual), p, draw),
                {x, residual}, [p, draw](const Tensor& dy, Gradients d) {
                  if (d[0]) d[0] += dropout(dy, {}, p, draw);
                  if (d[1]) d[1] += dy;
                });
}

Variable embedding(const Variable& table, const IdColumns& columns, double scale, const Tensor& positions) {
  const Tensor& t = table.value();
  Backend& kernels = backend_of("embedding", {&t, positions ? &positions : &t});
  const Shape &v = t.shape(), &p = positions.shape();
  check(v.rank() == 2, "embedding: expected a table [V, D], got ", v);
  check_columns("embedding", columns);
  check(!positions || (p.rank() == 2 && p[0] >= columns.count && p[1] == v[1]),
        "embedding: expected positions [>= ", columns.count, ", ", v[1], "], got ", p);
  const IdColumns ids = checked_ids("embedding", columns, v[0], t.device());
  Tensor y = Tensor::like(t, {ids.ids.shape()[0], ids.count, v[1]});
  kernels.embedding(t, ids, scale, positions, y);
  return record("embedding", y, {table}, [ids, scale](const Tensor& dy, Gradients d) {
    backend(dy.device()).embedding_backward(dy, ids, scale, d[0].buffer());
  });
}

Variable attention(const Columns& q, const Columns& k, const Columns& v, const AttentionSpec& asked) {
  AttentionSpec spec = asked;
  const auto heads = [](const Columns& c) { return PackedHeads{c.packed.value(), c.first}; };
  const Qkv x{heads(q), heads(k), heads(v)};
  Backend& kernels = backend_of("attention", {&x.q.tensor, &x.k.tensor, &x.v.tensor});
  check(spec.heads >= 1 && spec.d_model >= 1 && spec.d_model % spec.heads == 0, "attention: ", spec.heads,
        " heads do not divide d_model ", spec.d_model);
  for (const auto& [tensor, first] : {x.q, x.k, x.v}) {
    const Shape &s = tensor.shape(), &sq = x.q.tensor.shape();
    check(s.rank() == 3 && s[0] == sq[0] && first >= 0 && first + spec.d_model <= s[2],
          "attention: expected [B, T, >= ", first + spec.d_model, "] with one B, got ", s, " beside queries ",
          sq);
  }
  const int64_t batch = q.packed.shape()[0], queries = q.packed.shape()[1], keys = k.packed.shape()[1];
  check(v.packed.shape()[1] == keys, "attention: ", keys, " keys but ", v.packed.shape()[1], " values");
  Tensor& lengths = spec.key_lengths;
  check(!lengths || (lengths.dtype() == DType::i32 && lengths.shape() == Shape{batch}),
        "attention: expected key lengths i32 [", batch, "], got ", lengths.dtype(), " ", lengths.shape());
  check_probability("attention", spec.dropout);
  check(spec.dropout == 0 || spec.draw.step, "attention: dropout needs a draw of a generator");
  const Tensor y = Tensor::like(x.q.tensor, {batch, queries, spec.d_model});
  lengths = lengths.to(y.device()), spec.draw.step = spec.draw.step.to(y.device());
  const Tensor log_sum_exp = Tensor::like(y, {batch, spec.heads, queries});
  kernels.attention(x, spec, y, log_sum_exp);
  const auto rule = [x, spec, y, log_sum_exp](const Tensor& dy, Gradients d) {
    // Often two or three inputs are one tensor: each gradient adds to its own columns of it.
    const auto target = [](Gradient& g, const PackedHeads& in) {
      return PackedHeads{g ? g.buffer() : Tensor::like(in.tensor), in.first};
    };
    const Qkv dx{target(d[0], x.q), target(d[1], x.k), target(d[2], x.v)};
    backend(y.device()).attention_backward(x, spec, y, log_sum_exp, dy, dx);
  };
  return record("attention", y, {q.packed, k.packed, v.packed}, rule);
}

CrossEntropyOutput cross_entropy(const Variable& logits, const IdColumns& columns,
                                 const CrossEntropySpec& asked) {
  CrossEntropySpec spec = asked;
  const Tensor &z = logits.value(), &weight = spec.class_weight, &prior = spec.prior;
  Backend& kernels = backend_of("cross_entropy", {&z, weight ? &weight : &z, prior ? &prior : &z});
  const Shape& s = z.shape();
  check_columns("cross_entropy", columns);
  check(s.rank() >= 1 && s.before(-1) == columns.size(), "cross_entropy: logits ", s, " do not fit ",
        columns.size(), " targets");
  const int64_t vocab = s[-1];
  check(!weight || weight.shape() == Shape{vocab}, "cross_entropy: expected class weights [", vocab,
        "], got ", weight.shape());
  check(!prior || prior.shape() == Shape{vocab}, "cross_entropy: expected a prior [", vocab, "], got ",
        prior.shape());
  check(!prior || (spec.convention == Smoothing::uniform && !spec.subtract_entropy),
        "cross_entropy: a prior goes with `uniform` and the cross-entropy form");
  check(!spec.weighted_prior || (prior && weight), "cross_entropy: a weighted prior needs prior and weights");
  check(spec.pad_id < vocab, "cross_entropy: pad id ", spec.pad_id, " is outside [0, ", vocab, ")");
  const IdColumns target = checked_ids("cross_entropy", columns, vocab, z.device());
  spec.smoothing = spec.smoothing.to(z.device());
  const Tensor loss = Tensor::like(z, spec.reduction == Reduction::none ? s.without_last() : Shape{});
  const Tensor log_sum_exp = Tensor::like(z, {target.size(), 2}), sums({5}, DType::f64, z.device());
  kernels.cross_entropy(z, target, spec, log_sum_exp, loss, sums);
  const auto rule = [z, target, spec, log_sum_exp, sums](const Tensor& dy, Gradients d) {
    // The logits are the largest tensor of a step: when nobody else sees them, their gradient is written
    // over them.
    const Tensor dz = z.unique() ? z : Tensor::like(z);
    backend(z.device()).cross_entropy_backward(z, target, spec, log_sum_exp, sums, dy, dz);
    d[0] += dz;
  };
  return {record("cross_entropy", loss, {logits}, rule), sums};
}

}  // namespace gradus
