// The tape of a recorded computation as a figure.
#pragma once

#include "autograd/variable.h"
#include "examples/page/svg.h"

namespace gradus::examples {

// The operations behind `root`, oldest first, for svg::tape: name, parameter where it has one, and shape.
std::vector<svg::Step> steps_of(const Variable& root, const std::vector<NamedParameter>& names);

}  // namespace gradus::examples
