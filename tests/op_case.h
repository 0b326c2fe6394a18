// One row of the table of operations (op_cases.h), and what the rows are written with.
#pragma once

#include <functional>
#include <string>

#include "autograd/ops.h"
#include "tests/op_references.h"

namespace gradus::tests {

using reference::Array;

enum class Values {
  normal,
  positive,  // in [0.5, 2): for log, sqrt and divisors
  off_kink,  // normal, but further than 0.01 from 0: for relu
};

struct Input {
  Shape shape;
  Values values = Values::normal;
};

using Inputs = std::span<const Variable>;
using Arrays = std::span<const Array>;

struct OpCase {
  std::string name;                               // "<op>" or "<op>: <what is special>"
  std::vector<Input> inputs;                      // f32 or f64, whatever the check asks for
  std::function<Variable(Inputs, Generator&)> f;  // the generator stands at kSeed, kStep, draw 0
  std::function<Array(Arrays)> reference;
  double f32_eps = 4;  // error allowed to f32 values and gradients, in epsilons times their largest element
  bool large =
      false;  // cut into several blocks, so that threads share it; too large to check every gradient element
};

constexpr uint64_t kSeed = 20240229;
constexpr int64_t kStep = 3;

// A constant of the operation, as the input's device has it.
inline Tensor ids_like(const Variable& x, const std::vector<int32_t>& ids, Shape shape) {
  return Tensor::from(ids, shape, x.value().device());
}
inline Tensor real_like(const Variable& x, const std::vector<double>& values, Shape shape) {
  return Tensor::from(values, shape, x.value().device()).to(x.value().dtype());
}

template <class Fn> std::function<Array(Arrays)> each(Fn fn) {
  return [fn](Arrays x) { return reference::elementwise(x[0], fn); };
}
template <class Fn> std::function<Array(Arrays)> pairwise(Fn fn) {
  return [fn](Arrays x) { return reference::broadcasted(x[0], x[1], fn); };
}

}  // namespace gradus::tests
