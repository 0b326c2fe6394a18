// Drives the table of operations (op_cases.h) through every check, and holds the fused kernels against their
// bodies.
#include <doctest/doctest.h>

#include <cstring>
#include <limits>

#include "autograd/gradcheck.h"
#include "tests/op_cases.h"

using namespace gradus;
using namespace gradus::tests;

namespace {

// The same numbers for f32 and f64: what is drawn is rounded to float.
std::vector<Array> draw(const OpCase& row) {
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

Generator generator_of_rows() {
  Generator generator(kSeed);
  generator.set_step(kStep);
  return generator;
}

std::vector<Variable> leaves(std::span<const Array> arrays, DType dtype, size_t only = SIZE_MAX) {
  std::vector<Variable> x;
  for (size_t i = 0; i < arrays.size(); ++i)
    x.emplace_back(Tensor::from(arrays[i].v, arrays[i].shape).to(dtype), only == SIZE_MAX || only == i);
  return x;
}

struct Result {
  Tensor y;
  std::vector<Tensor> gradients;  // of the inputs that wanted one
};

Result run(const OpCase& row, std::span<const Array> arrays, DType dtype, size_t only = SIZE_MAX) {
  const std::vector<Variable> x = leaves(arrays, dtype, only);
  Generator generator = generator_of_rows();
  const Variable y = row.f(x, generator);
  Result result{y.value(), {}};
  y.backward(Generator(2).uniform(y.shape(), -1, 1).to(DType::f32).to(dtype));
  for (const Variable& v : x)
    if (v.requires_grad()) result.gradients.push_back(v.grad());
  return result;
}

// The largest difference, relative to the largest expected element; NaN stays NaN.
double error_of(const Tensor& y, std::span<const double> expected) {
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

double error_of(const Tensor& y, const Tensor& expected) { return error_of(y, expected.to_vector<double>()); }

bool same_bits(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && a.dtype() == b.dtype() &&
         std::memcmp(a.bytes(), b.bytes(), a.byte_size()) == 0;
}

bool same_bits(const Result& a, const Result& b) {
  return same_bits(a.y, b.y) && std::equal(a.gradients.begin(), a.gradients.end(), b.gradients.begin(),
                                           [](const Tensor& x, const Tensor& y) { return same_bits(x, y); });
}

struct ThreadCount {
  explicit ThreadCount(int n) : before(num_threads()) { set_num_threads(n); }
  ~ThreadCount() { set_num_threads(before); }
  int before;
};

constexpr double kEps = std::numeric_limits<float>::epsilon();

}  // namespace

TEST_CASE("ops: f64 values agree with plain loops to 1e-12") {
  for (const OpCase& row : op_cases()) {
    INFO(row.name);
    const std::vector<Array> x = draw(row);
    const Array expected = row.reference(x);
    const size_t in_use = memory_use(Device::cpu).in_use;
    {
      const Result result = run(row, x, DType::f64);
      CHECK(result.y.shape() == expected.shape);
      CHECK(error_of(result.y, expected.v) <= 1e-12);
    }
    CHECK(memory_use(Device::cpu).in_use == in_use);  // the tape let everything go
  }
}

TEST_CASE("ops: f32 values and gradients agree with f64 to the epsilons that the row allows") {
  for (const OpCase& row : op_cases()) {
    INFO(row.name);
    const std::vector<Array> x = draw(row);
    const Result single = run(row, x, DType::f32), exact = run(row, x, DType::f64);
    CHECK(single.y.dtype() == DType::f32);
    CHECK(error_of(single.y, row.reference(x).v) <= row.f32_eps * kEps);
    for (size_t i = 0; i < x.size(); ++i) {
      INFO("gradient of input ", i);
      CHECK(error_of(single.gradients[i], exact.gradients[i]) <= row.f32_eps * kEps);
    }
  }
}

TEST_CASE("ops: every element of every gradient agrees with measured slopes to 1e-8") {
  for (const OpCase& row : op_cases()) {
    if (row.large) continue;
    INFO(row.name);
    const std::vector<Array> arrays = draw(row);
    const std::vector<Variable> x = leaves(arrays, DType::f64);
    std::vector<NamedParameter> named;
    for (const Variable& v : x) named.push_back({message("input ", named.size()), v});
    Generator generator = generator_of_rows();
    const GradcheckReport report = gradcheck([&] { return row.f(x, generator); }, named, &generator);
    CHECK_MESSAGE(report.error <= 1e-8, report.worst);
  }
}

TEST_CASE("ops: a gradient is the same whether or not other inputs want theirs") {
  for (const OpCase& row : op_cases()) {
    INFO(row.name);
    const std::vector<Array> x = draw(row);
    const Result all = run(row, x, DType::f32);
    for (size_t i = 0; x.size() > 1 && i < x.size(); ++i) {
      INFO("only input ", i);
      CHECK(same_bits(run(row, x, DType::f32, i).gradients[0], all.gradients[i]));
    }
  }
}

TEST_CASE("ops: 1, 2, 3 and 4 threads give the same bits") {
  for (const OpCase& row : op_cases())
    for (DType dtype : {DType::f32, DType::f64}) {
      INFO(row.name, " ", dtype);
      const std::vector<Array> x = draw(row);
      const auto with_threads = [&](int n) {
        const ThreadCount threads(n);
        Result result = run(row, x, dtype);
        CHECK(num_threads() == n);
        return result;
      };
      const Result one = with_threads(1);
      for (int n : {2, 3, 4}) CHECK(same_bits(one, with_threads(n)));
    }
}

TEST_CASE("ops: the fused linear kernel does what its body says") {
  Backend& kernels = backend(Device::cpu);
  for (DType dtype : {DType::f32, DType::f64})
    for (const Shape& size :
         {Shape{5, 3, 4}, Shape{130, 70, 90}, Shape{40, 600, 30}, Shape{0, 3, 4}}) {  // N, M, K
      Generator generator(5);
      const Tensor x = generator.normal({size[0], size[2]}, 1).to(dtype),
                   b = generator.normal({size[1]}, 1).to(dtype);
      const Tensor w = generator.normal({size[1], size[2]}, 0.2).to(dtype);
      for (const Tensor& bias : {b, Tensor()})
        for (const std::optional<Unary> op :
             {std::optional<Unary>(), {Unary::relu}, {Unary::gelu}, {Unary::tanh}})
          for (bool keep_pre : {false, true}) {
            INFO(size, " ", dtype, bias ? " biased " : " ", op ? name_of(*op) : "", keep_pre ? " pre" : "");
            const Shape out{size[0], size[1]};
            Tensor y(out, dtype), y2(out, dtype);
            Tensor pre = keep_pre ? Tensor(out, dtype) : Tensor(),
                   pre2 = keep_pre ? Tensor(out, dtype) : Tensor();
            kernels.linear(x, w, bias, op, y, pre);
            kernels.Backend::linear(x, w, bias, op, y2, pre2);
            const double bound = dtype == DType::f32 ? 2 * kEps : 1e-15;
            CHECK(error_of(y, y2.to(DType::f64)) <= bound);
            if (keep_pre) CHECK(error_of(pre, pre2.to(DType::f64)) <= bound);
          }
    }
}
