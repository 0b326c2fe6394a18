#include "tensor/shape.h"

#include <algorithm>

#include "tensor/error.h"

namespace gradus {

Shape::Shape(std::span<const int64_t> sizes) : rank_(static_cast<int>(sizes.size())) {
  check(sizes.size() <= kMaxRank, "shape: at most ", kMaxRank, " axes, not ", sizes.size());
  std::copy(sizes.begin(), sizes.end(), sizes_.begin());
  // Sizes are bounded as if each element were 8 bytes, so that no byte count derived from them overflows either.
  int64_t bytes = 8;
  bool fits = true;
  for (int64_t size : sizes) {
    check(size >= 0, "shape: negative size in ", *this);
    // A size of 0 must not hide an overflow of the others: it counts as 1 here.
    fits = fits && !__builtin_mul_overflow(bytes, std::max<int64_t>(size, 1), &bytes);
  }
  check(fits, "shape: ", *this, " holds more elements than can be addressed");
  for (int64_t size : sizes) numel_ *= size;
}

int Shape::axis_index(int axis) const {
  const int index = axis < 0 ? axis + rank_ : axis;
  check(index >= 0 && index < rank_, "shape: no axis ", axis, " in ", *this);
  return index;
}

int64_t Shape::rows() const {
  int64_t rows = 1;
  for (int axis = 0; axis + 1 < rank_; ++axis) rows *= sizes_[axis];
  return rows;
}

Shape Shape::with(int axis, int64_t size) const {
  std::array<int64_t, kMaxRank> sizes = sizes_;
  sizes[axis_index(axis)] = size;
  return Shape(std::span(sizes.data(), static_cast<size_t>(rank_)));
}

Shape Shape::without_last() const {
  check(rank_ > 0, "shape: a scalar has no last axis");
  return Shape(std::span(sizes_.data(), static_cast<size_t>(rank_ - 1)));
}

std::ostream& operator<<(std::ostream& out, const Shape& shape) {
  out << '[';
  for (int axis = 0; axis < shape.rank(); ++axis) out << (axis ? ", " : "") << shape.begin()[axis];
  return out << ']';
}

Shape broadcast(const char* op, const Shape& a, const Shape& b) {
  const int rank = std::max(a.rank(), b.rank());
  std::array<int64_t, Shape::kMaxRank> sizes;
  for (int i = 1; i <= rank; ++i) {  // from the right
    const int64_t x = i <= a.rank() ? a[-i] : 1;
    const int64_t y = i <= b.rank() ? b[-i] : 1;
    check(x == y || x == 1 || y == 1, op, ": shapes do not broadcast: ", a, " and ", b);
    sizes[rank - i] = x == 1 ? y : x;
  }
  return Shape(std::span(sizes.data(), static_cast<size_t>(rank)));
}

}  // namespace gradus
