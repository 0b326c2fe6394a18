// The reliability diagram of what measure/calibration measured.
#pragma once

#include "examples/measure/calibration.h"
#include "examples/page/svg.h"

namespace gradus::examples {

// What svg::draw() makes a reliability diagram of, of bins of equal width over [0, 1]: the accuracy of each,
// and the gap to its confidence. A bin of fewer than `few` tokens is hollow, one of none is left out.
std::vector<svg::Series> diagram(const std::vector<ReliabilityBin>& bins, int64_t few = 30);

}  // namespace gradus::examples
