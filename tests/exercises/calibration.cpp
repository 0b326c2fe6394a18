#include "calibration.h"

#include "grader.h"
using namespace gradus;
using namespace gradus::exercises;

int main() {
  Grader grader("calibration");
  const Numbers confidence = {0.05, 0.3, 0.4, 0.25, 0.8, 0.9, 1, 1};
  const std::vector<int> correct = {0, 1, 0, 0, 1, 1, 1, 0};
  const auto bins = [&] { return reliability(confidence, correct, 4); };
  const auto column = [&](auto member) {
    Numbers result;
    for (const Bin& bin : bins()) result.push_back(bin.*member);
    return result;
  };
  grader.expect(
      "counts in 4 bins", [&] { return column(&Bin::count); }, {1, 3, 0, 4},
      "0.25 begins the second bin, and 1 belongs to the last: there is no fifth");
  grader.expect(
      "confidence in 4 bins", [&] { return column(&Bin::confidence); }, {0.05, 0.95 / 3, 0, 0.925},
      "the mean of what fell into the bin, not its middle; 0 where nothing did");
  grader.expect(
      "accuracy in 4 bins", [&] { return column(&Bin::accuracy); }, {0, 1 / 3., 0, 0.75},
      "the mean of `correct` over the bin");
  const auto ece = [](const std::vector<Bin>& of) { return Numbers{expected_calibration_error(of)}; };
  grader.expect(
      "ECE of bins (1: 0.05, 0), (3: 0.3, 1/3), (4: 0.925, 0.75)",
      [&] {
        return ece({{1, 0.05, 0}, {3, 0.3, 1 / 3.}, {0, 0, 0}, {4, 0.925, 0.75}});
      },
      {(0.05 + 0.1 + 0.7) / 8}, "each bin counts by its share of all predictions, not 1 / bins");
  grader.expect(
      "ECE of a calibrated model",
      [&] {
        return ece({{10, 0.3, 0.3}, {10, 0.8, 0.8}});
      },
      {0}, "the gap is |accuracy - confidence| of the bin");
  grader.expect(
      "ECE of gaps that point both ways",
      [&] {
        return ece({{10, 0.3, 0.4}, {10, 0.8, 0.7}});
      },
      {0.1}, "take the absolute value within each bin, before you add");
  grader.expect(
      "ECE of nothing",
      [&] {
        return ece({{}, {}});
      },
      {0}, "no predictions, no error: do not divide by 0");

  // Every row says class 0 by a margin of `margin`, and three rows of four are right: the best margin is
  // ln 3.
  const auto temperature = [](double margin) {
    const Tensor target = Tensor::from(std::vector<int32_t>{0, 0, 0, 1}, {4});
    Numbers z;
    for (int row = 0; row < 4; ++row) z.insert(z.end(), {margin, 0});
    return Numbers{fit_temperature(Tensor::from(z, {4, 2}), target)};
  };
  grader.expect(
      "T of a model that is too sure", [&] { return temperature(5); }, {5 / std::log(3.)},
      "at the best T the confidence is the accuracy: e^(5/T) / (1 + e^(5/T)) = 3/4. Did you return 1 / T? Is "
      "class 0 "
      "taken for padding?",
      1e-5);
  grader.expect(
      "T of a model that is not sure enough", [&] { return temperature(0.1); }, {0.1 / std::log(3.)},
      "T may be below 1", 1e-5);
  return grader.result();
}
