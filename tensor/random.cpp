#include "tensor/random.h"

#include <cmath>
#include <numbers>

namespace gradus {

Generator::Generator(uint64_t seed, Device device)
    : seed_(seed), step_(Tensor::zeros({1}, DType::i32, device)) {}

void Generator::set_step(int64_t step) {
  check(step >= 0 && step <= INT32_MAX, "generator: step ", step, " is outside [0, ", INT32_MAX, "]");
  host_step_ = step;
  draws_ = 0;
  step_.assign(Tensor::full({1}, static_cast<double>(step), DType::i32).to(step_.device()));
}

void Generator::set_seed(uint64_t seed) {
  seed_ = seed;
  set_step(0);
}

namespace {

// Calls fn(i, u, v) for i = 0, 2, 4 ... with two uniforms in [0, 1) of 53 bits each.
template <class Fn> void for_pairs(int64_t n, const Draw& draw, int64_t step, Fn fn) {
  for (int64_t i = 0; i < n; i += 2) {
    const uint64_t block = static_cast<uint64_t>(i / 2);
    const PhiloxBlock r = philox({static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32),
                                  draw.number, static_cast<uint32_t>(step)},
                                 draw.seed);
    const auto unit = [](uint32_t high, uint32_t low) {
      return static_cast<double>((uint64_t{high} << 32 | low) >> 11) * 0x1p-53;
    };
    fn(i, unit(r[0], r[1]), unit(r[2], r[3]));
  }
}

}  // namespace

Tensor Generator::uniform(Shape shape, double low, double high) {
  Tensor y(shape, DType::f64);
  double* out = y.data<double>();
  for_pairs(y.size(), next_draw(), host_step_, [&](int64_t i, double u, double v) {
    out[i] = low + (high - low) * u;
    if (i + 1 < y.size()) out[i + 1] = low + (high - low) * v;
  });
  return y;
}

Tensor Generator::normal(Shape shape, double deviation) {
  Tensor y(shape, DType::f64);
  double* out = y.data<double>();
  for_pairs(y.size(), next_draw(), host_step_, [&](int64_t i, double u, double v) {
    const double radius = deviation * std::sqrt(-2 * std::log1p(-u)), angle = 2 * std::numbers::pi * v;
    out[i] = radius * std::cos(angle);
    if (i + 1 < y.size()) out[i + 1] = radius * std::sin(angle);
  });
  return y;
}

}  // namespace gradus
