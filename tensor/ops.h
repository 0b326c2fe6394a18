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

Tensor unary(Unary op, const Tensor& x);
Tensor unary_backward(Unary op, const Tensor& x, const Tensor& y, const Tensor& dy);  // see Backend
Tensor binary(Binary op, const Tensor& a, const Tensor& b);                           // broadcasts
inline Tensor operator+(const Tensor& a, const Tensor& b) { return binary(Binary::add, a, b); }
inline Tensor operator-(const Tensor& a, const Tensor& b) { return binary(Binary::sub, a, b); }
inline Tensor operator*(const Tensor& a, const Tensor& b) { return binary(Binary::mul, a, b); }
inline Tensor operator/(const Tensor& a, const Tensor& b) { return binary(Binary::div, a, b); }
Tensor operator*(const Tensor& a, double factor);
inline Tensor operator-(const Tensor& a) { return unary(Unary::neg, a); }
void add_to(const Tensor& y,
            const Tensor& x);  // y += x, in place; x broadcasts to y's shape, and may overlap it

// Sums over the axes (none given: all). Summed axes keep size 1 when keep is set, else they vanish.
Shape summed_shape(const Shape& shape, std::span<const int> axes, bool keep);
Tensor sum(const Tensor& x, const std::vector<int>& axes = {}, bool keep = false);
Tensor sum_to(const Tensor& x, const Shape& shape);          // undoes broadcasting from `shape`
Tensor permute(const Tensor& x, std::span<const int> axes);  // y's axis i is x's axis axes[i]
Tensor concat(std::span<const Tensor> parts, int axis);
// Row `position` of each cache [B, longest, W] becomes columns [first, first + W) of x [B, 1, *]; in place,
// off the tape.
void store_columns(const Tensor& x, int64_t first, const Tensor& cache, int64_t position);
Tensor slice(const Tensor& x, int axis, int64_t from, int64_t to);  // a copy of [from, to) along an axis

// op(a) [.., m, k] x op(b) [.., k, n] -> [.., m, n]; op transposes the last two axes where asked. b may have
// rank 2 and is then shared by the whole batch (a not transposed); else the leading axes must agree.
Tensor matmul(const Tensor& a, const Tensor& b, bool transpose_a = false, bool transpose_b = false);

Tensor softmax(const Tensor& x, int axis = -1);  // along that axis
Tensor log_softmax(const Tensor& x,
                   int axis = -1);               // its logarithm, which keeps digits where softmax is near 0
Tensor softmax(const Tensor& x, bool) = delete;  // no axis
Tensor log_softmax(const Tensor& x, bool) = delete;
std::vector<int> swapped_with_last(const Shape& shape, int axis);  // for permute; its own inverse

Tensor dropout(const Tensor& x, const Tensor& residual, double p, const Draw& draw);  // residual or none
void check_probability(const char* op, double p);                                     // 0 <= p < 1
// i32 [B], each in [0, most], or none. On a device the kernel that reads them reports, at the next copy to
// the host.
void check_lengths(const char* op, const Tensor& lengths, int64_t most);

}  // namespace gradus
