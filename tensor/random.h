// Random numbers by name. Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3")
// maps a 128-bit counter and a 64-bit key to 128 random bits, with no state in between. The key is the seed;
// the counter is (block of the element, draw within the step, step). So a number is named, not drawn: the
// same bits come out on any device, with any number of threads, and again when backward asks for a dropout
// mask that was never stored. To resume a run, the seed and the step are all one needs to keep.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "tensor/tensor.h"

namespace gradus {

using PhiloxBlock = std::array<uint32_t, 4>;

HOST_DEVICE inline PhiloxBlock philox(PhiloxBlock counter, uint64_t key) {
  uint32_t k0 = static_cast<uint32_t>(key), k1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53} * counter[0], b = uint64_t{0xCD9E8D57} * counter[2];
    counter = {static_cast<uint32_t>(b >> 32) ^ counter[1] ^ k0, static_cast<uint32_t>(b),
               static_cast<uint32_t>(a >> 32) ^ counter[3] ^ k1, static_cast<uint32_t>(a)};
    k0 += 0x9E3779B9;
    k1 += 0xBB67AE85;
  }
  return counter;
}

// The name of one draw: all elements of one tensor. A value, so nothing that happens later changes it.
struct Draw {
  uint64_t seed = 0;
  uint32_t number = 0;  // within the step
  uint32_t step = 0;
};

// Dropout decides by 16 bits an element. Elements come in groups of 128 that share 16 counters: element
// g * 128 + half * 16 + lane has half-word `half` of the block at counter g * 16 + lane, so that sixteen
// counters run side by side in vector registers and each half-word leaves as sixteen neighbours.
constexpr int64_t kDropoutGroup = 128, kDropoutLanes = 16;

// An element is kept when its 16 bits are at or above this; p is thereby rounded to 1/65,536.
constexpr uint32_t dropout_threshold(double p) { return static_cast<uint32_t>(p * 65536 + 0.5); }
// What a kept element is multiplied by: 1 / (1 - p) for the p that was rounded, so that the mean is exactly
// kept.
constexpr double dropout_scale(uint32_t threshold) {
  return threshold < 65536 ? 65536.0 / (65536.0 - threshold) : 0;
}

// Whether element number i of a draw is kept. The kernels ask for whole groups at once; this is what they
// compute.
inline bool dropout_keeps(const Draw& draw, uint32_t threshold, int64_t i) {
  const int64_t group = i / kDropoutGroup, half = i % kDropoutGroup / kDropoutLanes, lane = i % kDropoutLanes;
  const uint64_t counter = static_cast<uint64_t>(group * kDropoutLanes + lane);
  const PhiloxBlock block =
      philox({static_cast<uint32_t>(counter), static_cast<uint32_t>(counter >> 32), draw.number, draw.step},
             draw.seed);
  return (block[static_cast<size_t>(half / 2)] >> (half % 2 * 16) & 0xffff) >= threshold;
}

// The one stateful thing: counts steps and the draws within a step. One Generator per model; see nn/module.h.
class Generator {
 public:
  explicit Generator(uint64_t seed = 0) : seed_(seed) {}

  Draw next_draw() { return {seed_, draws_++, static_cast<uint32_t>(step_)}; }
  void next_step() { set_step(step() + 1); }  // once per optimiser step, before its first draw
  void set_step(int64_t step);                // also restarts the draws: what follows repeats bit for bit
  int64_t step() const { return step_; }
  uint64_t seed() const { return seed_; }
  void set_seed(uint64_t seed);  // and step 0

  // Uniform in [low, high), or normal, on the CPU; each call is one draw. Numbers of f32 are those of f64,
  // rounded.
  Tensor uniform(Shape shape, double low, double high, DType dtype = DType::f64);
  Tensor normal(Shape shape, double deviation, DType dtype = DType::f64);

 private:
  uint64_t seed_;
  uint32_t draws_ = 0;
  int64_t step_ = 0;
};

// How a parameter begins.
struct Init {
  enum class Kind { constant, uniform, normal };
  Kind kind;
  double value;  // the constant, the bound of U(-value, value), or the deviation

  Init(double constant) : Init(Kind::constant, constant) {}
  static Init uniform(double bound) { return {Kind::uniform, bound}; }  // a number below 0 or none throws
  static Init normal(double deviation) { return {Kind::normal, deviation}; }
  // U(-a, a) with a = sqrt(6 / (inputs + outputs)) (Glorot & Bengio 2010).
  static Init xavier_uniform(int64_t inputs, int64_t outputs);

  // The values of the parameter called `name` in a model of this seed, f64 on the CPU. They depend on no
  // other parameter, so a layer that is added changes none of them.
  Tensor draw(Shape shape, uint64_t seed, std::string_view name) const;

 private:
  Init(Kind k, double v);
};

}  // namespace gradus
