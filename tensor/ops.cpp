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
    check(t->dtype() != DType::i32, op, ": expected f32 or f64, got i32 ", t->shape(),
          "; say .to(DType::f32)");
    check(t->dtype() == first.dtype() && t->device() == first.device(), op, ": expected ", first.dtype(),
          " on ", first.device(), " as ", first.shape(), " is, got ", t->dtype(), " on ", t->device(), " ",
          t->shape(), "; to() brings both together");
  }
  return backend(first.device());
}

Tensor unary(const UnaryOp& op, const Tensor& x) {
  Backend& kernels = backend_of(name_of(op), {&x});
  Tensor y = Tensor::like(x);
  kernels.unary(op, x, Out(y));
  return y;
}

Tensor unary_backward(const UnaryOp& op, const Tensor& x, const Tensor& y, const Tensor& dy) {
  Backend& kernels = backend_of(name_of(op), {&dy});
  const bool fits = visit(op, [&](auto fn) {
    return (!fn.needs_x || x.shape() == dy.shape()) && (!fn.needs_y || y.shape() == dy.shape());
  });
  check(fits, name_of(op), ": its slope reads x or y of the shape of dy ", dy.shape(), ", got ", x.shape(),
        " and ", y.shape());
  Tensor dx = Tensor::like(dy);
  kernels.unary_backward(op, x, y, dy, Out(dx));
  return dx;
}

Tensor binary(Binary op, const Tensor& a, const Tensor& b) {
  Backend& kernels = backend_of(name_of(op), {&a, &b});
  Tensor y = Tensor::like(a, broadcast(name_of(op), a.shape(), b.shape()));
  kernels.binary(op, a, b, Out(y));
  return y;
}

UnaryOp clamp_op(double low, double high) {
  check(low <= high, "clamp: expected low <= high, got ", low, " and ", high);
  return UnaryOp::clamp(low, high);
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
  kernels.sum_to(x, /*add=*/false, Out(y));
  return y;
}

}  // namespace

Tensor sum_to(const Tensor& x, const Shape& shape) { return reduced("sum_to", x, shape); }

void add_sum_to(const Tensor& y, const Tensor& x) {
  if (x.shape() == y.shape()) return add_to(y, x);
  Backend& kernels = backend_of("add_sum_to", {&y, &x});
  check(broadcast("add_sum_to", x.shape(), y.shape()) == x.shape(), "add_sum_to: ", y.shape(),
        " does not broadcast to ", x.shape());
  kernels.sum_to(y.overlaps(x) ? x.copy() : x, /*add=*/true, Out(y));
  y.mark_changed();
}

Tensor sum(const Tensor& x, const Axes& axes, bool keep) {
  const Shape kept = summed_shape("sum", x.shape(), axes, true);
  const Tensor total = reduced("sum", x, kept);  // x itself, where there is nothing to add up
  return (total.overlaps(x) ? total.copy() : total).reshape(summed_shape("sum", x.shape(), axes, keep));
}

Tensor mean(const Tensor& x, const Axes& axes, bool keep) {
  backend_of("mean", {&x});
  const Tensor total = sum(x, axes, keep);
  const int64_t count = summed_count(x.shape(), axes);
  check(count > 0, "mean: of no elements, in ", x.shape());
  return total / static_cast<double>(count);
}

Tensor argmax(const Tensor& x, Axis along, bool keep) {
  Backend& kernels = backend_of("argmax", {&x});
  const int axis = along.in(x.shape(), "argmax");
  const int64_t n = x.shape()[axis];
  check(n >= 1, "argmax: of no elements, along axis ", axis, " of ", x.shape());
  check(n <= INT32_MAX, "argmax: places are i32, and axis ", axis, " of ", x.shape(), " has more");
  const Tensor y(summed_shape("argmax", x.shape(), axis, keep), DType::i32, x.device());
  kernels.argmax(x, axis, Out(y));
  return y;
}

TopK topk(const Tensor& x, int64_t k) {
  Backend& kernels = backend_of("topk", {&x});
  const Shape& s = x.shape();
  check(s.rank() >= 1 && k >= 1 && k <= s[-1], "topk: no ", k, " numbers in a row of ", s);
  check_row_length("topk", s);
  const TopK top{Tensor::like(x, s.with(-1, k)), Tensor(s.with(-1, k), DType::i32, x.device())};
  kernels.topk(x, Out(top.values), Out(top.ids));
  return top;
}

std::vector<int> reduced_last(const Shape& shape, const Axes& axes) {
  std::vector<int> order(static_cast<size_t>(shape.rank()));
  std::iota(order.begin(), order.end(), 0);
  std::stable_partition(order.begin(), order.end(), [&](int axis) {
    return !axes.all() && std::ranges::none_of(axes, [&](int64_t a) { return shape.axis_index(a) == axis; });
  });
  return order;
}

Mask first_largest(const Tensor& ids, int64_t n) {
  return Tensor::arange(n, ids.device()) == ids.reshape(ids.shape().with_last(1));
}

Tensor max(const Tensor& x, const Axes& axes, bool keep) {
  backend_of("max", {&x});
  const Shape rest = summed_shape("max", x.shape(), axes, false);
  const int64_t n = summed_count(x.shape(), axes);
  check(n > 0, "max: of no elements, in ", x.shape());
  const std::vector<int> order = reduced_last(x.shape(), axes);
  const bool in_place = std::ranges::is_sorted(order);  // nothing to move
  const Tensor rows = (in_place ? x : permute(x, order)).reshape(rest.with_last(n));
  const Tensor largest = sum(where(first_largest(argmax(rows, -1), n), rows, 0), -1);
  return largest.reshape(summed_shape("max", x.shape(), axes, keep));
}

namespace {

// Both sides as tensors of one dtype. A number takes that of the other side; beside whole numbers both become
// f64, since 2.5 is not one of them.
std::pair<Tensor, Tensor> sides(const char* op, const Comparand& a, const Comparand& b) {
  check(a.tensor || b.tensor, op, ": expected at least one tensor");
  if (a.tensor && b.tensor) {
    check(a.tensor.dtype() == b.tensor.dtype() && a.tensor.device() == b.tensor.device(), op, ": expected ",
          a.tensor.dtype(), " on ", a.tensor.device(), " on both sides, got ", b.tensor.dtype(), " on ",
          b.tensor.device());
    return {a.tensor, b.tensor};
  }
  const Tensor& given = a.tensor ? a.tensor : b.tensor;
  const Tensor real = given.dtype() == DType::i32 ? given.to(DType::f64) : given;
  const Tensor number = Tensor::full({}, a.tensor ? b.number : a.number, real.dtype(), real.device());
  return a.tensor ? std::pair(real, number) : std::pair(number, real);
}

}  // namespace

Mask compared(Compare op, const Comparand& a, const Comparand& b) {
  const auto [left, right] = sides(name_of(op), a, b);
  const Tensor y(broadcast(name_of(op), left.shape(), right.shape()), DType::i32, left.device());
  note_operation(name_of(op));
  backend(y.device()).compare(op, left, right, Out(y));
  return Mask(y);
}

Tensor where(const Tensor& mask, const Tensor& a, const Tensor& b) {
  check(mask && a && b, "where: got an empty tensor");
  check(a.dtype() == b.dtype() && a.device() == b.device() && mask.device() == a.device(),
        "where: expected one dtype on one device, got ", a.dtype(), " on ", a.device(), " and ", b.dtype(),
        " on ", b.device(), " by a mask on ", mask.device());
  const Tensor chosen = mask.dtype() == DType::i32 ? mask : mask != 0;
  const Tensor y =
      Tensor::like(a, broadcast("where", mask.shape(), broadcast("where", a.shape(), b.shape())));
  note_operation("where");
  backend(y.device()).where(chosen, a, b, Out(y));
  return y;
}

Tensor where(const Tensor& mask, const Tensor& a, double b) {
  return where(mask, a, Tensor::full({}, b, a.dtype(), a.device()));
}

Tensor where(const Tensor& mask, double a, const Tensor& b) {
  return where(mask, Tensor::full({}, a, b.dtype(), b.device()), b);
}

Tensor permute(const Tensor& x, const std::vector<int>& axes) {
  std::vector<int> order;
  std::vector<int64_t> sizes;
  for (int axis : axes) {
    order.push_back(x.shape().axis_index(axis, "permute"));
    sizes.push_back(x.shape()[axis]);
  }
  for (int axis = 0; axis < x.shape().rank() || axis < static_cast<int>(order.size()); ++axis)
    check(std::count(order.begin(), order.end(), axis) == 1, "permute: expected each of the ",
          x.shape().rank(), " axes of ", x.shape(), " once");
  Tensor y = Tensor::like(x, Shape(sizes));
  backend(x.device()).permute(x, order, Out(y));
  return y;
}

Tensor concat(std::span<const Tensor> parts, Axis along) {
  check(!parts.empty() && parts[0], "concat: nothing to join");
  const Tensor& first = parts[0];
  const int axis = along.in(first.shape(), "concat");
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

Tensor slice(const Tensor& x, Axis along, int64_t from, int64_t to) {
  const Shape& s = x.shape();
  const int axis = along.in(s, "slice");
  check(0 <= from && from <= to && to <= s[axis], "slice: no range ", from, " to ", to, " in axis ", axis,
        " of ", s);
  Tensor y = Tensor::like(x, s.with(axis, to - from));
  const int64_t inner = s.after(axis), width = (to - from) * inner;
  if (width == 0) return y;
  backend(x.device())
      .copy_columns(s.before(axis), width, {x, from * inner, s[axis] * inner}, {Out(y), 0, width});
  return y;
}

Tensor padded(const Tensor& x, int axis, int64_t from, int64_t size) {
  const Shape whole = x.shape().with(axis, size);
  check(0 <= from && from <= size - x.shape()[axis], "padded: ", x.shape(), " from ", from,
        " on has no place in ", whole);
  const Tensor y = Tensor::zeros(whole, x.dtype(), x.device());
  const int64_t inner = whole.after(axis), width = x.shape()[axis] * inner;
  if (width == 0) return y;
  backend(x.device())
      .copy_columns(whole.before(axis), width, {x, 0, width}, {Out(y), from * inner, size * inner});
  return y;
}

void store_columns(const Tensor& x, int64_t first, const Tensor& cache, int64_t position) {
  Backend& kernels = backend_of("store_columns", {&x, &cache});
  const Shape &s = x.shape(), &c = cache.shape();
  check(s.rank() == 3 && c.rank() == 3 && s[0] == c[0] && s[1] == 1 && first >= 0 && first <= s[2] - c[2],
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
  kernels.gemm(g, a, b, 0, Out(c));
  return c;
}

std::vector<int> swapped(const Shape& shape, int a, int b) {
  std::vector<int> axes(static_cast<size_t>(shape.rank()));
  std::iota(axes.begin(), axes.end(), 0);
  std::swap(axes[static_cast<size_t>(shape.axis_index(a))], axes[static_cast<size_t>(shape.axis_index(b))]);
  return axes;
}

Tensor transpose(const Tensor& x) {
  check(x.shape().rank() >= 2, "transpose: expected at least two axes, got ", x.shape());
  return permute(x, swapped(x.shape(), -2, -1));
}

namespace {

Tensor softmax_along(const char* op, const Tensor& x, Axis along, bool log) {
  Backend& kernels = backend_of(op, {&x});
  const Shape& s = x.shape();
  const int axis = along.in(s, op);
  check(s[axis] >= 1, op, ": expected an axis of at least 1, got axis ", axis, " of ", s);
  const bool last = axis + 1 == s.rank();
  const std::vector<int> to_last = swapped(s, axis, -1);
  const Tensor rows = last ? x : permute(x, to_last), y = Tensor::like(rows);
  check_row_length(op, rows.shape());
  kernels.softmax(rows, log, Out(y));
  return last ? y : permute(y, to_last);
}

}  // namespace

Tensor softmax(const Tensor& x, Axis axis) { return softmax_along("softmax", x, axis, false); }
Tensor log_softmax(const Tensor& x, Axis axis) { return softmax_along("log_softmax", x, axis, true); }

void check_row_length(const char* op, const Shape& rows) {
  check(rows[-1] <= int64_t{1} << 30, op, ": expected rows of at most 2^30 elements, got ", rows);
}

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

namespace {

Backend& check_dropout(const Tensor& x, const Tensor& residual, double p) {
  Backend& kernels = backend_of("dropout", {&x, residual ? &residual : &x});
  check_probability("dropout", p);
  check(!residual || residual.shape() == x.shape(), "dropout_add: shapes differ: ", x.shape(), " and ",
        residual.shape());
  return kernels;
}

}  // namespace

Tensor dropout(const Tensor& x, const Tensor& residual, double p, const Draw& draw) {
  Backend& kernels = check_dropout(x, residual, p);
  Tensor y = Tensor::like(x);
  kernels.dropout(x, residual, p, draw, Out(y));
  return y;
}

Tensor dropout_add(const Tensor& x, const Tensor& residual, double p, Generator& generator) {
  check_dropout(x, residual, p);
  if (p == 0) return residual ? residual + x : x;
  return dropout(x, residual, p, generator.next_draw());
}

}  // namespace gradus
