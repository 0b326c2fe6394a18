#include "tensor/backend.h"

namespace gradus {

void Backend::linear(const Tensor& x, const Tensor& w, const Tensor& b, std::optional<Unary> activation, Out y, Out pre) {
  gemm({x.shape().rows(), w.shape()[0], w.shape()[1], false, true}, 1, x, w, 0, y);
  if (b) binary(Binary::add, y, b, y);
  if (pre) copy(y, pre);
  if (activation) unary(*activation, y, y);
}

}  // namespace gradus
