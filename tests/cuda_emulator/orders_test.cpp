// The kernels of tensor/cuda/ under the emulator's three orders of threads and blocks, and how often they
// wait.
#include <doctest/doctest.h>

#include "tests/cuda_emulator/emulator.h"
#include "tests/op_run.h"

using namespace gradus;
using namespace gradus::tests;
using emulator::Order;

TEST_CASE("emulated cuda: every operation gives the same bits in every order of threads and blocks") {
  for (const OpCase& row : op_cases())
    for (DType dtype : {DType::f32, DType::f64}) {
      INFO(row.name, " ", dtype);
      const std::vector<Array> x = draw(row);
      const auto in_order = [&](Order order) {
        emulator::set_order(order);
        Result result = run(row, x, dtype, Device::cuda);
        for (const Tensor& gradient : result.gradients)
          gradient.to(Device::cpu);  // the work is done when these are
        result.y.to(Device::cpu);
        emulator::set_order(Order::forward);
        return result;
      };
      const Result forward = in_order(Order::forward);
      CHECK(same_bits(forward, in_order(Order::backward)));
      CHECK(same_bits(forward, in_order(Order::shuffled)));
    }
}
