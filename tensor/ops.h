// What users call on Tensors: each function checks its arguments, allocates the result and calls one kernel.
// The same names exist for Variables in autograd/ops.h, which call these and add a gradient rule. Real
// arguments are f32 or f64, all of one dtype and on one device; a mismatch throws std::invalid_argument that
// names the operation and both sides.
#pragma once

#include "tensor/backend.h"
#include "tensor/tensor.h"

namespace gradus {

// The backend that runs `op` on these tensors; throws unless they are real, of one dtype and on one device.
Backend& backend_of(const char* op, std::initializer_list<const Tensor*> tensors);

Tensor unary(const UnaryOp& op, const Tensor& x);
Tensor unary_backward(const UnaryOp& op, const Tensor& x, const Tensor& y, const Tensor& dy);  // see Backend
inline Tensor neg(const Tensor& x) { return unary(Unary::neg, x); }
inline Tensor exp(const Tensor& x) { return unary(Unary::exp, x); }
inline Tensor log(const Tensor& x) { return unary(Unary::log, x); }
inline Tensor sqrt(const Tensor& x) { return unary(Unary::sqrt, x); }
inline Tensor tanh(const Tensor& x) { return unary(Unary::tanh, x); }
inline Tensor sigmoid(const Tensor& x) { return unary(Unary::sigmoid, x); }
inline Tensor relu(const Tensor& x) { return unary(Unary::relu, x); }
inline Tensor gelu(const Tensor& x) { return unary(Unary::gelu, x); }
inline Tensor silu(const Tensor& x) { return unary(Unary::silu, x); }
inline Tensor abs(const Tensor& x) { return unary(Unary::abs, x); }
inline Tensor x_log_x(const Tensor& x) { return unary(Unary::x_log_x, x); }  // 0 at 0
UnaryOp clamp_op(double low, double high);                                   // throws unless low <= high
inline Tensor pow(const Tensor& x, double exponent) { return unary(UnaryOp::pow(exponent), x); }
inline Tensor clamp(const Tensor& x, double low, double high) { return unary(clamp_op(low, high), x); }

Tensor binary(Binary op, const Tensor& a, const Tensor& b);  // broadcasts
inline Tensor add(const Tensor& a, const Tensor& b) { return binary(Binary::add, a, b); }
inline Tensor sub(const Tensor& a, const Tensor& b) { return binary(Binary::sub, a, b); }
inline Tensor mul(const Tensor& a, const Tensor& b) { return binary(Binary::mul, a, b); }
inline Tensor div(const Tensor& a, const Tensor& b) { return binary(Binary::div, a, b); }
inline Tensor operator+(const Tensor& a, const Tensor& b) { return add(a, b); }
inline Tensor operator-(const Tensor& a, const Tensor& b) { return sub(a, b); }
inline Tensor operator*(const Tensor& a, const Tensor& b) { return mul(a, b); }
inline Tensor operator/(const Tensor& a, const Tensor& b) { return div(a, b); }
inline Tensor operator-(const Tensor& x) { return neg(x); }
inline Tensor operator+(const Tensor& x, double c) { return unary(UnaryOp::affine(1, c), x); }
inline Tensor operator+(double c, const Tensor& x) { return unary(UnaryOp::affine(1, c), x); }
inline Tensor operator-(const Tensor& x, double c) { return unary(UnaryOp::affine(1, -c), x); }
inline Tensor operator-(double c, const Tensor& x) { return unary(UnaryOp::affine(-1, c), x); }
inline Tensor operator*(const Tensor& x, double c) { return unary(UnaryOp::scale(c), x); }
inline Tensor operator*(double c, const Tensor& x) { return unary(UnaryOp::scale(c), x); }
inline Tensor operator/(const Tensor& x, double c) { return unary(UnaryOp::divide(c), x); }
inline Tensor operator/(double c, const Tensor& x) { return unary(UnaryOp::reciprocal(c), x); }
// A new tensor in this handle; other handles keep the old one. add_to writes into the block.
template <class X> Tensor& operator+=(Tensor& x, const X& y) { return x = x + y; }
template <class X> Tensor& operator-=(Tensor& x, const X& y) { return x = x - y; }
template <class X> Tensor& operator*=(Tensor& x, const X& y) { return x = x * y; }
template <class X> Tensor& operator/=(Tensor& x, const X& y) { return x = x / y; }
void add_to(const Tensor& y,
            const Tensor& x);  // y += x, in place; x broadcasts to y's shape, and may overlap it

// y += x, in place, summed over the axes along which y would stretch to x.
void add_sum_to(const Tensor& y, const Tensor& x);

// What a comparison gives: i32, 1 where it holds and 0 elsewhere. It is no condition for `if`: say which of
// its elements you mean.
class Mask : public Tensor {
 public:
  explicit Mask(Tensor tensor) : Tensor(std::move(tensor)) {}
  explicit operator bool() const = delete;
};

// One side of a comparison: a tensor of any dtype, or a number.
struct Comparand {
  Tensor tensor;
  double number = 0;  // where there is no tensor

  Comparand(Tensor t) : tensor(std::move(t)) {
    check(static_cast<bool>(tensor), "compare: got an empty tensor");
  }
  Comparand(double n) : number(n) {}
};
Mask compared(Compare op, const Comparand& a, const Comparand& b);  // broadcasts
inline Mask operator<(const Comparand& a, const Comparand& b) { return compared(Compare::less, a, b); }
inline Mask operator>(const Comparand& a, const Comparand& b) { return compared(Compare::less, b, a); }
inline Mask operator<=(const Comparand& a, const Comparand& b) { return compared(Compare::less_equal, a, b); }
inline Mask operator>=(const Comparand& a, const Comparand& b) { return compared(Compare::less_equal, b, a); }
inline Mask operator==(const Comparand& a, const Comparand& b) { return compared(Compare::equal, a, b); }
inline Mask operator!=(const Comparand& a, const Comparand& b) { return compared(Compare::not_equal, a, b); }

// a where the mask is not 0, else b; all three broadcast. The mask has any dtype, a and b the same one.
Tensor where(const Tensor& mask, const Tensor& a, const Tensor& b);
Tensor where(const Tensor& mask, const Tensor& a, double b);
Tensor where(const Tensor& mask, double a, const Tensor& b);

// Sums over the axes (none given: all). Summed axes keep size 1 when keep is set, else they vanish.
Tensor sum(const Tensor& x, const Axes& axes = {}, bool keep = false);
Tensor mean(const Tensor& x, const Axes& axes = {}, bool keep = false);
Tensor max(const Tensor& x, const Axes& axes = {}, bool keep = false);  // NaN is larger than all
Tensor argmax(const Tensor& x, Axis axis, bool keep = false);           // i32: where the first largest stands
// The k largest of each row of x [.., D], the largest first, of equal ones the first, and where they stand;
// NaN is larger than all. Both [.., k], ids i32.
struct TopK {
  Tensor values, ids;
};
TopK topk(const Tensor& x, int64_t k);
Mask first_largest(const Tensor& ids, int64_t n);                     // [.., n]: 1 at each id of ids [..]
std::vector<int> reduced_last(const Shape& shape, const Axes& axes);  // for permute: these axes come last
Tensor sum_to(const Tensor& x,
              const Shape& shape);  // undoes broadcasting from `shape`; x itself where none was

inline Tensor reshape(const Tensor& x, Shape shape) { return x.reshape(shape); }
inline Tensor reshape(const Tensor& x, std::initializer_list<int64_t> sizes) { return x.reshape(sizes); }
Tensor permute(const Tensor& x, const std::vector<int>& axes);  // y's axis i is x's axis axes[i]
Tensor transpose(const Tensor& x);                              // swaps the last two axes
std::vector<int> swapped(const Shape& shape, int a, int b);     // for permute; its own inverse
inline Tensor rows(const Tensor& x, int64_t from, int64_t to) { return x.rows(from, to); }  // a view
Tensor slice(const Tensor& x, Axis axis, int64_t from, int64_t to);    // a copy of [from, to) along an axis
Tensor padded(const Tensor& x, int axis, int64_t from, int64_t size);  // undoes slice: 0 around x
Tensor concat(std::span<const Tensor> parts, Axis axis);
inline Tensor concat(std::initializer_list<Tensor> parts, Axis axis) {
  return concat(std::span(parts.begin(), parts.size()), axis);
}
// Row `position` of each cache [B, longest, W] becomes columns [first, first + W) of x [B, 1, *]; in place,
// off the tape.
void store_columns(const Tensor& x, int64_t first, const Tensor& cache, int64_t position);

// op(a) [.., m, k] x op(b) [.., k, n] -> [.., m, n]; op transposes the last two axes where asked. b may have
// rank 2 and is then shared by the whole batch (a not transposed); else the leading axes must agree.
Tensor matmul(const Tensor& a, const Tensor& b, bool transpose_a = false, bool transpose_b = false);

Tensor softmax(const Tensor& x, Axis axis = -1);      // along that axis
Tensor log_softmax(const Tensor& x, Axis axis = -1);  // its logarithm, which keeps digits near softmax 0

Tensor dropout(const Tensor& x, const Tensor& residual, double p, const Draw& draw);  // residual or none
// residual + dropout(x), or without a residual dropout(x) alone. Takes one draw, unless p is 0.
Tensor dropout_add(const Tensor& x, const Tensor& residual, double p, Generator& generator);
inline Tensor dropout(const Tensor& x, double p, Generator& g) { return dropout_add(x, {}, p, g); }
void check_probability(const char* op, double p);          // 0 <= p < 1
void check_row_length(const char* op, const Shape& rows);  // at most 2^30: kernels number places by 32 bits
// i32 [B], each in [0, most], or none. On a device the kernel that reads them reports, at the next copy to
// the host.
void check_lengths(const char* op, const Tensor& lengths, int64_t most);

}  // namespace gradus
