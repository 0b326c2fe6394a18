// DType: what a tensor's elements are, known at run time. visit() turns it into a template parameter, so that
// a kernel is written once over its element type T. i32 holds token ids, lengths and masks; arithmetic
// uses f32 and f64 only.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <ostream>
#include <type_traits>

#include "tensor/error.h"

namespace gradus {

enum class DType { f32, f64, i32 };

template <class T>
concept Element = std::same_as<T, float> || std::same_as<T, double> || std::same_as<T, int32_t>;

template <Element T>
constexpr DType dtype_of = std::is_same_v<T, float>    ? DType::f32
                           : std::is_same_v<T, double> ? DType::f64
                                                       : DType::i32;

constexpr size_t size_of(DType dtype) { return dtype == DType::f64 ? 8 : 4; }
constexpr const char* name_of(DType dtype) {
  return dtype == DType::f32 ? "f32" : dtype == DType::f64 ? "f64" : "i32";
}
inline std::ostream& operator<<(std::ostream& out, DType dtype) { return out << name_of(dtype); }

// Calls fn(T{}) with T = float, double or int32_t.
template <class Fn> decltype(auto) visit(DType dtype, Fn&& fn) {
  switch (dtype) {
    case DType::f32: return fn(float{});
    case DType::f64: return fn(double{});
    default: return fn(int32_t{});
  }
}

// The same for computation: float or double. The public functions have checked that the dtype is one of
// these.
template <class Fn> decltype(auto) visit_real(DType dtype, Fn&& fn) {
  return dtype == DType::f64 ? fn(double{}) : fn(float{});
}

}  // namespace gradus
