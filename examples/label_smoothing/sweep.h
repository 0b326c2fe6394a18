// A sweep: many runs, one thread each, as many at a time as there are cores. Each finished run is one row of
// a CSV file, at once; a sweep that was interrupted trains only what is missing. And what may be said of
// paired runs: the mean difference with its 95 % interval.
#pragma once

#include <map>

#include "examples/label_smoothing/demo.h"
#include "examples/label_smoothing/training.h"

namespace gradus::examples::lab {

const Lesson& lesson_of(const Settings& settings);  // made once
// How the two regimes train. In "overfit" the hard model does: 400 pairs, 64 times over.
Run base_run(const Lesson& lesson, const std::string& regime);
// Fresh pairs, and long enough to come near what smoothed labels aim at.
Run optimum_run(const Lesson& lesson, double eps);

// A kind of run is a run but for its seed, and has a name. Of each kind the outcomes with seeds from 1 on, in
// this order; `name` is that of the file in settings.runs. Rows there that are none of these runs are refused
// (std::runtime_error), by file, line and run: they were made with other options.
using Kinds = std::vector<std::pair<std::string, Run>>;
using Outcomes = std::vector<Outcome>;
using Results = std::map<std::string, Outcomes>;
Results sweep(const Settings& settings, const std::string& name, const Kinds& kinds, int64_t seeds);

struct Interval {
  double mean = 0, low = 0, high = 0;
  int64_t n = 0;
  bool excludes_0() const { return low > 0 || high < 0; }
};
// The mean and its 95 % interval by Student's t with n - 1 degrees of freedom; of one number it is infinite.
Interval interval(const std::vector<double>& x);
double t_quantile(int64_t degrees_of_freedom);  // 97.5 %

// One of kValues, or what is read off a series. Held out, `early_nll` is that after a quarter of the steps,
// `final_nll` that at the end, and `turn` says how far that is above the lowest; `longer`: by how much the
// widest beam lengthens the output (`rectified_longer`: of a rectified search); `rare_recall`: of the rarest
// quarter.
double measured(const Outcome& outcome, const std::string& measure);
Interval mean_of(const Outcomes& outcomes, const std::string& measure);
// Seed by seed: measure of_b of b minus measure of_a of a, or the same measure.
Interval difference(const Outcomes& a, const Outcomes& b, const std::string& of_b,
                    const std::string& of_a = "");

std::string text(const Interval& i);  // "0.123 [0.110, 0.136]"
std::string cell(const Interval& i);  // of a table: the text, and ~ where it may be 0
// "the ECE falls by 0.123 [0.110, 0.136]", or that it shows no clear change: the interval holds 0.
std::string verdict(const std::string& what, const Interval& difference);
// The demo with its `seeds`, and the numbers that its honest texts ask for: {ece of KIND} is a mean, {the
// ECE: ece of KIND > ece of KIND} the verdict on a difference, {the turn: turn of KIND} on a mean.
Demo answered(Demo demo, const Results& results);

// Adds rows to a table: for each point of series[name] the cells `first`, the mean of column `x` over
// outcomes, and of column `y` the mean, low and high.
void add_curve(html::Table& table, const std::vector<std::string>& first, const Outcomes& outcomes,
               const std::string& name, size_t y, size_t x = 0);

}  // namespace gradus::examples::lab
