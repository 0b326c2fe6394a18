// What float arithmetic loses on the CPU; precision.h has the table.
#include "tests/precision.h"

#include "compare.h"

using namespace gradus;
using namespace gradus::compare;

TEST_CASE("precision: f32 keeps its digits where a naive kernel would not") {
  tests::check_precision(Device::cpu);
}

TEST_CASE("precision: f64 keeps a gap of 37.43 that 1 + exp(-37.43) would lose") {
  const Variable z(Tensor::from(std::vector<double>{37.43, 0}, {1, 2}), true);
  CHECK(cross_entropy(z, ints({0}), {}).loss.value().item() == near(std::exp(-37.43), 1e-12));
}
