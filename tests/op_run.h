// How a row of the table of operations (op_cases.h) is run, forward and backward, on any device, how results
// are compared, and the checks that every device has to pass.
#pragma once

#include <doctest/doctest.h>

#include <cstring>
#include <limits>

#include "autograd/gradcheck.h"
#include "tests/op_cases.h"

namespace gradus::tests {

constexpr double kEps = std::numeric_limits<float>::epsilon();

// The same numbers for f32 and f64: what is drawn is rounded to float.
inline std::vector<Array> draw(const OpCase& row) {
  Generator generator(1);
  std::vector<Array> arrays;
  for (const Input& input : row.inputs) {
    Array& x = arrays.emplace_back(input.shape, generator.normal(input.shape, 1).to_vector<double>());
    for (double& a : x.v) {
      if (input.values == Values::positive) a = 0.5 + 1.5 / (1 + std::exp(-a));
      if (input.values == Values::off_kink && std::fabs(a) <= 0.01) a += a < 0 ? -0.02 : 0.02;
      a = static_cast<float>(a);
    }
  }
  return arrays;
}

inline Generator generator_of_rows() {
  Generator generator(kSeed);
  generator.set_step(kStep);
  return generator;
}

inline std::vector<Variable> leaves(std::span<const Array> arrays, DType dtype, Device device,
                                    size_t only = SIZE_MAX) {
  std::vector<Variable> x;
  for (size_t i = 0; i < arrays.size(); ++i)
    x.emplace_back(Tensor::from(arrays[i].v, arrays[i].shape, device).to(dtype),
                   only == SIZE_MAX || only == i);
  return x;
}

struct Result {
  Tensor y;
  std::vector<Tensor> gradients;  // of the inputs that wanted one
};

inline Result run(const OpCase& row, std::span<const Array> arrays, DType dtype, Device device = Device::cpu,
                  size_t only = SIZE_MAX) {
  const std::vector<Variable> x = leaves(arrays, dtype, device, only);
  Generator generator = generator_of_rows();
  const Variable y = row.f(x, generator);
  Result result{y.value(), {}};
  y.backward(Generator(2).uniform(y.shape(), -1, 1).to(DType::f32).to(dtype).to(device));
  for (const Variable& v : x)
    if (v.requires_grad()) result.gradients.push_back(v.grad());
  return result;
}

// The largest difference, relative to the largest expected element; NaN stays NaN.
inline double error_of(const Tensor& y, std::span<const double> expected) {
  const std::vector<double> values = y.to(DType::f64).to_vector<double>();
  double largest = 1e-300, difference = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    const double d = std::fabs(values[i] - expected[i]);
    if (!(d <= difference)) difference = d;
    if (std::isnan(d)) return d;
    largest = std::max(largest, std::fabs(expected[i]));
  }
  return difference / largest;
}

inline double error_of(const Tensor& y, const Tensor& expected) {
  return error_of(y, expected.to_vector<double>());
}

inline bool same_bits(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && a.dtype() == b.dtype() &&
         std::memcmp(a.to(Device::cpu).bytes(), b.to(Device::cpu).bytes(), a.byte_size()) == 0;
}

inline bool same_bits(const Result& a, const Result& b) {
  return same_bits(a.y, b.y) && std::equal(a.gradients.begin(), a.gradients.end(), b.gradients.begin(),
                                           [](const Tensor& x, const Tensor& y) { return same_bits(x, y); });
}

// Every element of every gradient against measured slopes.
inline void check_slopes(const OpCase& row, Device device) {
  INFO(row.name);
  const std::vector<Variable> x = leaves(draw(row), DType::f64, device);
  std::vector<NamedParameter> named;
  for (const Variable& v : x) named.push_back({message("input ", named.size()), v});
  Generator generator = generator_of_rows();
  const GradcheckReport report = gradcheck([&] { return row.f(x, generator); }, named, &generator);
  CHECK_MESSAGE(report.error <= 1e-8, report.worst);
}

// A gradient is the same whether or not other inputs want theirs.
inline void check_each_alone(const OpCase& row, Device device) {
  INFO(row.name);
  const std::vector<Array> x = draw(row);
  const Result all = run(row, x, DType::f32, device);
  for (size_t i = 0; x.size() > 1 && i < x.size(); ++i) {
    INFO("only input ", i);
    CHECK(same_bits(run(row, x, DType::f32, device, i).gradients[0], all.gradients[i]));
  }
}

}  // namespace gradus::tests
