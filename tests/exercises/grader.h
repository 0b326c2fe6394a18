// What the graders of the exercises share: checks that say what was expected, what came, and a hint. doctest
// is for those who know the code; this speaks to somebody who is still writing it.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <iomanip>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

namespace gradus::exercises {

using Numbers = std::vector<double>;

class Grader {
 public:
  explicit Grader(const std::string& exercise) { std::cout << std::unitbuf << exercise << "\n"; }

  // What `compute` gives must agree with the expected numbers, to `tolerance` of the largest of them or of 1.
  void expect(const std::string& what, const std::function<Numbers()>& compute, const Numbers& expected,
              const std::string& hint, double tolerance = 1e-9) {
    ++checks_;
    std::string came;
    try {
      const Numbers numbers = compute();
      if (close(numbers, expected, tolerance)) {
        ++right_;
        std::cout << "  right  " << what << "\n";
        return;
      }
      came = text(numbers);
    } catch (const std::exception& error) {
      threw_ = true;
      came = std::string("an exception: ") + error.what();
    }
    std::cout << "  WRONG  " << what << "\n           expected  " << text(expected)
              << "\n           came      " << came << "\n           hint      " << hint << "\n";
  }

  // For main(): 0 all right, 1 a check failed, 2 an exception came.
  int result() const {
    std::cout << right_ << " of " << checks_ << " checks passed\n";
    return threw_ ? 2 : right_ < checks_;
  }

 private:
  static bool close(const Numbers& came, const Numbers& expected, double tolerance) {
    double scale = 1;
    for (const double x : expected) scale = std::max(scale, std::fabs(x));
    return std::ranges::equal(came, expected,
                              [&](double a, double b) { return std::fabs(a - b) <= tolerance * scale; });
  }
  static std::string text(const Numbers& numbers) {
    std::ostringstream out;
    for (const double& x : numbers) out << std::setprecision(8) << (&x == numbers.data() ? "" : ", ") << x;
    return out.str();
  }

  int checks_ = 0, right_ = 0;
  bool threw_ = false;
};

}  // namespace gradus::exercises
