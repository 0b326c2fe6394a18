#include "tensor/random.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "tensor/backend.h"

namespace gradus {

Generator::Generator(uint64_t seed, Device device)
    : seed_(seed), step_(Tensor::zeros({1}, DType::i32, device)) {}

void Generator::set_step(int64_t step) {
  check(step >= 0 && step <= INT32_MAX, "generator: step ", step, " is outside [0, ", INT32_MAX, "]");
  host_step_ = step;
  draws_ = 0;
  backend(step_.device()).fill(double(step), step_);
}

void Generator::set_seed(uint64_t seed) {
  seed_ = seed;
  set_step(0);
}

// Each pair of elements from a pair of uniforms in [0, 1) of 53 bits.
template <class Map> Tensor Generator::draw_pairs(Shape shape, const Map& map) {
  const auto unit = [](uint64_t high, uint64_t low) { return ((high << 32 | low) >> 11) * 0x1p-53; };
  Tensor y(shape, DType::f64);
  double* out = y.data<double>();
  const uint32_t draw = next_draw().number, step = host_step_;
  for (int64_t i = 0; i < y.size(); i += 2) {
    const PhiloxBlock r = philox({uint32_t(i / 2), uint32_t(i / 2 >> 32), draw, step}, seed_);
    const std::array<double, 2> pair = map(unit(r[0], r[1]), unit(r[2], r[3]));
    std::copy_n(pair.begin(), std::min<int64_t>(2, y.size() - i), out + i);
  }
  return y;
}

Tensor Generator::uniform(Shape shape, double low, double high) {
  return draw_pairs(shape, [=, width = high - low](double u, double v) {
    return std::array{low + width * u, low + width * v};
  });
}

Tensor Generator::normal(Shape shape, double deviation) {
  return draw_pairs(shape, [=](double u, double v) {
    const double radius = deviation * std::sqrt(-2 * std::log1p(-u)), angle = 2 * std::numbers::pi * v;
    return std::array{radius * std::cos(angle), radius * std::sin(angle)};
  });
}

}  // namespace gradus
