// Every operation in the spelling that a program of somebody else's uses, and the value that it gives.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <sstream>

#include "autograd/ops.h"

namespace gradus::tests::api {

using Numbers = std::vector<double>;

inline Numbers values(const Tensor& x) { return x.to(DType::f64).to_vector<double>(); }
inline Numbers values(const Variable& x) { return values(x.value()); }

template <class X> std::string printed(const X& x) {
  std::ostringstream out;
  out << x;
  return out.str();
}

inline void near(const Numbers& got, const Numbers& expected) {
  REQUIRE(got.size() == expected.size());
  for (size_t i = 0; i < got.size(); ++i) CHECK(got[i] == doctest::Approx(expected[i]).epsilon(1e-6));
}

// Operations on Tensors give a Tensor, those on Variables a Variable.
template <class X> void check_types(const X& x) {
  Generator random;
  const Tensor ids = Tensor::from({1, 0}, {2});
  const auto all_are = [](auto... results) { static_assert((std::same_as<decltype(results), X> && ...)); };
  all_are(x + 1, 1 - x, x / x, -x, add(x, x), sub(x, x), mul(x, x), div(x, x), neg(x));
  all_are(exp(x), log(x), sqrt(x), tanh(x), sigmoid(x), relu(x), gelu(x), silu(x), abs(x), x_log_x(x));
  all_are(pow(x, 2), clamp(x, 0, 1), where(x > 0, x, x), where(x > 0, x, 0.), where(x > 0, 0., x));
  all_are(sum(x), mean(x), max(x), softmax(x), log_softmax(x), matmul(x, x));
  all_are(dropout(x, 0.1, random), dropout_add(x, x, 0.1, random), dropout_add(x, {}, 0.1, random));
  all_are(reshape(x, {-1}), reshape(x, Shape{4}), x.reshape({-1}), permute(x, {1, 0}), transpose(x));
  all_are(rows(x, 0, 1), rows(x, ids), slice(x, 1, 0, 1), concat({x, x}, 0), embedding(x, ids));
  const X row = rows(x, 0, 1).reshape({2});
  all_are(linear(x, x, {}), linear(x, x, row, Unary::relu), layer_norm(x, row, row));
  static_assert(std::same_as<decltype(argmax(x, 0)), Tensor>);
  // An axis is a whole number.
  static_assert(
      !requires(X y) { softmax(y, true); } && !requires(X y) { log_softmax(y, 0.5); });
  static_assert(
      !requires(X y) { argmax(y, {}); } && !requires(X y) { softmax(y, {}); });
}

// What is said of a Tensor holds for a Variable: x and y are [2, 2], 1 to 4 and 4 to 1.
template <class X> void check_operations(const X& x, const X& y) {
  const Tensor t = Tensor::ones({2, 2}, DType::f32, x.device());
  near(values(x + 1.0), {2, 3, 4, 5});
  near(values(1 - x), {0, -1, -2, -3});
  near(values(2.0 * x), {2, 4, 6, 8});
  near(values(x / 2.0), {0.5, 1, 1.5, 2});
  near(values(1.0 / x), {1, 0.5, 1. / 3, 0.25});
  near(values(-x), {-1, -2, -3, -4});
  near(values(x + t), {2, 3, 4, 5});
  near(values(t * x), {1, 2, 3, 4});
  X z = x * 1;
  z += y;
  near(values(z), {5, 5, 5, 5});
  z *= 2;
  near(values(z), {10, 10, 10, 10});
  near(values(x), {1, 2, 3, 4});

  near(values(x > 2.0), {0, 0, 1, 1});
  near(values(x < y), {1, 1, 0, 0});
  near(values(x == y), {0, 0, 0, 0});
  near(values(x != 2), {1, 0, 1, 1});
  near(values(2 <= x), {0, 1, 1, 1});
  CHECK((x >= t).dtype() == DType::i32);
  near(values(where(x > 2.0, x, y)), {4, 3, 3, 4});
  near(values(where(x > 2.0, x, 0.0)), {0, 0, 3, 4});
  near(values(where(x > 0, 0.0, y)), {0, 0, 0, 0});

  near(values(exp(x)), {std::exp(1), std::exp(2), std::exp(3), std::exp(4)});
  near(values(log(x)), {0, std::log(2), std::log(3), std::log(4)});
  near(values(sqrt(x)), {1, std::sqrt(2), std::sqrt(3), 2});
  near(values(tanh(x)), {std::tanh(1), std::tanh(2), std::tanh(3), std::tanh(4)});
  const auto sigma = [](double a) { return 1 / (1 + std::exp(-a)); };
  near(values(sigmoid(x)), {sigma(1), sigma(2), sigma(3), sigma(4)});
  near(values(relu(x - 2.5)), {0, 0, 0.5, 1.5});
  const auto phi = [](double a) { return a * std::erfc(-a / std::sqrt(2)) / 2; };
  near(values(gelu(x)), {phi(1), phi(2), phi(3), phi(4)});
  near(values(silu(x)), {sigma(1), 2 * sigma(2), 3 * sigma(3), 4 * sigma(4)});
  near(values(abs(-x)), {1, 2, 3, 4});
  near(values(pow(x, 2.0)), {1, 4, 9, 16});
  near(values(pow(x, -1)), {1, 0.5, 1. / 3, 0.25});
  near(values(clamp(x, 1.5, 3)), {1.5, 2, 3, 3});

  CHECK(sum(x).item() == 10);
  near(values(sum(x, 0)), {4, 6});
  CHECK(sum(x, {0, 1}).shape() == Shape{});
  CHECK(sum(x, {0, 1}, /*keep=*/true).shape() == Shape{1, 1});
  near(values(mean(x, -1)), {1.5, 3.5});
  near(values(max(x, -1)), {2, 4});
  CHECK(max(x).item() == 4);
  near(values(argmax(y, -1)), {0, 0});
  near(values(softmax(x)), {sigma(-1), sigma(1), sigma(-1), sigma(1)});
  near(values(softmax(x, 0)), {sigma(-2), sigma(-2), sigma(2), sigma(2)});
  near(values(log_softmax(x, -1)),
       {std::log(sigma(-1)), std::log(sigma(1)), std::log(sigma(-1)), std::log(sigma(1))});
  near(values(log_softmax(x)), values(log_softmax(x, 1)));

  near(values(slice(x, 1, 0, 1)), {1, 3});
  near(values(transpose(x)), {1, 3, 2, 4});
  near(values(permute(x, {1, 0})), {1, 3, 2, 4});
  near(values(concat({x, y}, 0)), {1, 2, 3, 4, 4, 3, 2, 1});
  near(values(concat({x, y}, -1)), {1, 2, 4, 3, 3, 4, 2, 1});
  near(values(rows(x, 1, 2)), {3, 4});
  near(values(matmul(x, y)), {8, 5, 20, 13});
  near(values(rows(x, Tensor::from({1, 0, 1}, {3}))), {3, 4, 1, 2, 3, 4});
  near(values(rows(x > 2.0, Tensor::from({1, 0}, {2}))), {1, 1, 0, 0});  // i32, too
  near(values(embedding(x, Tensor::from({1, 0, 1}, {3}))), {3, 4, 1, 2, 3, 4});
  CHECK(embedding(x, Tensor::from({1, 0}, {1, 2, 1})).shape() == Shape{1, 2, 1, 2});
  CHECK(x.reshape({-1, 4}).shape() == Shape{1, 4});
  CHECK(x.shape() == Shape{2, 2});
  CHECK(x.size() == 4);
  CHECK(x.dtype() == DType::f32);
  const auto error_of = [](auto f) {
    try {
      f();
    } catch (const std::invalid_argument& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  CHECK(error_of([&] { softmax(x, 2); }) == "softmax: no axis 2 in [2, 2]");
  CHECK(error_of([&] { argmax(x, int64_t{1} << 32); }) == "argmax: no axis 4294967296 in [2, 2]");
  CHECK(error_of([&] { sum(x, -3); }) == "sum: no axis -3 in [2, 2]");
  CHECK(error_of([&] { slice(x, 5, 0, 1); }) == "slice: no axis 5 in [2, 2]");
  CHECK(error_of([&] { concat({x, x}, 5); }) == "concat: no axis 5 in [2, 2]");
  CHECK(error_of([&] { permute(x, {0, 5}); }) == "permute: no axis 5 in [2, 2]");
  CHECK(error_of([&] {
          rows(x, Tensor::from({0, 2}, {2}));
        }) == "rows: id 2 at row 0, position 1 is outside [0, 2)");
  CHECK(printed(x) == "[[1, 2],\n [3, 4]]  f32 [2, 2]");
}

// The same on Tensors, on constants, and on leaves that want a gradient.
inline void check_operations(Device device) {
  const Tensor t = Tensor::from({1.f, 2.f, 3.f, 4.f}, {2, 2}, device);
  const Tensor u = Tensor::from({4.f, 3.f, 2.f, 1.f}, {2, 2}, device);
  check_types<Tensor>(t);
  check_types<Variable>(Variable(t, true));
  check_operations<Tensor>(t, u);
  check_operations<Variable>(t, u);
  check_operations<Variable>(Variable(t, true), u);
}

}  // namespace gradus::tests::api
