// What the tests of losses, layers and optimisers share: random tensors, and the ways in which two results
// agree. Equal means equal to the bit, near means relative to the largest number of the expected tensor:
// element by element would ask for digits that a sum of larger numbers cannot have.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "autograd/variable.h"

namespace gradus::compare {

inline std::vector<double> values(const Tensor& x) { return x.to(DType::f64).to_vector<double>(); }

inline double largest(const std::vector<double>& x) {
  double result = 0;
  for (double v : x) result = std::max(result, std::fabs(v));
  return result;
}

// max|x - expected| / max|expected|, infinite where shapes differ or something is not finite.
inline double distance(const Tensor& x, const Tensor& expected) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  if (!(x.shape() == expected.shape())) return kInfinity;
  const std::vector<double> a = values(x), b = values(expected);
  double worst = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    if (!std::isfinite(a[i]) || !std::isfinite(b[i])) return kInfinity;
    worst = std::max(worst, std::fabs(a[i] - b[i]));
  }
  return worst == 0 ? 0 : worst / largest(b);
}

inline doctest::Approx near(double expected, double tolerance = 1e-12) {
  return doctest::Approx(expected).epsilon(tolerance).scale(0);
}

inline bool equal(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && a.dtype() == b.dtype() && values(a) == values(b);
}

// Uniform in [-1, 1).
inline Tensor random(Shape shape, uint64_t seed, DType dtype = DType::f64) {
  return Generator(seed).uniform(shape, -1, 1).to(dtype);
}
inline Variable random_leaf(Shape shape, uint64_t seed, DType dtype = DType::f64) {
  return Variable(random(shape, seed, dtype), /*requires_grad=*/true);
}
inline Tensor ints(const std::vector<int32_t>& x) {
  return Tensor::from(x, {static_cast<int64_t>(x.size())});
}
inline Tensor ints(const std::vector<int32_t>& x, Shape shape) { return Tensor::from(x, shape); }

// What the caller's fault is told; "" where nothing is thrown.
template <class F> std::string error_of(F&& f) {
  try {
    f();
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "";
}
inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace gradus::compare
