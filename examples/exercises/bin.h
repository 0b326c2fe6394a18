// Bin: what exercise 4 sorts predictions into. It is given, not asked.
#pragma once

#include <cstdint>

namespace gradus::exercises {

struct Bin {
  int64_t count = 0;
  double confidence = 0, accuracy = 0;  // means over the bin
};

}  // namespace gradus::exercises
