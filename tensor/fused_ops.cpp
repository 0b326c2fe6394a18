#include "tensor/fused_ops.h"

#include <algorithm>

namespace gradus {

LayerNormResult layer_norm_forward(const Tensor& x, const Tensor& gain, const Tensor& bias, double eps) {
  Backend& kernels = backend_of("layer_norm", {&x, &gain, &bias});
  check(x.shape().rank() >= 1 && gain.shape() == Shape{x.shape()[-1]} && bias.shape() == gain.shape(),
        "layer_norm: expected gain and bias [D] for x [.., D], got x ", x.shape(), ", gain ", gain.shape(),
        ", bias ", bias.shape());
  check(eps > 0, "layer_norm: expected eps > 0, got ", eps);
  check_row_length("layer_norm", x.shape());
  const LayerNormResult result{Tensor::like(x), Tensor::like(x, {x.shape().before(-1), 3})};
  kernels.layer_norm(x, gain, bias, eps, Out(result.y), Out(result.statistics));
  return result;
}

LinearResult linear_forward(const Tensor& x, const Tensor& w, const Tensor& b,
                            std::optional<UnaryOp> activation, bool keep_pre) {
  Backend& kernels = backend_of("linear", {&x, &w, b ? &b : &w});
  const Shape &sx = x.shape(), &sw = w.shape();
  check(sx.rank() >= 1 && sw.rank() == 2 && sx[-1] == sw[1], "linear: expected x [.., K] and w [M, K], got ",
        sx, " and ", sw);
  check(!b || b.shape() == Shape{sw[0]}, "linear: expected b [", sw[0], "], got ", b.shape());
  check(std::max({sx.before(-1), sw[0], sw[1]}) <= INT32_MAX, "linear: sizes above 2^31: ", sx, " and ", sw);
  const Tensor y = Tensor::like(x, sx.with(-1, sw[0])), pre = keep_pre ? Tensor::like(y) : Tensor();
  kernels.linear(x, w, b, activation, Out(y), Out(pre));
  return {y, pre};
}

IdColumns checked_ids(const char* op, const IdColumns& c, int64_t vocab, Device device,
                      std::optional<int32_t> ignored) {
  check(c.ids && c.ids.dtype() == DType::i32, op, ": expected ids i32 [.., T], got ", c.ids.dtype(), " ",
        c.ids.shape());
  check(c.first >= 0 && c.count >= 0 && c.count <= c.width() - c.first, op, ": no ", c.count,
        " columns from column ", c.first, " on in ids ", c.ids.shape());
  backend(c.ids.device()).check_ids(op, c, vocab, ignored);
  return {c.ids.to(device), c.first, c.count};
}

Tensor embedding_forward(const Tensor& table, const IdColumns& ids, double scale, const Tensor& positions) {
  Backend& kernels = backend_of("embedding", {&table, positions ? &positions : &table});
  const Shape &v = table.shape(), &p = positions.shape();
  check(v.rank() == 2, "embedding: expected a table [V, D], got ", v);
  check(!positions || (p.rank() == 2 && p[0] >= ids.count && p[1] == v[1]),
        "embedding: expected positions [>= ", ids.count, ", ", v[1], "], got ", p);
  const Tensor y = Tensor::like(table, ids.shape().with_last(v[1]));
  kernels.embedding(table, ids, scale, positions, Out(y));
  return y;
}

Tensor embedding(const Tensor& table, const IdColumns& ids, double scale, const Tensor& positions) {
  check(table.shape().rank() == 2, "embedding: expected a table [V, D], got ", table.shape());
  return embedding_forward(table, checked_ids("embedding", ids, table.shape()[0], table.device()), scale,
                           positions);
}

IdColumns row_ids(const Tensor& x, const Tensor& ids) {
  check(x && x.shape().rank() > 0, "rows: expected a tensor of rows, got ", x.shape());
  return checked_ids("rows", ids, x.shape()[0], x.device());
}

Tensor rows_forward(const Tensor& x, const IdColumns& ids) {
  const Shape &s = x.shape(), picked = ids.shape();
  std::vector<int64_t> sizes(picked.begin(), picked.end());
  sizes.insert(sizes.end(), s.begin() + 1, s.end());
  return embedding_forward(x.reshape({s[0], s.after(0)}), ids, 1, {}).reshape(Shape(sizes));
}

Tensor rows(const Tensor& x, const Tensor& ids) {
  const IdColumns checked = row_ids(x, ids);
  if (x.dtype() != DType::i32) return rows_forward(x, checked);
  return rows_forward(x.to(DType::f64), checked).to(DType::i32);  // f64 holds each exactly
}

namespace {

// Two of q, k and v may be the same columns, but not columns that overlap: then heads would share some, and
// their gradients, which are written side by side, would meet.
void check_apart(const PackedHeads& a, const PackedHeads& b, int64_t d_model) {
  const int64_t distance = std::abs(a.first - b.first);
  check(!a.tensor.overlaps(b.tensor) || distance == 0 || distance >= d_model, "attention: columns ", a.first,
        " to ", a.first + d_model, " and ", b.first, " to ", b.first + d_model,
        " of one tensor overlap; take the same ones, or others");
}

}  // namespace

AttentionResult attention_forward(const Qkv& x, const AttentionSpec& asked) {
  AttentionSpec spec = asked;
  Backend& kernels = backend_of("attention", {&x.q.tensor, &x.k.tensor, &x.v.tensor});
  check(spec.heads >= 1 && spec.d_model >= 1, "attention: expected heads and d_model of at least 1, got ",
        spec.heads, " and ", spec.d_model);
  check(spec.d_model % spec.heads == 0, "attention: ", spec.heads, " heads do not divide d_model ",
        spec.d_model);
  for (const auto& [tensor, first] : {x.q, x.k, x.v}) {
    const Shape &s = tensor.shape(), &sq = x.q.tensor.shape();
    check(s.rank() == 3 && s[0] == sq[0],
          "attention: expected queries, keys and values [B, T, D] with one B, got ", s, " beside queries ",
          sq);
    check(first >= 0 && first <= s[2] - spec.d_model, "attention: no ", spec.d_model, " columns from column ",
          first, " on in ", s);
  }
  check_apart(x.q, x.k, spec.d_model);
  check_apart(x.q, x.v, spec.d_model);
  check_apart(x.k, x.v, spec.d_model);
  const int64_t batch = x.q.tensor.shape()[0], queries = x.q.tensor.shape()[1], keys = x.k.tensor.shape()[1];
  check(x.v.tensor.shape()[1] == keys, "attention: ", keys, " keys but ", x.v.tensor.shape()[1], " values");
  check(std::max({batch * spec.heads, queries, keys, spec.d_model}) <= INT32_MAX,
        "attention: sizes above 2^31: queries ", x.q.tensor.shape(), ", keys ", x.k.tensor.shape(), ", ",
        spec.heads, " heads");
  check_probability("attention", spec.dropout);
  check(spec.dropout == 0 || spec.draw, "attention: dropout needs a draw of a generator");
  if (Tensor& lengths = spec.key_lengths) {
    check_lengths("attention", lengths, keys);
    check(lengths.shape() == Shape{batch}, "attention: expected key lengths [", batch, "], got ",
          lengths.shape());
    lengths = lengths.to(x.q.tensor.device());
  }
  const Tensor y = Tensor::like(x.q.tensor, {batch, queries, spec.d_model});
  const Tensor statistics = Tensor::like(y, {batch, spec.heads, queries, 2});
  kernels.attention(x, spec, Out(y), Out(statistics));
  return {y, statistics, spec};
}

CrossEntropyResult cross_entropy_forward(const Tensor& z, const IdColumns& target,
                                         const CrossEntropySpec& spec) {
  const Tensor& weight = spec.class_weight;
  Backend& kernels = backend_of("cross_entropy", {&z, weight ? &weight : &z});
  const Shape& s = z.shape();
  check(s.rank() >= 1 && s.before(-1) == target.size(), "cross_entropy: logits ", s, " do not fit ",
        target.size(), " targets");
  check_row_length("cross_entropy", s);
  check(spec.smoothing >= 0 && spec.smoothing <= 1, "cross_entropy: expected smoothing in [0, 1], got ",
        spec.smoothing);
  const bool pad_column =
      spec.convention == Smoothing::others_not_pad && spec.pad_id >= 0 && spec.pad_id < s[-1];
  const int64_t least = spec.smoothing == 0 ? 1 : pad_column ? 3 : 2;
  check(s[-1] >= least, "cross_entropy: expected at least ", least, least == 1 ? " class" : " classes",
        ", got logits ", s);
  check(!weight || weight.shape() == Shape{s[-1]}, "cross_entropy: expected class weights [", s[-1],
        "], got ", weight.shape());
  const CrossEntropyResult result{
      Tensor::like(z, spec.reduction == Reduction::none ? s.without_last() : Shape{}),
      Tensor({kLossSums}, DType::f64, z.device()), Tensor::like(z, {target.size(), 2})};
  kernels.cross_entropy(z, target, spec, Out(result.log_sum_exp), Out(result.loss), Out(result.sums));
  return result;
}

CrossEntropyResult prior_cross_entropy_forward(const Tensor& z, const Tensor& prior, const IdColumns& target,
                                               int32_t pad_id) {
  Backend& kernels = backend_of("prior_cross_entropy", {&z, &prior});
  const Shape& s = z.shape();
  check(s.rank() >= 1 && s.before(-1) == target.size(), "prior_cross_entropy: logits ", s, " do not fit ",
        target.size(), " targets");
  check_row_length("prior_cross_entropy", s);
  check(prior.shape() == Shape{s[-1]}, "prior_cross_entropy: expected a prior [", s[-1], "], got ",
        prior.shape());
  const CrossEntropyResult result{Tensor::like(z, s.without_last()), {}, Tensor::like(z, {target.size(), 2})};
  kernels.prior_cross_entropy(z, prior, target, pad_id, Out(result.log_sum_exp), Out(result.loss));
  return result;
}

}  // namespace gradus
