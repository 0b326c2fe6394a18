#include "examples/data/numbers.h"

#include <cmath>
#include <iterator>

namespace gradus::examples {

std::string shortest(double value) {
  char digits[32];
  const double size = std::abs(value);
  const bool plain = size == 0 || (size >= 1e-5 && size < 1e15);  // to_chars alone prefers 1e-04 to 0.0001
  const auto result = plain ? std::to_chars(digits, std::end(digits), value, std::chars_format::fixed)
                            : std::to_chars(digits, std::end(digits), value);
  return std::string(digits, result.ptr);
}

}  // namespace gradus::examples
