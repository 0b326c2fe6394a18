#include "tensor/random.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace gradus {
namespace {

// y[2i], y[2i + 1] = map(u, v), with u and v uniform in [0, 1) of 53 bits each, from block(i).
template <class Block, class Map> Tensor draw_pairs(Shape shape, const Block& block, const Map& map) {
  const auto unit = [](uint64_t high, uint64_t low) {
    return static_cast<double>((high << 32 | low) >> 11) * 0x1p-53;
  };
  Tensor y(shape, DType::f64);
  double* out = y.data<double>();
  for (int64_t i = 0; i < y.size(); i += 2) {
    const PhiloxBlock r = block(static_cast<uint64_t>(i / 2));
    const std::array<double, 2> pair = map(unit(r[0], r[1]), unit(r[2], r[3]));
    std::copy_n(pair.begin(), std::min<int64_t>(2, y.size() - i), out + i);
  }
  return y;
}

template <class Block> Tensor draw_uniform(Shape shape, const Block& block, double low, double high) {
  return draw_pairs(shape, block, [=, width = high - low](double u, double v) {
    return std::array{low + width * u, low + width * v};
  });
}

// By Box and Muller (1958).
template <class Block> Tensor draw_normal(Shape shape, const Block& block, double deviation) {
  return draw_pairs(shape, block, [=](double u, double v) {
    const double radius = deviation * std::sqrt(-2 * std::log1p(-u)), angle = 2 * std::numbers::pi * v;
    return std::array{radius * std::cos(angle), radius * std::sin(angle)};
  });
}

// A Draw's blocks: counter (block, number, step).
auto blocks_of(const Draw& draw) {
  return [draw](uint64_t i) {
    return philox({static_cast<uint32_t>(i), static_cast<uint32_t>(i >> 32), draw.number, draw.step},
                  draw.seed);
  };
}

// FNV-1a (Fowler, Noll & Vo), 64 bits.
uint64_t hash_of(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const unsigned char c : text) hash = (hash ^ c) * 0x100000001b3;
  return hash;
}

}  // namespace

void Generator::set_step(int64_t step) {
  check(step >= 0 && step <= INT32_MAX, "generator: step ", step, " is outside [0, ", INT32_MAX, "]");
  step_ = step;
  draws_ = 0;
}

void Generator::set_seed(uint64_t seed) {
  seed_ = seed;
  set_step(0);
}

Tensor Generator::uniform(Shape shape, double low, double high, DType dtype) {
  check(dtype != DType::i32, "uniform: expected f32 or f64, got i32");
  check(std::isfinite(high - low) && low <= high, "uniform: expected low <= high and a finite range, got ",
        low, " and ", high);
  return draw_uniform(shape, blocks_of(next_draw()), low, high).to(dtype);
}

Tensor Generator::normal(Shape shape, double deviation, DType dtype) {
  check(dtype != DType::i32, "normal: expected f32 or f64, got i32");
  check(std::isfinite(deviation) && deviation >= 0, "normal: expected a finite deviation >= 0, got ",
        deviation);
  return draw_normal(shape, blocks_of(next_draw()), deviation).to(dtype);
}

Init::Init(Kind k, double v) : kind(k), value(v) {
  check(std::isfinite(v) && (k == Kind::constant || v >= 0) && (k != Kind::uniform || std::isfinite(2 * v)),
        "init: expected a finite ",
        k == Kind::constant  ? "constant"
        : k == Kind::uniform ? "bound >= 0 whose double is finite"
                             : "deviation >= 0",
        ", got ", v);
}

Init Init::xavier_uniform(int64_t inputs, int64_t outputs) {
  return uniform(std::sqrt(6 / static_cast<double>(inputs + outputs)));
}

Tensor Init::draw(Shape shape, uint64_t seed, std::string_view name) const {
  if (kind == Kind::constant) return Tensor::full(shape, value, DType::f64);
  // Counter (block, ~0, hash of the name): a Draw has ~0 there only in tensors of 2^64 elements.
  const auto block = [seed, hash = hash_of(name)](uint64_t i) {
    return philox(
        {static_cast<uint32_t>(i), ~0u, static_cast<uint32_t>(hash), static_cast<uint32_t>(hash >> 32)},
        seed);
  };
  if (kind == Kind::uniform) return draw_uniform(shape, block, -value, value);
  return draw_normal(shape, block, value);
}

}  // namespace gradus
