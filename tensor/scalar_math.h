// Every elementwise function and its slope, written once for host and device, forward and backward. A new one
// is a struct here, its name in the enum and a case in visit(). needs_x and needs_y say what slope(x, y)
// reads, so that autograd keeps no more than that. Some have numbers of their own: pow(x, exponent).
//
// For float, exp, expm1, tanh and erf are our own, a handful of multiply-adds without branches or tables:
// loops over them vectorise under plain IEEE rules (libm's do only with -ffast-math, which breaks NaN and
// infinity), and they give the same bits on every machine. Relative error below 3e-7. For double they are the
// library's.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numbers>

#include "tensor/device.h"
#include "tensor/error.h"

namespace gradus {
namespace math {

// The polynomial with these coefficients, that of the highest power first.
template <class... Rest> HOST_DEVICE float horner(float x, float sum, Rest... rest) {
  ((sum = std::fma(sum, x, rest)), ...);
  return sum;
}

// x = n ln 2 + r with |r| <= ln 2 / 2. Returns expm1(r), by Taylor to r^7, and sets half_scale = 2^(n-1),
// which unlike 2^n is a float for every n that occurs. x must lie in [-86.9, kLargestExponent].
HOST_DEVICE inline float reduced_expm1(float x, float& half_scale) {
  const float n = std::rint(x * std::numbers::log2e_v<float>);
  // ln 2 in two parts: the first has few bits, so that its product is exact.
  const float r = std::fma(n, 2.12194440e-4f, std::fma(n, -0.693359375f, x));
  half_scale = std::bit_cast<float>((static_cast<int32_t>(n) + 126) << 23);
  const float q = horner(r, 1.f / 5040, 1.f / 720, 1.f / 120, 1.f / 24, 1.f / 6, 0.5f);
  return std::fma(q * r, r, r);
}

constexpr float kLargestExponent = 88.72283f;  // the last float whose exp is finite

// NaN becomes low, so that it has an integer part.
HOST_DEVICE inline float clamp(float x, float low, float high) {
  return x > low ? (x < high ? x : high) : low;
}

HOST_DEVICE inline float exp(float x) {  // 0 below -86.9, where the result would be under 2e-38
  float half_scale;
  const float q = reduced_expm1(clamp(x, -86.9f, kLargestExponent), half_scale);
  const float y = std::fma(q, half_scale, half_scale) * 2;
  const float low_or_nan = x < -86.9f ? 0.f : x;
  return x >= -86.9f ? (x > kLargestExponent ? std::numeric_limits<float>::infinity() : y) : low_or_nan;
}

HOST_DEVICE inline float expm1(float x) {  // exp(x) - 1 without cancellation near 0; for x in [-80, 80]
  float half_scale;
  const float q = reduced_expm1(x, half_scale);
  return std::fma(q, half_scale, half_scale - 0.5f) * 2;
}

HOST_DEVICE inline float tanh(float x) {
  const float e = expm1(2 * clamp(x, -10, 10));
  return x == x ? e / (e + 2) : x;
}

// 1 - erf(x) = exp(-x P(x)); P is our least-squares fit on [0, 4], beyond which erf is 1 in float.
HOST_DEVICE inline float erf(float x) {
  const float a = clamp(std::fabs(x), 0, 4);
  const float p =
      horner(a, -9.9462832e-08f, 2.51873802e-06f, -2.83903035e-05f, 1.8635799e-04f, -7.66707013e-04f,
             1.81341723e-03f, -2.47183117e-04f, -1.91286478e-02f, 0.102775836f, 0.636619234f, 1.12837918f);
  return x == x ? std::copysign(-expm1(-a * p), x) : x;
}

HOST_DEVICE inline double exp(double x) { return std::exp(x); }
HOST_DEVICE inline double expm1(double x) { return std::expm1(x); }
HOST_DEVICE inline double tanh(double x) { return std::tanh(x); }
HOST_DEVICE inline double erf(double x) { return std::erf(x); }

// a - s p with p = exp(log_p), log_p <= 0. Where p is near 1, and a perhaps near s, it is (a - s) - s (p -
// 1), which loses no digits.
template <class T> HOST_DEVICE T minus_share(T a, T s, T log_p) {
  const T near = (a - s) - s * expm1(log_p > T(-1) ? log_p : T(-1));
  return log_p > T(-0.5) ? near : a - s * exp(log_p);
}

}  // namespace math

// Those from affine on have numbers of their own, see UnaryOp.
enum class Unary {
  neg,
  exp,
  log,
  sqrt,
  tanh,
  sigmoid,
  relu,
  gelu,
  silu,
  abs,
  x_log_x,
  affine,
  divide,
  reciprocal,
  pow,
  clamp,
  scaled_relu
};
enum class Binary { add, sub, mul, div };
enum class Compare { less, less_equal, equal, not_equal };  // the other two swap their arguments

// A function of one number. Unary::relu is one, and so is UnaryOp::pow(2).
struct UnaryOp {
  Unary name;
  double a = 0, b = 0;

  UnaryOp(Unary name_) : UnaryOp(name_, 0, 0) {
    check(name_ < Unary::affine, "unary: this function has numbers of its own; say UnaryOp::pow(2), say");
  }
  static constexpr UnaryOp affine(double scale, double shift) { return {Unary::affine, scale, shift}; }
  static constexpr UnaryOp scale(double by) { return {Unary::affine, by, -0.0}; }  // -0 + -0 keeps its sign
  static constexpr UnaryOp divide(double divisor) { return {Unary::divide, divisor, 0}; }
  static constexpr UnaryOp reciprocal(double numerator) { return {Unary::reciprocal, numerator, 0}; }
  static constexpr UnaryOp pow(double exponent) { return {Unary::pow, exponent, 0}; }
  static constexpr UnaryOp clamp(double low, double high) { return {Unary::clamp, low, high}; }
  static constexpr UnaryOp scaled_relu(double scale) { return {Unary::scaled_relu, scale, 0}; }

 private:
  constexpr UnaryOp(Unary name_, double a_, double b_) : name(name_), a(a_), b(b_) {}
};

// Whether a function's slope is computed from its argument, its value, or both.
template <bool X, bool Y> struct SlopeReads { static constexpr bool needs_x = X, needs_y = Y; };
struct Neg : SlopeReads<false, false> {
  template <class T> HOST_DEVICE static T f(T x) { return -x; }
  template <class T> HOST_DEVICE static T slope(T, T) { return -1; }
};
struct Exp : SlopeReads<false, true> {
  template <class T> HOST_DEVICE static T f(T x) { return math::exp(x); }
  template <class T> HOST_DEVICE static T slope(T, T y) { return y; }
};
struct Log : SlopeReads<true, false> {
  template <class T> HOST_DEVICE static T f(T x) { return std::log(x); }
  template <class T> HOST_DEVICE static T slope(T x, T) { return 1 / x; }
};
struct Sqrt : SlopeReads<false, true> {
  template <class T> HOST_DEVICE static T f(T x) { return std::sqrt(x); }
  template <class T> HOST_DEVICE static T slope(T, T y) { return T(0.5) / y; }
};
struct Tanh : SlopeReads<false, true> {
  template <class T> HOST_DEVICE static T f(T x) { return math::tanh(x); }
  template <class T> HOST_DEVICE static T slope(T, T y) { return 1 - y * y; }
};
struct Sigmoid : SlopeReads<false, true> {
  template <class T> HOST_DEVICE static T f(T x) { return 1 / (1 + math::exp(-x)); }
  template <class T> HOST_DEVICE static T slope(T, T y) { return y * (1 - y); }
};
struct Relu : SlopeReads<false, true> {  // written so that NaN stays NaN
  template <class T> HOST_DEVICE static T f(T x) { return x < 0 ? 0 : x; }
  template <class T> HOST_DEVICE static T slope(T, T y) { return y > 0 ? 1 : 0; }
};
// x Phi(x), exact (Hendrycks & Gimpel 2016), not the tanh approximation; its slope is Phi(x) + x phi(x).
struct Gelu : SlopeReads<true, false> {
  template <class T> static constexpr T kRootHalf = std::numbers::sqrt2_v<T> / 2;
  template <class T> HOST_DEVICE static T Phi(T x) { return (1 + math::erf(x * kRootHalf<T>)) / 2; }
  template <class T> HOST_DEVICE static T f(T x) { return x * Phi(x); }
  template <class T> HOST_DEVICE static T slope(T x, T) {
    return Phi(x) + x * math::exp(T(-0.5) * x * x) * (std::numbers::inv_sqrtpi_v<T> * kRootHalf<T>);
  }
};
struct Silu : SlopeReads<true, false> {  // x sigmoid(x); Elfwing et al. 2018
  template <class T> HOST_DEVICE static T f(T x) { return x / (1 + math::exp(-x)); }
  template <class T> HOST_DEVICE static T slope(T x, T) {
    const T s = 1 / (1 + math::exp(-x));
    return s * (1 + x * (1 - s));
  }
};
struct Abs : SlopeReads<true, false> {  // slope 0 at 0
  template <class T> HOST_DEVICE static T f(T x) { return std::fabs(x); }
  template <class T> HOST_DEVICE static T slope(T x, T) { return x > 0 ? 1 : x < 0 ? -1 : 0 * x; }
};

// x ln x with 0 ln 0 = 0, for entropies. Its slope at 0 is -infinity; 0 stands there, since what softmax
// makes of it is multiplied by x.
struct XLogX : SlopeReads<true, false> {
  template <class T> HOST_DEVICE static T f(T x) { return x == 0 ? 0 : x * std::log(x); }
  template <class T> HOST_DEVICE static T slope(T x, T) { return x == 0 ? 0 : std::log(x) + 1; }
};

struct Affine : SlopeReads<false, false> {  // scale x + shift
  double scale, shift;
  explicit Affine(const UnaryOp& op) : scale(op.a), shift(op.b) {}
  template <class T> HOST_DEVICE T f(T x) const { return T(scale) * x + T(shift); }
  template <class T> HOST_DEVICE T slope(T, T) const { return T(scale); }
};
struct Divide : SlopeReads<false, false> {  // x / divisor, which a product with 1 / divisor is not to the bit
  double divisor;
  explicit Divide(const UnaryOp& op) : divisor(op.a) {}
  template <class T> HOST_DEVICE T f(T x) const { return x / T(divisor); }
  template <class T> HOST_DEVICE T slope(T, T) const { return 1 / T(divisor); }
};
struct Reciprocal : SlopeReads<true, false> {  // numerator / x
  double numerator;
  explicit Reciprocal(const UnaryOp& op) : numerator(op.a) {}
  template <class T> HOST_DEVICE T f(T x) const { return T(numerator) / x; }
  template <class T> HOST_DEVICE T slope(T x, T) const { return -(T(numerator) / x) / x; }
};
struct Pow : SlopeReads<true, false> {  // x^exponent; of a negative x only for whole exponents
  double exponent;
  bool needs_x;  // not where the slope is a constant
  explicit Pow(const UnaryOp& op) : exponent(op.a), needs_x(exponent != 0 && exponent != 1) {}
  template <class T> HOST_DEVICE T f(T x) const {
    return exponent == 2 ? x * x : T(std::pow(x, T(exponent)));
  }
  template <class T> HOST_DEVICE T slope(T x, T) const {
    if (exponent == 2) return 2 * x;
    return needs_x ? T(exponent) * T(std::pow(x, T(exponent - 1))) : T(exponent);
  }
};
struct Clamp : SlopeReads<true, false> {  // to [low, high]; NaN stays NaN, the slope at both ends is 1
  double low, high;
  explicit Clamp(const UnaryOp& op) : low(op.a), high(op.b) {}
  template <class T> HOST_DEVICE T f(T x) const { return x < T(low) ? T(low) : x > T(high) ? T(high) : x; }
  template <class T> HOST_DEVICE T slope(T x, T) const { return x >= T(low) && x <= T(high) ? 1 : 0; }
};

struct ScaledRelu
    : SlopeReads<false, true> {  // scale relu(x), scale > 0; relu and then dropout has its slope
  double scale;
  explicit ScaledRelu(const UnaryOp& op) : scale(op.a) {}
  template <class T> HOST_DEVICE T f(T x) const { return T(scale) * Relu::f(x); }
  template <class T> HOST_DEVICE T slope(T, T y) const { return y > 0 ? T(scale) : 0; }
};

struct Add {
  template <class T> HOST_DEVICE static T f(T a, T b) { return a + b; }
};
struct Sub {
  template <class T> HOST_DEVICE static T f(T a, T b) { return a - b; }
};
struct Mul {
  template <class T> HOST_DEVICE static T f(T a, T b) { return a * b; }
};
struct Div {
  template <class T> HOST_DEVICE static T f(T a, T b) { return a / b; }
};

struct Less {
  template <class T> HOST_DEVICE static int32_t f(T a, T b) { return a < b; }
};
struct LessEqual {
  template <class T> HOST_DEVICE static int32_t f(T a, T b) { return a <= b; }
};
struct Equal {
  template <class T> HOST_DEVICE static int32_t f(T a, T b) { return a == b; }
};
struct NotEqual {
  template <class T> HOST_DEVICE static int32_t f(T a, T b) { return a != b; }
};

// Calls fn with the struct of that name.
template <class Fn> decltype(auto) visit(const UnaryOp& op, Fn&& fn) {
  switch (op.name) {
    case Unary::neg: return fn(Neg{});
    case Unary::exp: return fn(Exp{});
    case Unary::log: return fn(Log{});
    case Unary::sqrt: return fn(Sqrt{});
    case Unary::tanh: return fn(Tanh{});
    case Unary::sigmoid: return fn(Sigmoid{});
    case Unary::relu: return fn(Relu{});
    case Unary::gelu: return fn(Gelu{});
    case Unary::silu: return fn(Silu{});
    case Unary::abs: return fn(Abs{});
    case Unary::affine: return fn(Affine(op));
    case Unary::divide: return fn(Divide(op));
    case Unary::reciprocal: return fn(Reciprocal(op));
    case Unary::pow: return fn(Pow(op));
    case Unary::clamp: return fn(Clamp(op));
    case Unary::scaled_relu: return fn(ScaledRelu(op));
    default: return fn(XLogX{});
  }
}

template <class Fn> decltype(auto) visit(Binary op, Fn&& fn) {
  switch (op) {
    case Binary::add: return fn(Add{});
    case Binary::sub: return fn(Sub{});
    case Binary::mul: return fn(Mul{});
    default: return fn(Div{});
  }
}

template <class Fn> decltype(auto) visit(Compare op, Fn&& fn) {
  switch (op) {
    case Compare::less: return fn(Less{});
    case Compare::less_equal: return fn(LessEqual{});
    case Compare::equal: return fn(Equal{});
    default: return fn(NotEqual{});
  }
}

// In messages. An affine function is called after what one writes for it: x * 2, which adds -0, x + 1, 1 - x
// or x - 1.
constexpr const char* name_of(const UnaryOp& op) {
  constexpr const char* names[] = {"neg",  "exp",  "log",  "sqrt",  "tanh",       "sigmoid",
                                   "relu", "gelu", "silu", "abs",   "x_log_x",    "affine",
                                   "div",  "div",  "pow",  "clamp", "scaled_relu"};
  const bool negative_shift = std::bit_cast<uint64_t>(op.b) >> 63 != 0;
  if (op.name == Unary::affine)
    return op.b == 0 && negative_shift ? "mul" : op.a == 1 && !negative_shift ? "add" : "sub";
  return names[static_cast<int>(op.name)];
}
constexpr const char* name_of(Binary op) {
  constexpr const char* names[] = {"add", "sub", "mul", "div"};
  return names[static_cast<int>(op)];
}
constexpr const char* name_of(Compare op) {
  constexpr const char* names[] = {"less", "less_equal", "equal", "not_equal"};
  return names[static_cast<int>(op)];
}

}  // namespace gradus
