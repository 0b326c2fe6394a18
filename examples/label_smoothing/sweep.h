// A sweep: many runs, one thread each, as many at a time as there are cores. Each finished run is one row of
// a CSV file, at once; a sweep that was interrupted trains only what is missing. And what may be said of
// paired runs: the mean difference with its 95 % interval.
#pragma once

#include <functional>

#include "examples/label_smoothing/demo.h"
#include "examples/label_smoothing/training.h"

namespace gradus::examples::lab {

const Lesson& lesson_of(const Settings& settings);  // made once
// How the two regimes train. In "overfit" the hard model does: 400 pairs, 64 times over.
Run base_run(const Lesson& lesson, const std::string& regime);
// Fresh pairs, and long enough to come near what smoothed labels aim at.
Run optimum_run(const Lesson& lesson, double eps, int64_t seed);
std::string seeds_text(const Settings& settings);

struct Finished {
  Run run;
  Outcome outcome;
};

// The finished runs of one kind, in the order of their seeds.
struct Kind {
  std::string regime = "overfit", method = "smoothing";
  double strength = 0;
};
std::vector<const Outcome*> select(const std::vector<Finished>& rows, const Kind& kind);

// All of these runs, in their order; `name` is that of the file in settings.runs. Rows there that are none of
// them are refused (std::runtime_error), by file, line and run: they were made with other options.
std::vector<Finished> sweep(const Settings& settings, const std::string& name, const Lesson& lesson,
                            const std::vector<Run>& runs);

std::string to_csv(const std::vector<Finished>& rows);
std::vector<Finished> from_csv(const std::string& text, const std::string& file,
                               const std::vector<Run>& runs);

struct Interval {
  double mean = 0, low = 0, high = 0;
  int64_t n = 0;
  bool excludes_0() const { return low > 0 || high < 0; }
};
// The mean and its 95 % interval by Student's t with n - 1 degrees of freedom; of one number it is infinite.
Interval interval(const std::vector<double>& x);
double t_quantile(int64_t degrees_of_freedom);  // 97.5 %

struct Measure : std::function<double(const Outcome&)> {  // a value's name, or any function
  using function::function;
  Measure(const std::string& name) : function([name](const Outcome& o) { return o.values.at(name); }) {}
  Measure(const char* name) : Measure(std::string(name)) {}
};
Interval mean_of(const std::vector<Finished>& rows, const Kind& kind, const Measure& measure);
// measure(b) - measure_a(a), or - measure(a), seed by seed.
Interval difference(const std::vector<Finished>& rows, const Kind& a, const Kind& b, const Measure& measure,
                    const Measure& measure_a = {});
std::string text(const Interval& i);  // "0.123 [0.110, 0.136]"
// "the ECE falls by 0.123 [0.110, 0.136]", or that it does not change for certain, where the interval holds
// 0.
std::string verdict(const std::string& what, const Interval& difference);

std::string cell(const Interval& i);  // of a table: the text, and ~ where it may be 0

// Adds rows to a table: for each point of series[name] the cells `first`, the mean of column `x` over
// outcomes, and of column `y` the mean, low and high.
void add_curve(html::Table& table, const std::vector<std::string>& first,
               const std::vector<const Outcome*>& outcomes, const std::string& name, size_t y, size_t x = 0);

}  // namespace gradus::examples::lab
