// graph: the tape behind a Variable as Graphviz text, to look at what was recorded. Pipe it through
// `dot -Tsvg > tape.svg`. Leaves are boxes, named where a name is given; arrows point the way the values
// went.
#pragma once

#include "autograd/variable.h"

namespace gradus {

void write_dot(std::ostream& out, const Variable& root, const std::vector<NamedParameter>& names = {});

}  // namespace gradus
