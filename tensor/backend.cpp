#include "tensor/backend.h"

namespace gradus {

void Backend::linear(In x, In w, In b, std::optional<Unary> activation, Out y, Out pre) {
  gemm({x.shape().before(-1), w.shape()[0], w.shape()[1], false, true}, 1, x, w, 0, y);
  if (b) binary(Binary::add, y, b, y);
  if (pre) copy(y, pre);
  if (activation) unary(*activation, y, y);
}

}  // namespace gradus
