// Shape: the sizes of a tensor's axes, at most six of them, kept inline so that passing one around never
// allocates. It is a class of its own and not an alias of std::vector, so that `<<` is found in every
// namespace. Negative axes count from the end, as in NumPy.
#pragma once

#include <array>
#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <ostream>
#include <span>
#include <utility>
#include <vector>

namespace gradus {

class Shape {
 public:
  static constexpr int kMaxRank = 6;

  Shape() = default;
  Shape(std::initializer_list<int64_t> sizes) : Shape(std::span(sizes.begin(), sizes.size())) {}
  explicit Shape(const std::vector<int64_t>& sizes) : Shape(std::span(sizes)) {}
  explicit Shape(std::span<const int64_t> sizes);  // throws when a size is negative or the count overflows

  int rank() const { return rank_; }
  int64_t numel() const { return numel_; }  // product of the sizes; 1 for rank 0
  int64_t operator[](int axis) const { return sizes_[axis_index(axis)]; }
  const int64_t* begin() const { return sizes_.data(); }
  const int64_t* end() const { return sizes_.data() + rank_; }

  // Axis -1 is the last. Throws, in the name of `op`, where there is no such axis.
  int axis_index(int64_t axis, const char* op = "shape") const;
  int64_t before(int axis) const;  // product of the sizes left of an axis: before(-1) is a view's rows
  int64_t after(int axis) const;   // and right of it
  Shape with(int axis, int64_t size) const;  // this shape with one size replaced
  Shape without_last() const;
  Shape with_last(int64_t size) const;  // one axis more

  friend bool operator==(const Shape& a, const Shape& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end());
  }

 private:
  std::array<int64_t, kMaxRank> sizes_{};
  int rank_ = 0;
  int64_t numel_ = 1;
};

std::ostream& operator<<(std::ostream& out, const Shape& shape);  // [2, 3]

// Unsigned numbers beyond int64_t, such as size() - 1 of nothing, stay what no shape has as an axis.
template <std::integral Integer> int64_t as_axis(Integer axis) {
  return std::in_range<int64_t>(axis) ? static_cast<int64_t>(axis) : INT64_MAX;
}

// The axis that an operation works along: a whole number. No bool and no fraction is one.
class Axis {
 public:
  template <std::integral Integer>
  requires(!std::same_as<Integer, bool>) Axis(Integer axis) : axis_(as_axis(axis)) {}
  int in(const Shape& shape, const char* op) const { return shape.axis_index(axis_, op); }  // from the left

 private:
  int64_t axis_;
};

// Along which axes an operation reduces: one, as in sum(x, -1), several, as in sum(x, {0, 2}), or all, {}.
class Axes {
 public:
  Axes() = default;  // all
  // No bool is an axis: sum(x, {0, true}) wants sum(x, 0, true).
  template <std::integral... Integers>
  requires(sizeof...(Integers) > 0 && !(std::same_as<Integers, bool> || ...)) Axes(Integers... axes)
      : axes_{as_axis(axes)...} {}
  Axes(const std::vector<int>& axes) : axes_(axes.begin(), axes.end()) {}

  bool all() const { return axes_.empty(); }
  auto begin() const { return axes_.begin(); }
  auto end() const { return axes_.end(); }

 private:
  std::vector<int64_t> axes_;
};

// The shape with these axes summed up: they keep size 1 where `keep` says so, else they vanish.
Shape summed_shape(const char* op, const Shape& shape, const Axes& axes, bool keep);

// How many elements go into each of the sum: the product of the sizes of these axes.
int64_t summed_count(const Shape& shape, const Axes& axes);

// The common shape of two operands, axes matched from the right, size 1 stretching to the other's size.
Shape broadcast(const char* op, const Shape& a, const Shape& b);

}  // namespace gradus
