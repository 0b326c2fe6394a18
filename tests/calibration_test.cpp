// Reliability, ECE, Brier score, nll and temperature on input whose answers are known exactly.
#include "examples/measure/calibration.h"

#include "compare.h"
#include "examples/page/reliability.h"

using namespace gradus;
using namespace gradus::compare;
using namespace gradus::examples;

namespace {

Tensor rows_of(const std::vector<std::vector<double>>& p) {  // as logits
  std::vector<double> z;
  for (const auto& row : p)
    for (double x : row) z.push_back(std::log(x));
  return Tensor::from(z, {static_cast<int64_t>(p.size()), static_cast<int64_t>(p[0].size())});
}

}  // namespace

TEST_CASE("one token: confidence, entropy, Brier score, ln p; ties and zeros") {
  const Tensor z = rows_of({{0.5, 0.25, 0.25, 0}, {0.25, 0.25, 0.25, 0.25}, {0, 1, 0, 0}});
  const auto t = predictions(z, std::vector<int32_t>{1, 1, 1}, /*ignored=*/-1);
  REQUIRE(t.size() == 3);
  CHECK(t[0].confidence == near(0.5));
  CHECK(!t[0].correct());
  CHECK(t[0].entropy == near(1.5 * std::log(2.)));
  CHECK(t[0].target_log_p == near(std::log(0.25)));
  CHECK(t[0].brier == near(0.25 + 0.75 * 0.75 + 0.0625));
  CHECK(!t[1].correct());  // of equal ones the first
  CHECK(t[1].brier == near(3 * 0.0625 + 0.5625));
  CHECK(t[2].correct());
  CHECK(t[2].entropy == 0);
  CHECK(t[2].brier == 0);
  const auto others = predictions(z, std::vector<int32_t>{0, 0, 99}, /*ignored=*/0);
  REQUIRE(others.size() == 1);  // padding is left out, and what is beyond the vocabulary is never right
  CHECK(!others[0].correct());
  CHECK(others[0].target_log_p == -INFINITY);
  CHECK(others[0].brier == near(2));
}

TEST_CASE("ECE, bins and means of constructed tokens") {
  // Ten tokens of confidence 0.8, of which six are right; ten of 0.6, all right; one of exactly 0.5, wrong.
  std::vector<TokenPrediction> tokens;
  for (int i = 0; i < 10; ++i) tokens.push_back({0.8, 1, std::log(0.5), 0.1, 4, i < 6 ? 4 : 7});
  for (int i = 0; i < 10; ++i) tokens.push_back({0.6, 0, std::log(0.25), 0.2, 5, 5});
  tokens.push_back({0.5, 0, std::log(0.5), 0.3, 6, 2});
  const Calibration c = calibration(tokens, 10);
  CHECK(c.tokens == 21);
  CHECK(c.ece == near((10 * 0.2 + 10 * 0.4 + 0.5) / 21));
  CHECK(c.accuracy == near(16. / 21));
  CHECK(c.confidence == near((8 + 6 + 0.5) / 21));
  CHECK(c.brier == near((1 + 2 + 0.3) / 21));
  CHECK(c.nll == near(31 * std::log(2.) / 21));
  CHECK(c.entropy == near(10. / 21));
  CHECK(c.bins.size() == 10);
  CHECK(c.bins[4].count == 1);  // (0.4, 0.5]
  CHECK(c.bins[7].count == 10);
  CHECK(c.bins[7].accuracy == near(0.6));
  CHECK(c.bins[7].confidence == near(0.8));
  CHECK(c.bins[0].count == 0);
  CHECK(calibration(tokens, 1).ece == near(1.5 / 21));  // in one bin over and under cancel
}

TEST_CASE("too little confidence counts as much as too much, and its gap lies below the accuracy") {
  std::vector<TokenPrediction> shy, bold;  // ten of confidence 0.25, six right; ten of 0.75, four right
  for (int i = 0; i < 10; ++i) shy.push_back({0.25, 0, 0, 0, 1, i < 6 ? 1 : 2});
  for (int i = 0; i < 10; ++i) bold.push_back({0.75, 0, 0, 0, 1, i < 4 ? 1 : 2});
  const Calibration of_shy = calibration(shy, 2), of_bold = calibration(bold, 2);
  CHECK(of_shy.ece == near(0.35));
  CHECK(of_bold.ece == near(0.35));
  const svg::Series shy_gap = diagram(of_shy.bins, /*few=*/10)[1], bold_gap = diagram(of_bold.bins, 10)[1];
  CHECK(shy_gap.low == std::vector<double>{0.25});
  CHECK(shy_gap.high == std::vector<double>{0.6});
  CHECK(bold_gap.low == std::vector<double>{0.4});
  CHECK(bold_gap.high == std::vector<double>{0.75});
}

TEST_CASE("the edges: no tokens, confidence 1, bad calls") {
  const Calibration none = calibration({});
  CHECK(none.ece == 0);
  CHECK(none.nll == 0);
  CHECK(none.bins.size() == 15);
  const TokenPrediction sure{1, 0, 0, 0, 1, 1};
  CHECK(calibration(std::vector{sure}).bins[14].count == 1);
  CHECK(calibration(std::vector{sure}).ece == 0);
  const Tensor z = rows_of({{0.5, 0.5}});
  CHECK(contains(error_of([&] { predictions(z, std::vector<int32_t>{0, 1}, -1); }), "do not fit 2 targets"));
  CHECK(contains(error_of([&] { predictions(z, std::vector<int32_t>{0}, -1, 0); }), "above 0, got 0"));
  CHECK(contains(error_of([&] { calibration({}, 0); }), "at least one bin"));
  CHECK(contains(error_of([&] { fit_temperature(z, std::vector<int32_t>{5}, -1); }), "target 5"));
  CHECK(
      contains(error_of([] {
                 predictions(Tensor::from(std::vector<double>{NAN, 0}, {1, 2}), std::vector<int32_t>{0}, -1);
               }),
               "row 0"));
}

TEST_CASE("temperature: one that was put in is found again, and repairs the calibration") {
  // Of ten rows with p = (.8, .2) eight have target 0: calibrated. Three times as sharp, T = 3 repairs it.
  std::vector<std::vector<double>> p(10, {0.8, 0.2});
  std::vector<int32_t> targets(10, 0);
  targets[3] = targets[7] = 1;
  const Tensor z = rows_of(p), sharp = z * 3.;
  CHECK(fit_temperature(z, targets, -1) == near(1, 1e-9));
  CHECK(fit_temperature(sharp, targets, -1) == near(3, 1e-9));
  CHECK(fit_temperature(z * 0.25, targets, -1) == near(0.25, 1e-9));
  CHECK(calibration(predictions(sharp, targets, -1)).ece > 0.15);
  CHECK(calibration(predictions(sharp, targets, -1, 3)).ece < 1e-9);
  CHECK(fit_temperature(z, std::vector<int32_t>(10, 0), -1) == near(0.05, 1e-9));  // always right: no bound
  CHECK(calibration(predictions(sharp, targets, 1)).tokens == 8);
}
