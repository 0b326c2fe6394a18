// Strided: where element i of a result lies in an operand that is read in another order, or again and again.
// Axes that continue one another become one, so the usual cases cost no division at all (same shape, a
// scalar) or one (a row added to a matrix).
#pragma once

#include "tensor/shape.h"

namespace gradus::cuda {

struct Strided {
  int rank = 0;
  int64_t size[Shape::kMaxRank] = {}, stride[Shape::kMaxRank] = {};  // the outermost axis first

  void add_axis(int64_t n, int64_t step) {  // inside those before
    if (n == 1) return;
    const bool continues = rank > 0 && stride[rank - 1] == n * step;
    if (!continues) size[rank++] = 1;
    size[rank - 1] *= n;
    stride[rank - 1] = step;
  }

  // An operand of this shape, stretched to y's.
  static Strided broadcast(const Shape& shape, const Shape& y) {
    Strided result;
    for (int axis = -y.rank(); axis < 0; ++axis) {
      const bool moves = axis >= -shape.rank() && shape[axis] != 1;
      result.add_axis(y[axis], moves ? shape.after(axis) : 0);
    }
    return result;
  }

  // Every axis by its constant number: arrays among a kernel's arguments that are indexed by a variable are
  // copied to local memory, by each thread.
  __device__ int64_t offset(int64_t i) const {
    int64_t sum = 0;
#pragma unroll
    for (int axis = Shape::kMaxRank - 1; axis > 0; --axis)
      if (axis < rank) {
        sum += i % size[axis] * stride[axis];
        i /= size[axis];
      }
    return sum + i * stride[0];
  }
};

// The same where all axes are one: an operand of the result's shape, or one number for all of it.
struct OneAxis {
  int64_t mask;  // of i: all bits, or none

  explicit OneAxis(const Strided& at) : mask(-at.stride[0]) {}
  __device__ int64_t offset(int64_t i) const { return i & mask; }
};

// fn(at...) with OneAxis for each of them where that is enough, else as they are.
template <class Fn, class... At> void with_axes(const Fn& fn, const At&... at) {
  if (((at.rank <= 1) && ...)) fn(OneAxis(at)...);
  else fn(at...);
}

}  // namespace gradus::cuda
