#include "tensor/ops.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace gradus {

Backend& backend_of(const char* op, std::initializer_list<const Tensor*> tensors) {
  note_operation(op);
  const Tensor& first = **tensors.begin();
  for (const Tensor* t : tensors) {
    check(static_cast<bool>(*t), op, ": got an empty tensor");
    check(t->dtype() != DType::i32, op, ": expected f32 or f64, got i32 ", t->shape());
    check(t->dtype() == first.dtype() && t->device() == first.device(), op, ": expected ", first.dtype(),
          " on ", first.device(), " as ", first.shape(), " is, got ", t->dtype(), " on ", t->device(), " ",
          t->shape());
  }
  return backend(first.device());
}

Tensor unary(Unary op, const Tensor& x) {
  Backend& kernels = backend_of(name_of(op), {&x});
  Tensor y = Tensor::like(x);
  kernels.unary(op, x, Out(y));
  return y;
}

Tensor unary_backward(Unary op, const Tensor& x, const Tensor& y, const Tensor& dy) {
  Tensor dx = Tensor::like(dy);
  backend(dy.device()).unary_backward(op, x, y, dy, Out(dx));
  return dx;
}

Tensor binary(Binary op, const Tensor& a, const Tensor& b) {
  Backend& kernels = backend_of(name_of(op), {&a, &b});
  Tensor y = Tensor::like(a, broadcast(name_of(op), a.shape(), b.shape()));
  kernels.binary(op, a, b, Out(y));
  return y;
}

Tensor operator*(const Tensor& a, double factor) {
  return a * Tensor::full({}, factor, a.dtype(), a.device());
}

void add_to(const Tensor& y, const Tensor& x) {
  Backend& kernels = backend_of("add_to", {&y, &x});
  check(broadcast("add_to", y.shape(), x.shape()) == y.shape(), "add_to: ", x.shape(),
        " does not broadcast to ", y.shape());
  const bool same_elements = x.shape() == y.shape() && x.bytes() == y.bytes();
  kernels.binary(Binary::add, y, y.overlaps(x) && !same_elements ? x.copy() : x, Out(y));
  y.mark_changed();
}

namespace {

Tensor reduced(const char* op, const Tensor& x, const Shape& shape) {
  Backend& kernels = backend_of(op, {&x});
  check(broadcast(op, x.shape(), shape) == x.shape(), op, ": ", shape, " does not broadcast to ", x.shape());
  if (shape == x.shape()) return x;
  Tensor y = Tensor::like(x, shape);
  kernels.sum_to(x, Out(y));
  return y;
}

}  // namespace

Tensor sum_to(const Tensor& x, const Shape& shape) { return reduced("sum_to", x, shape); }

Shape summed_shape(const Shape& shape, std::span<const int> axes, bool keep) {
  std::array<bool, Shape::kMaxRank> summed{};
  if (axes.empty()) summed.fill(true);
  for (int axis : axes)
    check(!std::exchange(summed[shape.axis_index(axis)], true), "sum: axis ", axis, " of ", shape,
          " is named twice");
  std::vector<int64_t> sizes;
  for (int axis = 0; axis < shape.rank(); ++axis)
    if (keep || !summed[axis]) sizes.push_back(summed[axis] ? 1 : shape[axis]);
  return Shape(sizes);
}

Tensor sum(const Tensor& x, const std::vector<int>& axes, bool keep) {
  return reduced("sum", x, summed_shape(x.shape(), axes, true)).reshape(summed_shape(x.shape(), axes, keep));
}

Tensor permute(const Tensor& x, std::span<const int> axes) {
  std::vector<int> order;
  std::vector<int64_t> sizes;
  for (int axis : axes) {
    order.push_back(x.shape().axis_index(axis));
    sizes.push_back(x.shape()[axis]);
  }
  for (int axis = 0; axis < x.shape().rank() || axis < static_cast<int>(order.size()); ++axis)
    check(std::count(order.begin(), order.end(), axis) == 1, "permute: expected each of the ",
          x.shape().rank(), " axes of ", x.shape(), " once");
  Tensor y = Tensor::like(x, Shape(sizes));
  backend(x.device()).permute(x, order, Out(y));
  return y;
}

Tensor concat(std::span<const Tensor> parts, int axis) {
  check(!parts.empty() && parts[0], "concat: nothing to join");
  const Tensor& first = parts[0];
  int64_t total = 0, column = 0;
  for (const Tensor& part : parts) {
    check(part && part.dtype() == first.dtype() && part.device() == first.device(), "concat: expected ",
          first.dtype(), " on ", first.device(), ", got ", part.dtype(), " on ", part.device(),
          part ? "" : " (an empty tensor)");
    check(part.shape().rank() == first.shape().rank() &&
              part.shape().with(axis, 1) == first.shape().with(axis, 1),
          "concat: shapes differ beside axis ", axis, ": ", first.shape(), " and ", part.shape());
    total += part.shape()[axis];
  }
  // Seen along the axis, a tensor is before(axis) rows of size * after(axis) columns: the parts stand side by
  // side.
  Tensor y = Tensor::like(first, first.shape().with(axis, total));
  for (const Tensor& part : parts) {
    const int64_t inner = y.shape().after(axis), width = part.shape()[axis] * inner;
    backend(y.device())
        .copy_columns(y.shape().before(axis), width, {part, 0, width}, {Out(y), column, total * inner});
    column += width;
  }
  return y;
}

Tensor slice(const Tensor& x, int axis, int64_t from, int64_t to) {
  const Shape& s = x.shape();
  check(0 <= from && from <= to && to <= s[axis], "slice: no range ", from, " to ", to, " in axis ", axis,
        " of ", s);
  Tensor y = Tensor::like(x, s.with(axis, to - from));
  const int64_t inner = s.after(axis), width = (to - from) * inner;
  if (width == 0) return y;
  backend(x.device())
      .copy_columns(s.before(axis), width, {x, from * inner, s[axis] * inner}, {Out(y), 0, width});
  return y;
}

void store_columns(const Tensor& x, int64_t first, const Tensor& cache, int64_t position) {
  Backend& kernels = backend_of("store_columns", {&x, &cache});
  const Shape &s = x.shape(), &c = cache.shape();
  check(s.rank() == 3 && c.rank() == 3 && s[0] == c[0] && s[1] == 1 && first >= 0 && first + c[2] <= s[2],
        "store_columns: expected x [B, 1, >= ", first, " + W] and cache [B, longest, W], got ", s, " and ",
        c);
  check(position >= 0 && position < c[1], "store_columns: no position ", position, " in cache ", c);
  check(!cache.overlaps(x), "store_columns: x ", s, " and the cache ", c, " share elements");
  kernels.copy_columns(c[0], c[2], {x, first, s[2]}, {Out(cache), position * c[2], c[1] * c[2]});
  cache.mark_changed();
}

Tensor matmul(const Tensor& a, const Tensor& b, bool transpose_a, bool transpose_b) {
  Backend& kernels = backend_of("matmul", {&a, &b});
  const Shape &sa = a.shape(), &sb = b.shape();
  check(sa.rank() >= 2 && sb.rank() >= 2, "matmul: expected matrices, got ", sa, " x ", sb);
  GemmShape g{sa[transpose_a ? -1 : -2], sb[transpose_b ? -2 : -1], sa[transpose_a ? -2 : -1], transpose_a,
              transpose_b};
  check(g.k == sb[transpose_b ? -1 : -2], "matmul: inner sizes differ: ", sa, transpose_a ? "^T x " : " x ",
        sb, transpose_b ? "^T" : "");
  check(std::max({g.m, g.n, g.k, sa.before(-1)}) <= INT32_MAX, "matmul: sizes above 2^31: ", sa, " x ", sb);
  Tensor c = Tensor::like(a, sa.with(-2, g.m).with(-1, g.n));
  if (sb.rank() == 2 && !transpose_a) {
    g.m = sa.before(-1);  // one tall product
  } else {
    check(sb.rank() == sa.rank() && sa.with(-1, 1).with(-2, 1) == sb.with(-1, 1).with(-2, 1),
          "matmul: leading axes differ: ", sa, " x ", sb);
    g.batch = sa.before(-2);
    g.stride_a = g.m * g.k, g.stride_b = g.k * g.n, g.stride_c = g.m * g.n;
  }
  kernels.gemm(g, 1, a, b, 0, Out(c));
  return c;
}

std::vector<int> swapped_with_last(const Shape& shape, int axis) {
  std::vector<int> axes(static_cast<size_t>(shape.rank()));
  std::iota(axes.begin(), axes.end(), 0);
  std::swap(axes[static_cast<size_t>(shape.axis_index(axis))], axes.back());
  return axes;
}

namespace {

Tensor softmax_along(const char* op, const Tensor& x, int axis, bool log) {
  Backend& kernels = backend_of(op, {&x});
  const Shape& s = x.shape();
  check(s[axis] >= 1, op, ": expected an axis of at least 1, got axis ", axis, " of ", s);
  const bool last = s.axis_index(axis) + 1 == s.rank();
  const std::vector<int> swapped = swapped_with_last(s, axis);
  const Tensor rows = last ? x : permute(x, swapped), y = Tensor::like(rows);
  kernels.softmax(rows, log, Out(y));
  return last ? y : permute(y, swapped);
}

}  // namespace

Tensor softmax(const Tensor& x, int axis) { return softmax_along("softmax", x, axis, false); }
Tensor log_softmax(const Tensor& x, int axis) { return softmax_along("log_softmax", x, axis, true); }

void check_probability(const char* op, double p) {
  check(p >= 0 && p < 1, op, ": expected a probability in [0, 1), got ", p);
  check(dropout_threshold(p) < 65536, op, ": a probability of ", p, " is 1 when rounded to 1/65,536");
}

void check_lengths(const char* op, const Tensor& lengths, int64_t most) {
  if (!lengths) return;
  check(lengths.dtype() == DType::i32 && lengths.shape().rank() == 1, op, ": expected lengths i32 [B], got ",
        lengths.dtype(), " ", lengths.shape());
  if (lengths.device() != Device::cpu) return;
  const int32_t* length = lengths.data<int32_t>();
  for (int64_t i = 0; i < lengths.size(); ++i) check_length(op, length[i], most, i);
}

Tensor dropout(const Tensor& x, const Tensor& residual, double p, const Draw& draw) {
  Backend& kernels = backend_of("dropout", {&x, residual ? &residual : &x});
  check_probability("dropout", p);
  check(!residual || residual.shape() == x.shape(), "dropout_add: shapes differ: ", x.shape(), " and ",
        residual.shape());
  Tensor y = Tensor::like(x);
  kernels.dropout(x, residual, p, draw, Out(y));
  return y;
}

}  // namespace gradus
