// What float arithmetic loses, in a table: operations where a naive kernel is wrong by far, on input that
// shows it, against what is right. Each row runs on any device.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <numeric>

#include "autograd/ops.h"
#include "optim/sgd.h"

namespace gradus::tests {

struct PrecisionRow {
  std::string what;
  std::function<std::vector<double>(Device)> f32;
  std::vector<double> right;
  double bound;  // of max|f32 - right| / max|right|
};

inline std::vector<double> numbers(const Tensor& x) { return x.to(DType::f64).to_vector<double>(); }

inline Variable float_leaf(const std::vector<double>& x, Shape shape, Device device) {
  return Variable(Tensor::from(x, shape).to(DType::f32).to(device), /*requires_grad=*/true);
}

// x [1, V] -> its element of that class, [1].
inline Variable rows_of_class(const Variable& x, int32_t target) {
  return rows(reshape(x, {x.shape()[1]}), target, target + 1);
}

// One row of V logits: 0 for the target, `rest` for the others.
inline std::vector<double> peaked(int64_t vocab, int32_t target, double rest) {
  std::vector<double> z(static_cast<size_t>(vocab), rest);
  z[static_cast<size_t>(target)] = 0;
  return z;
}

inline std::vector<PrecisionRow> cross_entropy_precision() {
  std::vector<PrecisionRow> rows;
  constexpr int64_t kVocab = 1000;
  for (const auto& [target, rest] :
       {std::pair<int32_t, double>{0, -15.}, {0, -17.}, {500, -17.}, {999, -30.}}) {
    const std::string what = message("cross_entropy: V = 1000, target ", target, ", others at ", rest);
    const auto row = [target = target, rest = rest](Device device) {
      return float_leaf(peaked(kVocab, target, rest), {1, kVocab}, device);
    };
    const auto loss = [target = target](const Variable& z) {
      return cross_entropy(z, Tensor::from(std::vector<int32_t>{target}, {1}), {}).loss;
    };
    const auto gradient = [=](Device device) {
      const Variable z = row(device);
      loss(z).backward();
      return numbers(z.grad());
    };
    const double others = (kVocab - 1) * std::exp(rest), slope = others / (1 + others);
    rows.push_back({what,
                    [=](Device device) { return numbers(loss(row(device)).value()); },
                    {std::log1p(others)},
                    1e-6});
    const auto slow_loss = [target = target](const Variable& z) {  // by way of log_softmax
      return -sum(rows_of_class(log_softmax(z), target));
    };
    rows.push_back({what + ", by log_softmax",
                    [=](Device device) { return numbers(slow_loss(row(device)).value()); },
                    {std::log1p(others)},
                    1e-6});
    rows.push_back({what + ", by log_softmax, gradient by the target",
                    [=, target = target](Device device) {
                      const Variable z = row(device);
                      slow_loss(z).backward();
                      return std::vector<double>{numbers(z.grad())[static_cast<size_t>(target)]};
                    },
                    {-slope},
                    1e-6});
    rows.push_back(
        {what + ", towards a prior that is that class",
         [=, target = target](Device device) {
           const Variable z = row(device);
           std::vector<float> one(kVocab, 0);
           one[static_cast<size_t>(target)] = 1;
           const Tensor prior = Tensor::from(one, {kVocab}, device);
           sum(prior_cross_entropy(z, prior, Tensor::from(std::vector<int32_t>{0}, {1}), -1)).backward();
           return std::vector<double>{numbers(z.grad())[static_cast<size_t>(target)]};
         },
         {-slope},
         1e-6});
    rows.push_back({what + ", gradient by the target",
                    [=, target = target](Device device) {
                      return std::vector<double>{gradient(device)[static_cast<size_t>(target)]};
                    },
                    {-slope},
                    1e-6});
    rows.push_back({what + ", sum of the other gradients",
                    [=, target = target](Device device) {
                      const std::vector<double> g = gradient(device);
                      const double all = std::accumulate(g.begin(), g.end(), 0.);
                      return std::vector<double>{all - g[static_cast<size_t>(target)]};
                    },
                    {slope},
                    1e-6});
  }
  return rows;
}

inline std::vector<PrecisionRow> layer_norm_precision() {
  const auto normed = [](const std::vector<double>& x) {  // in double, gain 1 and bias 0
    const double n = static_cast<double>(x.size()), mean = std::accumulate(x.begin(), x.end(), 0.) / n;
    double variance = 0;
    for (double v : x) variance += (v - mean) * (v - mean) / n;
    std::vector<double> y;
    for (double v : x) y.push_back((v - mean) / std::sqrt(variance + 1e-5));
    return y;
  };
  const auto row = [&](const std::string& what, const std::vector<double>& x) -> PrecisionRow {
    const int64_t d = static_cast<int64_t>(x.size());
    return {"layer_norm: " + what,
            [=](Device device) {
              const Variable gain = float_leaf(std::vector<double>(x.size(), 1), {d}, device);
              const Variable bias = float_leaf(std::vector<double>(x.size(), 0), {d}, device);
              return numbers(layer_norm(float_leaf(x, {1, d}, device), gain, bias).value());
            },
            normed(x), 2e-6};
  };
  std::vector<double> shifted;
  for (double v : numbers(Generator(3).normal({512}, 1)))
    shifted.push_back(static_cast<float>(v + 1e5));  // as a float holds it
  return {row("(2^24, 2^24 + 2)", {16777216, 16777218}), row("N(0, 1) + 1e5", shifted)};
}

inline std::vector<PrecisionRow> attention_precision() {
  std::vector<PrecisionRow> rows;
  for (double score : {1e6, 1e7, 1e8}) {
    // Two keys of equal score: each weight is 1/2, and so is dv.
    rows.push_back({message("attention: dv of two keys of score ", score),
                    [=](Device device) {
                      const Variable q = float_leaf({score}, {1, 1, 1}, device);
                      const Variable k = float_leaf({1, 1}, {1, 2, 1}, device);
                      const Variable v = float_leaf({3, 5}, {1, 2, 1}, device);
                      sum(attention({q}, {k}, {v}, {.d_model = 1, .heads = 1})).backward();
                      return numbers(v.grad());
                    },
                    {.5, .5},
                    1e-6});
  }
  return rows;
}

inline std::vector<PrecisionRow> sum_precision() {
  std::vector<PrecisionRow> rows;
  constexpr int64_t kRows = 4'000'000;
  const double right = kRows * static_cast<double>(.1f);
  for (const int axis : {0, 1}) {
    const Shape shape = axis == 0 ? Shape{kRows, 2} : Shape{2, kRows};
    rows.push_back(
        {message("sum: 0.1 over axis ", axis, " of ", shape),
         [=](Device device) { return numbers(sum(Tensor::full(shape, .1f, DType::f32, device), {axis})); },
         {right, right},
         1e-6});
  }
  return rows;
}

inline std::vector<PrecisionRow> clip_precision() {
  std::vector<PrecisionRow> rows;
  for (double size : {1e20, 1e-24}) {
    const auto clipped = [=](Device device, bool norm) {
      const Variable w = float_leaf({0, 0}, {2}, device);
      w.grad().assign(float_leaf({3 * size, 4 * size}, {2}, device).value());
      optim::Sgd sgd({{"w", w}});
      const Tensor before = sgd.clip_gradients(size);
      return numbers(norm ? before : w.grad());
    };
    rows.push_back({message("clip_gradients: the norm of (3, 4) times ", size),
                    [=](Device device) { return clipped(device, true); },
                    {5 * size},
                    1e-6});
    if (size > 1)  // below, the 1e-6 beside the norm is all
      rows.push_back({message("clip_gradients: (3, 4) times ", size),
                      [=](Device device) { return clipped(device, false); },
                      {.6 * size, .8 * size},
                      1e-6});
  }
  return rows;
}

// Checks every row and shows the table.
inline void check_precision(Device device) {
  std::string table = message("errors of f32 on ", device, ", relative:\n");
  for (const auto& family :
       {cross_entropy_precision, layer_norm_precision, attention_precision, sum_precision, clip_precision})
    for (const PrecisionRow& row : family()) {
      const std::vector<double> got = row.f32(device);
      REQUIRE(got.size() == row.right.size());
      double error = 0, largest = 0;
      for (size_t i = 0; i < got.size(); ++i) {
        const double difference = std::fabs(got[i] - row.right[i]);
        if (!(difference <= error)) error = difference;
        largest = std::max(largest, std::fabs(row.right[i]));
      }
      INFO(row.what);
      CHECK(error / largest <= row.bound);
      table += message("  ", row.what, ": ", error / largest, " (at most ", row.bound, ")\n");
    }
  MESSAGE(table);
}

}  // namespace gradus::tests
