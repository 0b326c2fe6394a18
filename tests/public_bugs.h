// What the two files of the museum share (MUSEUM.md). Each test is named by what a public report shows, and
// begins with its repository and number.
#pragma once

#include "compare.h"

namespace gradus::compare {

// gradus has the right value, a closed form, and the reported formula has another one, or none (NaN).
inline void check_bug(double ours, double right, double wrong, double tolerance = 1e-9) {
  CHECK(ours == doctest::Approx(right).epsilon(tolerance).scale(1));
  CHECK(!(std::fabs(wrong - right) <= std::max(1e-3, 10 * tolerance) * std::max(1., std::fabs(right))));
}

inline Tensor row(const std::vector<double>& x) {
  return Tensor::from(x, {1, static_cast<int64_t>(x.size())});
}

}  // namespace gradus::compare
