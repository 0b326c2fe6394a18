#include "tensor/ops.h"

#include <algorithm>
#include <numeric>

namespace gradus {

Backend& backend_of(const char* op, std::initializer_list<const Tensor*> tensors) {
  const Tensor& first = **tensors.begin();
  for (const Tensor* t : tensors) {
    check(static_cast<bool>(*t), op, ": got an empty tensor");
    check(t->dtype() != DType::i32, op, ": expected f32 or f64, got i32 ", t->shape());
    check(t->dtype() == first.dtype(), op, ": dtypes differ: ", first.dtype(), " ", first.shape(), " and ", t->dtype(),
          " ", t->shape());
    check(t->device() == first.device(), op, ": devices differ: ", first.device(), " ", first.shape(), " and ",
          t->device(), " ", t->shape());
  }
  return backend(first.device());
}

Tensor unary(Unary op, const Tensor& x) {
  Backend& kernels = backend_of(name_of(op), {&x});
  Tensor y = Tensor::like(x);
  kernels.unary(op, x, y);
  return y;
}

Tensor binary(Binary op, const Tensor& a, const Tensor& b) {
  Backend& kernels = backend_of(name_of(op), {&a, &b});
  Tensor y(broadcast(name_of(op), a.shape(), b.shape()), a.dtype(), a.device());
  kernels.binary(op, a, b, y);
  return y;
}

Tensor operator*(const Tensor& a, double factor) { return a * Tensor::full({}, factor, a.dtype(), a.device()); }

void add_to(const Tensor& y, const Tensor& x) {
  Backend& kernels = backend_of("add_to", {&y, &x});
  check(broadcast("add_to", y.shape(), x.shape()) == y.shape(), "add_to: ", x.shape(), " does not broadcast to ",
        y.shape());
  kernels.binary(Binary::add, y, x, y);
}

Tensor sum_to(const Tensor& x, const Shape& shape) {
  Backend& kernels = backend_of("sum_to", {&x});
  check(broadcast("sum_to", x.shape(), shape) == x.shape(), "sum_to: ", shape, " does not broadcast to ", x.shape());
  if (shape == x.shape()) return x;
  Tensor y(shape, x.dtype(), x.device());
  kernels.sum_to(x, y);
  return y;
}

Shape summed_shape(const Shape& shape, std::span<const int> axes, bool keep) {
  std::array<bool, Shape::kMaxRank> summed{};
  if (axes.empty()) summed.fill(true);
  for (int axis : axes) {
    bool& mark = summed[static_cast<size_t>(shape.axis_index(axis))];
    check(!mark, "sum: axis ", axis, " of ", shape, " is named twice");
    mark = true;
  }
  std::vector<int64_t> sizes;
  for (int axis = 0; axis < shape.rank(); ++axis) {
    if (!summed[static_cast<size_t>(axis)])
      sizes.push_back(shape[axis]);
    else if (keep)
      sizes.push_back(1);
  }
  return Shape(std::span<const int64_t>(sizes));
}

Tensor sum(const Tensor& x, std::span<const int> axes, bool keep) {
  Backend& kernels = backend_of("sum", {&x});
  Tensor y(summed_shape(x.shape(), axes, true), x.dtype(), x.device());
  kernels.sum_to(x, y);
  return y.reshape(summed_shape(x.shape(), axes, keep));
}

Tensor permute(const Tensor& x, std::span<const int> axes) {
  std::vector<int> order(axes.begin(), axes.end()), sorted, all(static_cast<size_t>(x.shape().rank()));
  std::vector<int64_t> sizes;
  for (int& axis : order) {
    axis = x.shape().axis_index(axis);
    sizes.push_back(x.shape()[axis]);
  }
  sorted = order;
  std::sort(sorted.begin(), sorted.end());
  std::iota(all.begin(), all.end(), 0);
  check(sorted == all, "permute: expected each of the ", all.size(), " axes of ", x.shape(), " once");
  Tensor y(Shape(std::span<const int64_t>(sizes)), x.dtype(), x.device());
  backend(x.device()).permute(x, order, y);
  return y;
}

namespace {

// Seen along `axis`, a tensor is `outer` rows of size * inner columns, so that its parts stand side by side.
int64_t inner_size(const Shape& shape, int axis) {
  int64_t inner = 1;
  for (int i = axis + 1; i < shape.rank(); ++i) inner *= shape[i];
  return inner;
}
int64_t outer_size(const Shape& shape, int axis) {
  int64_t outer = 1;
  for (int i = 0; i < axis; ++i) outer *= shape[i];
  return outer;
}

}  // namespace

Tensor concat(std::span<const Tensor> parts, int axis) {
  check(!parts.empty() && parts[0], "concat: nothing to join");
  const Shape& first = parts[0].shape();
  const int at = first.axis_index(axis);
  int64_t total = 0;
  for (const Tensor& part : parts) {
    check(part && part.dtype() == parts[0].dtype() && part.device() == parts[0].device(), "concat: expected ",
          parts[0].dtype(), " on ", parts[0].device(), ", got ", part.dtype(), " on ", part.device(),
          part ? "" : " (an empty tensor)");
    check(part.shape().rank() == first.rank() && part.shape().with(at, 1) == first.with(at, 1),
          "concat: shapes differ beside axis ", axis, ": ", first, " and ", part.shape());
    total += part.shape()[at];
  }
  Tensor y(first.with(at, total), parts[0].dtype(), parts[0].device());
  const int64_t outer = outer_size(first, at), inner = inner_size(first, at);
  int64_t column = 0;
  for (const Tensor& part : parts) {
    const int64_t width = part.shape()[at] * inner;
    backend(y.device()).copy_columns(outer, width, part, 0, width, y, column, total * inner);
    column += width;
  }
  return y;
}

std::vector<Tensor> split(const Tensor& x, std::span<const int64_t> sizes, int axis) {
  const int at = x.shape().axis_index(axis);
  check(std::accumulate(sizes.begin(), sizes.end(), int64_t{0}) == x.shape()[at], "split: the sizes do not add up to ",
        x.shape()[at]);
  const int64_t outer = outer_size(x.shape(), at), inner = inner_size(x.shape(), at);
  std::vector<Tensor> parts;
  int64_t column = 0;
  for (int64_t size : sizes) {
    Tensor part(x.shape().with(at, size), x.dtype(), x.device());
    backend(x.device()).copy_columns(outer, size * inner, x, column, x.shape()[at] * inner, part, 0, size * inner);
    column += size * inner;
    parts.push_back(part);
  }
  return parts;
}

Tensor matmul(const Tensor& a, const Tensor& b, bool transpose_a, bool transpose_b) {
  Backend& kernels = backend_of("matmul", {&a, &b});
  const Shape &sa = a.shape(), &sb = b.shape();
  check(sa.rank() >= 2 && sb.rank() >= 2, "matmul: expected matrices, got ", sa, " x ", sb);
  GemmShape g{sa[transpose_a ? -1 : -2], sb[transpose_b ? -2 : -1], sa[transpose_a ? -2 : -1], transpose_a, transpose_b};
  check(g.k == sb[transpose_b ? -1 : -2], "matmul: inner sizes differ: ", sa, transpose_a ? "^T x " : " x ", sb,
        transpose_b ? "^T" : "");
  check(std::max({g.m, g.n, g.k, sa.rows()}) <= INT32_MAX, "matmul: sizes above 2^31 are not supported: ", sa, " x ", sb);
  Tensor c(sa.with(-2, g.m).with(-1, g.n), a.dtype(), a.device());
  if (sb.rank() == 2 && !transpose_a) {
    g.m = sa.rows();  // one tall product
  } else {
    check(sb.rank() == sa.rank() && sa.with(-1, 1).with(-2, 1) == sb.with(-1, 1).with(-2, 1),
          "matmul: leading axes differ: ", sa, " x ", sb);
    g.batch = sa.without_last().rows();
    g.stride_a = g.m * g.k, g.stride_b = g.k * g.n, g.stride_c = g.m * g.n;
  }
  kernels.gemm(g, 1, a, b, 0, c);
  return c;
}

namespace {

Tensor softmax_along_rows(const char* op, const Tensor& x, bool log) {
  Backend& kernels = backend_of(op, {&x});
  check(x.shape().rank() >= 1 && x.shape()[-1] >= 1, op, ": expected a last axis of at least 1, got ", x.shape());
  Tensor y = Tensor::like(x);
  kernels.softmax(x, log, y);
  return y;
}

}  // namespace

Tensor softmax(const Tensor& x) { return softmax_along_rows("softmax", x, false); }
Tensor log_softmax(const Tensor& x) { return softmax_along_rows("log_softmax", x, true); }

LayerNormResult layer_norm(const Tensor& x, const Tensor& gain, const Tensor& bias, double eps) {
  Backend& kernels = backend_of("layer_norm", {&x, &gain, &bias});
  check(x.shape().rank() >= 1 && gain.shape() == Shape{x.shape()[-1]} && bias.shape() == gain.shape(),
        "layer_norm: expected gain and bias [D] for x [.., D], got x ", x.shape(), ", gain ", gain.shape(), ", bias ",
        bias.shape());
  const Shape rows{x.shape().rows()};
  LayerNormResult result{Tensor::like(x), Tensor(rows, x.dtype(), x.device()), Tensor(rows, x.dtype(), x.device())};
  kernels.layer_norm(x, gain, bias, eps, result.y, result.mean, result.rstd);
  return result;
}

LinearResult linear(const Tensor& x, const Tensor& w, const Tensor& b, std::optional<Unary> activation) {
  Backend& kernels = backend_of("linear", {&x, &w, b ? &b : &w});
  check(x.shape().rank() >= 1 && w.shape().rank() == 2 && x.shape()[-1] == w.shape()[1],
        "linear: expected x [.., K] and w [M, K], got ", x.shape(), " and ", w.shape());
  check(!b || b.shape() == Shape{w.shape()[0]}, "linear: expected b [", w.shape()[0], "], got ", b.shape());
  check(std::max({x.shape().rows(), w.shape()[0], w.shape()[1]}) <= INT32_MAX, "linear: sizes above 2^31: ", x.shape(),
        " and ", w.shape());
  LinearResult result{Tensor(x.shape().with(-1, w.shape()[0]), x.dtype(), x.device()), {}};
  if (activation && visit(*activation, [](auto fn) { return fn.needs_x; })) result.pre = Tensor::like(result.y);
  kernels.linear(x, w, b, activation, result.y, result.pre);
  return result;
}

void check_probability(const char* op, double p) {
  check(p >= 0 && p < 1, op, ": expected a probability in [0, 1), got ", p);
}

Tensor dropout(const Tensor& x, const Tensor& residual, double p, const Draw& draw) {
  Backend& kernels = backend_of("dropout", {&x, residual ? &residual : &x});
  check_probability("dropout", p);
  check(!residual || residual.shape() == x.shape(), "dropout_add: shapes differ: ", x.shape(), " and ",
        residual.shape());
  Tensor y = Tensor::like(x);
  kernels.dropout(x, residual, p, draw, y);
  return y;
}

namespace {

void check_columns(const char* op, const IdColumns& ids) {
  const Shape& s = ids.ids.shape();
  check(ids.ids && ids.ids.dtype() == DType::i32 && s.rank() == 2 && ids.first >= 0 && ids.count >= 0 &&
            ids.first + ids.count <= s[1],
        op, ": expected ids i32 [B, T] with columns ", ids.first, " to ", ids.first + ids.count, ", got ",
        ids.ids.dtype(), " ", s);
}

}  // namespace

Tensor embedding(const Tensor& table, const IdColumns& ids, double scale, const Tensor& positions) {
  Backend& kernels = backend_of("embedding", {&table, positions ? &positions : &table});
  check(table.shape().rank() == 2, "embedding: expected a table [V, D], got ", table.shape());
  check_columns("embedding", ids);
  check(!positions || (positions.shape().rank() == 2 && positions.shape()[1] == table.shape()[1]),
        "embedding: expected positions [*, ", table.shape()[1], "], got ", positions.shape());
  check(!positions || ids.count <= positions.shape()[0], "embedding: sequence of ", ids.count,
        " tokens is longer than the ", positions ? positions.shape()[0] : 0, " positions");
  kernels.check_ids("embedding", ids, table.shape()[0]);
  Tensor y({ids.ids.shape()[0], ids.count, table.shape()[1]}, table.dtype(), table.device());
  kernels.embedding(table, ids, scale, positions, y);
  return y;
}

namespace {

void check_heads(const char* name, const PackedHeads& heads, const AttentionSpec& spec, int64_t batch) {
  const Shape& s = heads.tensor.shape();
  check(s.rank() == 3 && s[0] == batch && heads.first >= 0 && heads.first + spec.d_model <= s[2], "attention: expected ",
        name, " [", batch, ", T, >= ", heads.first + spec.d_model, "], got ", s);
}

}  // namespace

AttentionResult attention(const PackedHeads& q, const PackedHeads& k, const PackedHeads& v, const AttentionSpec& spec) {
  Backend& kernels = backend_of("attention", {&q.tensor, &k.tensor, &v.tensor});
  check(spec.heads >= 1 && spec.d_model >= 1 && spec.d_model % spec.heads == 0, "attention: ", spec.heads,
        " heads do not divide d_model ", spec.d_model);
  check(q.tensor.shape().rank() == 3, "attention: expected queries [B, T, width], got ", q.tensor.shape());
  const int64_t batch = q.tensor.shape()[0], queries = q.tensor.shape()[1];
  check_heads("queries", q, spec, batch);
  check_heads("keys", k, spec, batch);
  check_heads("values", v, spec, batch);
  const int64_t keys = k.tensor.shape()[1];
  check(v.tensor.shape()[1] == keys, "attention: ", keys, " keys but ", v.tensor.shape()[1], " values");
  check(!spec.key_lengths || (spec.key_lengths.dtype() == DType::i32 && spec.key_lengths.shape() == Shape{batch}),
        "attention: expected key lengths i32 [", batch, "], got ", spec.key_lengths.dtype(), " ",
        spec.key_lengths.shape());
  check_probability("attention", spec.dropout);
  check(spec.dropout == 0 || spec.draw.step, "attention: dropout needs a draw of a generator");
  const DType dtype = q.tensor.dtype();
  AttentionResult result{Tensor({batch, queries, spec.d_model}, dtype, q.tensor.device()),
                         Tensor({batch, spec.heads, queries}, dtype, q.tensor.device())};
  kernels.attention(q, k, v, spec, result.y, result.log_sum_exp);
  return result;
}

CrossEntropyResult cross_entropy(const Tensor& logits, const IdColumns& target, const CrossEntropySpec& spec) {
  Backend& kernels = backend_of("cross_entropy", {&logits, spec.class_weight ? &spec.class_weight : &logits});
  check_columns("cross_entropy", target);
  check(logits.shape().rank() >= 1 && logits.shape().rows() == target.size(), "cross_entropy: logits ", logits.shape(),
        " need ", logits.shape().rank() >= 1 ? logits.shape().rows() : 0, " targets, got ", target.size());
  const int64_t vocab = logits.shape()[-1], rows = target.size();
  check(spec.pad_id < vocab, "cross_entropy: pad id ", spec.pad_id, " is outside [0, ", vocab, ")");
  check(!spec.class_weight || spec.class_weight.shape() == Shape{vocab}, "cross_entropy: expected class weights [", vocab,
        "], got ", spec.class_weight.shape());
  kernels.check_ids("cross_entropy", target, vocab);
  const Device device = logits.device();
  const Shape loss = spec.reduction == Reduction::none ? logits.shape().without_last() : Shape{};
  CrossEntropyResult result{Tensor(loss, logits.dtype(), device), Tensor({rows, 2}, logits.dtype(), device),
                            Tensor({5}, DType::f64, device)};
  kernels.cross_entropy(logits, target, spec, result.log_sum_exp, result.loss, result.sums);
  return result;
}

}  // namespace gradus
