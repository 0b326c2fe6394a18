#include "warmup.h"

#include "grader.h"
using namespace gradus::exercises;

int main() {
  Grader grader("warmup");
  const auto noam_at = [](std::initializer_list<double> steps) {
    Numbers rates;
    for (const double step : steps) rates.push_back(1e4 * noam(step, /*d_model=*/400, /*warmup=*/2500));
    return rates;
  };
  grader.expect(
      "noam, times 10,000: d_model 400, warmup 2,500, steps 1, 250, 1250",
      [&] {
        return noam_at({1, 250, 1250});
      },
      {0.004, 1, 5}, "step warmup^-1.5 is the smaller of the two before the end of warmup");
  grader.expect(
      "noam, times 10,000: its peak at step 2,500", [&] { return noam_at({2500}); }, {10},
      "1 / sqrt(d_model warmup): there the two are equal");
  grader.expect(
      "noam, times 10,000: steps 10,000 and 40,000",
      [&] {
        return noam_at({10000, 40000});
      },
      {5, 2.5}, "after warmup step^-0.5: four times the steps, half the rate");
  const auto trapezoid_at = [](std::initializer_list<double> steps) {
    Numbers rates;
    for (const double step : steps)
      rates.push_back(trapezoid(step, /*peak=*/2, /*warmup=*/10, /*decay_from=*/60, /*total=*/100));
    return rates;
  };
  grader.expect(
      "trapezoid: peak 2, steps 1, 5, 10 of a warmup of 10",
      [&] {
        return trapezoid_at({1, 5, 10});
      },
      {0.2, 1, 2}, "peak step / warmup: the first step is not 0, and step `warmup` has the peak");
  grader.expect(
      "trapezoid: steps 11, 40, 60, decay from 60",
      [&] {
        return trapezoid_at({11, 40, 60});
      },
      {2, 2, 2}, "flat, and step `decay_from` still has the peak");
  grader.expect(
      "trapezoid: steps 70, 80, 99, 100 of 100",
      [&] {
        return trapezoid_at({70, 80, 99, 100});
      },
      {1.5, 1, 0.05, 0}, "peak (total - step) / (total - decay_from)");
  grader.expect(
      "trapezoid: step 150 of 100", [&] { return trapezoid_at({150}); }, {0}, "a rate is never negative");
  return grader.result();
}
