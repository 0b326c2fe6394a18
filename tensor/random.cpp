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

Tensor Generator::draw_pairs(Shape shape,
                             const std::function<std::pair<double, double>(double, double)>& map) {
  const auto unit = [](uint64_t high, uint64_t low) {
    return static_cast<double>((high << 32 | low) >> 11) * 0x1p-53;
  };
  Tensor y(shape, DType::f64);
  double* out = y.data<double>();
  const uint32_t draw = next_draw().number, step = static_cast<uint32_t>(host_step_);
  for (int64_t i = 0; i < y.size(); i += 2) {
    const uint64_t block = static_cast<uint64_t>(i / 2);
    const PhiloxBlock r =
        philox({static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32), draw, step}, seed_);
    const auto [first, second] = map(unit(r[0], r[1]), unit(r[2], r[3]));
    out[i] = first;
    if (i + 1 < y.size()) out[i + 1] = second;
  }
  return y;
}

Tensor Generator::uniform(Shape shape, double low, double high) {
  const auto stretch = [=](double u) { return low + (high - low) * u; };
  return draw_pairs(shape, [=](double u, double v) { return std::pair(stretch(u), stretch(v)); });
}

Tensor Generator::normal(Shape shape, double deviation) {
  return draw_pairs(shape, [=](double u, double v) {
    const double radius = deviation * std::sqrt(-2 * std::log1p(-u)), angle = 2 * std::numbers::pi * v;
    return std::pair(radius * std::cos(angle), radius * std::sin(angle));
  });
}

}  // namespace gradus
