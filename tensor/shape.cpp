#include "tensor/shape.h"

#include <algorithm>
#include <functional>
#include <numeric>

#include "tensor/error.h"

namespace gradus {

Shape::Shape(std::span<const int64_t> sizes) : rank_(static_cast<int>(sizes.size())) {
  check(sizes.size() <= kMaxRank, "shape: at most ", kMaxRank, " axes, not ", sizes.size());
  std::copy(sizes.begin(), sizes.end(), sizes_.begin());
  int64_t bytes = 8;  // bounded as if each element took 8, so that no byte count derived from it overflows
  bool fits = true;
  for (int64_t size : sizes) {
    check(size >= 0, "shape: negative size in ", *this);
    // A size of 0 must not hide an overflow of the others: it counts as 1 here.
    fits = fits && !__builtin_mul_overflow(bytes, std::max<int64_t>(size, 1), &bytes);
  }
  check(fits, "shape: ", *this, " holds more elements than can be addressed");
  numel_ = std::accumulate(begin(), end(), int64_t{1}, std::multiplies<>());
}

int Shape::axis_index(int64_t axis, const char* op) const {
  const int64_t index = axis < 0 ? axis + rank_ : axis;
  check(index >= 0 && index < rank_, op, ": no axis ", axis, " in ", *this);
  return static_cast<int>(index);
}

int64_t Shape::before(int axis) const {
  return std::accumulate(begin(), begin() + axis_index(axis), int64_t{1}, std::multiplies<>());
}

int64_t Shape::after(int axis) const {
  return std::accumulate(begin() + axis_index(axis) + 1, end(), int64_t{1}, std::multiplies<>());
}

Shape Shape::with(int axis, int64_t size) const {
  std::vector<int64_t> sizes(begin(), end());
  sizes[axis_index(axis)] = size;
  return Shape(sizes);
}

Shape Shape::without_last() const {
  check(rank_ > 0, "shape: a scalar has no last axis");
  return Shape(std::span(begin(), end() - 1));
}

Shape Shape::with_last(int64_t size) const {
  std::vector<int64_t> sizes(begin(), end());
  sizes.push_back(size);
  return Shape(sizes);
}

std::ostream& operator<<(std::ostream& out, const Shape& shape) {
  out << '[';
  for (const int64_t& size : shape) out << (&size == shape.begin() ? "" : ", ") << size;
  return out << ']';
}

Shape summed_shape(const char* op, const Shape& shape, const Axes& axes, bool keep) {
  std::array<bool, Shape::kMaxRank> summed{};
  if (axes.all()) summed.fill(true);
  for (const int64_t axis : axes)
    check(!std::exchange(summed[shape.axis_index(axis, op)], true), op, ": axis ", axis, " of ", shape,
          " is named twice");
  std::vector<int64_t> sizes;
  for (int axis = 0; axis < shape.rank(); ++axis)
    if (keep || !summed[axis]) sizes.push_back(summed[axis] ? 1 : shape[axis]);
  return Shape(sizes);
}

int64_t summed_count(const Shape& shape, const Axes& axes) {
  if (axes.all()) return shape.numel();
  return std::accumulate(axes.begin(), axes.end(), int64_t{1}, [&](int64_t count, int64_t axis) {
    return count * shape.begin()[shape.axis_index(axis)];
  });
}

Shape broadcast(const char* op, const Shape& a, const Shape& b) {
  std::vector<int64_t> sizes(std::max(a.rank(), b.rank()));
  for (int i = 1; i <= static_cast<int>(sizes.size()); ++i) {  // from the right
    const int64_t x = i <= a.rank() ? a[-i] : 1, y = i <= b.rank() ? b[-i] : 1;
    check(x == y || x == 1 || y == 1, op, ": shapes do not broadcast: ", a, " and ", b);
    sizes[sizes.size() - i] = x == 1 ? y : x;
  }
  return Shape(sizes);
}

}  // namespace gradus
