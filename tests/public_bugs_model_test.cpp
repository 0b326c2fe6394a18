// The museum, second room: public reports of wrong gradients, layers, optimisers, schedules and scores. See
// public_bugs.h.
#include "autograd/ops.h"
#include "examples/measure/bleu.h"
#include "examples/measure/calibration.h"
#include "nn/layers.h"
#include "optim/adam.h"
#include "optim/schedule.h"
#include "optim/sgd.h"
#include "public_bugs.h"

using namespace gradus;
using namespace gradus::compare;

// ---- the tape

namespace {
Variable leaf(double x) { return Variable(row({x}), /*requires_grad=*/true); }
double slope(const Variable& x) { return values(x.grad())[0]; }
}  // namespace

TEST_CASE("karpathy/micrograd#2: a value that is used twice passes its gradient on twice") {
  const Variable x = leaf(3), y = x * 2.0;
  sum(y * y).backward();
  const double per_path = 2 * (2 * 6.);  // each of the two uses walks down with the full gradient of y
  check_bug(slope(x), 8 * 3, per_path + per_path);
}

TEST_CASE("sebgao/cTensor#5: where paths meet again the gradient is 7 instead of 6") {
  const Variable x = leaf(1), a(row({1}));
  const Variable xa = x * a, squared = x * x;
  sum(x * xa + squared * a + x * xa).backward();
  check_bug(slope(x), 6, 7);
}

TEST_CASE("karpathy/micrograd#53: a second backward adds what values in between still hold") {
  const Variable a = leaf(3), b = leaf(2), d = leaf(1);
  const auto loss = [&] { return sum((a + b) * d); };
  const Variable first = loss();
  first.backward();
  CHECK_THROWS_AS(first.backward(), std::invalid_argument);
  loss().backward();
  check_bug(slope(a), 2, 3);  // two gradients of 1, and not the 3 of the report
}

TEST_CASE("tinygrad/tinygrad#9597: two leaves of the same value share one gradient") {
  const Variable a = leaf(3), b = leaf(3);
  sum(a + b).backward();
  check_bug(slope(a), 1, 2);
  check_bug(slope(b), 1, 2);
}

// ---- layers

namespace {
double first_normed(const std::vector<double>& x, DType dtype = DType::f64) {
  const Tensor ones = Tensor::full({4}, 1, dtype), zeros = Tensor::zeros({4}, dtype);
  return values(layer_norm(row(x).to(dtype), ones, zeros, 1e-5))[0];
}
}  // namespace

TEST_CASE("tracel-ai/burn#2185: layer norm divides by sqrt(var) + eps") {
  const double var = 3.5e-6;  // of these numbers, whose mean is 0.003
  check_bug(first_normed({0.001, 0.002, 0.003, 0.006}), -0.002 / std::sqrt(var + 1e-5),
            -0.002 / (std::sqrt(var) + 1e-5));
}

TEST_CASE("harvardnlp/annotated-transformer#119: layer norm takes the unbiased deviation") {
  check_bug(first_normed({1, 2, 3, 6}), -2 / std::sqrt(14. / 4 + 1e-5), -2 / std::sqrt(14. / 3 + 1e-5));
}

TEST_CASE("131250208/TPlinker-joint-extraction#37: layer norm divides by the square of the variance") {
  check_bug(first_normed({1, 2, 3, 6}), -2 / std::sqrt(3.5 + 1e-5), -2 / std::pow(3.5 + 1e-5, 2));
}

TEST_CASE("pytorch/pytorch#51102: layer norm is wrong in f32 where the mean is large") {
  const std::vector<double> x = {2000.25, 1999.5, 2001, 1999.25};
  float mean_of_squares = 0;
  for (double v : x) mean_of_squares += static_cast<float>(v) * static_cast<float>(v) / 4;
  const double variance = mean_of_squares - 2000.f * 2000.f;
  check_bug(first_normed(x, DType::f32), 0.25 / std::sqrt(1.875 / 4 + 1e-5),
            0.25 / std::sqrt(variance + 1e-5), 1e-4);
}

TEST_CASE("huggingface/transformers#11514: the two constants of an approximate GELU are swapped") {
  const double x = 1.3, exact = x * 0.5 * std::erfc(-x / std::sqrt(2.));
  const double a = 0.044715, b = 0.7978845608;
  check_bug(values(gelu(row({x})))[0], exact, 0.5 * x * (1 + std::tanh(x * a * (1 + b * x * x))));
}

TEST_CASE("lmjohns3/theanets#123: dropout divides what it keeps by p instead of 1 - p") {
  Generator generator(/*seed=*/1);
  const Variable kept = dropout(Tensor::full({1000}, 1, DType::f64), 0.1, generator);
  check_bug(values(max(kept).value())[0], 1 / 0.9, 1 / 0.1, 1e-4);
}

TEST_CASE("tracel-ai/burn#4697: attention to nothing is NaN") {
  const Variable q(random({1, 2, 4}, 1), /*requires_grad=*/true), k = random_leaf({1, 3, 4}, 2);
  const Variable y = attention(q, k, k, {.d_model = 4, .heads = 1, .key_lengths = ints({0})});
  sum(y).backward();
  const double masked = -INFINITY, weight = std::exp(masked - masked);
  check_bug(largest(values(y.value())), 0, weight);
  CHECK(largest(values(q.grad())) == 0);
  CHECK(largest(values(k.grad())) == 0);
}

TEST_CASE("pytorch/pytorch#115111: one new query under a causal mask sees the first key only") {
  const Variable q(Tensor::zeros({1, 1, 4}, DType::f64)), v = random_leaf({1, 3, 4}, 3);
  const Variable y = attention(q, v, v, {.d_model = 4, .heads = 1, .causal = true});
  const std::vector<double> x = values(v.value());
  check_bug(values(y.value())[0], (x[0] + x[4] + x[8]) / 3, x[0]);  // equal scores: the mean of what is seen
}

namespace {
double position(int64_t t, size_t column) {
  return values(nn::SinusoidalPositions(t + 1, 8).rows(t, t + 1, DType::f64, Device::cpu))[column];
}
}  // namespace

TEST_CASE("SamLynnEvans/Transformer#7: the cosine of a position has the next frequency") {
  check_bug(position(5, 3), std::cos(5 / std::pow(10000, 2. / 8)), std::cos(5 / std::pow(10000, 4. / 8)));
}

TEST_CASE("zju3dv/LoFTR#41: an exponent is rounded down to -1 before it is multiplied") {
  const double rounded = std::floor(-std::log(10000.) / 8 / 2);
  check_bug(position(5, 2), std::sin(5 * std::pow(10000, -2. / 8)), std::sin(5 * std::exp(2 * rounded)));
}

TEST_CASE("ivanvovk/WaveGrad#12: base and exponent of a frequency are exchanged") {
  check_bug(position(5, 2), std::sin(5 * std::pow(1e-4, 2. / 8)), std::sin(5 * std::pow(2. / 8, 1e-4)));
}

// ---- optimisers and schedules

namespace {
// How far one step moves a weight of `start` whose gradient is `gradient`.
template <class Optimizer, class Options>
double moved(double start, double gradient, const Options& options) {
  const Variable w = leaf(start);
  Optimizer optimizer({NamedParameter{"w", w}}, options);
  sum(w * gradient).backward();
  optimizer.step();
  return values(w.value())[0] - start;
}
}  // namespace

TEST_CASE("ml-explore/mlx#1640: Adam without bias correction takes a first step of 3.2 lr") {
  const double m = 0.1 * 3, v = 0.001 * 9;
  check_bug(moved<optim::Adam>(0.5, 3, optim::AdamOptions{.lr = 0.1}), -0.1, -0.1 * m / std::sqrt(v), 1e-7);
}

TEST_CASE("karpathy/convnetjs#70: Adam multiplies by the bias correction") {
  const double m = 0.1 * 3 * 0.1, v = 0.001 * 9 * 0.001;
  check_bug(moved<optim::Adam>(0.5, 3, optim::AdamOptions{.lr = 0.1}), -0.1, -0.1 * m / std::sqrt(v), 1e-7);
}

TEST_CASE("tensorflow/tensorflow#35102: Adam's eps is compared to an uncorrected v") {
  const double g = 1e-8, correction = std::sqrt(0.001);
  check_bug(moved<optim::Adam>(0.5, g, optim::AdamOptions{.lr = 0.1, .eps = 1e-8}), -0.1 / 2,
            -0.1 * correction * g / (correction * g + 1e-8));
}

TEST_CASE("keras-team/keras#19051: AdamW adds its weight decay to the gradient") {
  const double decayed = -0.1 * 0.5 * 2;
  check_bug(moved<optim::AdamW>(2, 3, optim::AdamWOptions{.lr = 0.1, .weight_decay = 0.5}), decayed - 0.1,
            -0.1, 1e-7);
}

TEST_CASE("huggingface/transformers#581: gradients are clipped one parameter at a time") {
  const Variable a = leaf(0), b = leaf(0);
  optim::Sgd sgd({NamedParameter{"a", a}, NamedParameter{"b", b}});
  sum(a * 3.0 + b * 4.0).backward();
  sgd.clip_gradients(1);
  check_bug(slope(a), 3. / 5, 1, 1e-6);
  check_bug(slope(b), 4. / 5, 1, 1e-6);
}

TEST_CASE("karpathy/nanoGPT#578: the first step of warmup has learning rate 0") {
  check_bug(optim::linear(1, 0.5, /*warmup=*/10, /*total=*/100), 0.5 / 10, 0.5 * 0 / 10);
}

TEST_CASE("tugstugi/pytorch-saltnet#7: the first two steps of Noam's warmup are the same") {
  check_bug(optim::noam(2, 512, 4000) / optim::noam(1, 512, 4000), 2, 1);
}

// ---- scores

TEST_CASE("promptfoo/promptfoo#9717: BLEU's brevity penalty is turned over and rewards what is short") {
  const examples::Bleu bleu =
      examples::corpus_bleu({{"a", "b", "c", "d", "e"}}, {{"a", "b", "c", "d", "e", "f", "g"}});
  check_bug(bleu.score, 100 * std::exp(1 - 7. / 5), 100 * std::exp(1 - 5. / 7));
}

TEST_CASE("Maluuba/nlg-eval#10: BLEU of a corpus is not the mean of BLEU of its sentences") {
  const examples::Bleu bleu =
      examples::corpus_bleu({{"a", "b", "c", "d", "e"}, {"a", "b", "c", "d", "x", "y"}},
                            {{"a", "b", "c", "d", "e"}, {"a", "b", "c", "d", "e", "f"}});
  const double corpus = std::pow(9. / 11 * 7 / 9 * 5 / 7 * 3 / 5, 0.25);
  const double second = std::pow(4. / 6 * 3 / 5 * 2 / 4 * 1 / 3, 0.25);
  check_bug(bleu.score, 100 * corpus, 100 * (1 + second) / 2);
}

namespace {
examples::TokenPrediction token(double confidence, bool correct) {
  return {.confidence = confidence,
          .entropy = 0,
          .target_log_p = 0,
          .brier = 0,
          .target = 1,
          .predicted = correct ? 1 : 2};
}
}  // namespace

TEST_CASE("Lightning-AI/torchmetrics#3510: confidence 1 has a bin of its own") {
  const std::vector<examples::TokenPrediction> tokens = {token(0.95, true), token(1, false)};
  check_bug(examples::calibration(tokens, 10).ece, 0.975 - 0.5, (0.05 + 1) / 2);
}

TEST_CASE("OpenTabular/DeepTab#428: confidence 1 is in no bin, and always wrong is well calibrated") {
  const std::vector<examples::TokenPrediction> tokens = {token(1, false), token(1, false)};
  check_bug(examples::calibration(tokens, 10).ece, 1, 0);
}

TEST_CASE("ethen8181/machine-learning#20: bins count alike, whatever their number of tokens") {
  const std::vector<examples::TokenPrediction> tokens = {token(0.95, true), token(0.95, true),
                                                         token(0.95, true), token(0.55, false)};
  check_bug(examples::calibration(tokens, 10).ece, (3 * 0.05 + 0.55) / 4, (0.05 + 0.55) / 2);
}
