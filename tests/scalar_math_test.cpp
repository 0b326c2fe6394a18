// The float functions of scalar_math.h against the double ones of the standard library, as kernels compute
// them.
#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <limits>

#include "tensor/ops.h"

using namespace gradus;

namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kTiny = std::numeric_limits<float>::denorm_min();
constexpr float kSmallest = std::numeric_limits<float>::min();  // normal
constexpr float kLargest = std::numeric_limits<float>::max();

std::vector<float> grid(double low, double high, int64_t n) {
  std::vector<float> x;
  for (int64_t i = 0; i <= n; ++i)
    x.push_back(static_cast<float>(low + (high - low) * static_cast<double>(i) / static_cast<double>(n)));
  return x;
}

// Both signs of magnitudes from the smallest float upwards, the same number in every power of two.
std::vector<float> magnitudes(float high) {
  std::vector<float> x;
  for (float a = kTiny; a <= high; a = std::max(a * 1.003f, std::nextafter(a, kInf))) {
    x.push_back(a);
    x.push_back(-a);
  }
  return x;
}

struct Worst {
  double error = 0;
  float at = 0;
};

// The largest |y - expected| / scale(x, expected). What is lost below the smallest normal float does not
// count.
template <class Fn, class Scale>
Worst worst_of(const std::vector<float>& x, const std::vector<float>& y, Fn fn, Scale scale) {
  Worst worst;
  for (size_t i = 0; i < x.size(); ++i) {
    const double expected = fn(static_cast<double>(x[i]));
    const double difference = std::max(0., std::fabs(y[i] - expected) - static_cast<double>(kSmallest));
    const double error = y[i] == expected ? 0 : difference / scale(x[i], expected);
    if (!(error <= worst.error)) worst = {error, x[i]};
  }
  return worst;
}

std::vector<float> kernel(Unary op, const std::vector<float>& x) {
  return unary(op, Tensor::from(x, {static_cast<int64_t>(x.size())})).to_vector<float>();
}

std::vector<float> scalar(float (*fn)(float), const std::vector<float>& x) {
  std::vector<float> y;
  for (float a : x) y.push_back(fn(a));
  return y;
}

double relative(double, double expected) { return std::fabs(expected); }

template <class Fn>
void check_relative(const char* name, const std::vector<float>& x, const std::vector<float>& y, Fn fn,
                    double bound) {
  const Worst worst = worst_of(x, y, fn, relative);
  CHECK_MESSAGE(worst.error <= bound, name, "(", worst.at, ") is off by ", worst.error);
}

double exp64(double x) { return std::exp(x); }
double expm1_64(double x) { return std::expm1(x); }
double tanh64(double x) { return std::tanh(x); }
double erf64(double x) { return std::erf(x); }
double sigmoid64(double x) { return 1 / (1 + std::exp(-x)); }
double gelu64(double x) { return x * 0.5 * std::erfc(-x / std::sqrt(2.0)); }

}  // namespace

TEST_CASE("scalar math: float functions are within 3e-7 of the double ones") {
  for (const std::vector<float>& x : {grid(-86.9, 88.7228, 1 << 20), grid(-1, 1, 1 << 18), magnitudes(80)}) {
    check_relative("exp", x, scalar(math::exp, x), exp64, 3e-7);
    check_relative("exp kernel", x, kernel(Unary::exp, x), exp64, 3e-7);
  }
  for (const std::vector<float>& x : {grid(-80, 80, 1 << 20), grid(-0.5, 0.5, 1 << 18), magnitudes(80)})
    check_relative("expm1", x, scalar(math::expm1, x), expm1_64, 3e-7);
  for (const std::vector<float>& x : {grid(-12, 12, 1 << 20), grid(-0.1, 0.1, 1 << 18), magnitudes(1e30f)}) {
    check_relative("tanh", x, scalar(math::tanh, x), tanh64, 3e-7);
    check_relative("tanh kernel", x, kernel(Unary::tanh, x), tanh64, 3e-7);
    check_relative("erf", x, scalar(math::erf, x), erf64, 3e-7);
  }
  for (const std::vector<float>& x : {grid(-86, 100, 1 << 20), magnitudes(86)})
    check_relative("sigmoid kernel", x, kernel(Unary::sigmoid, x), sigmoid64, 4e-7);
}

TEST_CASE("scalar math: gelu is exact where it is large and fades to zero where it is small") {
  for (const std::vector<float>& x : {grid(-12, 12, 1 << 20), magnitudes(1e30f)}) {
    const Worst worst = worst_of(x, kernel(Unary::gelu, x), gelu64, [](double at, double) {
      return std::fabs(at);
    });  // x Phi(x): Phi's error counts x times
    CHECK_MESSAGE(worst.error <= 2e-7, "gelu(", worst.at, ") is off by ", worst.error);
  }
  const std::vector<float> positive = grid(0, 12, 1 << 18);
  check_relative("gelu", positive, kernel(Unary::gelu, positive), gelu64, 3e-7);
}

TEST_CASE("scalar math: exp at its edges") {
  const float last_finite = 88.72283f;  // below ln of the largest float, 88.722839...
  CHECK(math::exp(0.f) == 1);
  CHECK(math::exp(-0.f) == 1);
  CHECK(math::exp(kTiny) == 1);
  CHECK(math::exp(kInf) == kInf);
  CHECK(math::exp(-kInf) == 0);
  CHECK(std::isnan(math::exp(kNan)));
  CHECK(math::exp(kLargest) == kInf);
  CHECK(math::exp(-kLargest) == 0);
  CHECK(math::exp(88.73f) == kInf);
  CHECK(std::fabs(math::exp(last_finite) / std::exp(double{last_finite}) - 1) < 3e-7);
  CHECK(math::exp(-86.9f) > 0);
  CHECK(math::exp(-87.f) == 0);  // documented: what would be under 2e-38 is 0
  for (float x = 88.722f; x < 88.724f; x = std::nextafter(x, kInf)) {
    const float expected = static_cast<float>(std::exp(double{x})), y = math::exp(x);
    CHECK((y == expected || std::fabs(y / expected - 1) < 3e-7f));
  }
}

TEST_CASE("scalar math: infinities, NaN and zero, alone and as kernels compute them") {
  for (float (*fn)(float) : {+[](float x) { return math::tanh(x); }, +[](float x) { return math::erf(x); }}) {
    CHECK(fn(kInf) == 1);
    CHECK(fn(-kInf) == -1);
    CHECK(std::isnan(fn(kNan)));
    CHECK(fn(0.f) == 0);
    CHECK(fn(-0.f) == 0);
    CHECK(fn(kLargest) == 1);
    CHECK(std::fabs(fn(kTiny)) <= 2 * kTiny);
    CHECK(fn(100.f) == 1);
    CHECK(fn(-9.5f) == -1);
  }
  CHECK(math::expm1(0.f) == 0);
  const std::vector<float> special{kInf, -kInf, kNan, 0.f, kLargest, -kLargest};
  const auto expect = [&](Unary op, const std::vector<float>& expected) {
    const std::vector<float> y = kernel(op, special);
    for (size_t i = 0; i < special.size(); ++i) {
      INFO(name_of(op), " of ", special[i]);
      CHECK((std::isnan(expected[i]) ? std::isnan(y[i]) : y[i] == expected[i]));
    }
  };
  expect(Unary::neg, {-kInf, kInf, kNan, 0, -kLargest, kLargest});
  expect(Unary::exp, {kInf, 0, kNan, 1, kInf, 0});
  expect(Unary::log, {kInf, kNan, kNan, -kInf, std::log(kLargest), kNan});
  expect(Unary::sqrt, {kInf, kNan, kNan, 0, std::sqrt(kLargest), kNan});
  expect(Unary::tanh, {1, -1, kNan, 0, 1, -1});
  expect(Unary::sigmoid, {1, 0, kNan, 0.5, 1, 0});
  expect(Unary::x_log_x, {kInf, kNan, kNan, 0, kInf, kNan});
  expect(Unary::relu, {kInf, 0, kNan, 0, kLargest, 0});
  expect(Unary::gelu,
         {kInf, kNan, kNan, 0, kLargest, 0});  // x Phi(x) at -infinity is -inf * 0, as in PyTorch
}

TEST_CASE("scalar math: x log x and its slope are 0 at 0") {
  for (DType dtype : {DType::f32, DType::f64}) {
    const Tensor x = Tensor::from(std::vector<double>{0, -0., 1, 0.5, 2, 0}, {6}).to(dtype);
    const Tensor slope = unary_backward(Unary::x_log_x, x, {}, Tensor::full({6}, 1, dtype));
    const std::vector<double> y = unary(Unary::x_log_x, x).to(DType::f64).to_vector<double>(),
                              dx = slope.to(DType::f64).to_vector<double>();
    const double ln2 = std::log(2.);
    const double expected_y[] = {0, 0, 0, -ln2 / 2, 2 * ln2, 0};
    const double expected_dx[] = {0, 0, 1, 1 - ln2, 1 + ln2, 0};
    for (size_t i = 0; i < 6; ++i) {
      INFO(dtype, " x = ", x.rows(i, i + 1).item());
      CHECK(std::fabs(y[i] - expected_y[i]) <= 1e-7);
      CHECK(std::fabs(dx[i] - expected_dx[i]) <= 2e-7);
    }
  }
}
