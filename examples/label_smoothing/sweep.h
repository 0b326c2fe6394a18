// A sweep: many runs, one thread each, as many at a time as there are cores. Each finished run is one row of
// a CSV file, at once; a sweep that was interrupted trains only what is missing. And what may be said of
// paired runs: the mean difference with its 95 % interval.
#pragma once

#include "examples/label_smoothing/demo.h"
#include "examples/label_smoothing/training.h"

namespace gradus::examples::lab {

struct Finished {
  Run run;
  Outcome outcome;
};

// All of these runs, in their order; `name` is that of the file in settings.runs. Rows there that are none of
// them are refused (std::runtime_error), by file, line and run: they were made with other options. Fewer come
// back only if interrupted.
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

}  // namespace gradus::examples::lab
