// Drives the table of operations (op_cases.h) through every check, and holds the fused kernels against their
// bodies.
#include <doctest/doctest.h>

#include <regex>
#include <set>

#include "tests/files.h"
#include "tests/op_definitions.h"
#include "tests/op_run.h"

using namespace gradus;
using namespace gradus::tests;

namespace {

struct ThreadCount {
  explicit ThreadCount(int n) : before(num_threads()) { set_num_threads(n); }
  ~ThreadCount() { set_num_threads(before); }
  int before;
};

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
  for (const OpCase& row : op_cases())
    if (!row.large) check_slopes(row, Device::cpu);
}

TEST_CASE("ops: a gradient is the same whether or not other inputs want theirs") {
  for (const OpCase& row : op_cases()) check_each_alone(row, Device::cpu);
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
            kernels.linear(x, w, bias, op, Out(y), Out(pre));
            kernels.Backend::linear(x, w, bias, op, Out(y2), Out(pre2));
            const double bound = dtype == DType::f32 ? 2 * kEps : 1e-15;
            CHECK(error_of(y, y2.to(DType::f64)) <= bound);
            if (keep_pre) CHECK(error_of(pre, pre2.to(DType::f64)) <= bound);
          }
    }
}

TEST_CASE("ops: the fused kernels do what their definitions say") { check_definitions(Device::cpu); }

TEST_CASE("ops: every operation of autograd/ops.h has its row in the table") {
  const std::string header = bytes_of(GRADUS_SOURCE_DIR "/autograd/ops.h");
  std::set<std::string> declared, rows;
  const std::regex function(R"((?:^|\n)(?:inline )?(?:Variable|CrossEntropyOutput) (\w+)\()");
  for (std::sregex_iterator match(header.begin(), header.end(), function), end; match != end; ++match)
    declared.insert((*match)[1]);
  declared.erase("unary");  // by name: neg, exp, ...
  for (const OpCase& row : op_cases()) rows.insert(row.name.substr(0, row.name.find(':')));
  CHECK(declared.size() >= 25);
  for (const std::string& name : declared)
    CHECK_MESSAGE(rows.contains(name), name, " has no row in op_cases.h");
  for (int op = 0; op < static_cast<int>(Unary::affine); ++op)  // those with numbers are declared by name
    CHECK_MESSAGE(rows.contains(name_of(static_cast<Unary>(op))), name_of(static_cast<Unary>(op)));
}
