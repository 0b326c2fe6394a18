// Random numbers by name: Philox against its authors' vectors, the bits of dropout, and the moments of what
// is drawn.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "tensor/cpu/dropout_bits.h"
#include "tensor/ops.h"

using namespace gradus;

namespace {

std::vector<uint16_t> bits_of(const Draw& draw, uint64_t group) {
  std::vector<uint16_t> bits(kDropoutGroup);
  cpu::dropout_bits(group, draw, bits.data());
  return bits;
}

Draw draw_of(uint64_t seed, uint32_t number, uint32_t step) { return {seed, number, step}; }

std::vector<float> mask(const Draw& draw, double p, int64_t n = 100'000) {
  return dropout(Tensor::full({n}, 1), {}, p, draw).to_vector<float>();
}

}  // namespace

TEST_CASE("philox: the known answers of Random123") {
  CHECK(philox({0, 0, 0, 0}, 0) == PhiloxBlock{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  CHECK(philox({~0u, ~0u, ~0u, ~0u}, ~uint64_t{0}) ==
        PhiloxBlock{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, uint64_t{0x299f31d0} << 32 | 0xa4093822) ==
        PhiloxBlock{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("dropout: the bits are those of philox, one by one") {
  const Draw draw{0x0123456789abcdef, 77, 9};
  for (uint64_t group :
       {uint64_t{0}, uint64_t{1}, uint64_t{12345}, uint64_t{1} << 29}) {  // the last passes 2^32 counters
    const std::vector<uint16_t> bits = bits_of(draw, group);
    for (uint64_t i = 0; i < kDropoutGroup; ++i) {
      const uint64_t half = i / kDropoutLanes, lane = i % kDropoutLanes, block = group * kDropoutLanes + lane;
      const PhiloxBlock words = philox(
          {static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32), 77, 9}, 0x0123456789abcdef);
      const uint32_t expected = words[half / 2] >> (half % 2 * 16) & 0xffff;
      CHECK(bits[i] == expected);
      const int64_t element = static_cast<int64_t>(group * kDropoutGroup + i);
      for (uint32_t threshold : {1u, 30000u, 65536u})
        CHECK(dropout_keeps(draw, threshold, element) == (expected >= threshold));
    }
  }
}

TEST_CASE("dropout: how many are kept, and by what they are multiplied") {
  for (double p : {0.1, 0.5, 0.9, 1.0 / 3}) {
    const std::vector<float> kept = mask(draw_of(1, 0, 0), p);
    const double rounded = std::round(p * 65536) / 65536;
    const float scale = static_cast<float>(1 / (1 - rounded));
    double count = 0;
    for (float value : kept) {
      CHECK_UNARY(value == 0 || value == scale);
      count += value != 0;
    }
    const double n = static_cast<double>(kept.size()), deviation = std::sqrt(n * p * (1 - p));
    CHECK(std::fabs(count - n * (1 - p)) < 4 * deviation);
  }
  CHECK(dropout_threshold(0) == 0);
  CHECK(dropout_threshold(0.5) == 32768);
  CHECK(dropout_scale(0) == 1);
  CHECK(dropout_scale(32768) == 2);
  CHECK(dropout_scale(65536) == 0);
}

TEST_CASE("dropout: the residual is added, kept or not") {
  const Tensor x = Tensor::full({300}, 3), residual = Tensor::full({300}, 0.5);
  const std::vector<float> kept = dropout(x, {}, 0.5, draw_of(4, 1, 2)).to_vector<float>();
  const std::vector<float> sum = dropout(x, residual, 0.5, draw_of(4, 1, 2)).to_vector<float>();
  for (size_t i = 0; i < kept.size(); ++i) CHECK(sum[i] == kept[i] + 0.5f);
}

TEST_CASE("dropout: the same name gives the same bits, any other name others") {
  const std::vector<float> first = mask(draw_of(1, 2, 3), 0.5);
  CHECK(first == mask(draw_of(1, 2, 3), 0.5));
  const auto share_equal = [&](const Draw& draw) {
    const std::vector<float> other = mask(draw, 0.5);
    double equal = 0;
    for (size_t i = 0; i < first.size(); ++i) equal += first[i] == other[i];
    return equal / static_cast<double>(first.size());
  };
  for (const Draw& draw : {draw_of(2, 2, 3), draw_of(1, 3, 3), draw_of(1, 2, 4), draw_of(1, 3, 2),
                           draw_of(uint64_t{1} << 32, 2, 3), draw_of(1 | uint64_t{1} << 32, 2, 3)})
    CHECK(std::fabs(share_equal(draw) - 0.5) < 0.01);
}

TEST_CASE("dropout: a prefix of a longer tensor has the same mask") {
  const std::vector<float> long_mask = mask(draw_of(1, 0, 0), 0.3, 1000),
                           short_mask = mask(draw_of(1, 0, 0), 0.3, 701);
  CHECK(std::equal(short_mask.begin(), short_mask.end(), long_mask.begin()));
}

TEST_CASE("generator: draws are counted within a step, and a step repeats") {
  Generator generator(42);
  CHECK(generator.next_draw().number == 0);
  CHECK(generator.next_draw().number == 1);
  generator.next_step();
  CHECK(generator.step() == 1);
  const Draw draw = generator.next_draw();
  CHECK(draw.number == 0);
  CHECK(draw.seed == 42);
  CHECK(draw.step == 1);
  generator.set_step(7);
  CHECK(draw.step == 1);  // a draw that was named stays what it was
  const std::vector<double> once = generator.uniform({50}, 0, 1).to_vector<double>();
  generator.set_step(7);
  CHECK(once == generator.uniform({50}, 0, 1).to_vector<double>());
  CHECK(once != generator.uniform({50}, 0, 1).to_vector<double>());
  generator.set_seed(43);
  CHECK(generator.step() == 0);
  CHECK_THROWS_WITH_AS(generator.set_step(-1), "generator: step -1 is outside [0, 2147483647]",
                       std::invalid_argument);
  CHECK_THROWS_AS(generator.set_step(int64_t{1} << 31), std::invalid_argument);
}

TEST_CASE("generator: known answers, by seed, draw and step") {
  // Made in Python by another Philox4x32-10, the logarithm, sine and cosine with 40 digits.
  struct Answer {
    int draws_before;
    int64_t step;
    std::vector<double> uniform, normal;  // in [0, 1); of deviation 1.5
  };
  const std::vector<Answer> answers = {
      {0,
       0,
       {0x1.70a0445d8b196p-1, 0x1.4a7a0207a84f8p-4, 0x1.5b9428cca47c1p-1, 0x1.95005096ca676p-2,
        0x1.ef9c533f04799p-1},
       {2.0923034198676246, 1.1619698205010658, -1.7908577460591141, 1.379980610076951, -1.5004066786506951}},
      {1,
       0,
       {0x1.f53bfebcd8210p-1, 0x1.a5e71c5c1643ep-2, 0x1.e23f88df1d3d3p-1, 0x1.3be18b4a628f5p-1,
        0x1.02eb7222aafe8p-1},
       {-3.5478189223836888, 2.189023026587959, -2.6548741393311413, -2.3991869616038851,
        0.96291031811309144}},
      {0,
       9,
       {0x1.0084e438b2160p-4, 0x1.05d87732054dcp-3, 0x1.4f6f223bf76a5p-1, 0x1.238224042c218p-2,
        0x1.4882b8a6c94e6p-2},
       {0.37456323842805586, 0.38824489130447451, -0.47312381229544566, 2.137052007267909,
        -0.67566585552842995}},
      {1,
       9,
       {0x1.6617fd400a08dp-1, 0x1.c74548b642f81p-1, 0x1.3bc38bb601364p-1, 0x1.566abe71c5844p-1,
        0x1.1acda966051b0p-4},
       {1.7845181955147029, -1.4914449259340895, -1.014676739112662, -1.8127210007874834,
        -0.49834965231314186}},
  };
  for (const Answer& answer : answers) {
    INFO("draw ", answer.draws_before, " of step ", answer.step);
    const auto generator = [&] {
      Generator g(0x0123456789abcdef);
      g.set_step(answer.step);
      for (int i = 0; i < answer.draws_before; ++i) g.next_draw();
      return g;
    };
    CHECK(generator().uniform({5}, 0, 1).to_vector<double>() == answer.uniform);  // all 53 bits
    const std::vector<double> wide = generator().uniform({5}, -2, 3).to_vector<double>(),
                              normal = generator().normal({5}, 1.5).to_vector<double>();
    for (size_t i = 0; i < 5; ++i) {
      CHECK(std::fabs(wide[i] - (5 * answer.uniform[i] - 2)) < 1e-14);
      CHECK(std::fabs(normal[i] - answer.normal[i]) < 1e-14);
    }
  }
}

TEST_CASE("generator: in f32 the numbers of f64, rounded") {
  for (const bool normal : {false, true}) {
    const auto draw = [&](DType dtype) {
      Generator random(3);
      return normal ? random.normal({5}, 2, dtype) : random.uniform({5}, -1, 1, dtype);
    };
    CHECK(draw(DType::f32).to_vector<float>() == draw(DType::f64).to(DType::f32).to_vector<float>());
    CHECK_THROWS_AS(draw(DType::i32), std::invalid_argument);
  }
}

TEST_CASE("generator: moments of the uniform and the normal distribution") {
  constexpr int64_t n = 200'001;  // odd: the last pair is half used
  const auto moments = [](const std::vector<double>& x) {
    std::vector<double> m(5);
    for (double a : x)
      for (int k = 1; k <= 4; ++k)
        m[static_cast<size_t>(k)] += std::pow(a, k) / static_cast<double>(x.size());
    return m;
  };
  const std::vector<double> u = Generator(1).uniform({n}, -1, 3).to_vector<double>();
  CHECK(*std::min_element(u.begin(), u.end()) >= -1);
  CHECK(*std::max_element(u.begin(), u.end()) < 3);
  CHECK(std::set<double>(u.begin(), u.end()).size() == u.size());
  const std::vector<double> mu = moments(u);
  CHECK(std::fabs(mu[1] - 1) < 0.01);
  CHECK(std::fabs(mu[2] - (1 + 16. / 12)) < 0.03);
  const std::vector<double> mn = moments(Generator(1).normal({n}, 2).to_vector<double>());
  CHECK(std::fabs(mn[1]) < 0.02);
  CHECK(std::fabs(mn[2] - 4) < 0.06);
  CHECK(std::fabs(mn[3]) < 0.3);
  CHECK(std::fabs(mn[4] - 48) < 2);
}
