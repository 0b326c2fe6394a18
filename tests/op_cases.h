// The table of operations: one row per case of every differentiable operation. A row says which inputs an
// operation takes, how it is called and what it should give; ops_test.cpp drives all rows through every check
// (values in f64 and f32, the gradient check, any number of threads). To test a new operation, add a row.
#pragma once

#include "tests/op_case.h"
#include "tests/op_cases_fused.h"

namespace gradus::tests {

inline double sigmoid_of(double x) { return 1 / (1 + std::exp(-x)); }
inline double gelu_of(double x) { return x * 0.5 * std::erfc(-x / std::sqrt(2.0)); }
inline double relu_of(double x) { return x > 0 ? x : 0; }

inline std::vector<OpCase> elementwise_cases() {
  std::vector<OpCase> rows;
  const auto add_unary = [&](const std::string& name, const UnaryOp& op, Values values, auto fn) {
    const auto f = [op](Inputs x, Generator&) { return unary(op, x[0]); };
    rows.push_back({name, {{{3, 7}, values}}, f, each(fn)});
    const std::string large = name + (name.find(':') == std::string::npos ? ": large" : ", large");
    rows.push_back({large, {{{40001}, values}}, f, each(fn), 4, true});
  };
  add_unary("neg", Unary::neg, Values::normal, [](double x) { return -x; });
  add_unary("exp", Unary::exp, Values::normal, [](double x) { return std::exp(x); });
  add_unary("log", Unary::log, Values::positive, [](double x) { return std::log(x); });
  add_unary("sqrt", Unary::sqrt, Values::positive, [](double x) { return std::sqrt(x); });
  add_unary("tanh", Unary::tanh, Values::normal, [](double x) { return std::tanh(x); });
  add_unary("sigmoid", Unary::sigmoid, Values::normal, sigmoid_of);
  add_unary("relu", Unary::relu, Values::off_kink, relu_of);
  add_unary("gelu", Unary::gelu, Values::normal, gelu_of);
  add_unary("silu", Unary::silu, Values::normal, [](double x) { return x * sigmoid_of(x); });
  add_unary("abs", Unary::abs, Values::off_kink, [](double x) { return std::fabs(x); });
  add_unary("x_log_x", Unary::x_log_x, Values::positive, [](double x) { return x * std::log(x); });
  add_unary("clamp: to a range", UnaryOp::clamp(-0.7, 1.1), Values::normal,
            [](double x) { return std::min(std::max(x, -0.7), 1.1); });
  for (const double exponent : {0., 1., 2., 3., -2.})  // whole: of numbers of either sign
    add_unary(message("pow: ", exponent), UnaryOp::pow(exponent),
              exponent < 0 ? Values::positive : Values::normal,
              [=](double x) { return std::pow(x, exponent); });
  add_unary("pow: 0.3", UnaryOp::pow(0.3), Values::positive, [](double x) { return std::pow(x, 0.3); });

  const auto add_binary = [&](const std::string& name, Variable (*op)(const Variable&, const Variable&),
                              auto fn) {
    const auto f = [op](Inputs x, Generator&) { return op(x[0], x[1]); };
    const auto row = [&](const char* what, Shape a, Shape b, bool large = false) {
      rows.push_back(
          {name + ": " + what, {{a}, {b, Values::positive}}, f, pairwise(fn), large ? 64. : 8., large});
    };
    row("same shape", {3, 4}, {3, 4});
    row("row onto matrix", {3, 4}, {4});
    row("matrix onto row", {4}, {3, 4});
    row("both stretch", {3, 1, 2, 1}, {4, 1, 5});
    row("middle axis", {2, 3, 4}, {2, 1, 4});
    row("scalar right", {2, 3}, {});
    row("scalar left", {}, {2, 3});
    row("one element", {1, 1}, {1});
    row("large", {300, 1, 70}, {7, 1}, true);
    row("large, sum of many", {41, 999}, {}, true);
  };
  add_binary("add", add, [](double a, double b) { return a + b; });
  add_binary("sub", sub, [](double a, double b) { return a - b; });
  add_binary("mul", mul, [](double a, double b) { return a * b; });
  add_binary("div", div, [](double a, double b) { return a / b; });
  // With a number c, on both sides; f32 computes with c rounded.
  const auto add_number = [&](const std::string& name, Variable (*op)(const Variable&),
                              double (*fn)(double)) {
    const auto f = [op](Inputs x, Generator&) { return op(x[0]); };
    rows.push_back({name, {{{3, 4}, Values::positive}}, f, each(fn)});
    rows.push_back({name + ", large", {{{40001}, Values::positive}}, f, each(fn), 4, true});
  };
  using V = const Variable&;
  add_number(
      "add: x + c", [](V x) { return x + 1.1; }, [](double x) { return x + 1.1; });
  add_number(
      "add: c + x", [](V x) { return 1.1 + x; }, [](double x) { return 1.1 + x; });
  add_number(
      "sub: x - c", [](V x) { return x - 1.1; }, [](double x) { return x - 1.1; });
  add_number(
      "sub: c - x", [](V x) { return 1.1 - x; }, [](double x) { return 1.1 - x; });
  add_number(
      "mul: x c", [](V x) { return x * -1.7; }, [](double x) { return x * -1.7; });
  add_number(
      "mul: c x", [](V x) { return -1.7 * x; }, [](double x) { return -1.7 * x; });
  add_number(
      "div: x / c", [](V x) { return x / 1.1; }, [](double x) { return x / 1.1; });
  add_number(
      "div: c / x", [](V x) { return 1.1 / x; }, [](double x) { return 1.1 / x; });
  rows.push_back(
      {"mul: with itself", {{{3, 4}}}, [](Inputs x, Generator&) { return x[0] * x[0]; }, each([](double a) {
         return a * a;
       })});
  return rows;
}

inline std::vector<OpCase> where_cases() {
  std::vector<OpCase> rows;
  // The mask: every third element, as i32 or as a real number.
  const auto mask_values = [](const Shape& shape) {
    std::vector<double> values(static_cast<size_t>(shape.numel()));
    for (size_t i = 0; i < values.size(); ++i) values[i] = i % 3 == 0 ? 0.5 : 0;
    return values;
  };
  const auto chosen = [=](const Array& a, const Array& b, const Shape& mask_shape) {
    const auto mark = [](double at_a, double) { return at_a; };
    const auto other = [](double, double at_b) { return at_b; };
    Array mask(mask_shape, mask_values(mask_shape)), all = reference::broadcasted(a, b, mark);
    const Array left = reference::broadcasted(all, mask, mark);  // both stretched to the common shape
    const Array right = reference::broadcasted(reference::broadcasted(a, b, other), mask, mark);
    Array y = left;
    for (size_t i = 0; i < y.v.size(); ++i)
      if (mask.stretched(y.index(static_cast<int64_t>(i))) == 0) y.v[i] = right.v[i];
    return y;
  };
  const auto add = [&](const std::string& what, Shape mask, Shape a, Shape b, bool large = false) {
    for (const bool real : {false, true})
      rows.push_back({"where: " + what + (real ? ", a real mask" : ""),
                      {{a}, {b}},
                      [=](Inputs x, Generator&) {
                        const Tensor m = real_like(x[0], mask_values(mask), mask);
                        return where(real ? m : m > 0, x[0], x[1]);
                      },
                      [=](Arrays x) { return chosen(x[0], x[1], mask); },
                      large ? 16. : 4.,
                      large});
  };
  add("same shape", {3, 4}, {3, 4}, {3, 4});
  add("a mask for each row", {3, 1}, {3, 4}, {3, 4});
  add("a mask for each column", {4}, {2, 3, 4}, {3, 1});
  add("all stretch", {5, 1, 1}, {3, 1}, {4});
  add("scalars", {}, {}, {});
  add("a scalar beside a matrix", {3, 4}, {}, {3, 4});
  add("large", {300, 70}, {300, 1}, {70}, true);
  const Shape shape{3, 4};
  rows.push_back(
      {"where: a number elsewhere",
       {{shape}},
       [=](Inputs x, Generator&) { return where(real_like(x[0], mask_values(shape), shape), x[0], 2.5); },
       [=](Arrays x) { return chosen(x[0], Array({}, {2.5}), shape); }});
  rows.push_back(
      {"where: a number there",
       {{shape}},
       [=](Inputs x, Generator&) { return where(real_like(x[0], mask_values(shape), shape), 2.5, x[0]); },
       [=](Arrays x) { return chosen(Array({}, {2.5}), x[0], shape); }});
  return rows;
}

inline std::vector<OpCase> reduce_cases() {
  std::vector<OpCase> rows;
  const auto add_max = [&](const std::string& what, Shape shape, std::vector<int> axes, bool keep,
                           Shape expected, bool large = false) {
    rows.push_back({"max: " + what,
                    {{shape}},
                    [=](Inputs x, Generator&) { return max(x[0], axes, keep); },
                    [=](Arrays x) { return reference::max(x[0], axes, expected); },
                    4,
                    large});
  };
  add_max("all", {3, 4}, {}, false, {});
  add_max("all, kept", {3, 4}, {}, true, {1, 1});
  add_max("first axis", {3, 4, 2}, {0}, false, {4, 2});
  add_max("last axis", {3, 4, 2}, {-1}, false, {3, 4});
  add_max("middle axis, kept", {3, 4, 2}, {1}, true, {3, 1, 2});
  add_max("outer axes", {3, 4, 2}, {0, 2}, false, {4});
  add_max("an axis of 1", {3, 1}, {1}, false, {3});
  add_max("large, rows", {900, 37}, {0}, false, {37}, true);
  add_max("large, columns", {37, 900}, {1}, false, {37}, true);
  const auto add_sum = [&](const std::string& what, Shape shape, std::vector<int> axes, bool keep,
                           Shape expected, bool large = false) {
    std::vector<int> all;
    for (int axis = 0; axis < shape.rank(); ++axis) all.push_back(axis);
    const std::vector<int> summed = axes.empty() ? all : axes;
    const double factor = static_cast<double>(expected.numel()) / static_cast<double>(shape.numel());
    rows.push_back({"sum: " + what,
                    {{shape}},
                    [=](Inputs x, Generator&) { return sum(x[0], axes, keep); },
                    [=](Arrays x) { return reference::sum(x[0], summed, expected); },
                    large ? 16. : 4.,
                    large});
    rows.push_back({"mean: " + what,
                    {{shape}},
                    [=](Inputs x, Generator&) { return mean(x[0], axes, keep); },
                    [=](Arrays x) {
                      return reference::elementwise(reference::sum(x[0], summed, expected),
                                                    [=](double a) { return a * factor; });
                    },
                    large ? 16. : 4.,
                    large});
  };
  add_sum("all", {3, 4}, {}, false, {});
  add_sum("all, kept", {3, 4}, {}, true, {1, 1});
  add_sum("first axis", {3, 4, 2}, {0}, false, {4, 2});
  add_sum("last axis", {3, 4, 2}, {2}, false, {3, 4});
  add_sum("middle axis, kept", {3, 4, 2}, {1}, true, {3, 1, 2});
  add_sum("outer axes", {3, 4, 2}, {0, 2}, false, {4});
  add_sum("neighbours", {2, 3, 4, 2}, {1, 2}, true, {2, 1, 1, 2});
  add_sum("through an axis of 1", {2, 3, 1, 4}, {1, 3}, false, {2, 1});
  add_sum("large, all", {70000}, {}, false, {}, true);
  add_sum("large, rows", {3000, 17}, {0}, false, {17}, true);
  add_sum("large, columns", {17, 9000}, {1}, false, {17}, true);
  return rows;
}

inline std::vector<OpCase> rearrange_cases() {
  std::vector<OpCase> rows;
  rows.push_back({"reshape",
                  {{{2, 6}}},
                  [](Inputs x, Generator&) {
                    return reshape(x[0], {3, 1, 4});
                  },
                  [](Arrays x) {
                    return Array({3, 1, 4}, x[0].v);
                  }});
  rows.push_back({"rows",
                  {{{5, 3}}},
                  [](Inputs x, Generator&) { return gradus::rows(x[0], 1, 4); },
                  [](Arrays x) {
                    return Array({3, 3}, {x[0].v.begin() + 3, x[0].v.begin() + 12});
                  }});
  const auto add_permute = [&](const std::string& what, Shape shape, std::vector<int> axes,
                               bool large = false) {
    rows.push_back({"permute: " + what,
                    {{shape}},
                    [=](Inputs x, Generator&) { return permute(x[0], axes); },
                    [=](Arrays x) { return reference::permute(x[0], axes); },
                    4,
                    large});
  };
  add_permute("transpose", {3, 4}, {1, 0});
  add_permute("rotate", {2, 3, 4}, {2, 0, 1});
  add_permute("heads", {2, 3, 2, 5}, {0, 2, 1, 3});
  add_permute("six axes", {1, 2, 3, 2, 1, 2}, {5, 3, 4, 0, 2, 1});
  add_permute("large", {30, 40, 50}, {2, 0, 1}, true);
  const auto add_transpose = [&](const std::string& what, Shape shape, std::vector<int> axes) {
    rows.push_back({"transpose: " + what,
                    {{shape}},
                    [=](Inputs x, Generator&) { return transpose(x[0]); },
                    [=](Arrays x) { return reference::permute(x[0], axes); }});
  };
  add_transpose("matrix", {3, 4}, {1, 0});
  add_transpose("batch", {2, 3, 4}, {0, 2, 1});
  const auto add_slice = [&](const std::string& what, Shape shape, int axis, int64_t from, int64_t to,
                             bool large = false) {
    rows.push_back({"slice: " + what,
                    {{shape}},
                    [=](Inputs x, Generator&) { return slice(x[0], axis, from, to); },
                    [=](Arrays x) { return reference::slice(x[0], axis, from, to); },
                    4,
                    large});
  };
  add_slice("first axis", {5, 3}, 0, 1, 4);
  add_slice("last axis", {5, 3}, -1, 2, 3);
  add_slice("middle axis", {2, 4, 3}, 1, 0, 2);
  add_slice("all of it", {2, 4}, 1, 0, 4);
  add_slice("large", {40, 90, 20}, 1, 30, 75, true);
  const auto add_concat = [&](const std::string& what, std::vector<Input> parts, int axis,
                              bool large = false) {
    rows.push_back({"concat: " + what, parts,
                    [=](Inputs x, Generator&) {
                      return concat({x.begin(), x.end()}, axis);
                    },
                    [=](Arrays x) { return reference::concat(x, axis); }, 4, large});
  };
  add_concat("first axis", {{{2, 3}}, {{1, 3}}, {{4, 3}}}, 0);
  add_concat("last axis", {{{2, 3}}, {{2, 1}}}, -1);
  add_concat("middle axis", {{{2, 1, 3}}, {{2, 2, 3}}}, 1);
  add_concat("large", {{{40, 300, 2}}, {{40, 200, 2}}}, 1, true);
  return rows;
}

inline std::vector<OpCase> product_cases() {
  std::vector<OpCase> rows;
  const auto add_matmul = [&](const std::string& what, Shape a, Shape b, bool ta, bool tb,
                              bool large = false) {
    rows.push_back({"matmul: " + what,
                    {{a}, {b}},
                    [=](Inputs x, Generator&) { return matmul(x[0], x[1], ta, tb); },
                    [=](Arrays x) { return reference::matmul(x[0], x[1], ta, tb); },
                    large ? 16. : 8.,
                    large});
  };
  add_matmul("plain", {3, 4}, {4, 2}, false, false);
  add_matmul("a^T b", {4, 3}, {4, 2}, true, false);
  add_matmul("a b^T", {3, 4}, {2, 4}, false, true);
  add_matmul("a^T b^T", {4, 3}, {2, 4}, true, true);
  add_matmul("batched", {2, 3, 4}, {2, 4, 5}, false, false);
  add_matmul("batched a^T b", {2, 4, 3}, {2, 4, 5}, true, false);
  add_matmul("batched a b^T", {2, 3, 4}, {2, 5, 4}, false, true);
  add_matmul("batched a^T b^T", {2, 2, 4, 3}, {2, 2, 5, 4}, true, true);
  add_matmul("shared b", {2, 3, 4}, {4, 5}, false, false);
  add_matmul("shared b^T", {2, 3, 4}, {5, 4}, false, true);
  add_matmul("large", {300, 200}, {200, 150}, false, false, true);
  add_matmul("large a^T b^T, wide", {70, 90}, {311, 70}, true, true, true);
  add_matmul("large, batched", {6, 40, 50}, {6, 50, 30}, false, false, true);
  add_matmul("large, shared b^T", {3, 100, 80}, {120, 80}, false, true, true);

  const auto add_linear = [&](const std::string& what, std::vector<Input> inputs,
                              std::optional<Unary> activation, double (*fn)(double), bool large = false) {
    rows.push_back({"linear: " + what, inputs,
                    [=](Inputs x, Generator&) {
                      return linear(x[0], x[1], x.size() > 2 ? x[2] : Variable(), activation);
                    },
                    [=](Arrays x) {
                      const Array flat({x[0].shape.before(-1), x[0].shape[-1]}, x[0].v);
                      Array y = reference::matmul(flat, x[1], false, true);
                      if (x.size() > 2)
                        y = reference::broadcasted(y, x[2], [](double a, double b) { return a + b; });
                      return Array(x[0].shape.with(-1, x[1].shape[0]), reference::elementwise(y, fn).v);
                    },
                    large ? 32. : 8., large});
  };
  const auto identity = [](double x) { return x; };
  const std::vector<Input> biased{{{5, 4}}, {{3, 4}}, {{3}}}, wide{{{2, 150, 64}}, {{200, 64}}, {{200}}};
  rows.push_back({"linear_rows: rows 1 and 2 of 5",
                  {{{2, 3, 4}}, {{5, 4}}, {{5}}},
                  [](Inputs x, Generator&) { return linear_rows(x[0], x[1], x[2], 1, 3); },
                  [](Arrays x) {
                    std::vector<double> y;
                    for (size_t n = 0; n < 6; ++n)
                      for (size_t m = 1; m < 3; ++m) {
                        y.push_back(x[2].v[m]);
                        for (size_t k = 0; k < 4; ++k) y.back() += x[0].v[4 * n + k] * x[1].v[4 * m + k];
                      }
                    return Array({2, 3, 2}, y);
                  }});
  add_linear("no bias", {{{2, 3, 4}}, {{5, 4}}}, {}, identity);
  add_linear("bias", {{{2, 3, 4}}, {{5, 4}}, {{5}}}, {}, identity);
  add_linear("one row", {{{4}}, {{5, 4}}, {{5}}}, {}, identity);
  add_linear("tanh, no bias", {{{5, 4}}, {{3, 4}}}, Unary::tanh, [](double x) { return std::tanh(x); });
  add_linear("neg", biased, Unary::neg, [](double x) { return -x; });
  add_linear("exp", biased, Unary::exp, [](double x) { return std::exp(x); });
  add_linear("tanh", biased, Unary::tanh, [](double x) { return std::tanh(x); });
  add_linear("sigmoid", biased, Unary::sigmoid, sigmoid_of);
  add_linear("relu", biased, Unary::relu, relu_of);
  add_linear("gelu", biased, Unary::gelu, gelu_of);
  const std::vector<Input> positive{
      {{5, 4}, Values::positive}, {{3, 4}, Values::positive}, {{3}, Values::positive}};
  add_linear("log", positive, Unary::log, [](double x) { return std::log(x); });
  add_linear("sqrt", positive, Unary::sqrt, [](double x) { return std::sqrt(x); });
  add_linear("large, bias", wide, {}, identity, true);
  add_linear("large, sigmoid, wide", {{{100, 64}}, {{300, 64}}, {{300}}}, Unary::sigmoid, sigmoid_of, true);
  add_linear("large, gelu", wide, Unary::gelu, gelu_of, true);
  return rows;
}

inline std::vector<OpCase> row_cases() {
  std::vector<OpCase> rows;
  const auto add_softmax = [&](const std::string& what, Shape shape, bool large = false) {
    rows.push_back({"softmax: " + what,
                    {{shape}},
                    [](Inputs x, Generator&) { return softmax(x[0]); },
                    [](Arrays x) { return reference::softmax(x[0], false); },
                    8,
                    large});
    rows.push_back({"log_softmax: " + what,
                    {{shape}},
                    [](Inputs x, Generator&) { return log_softmax(x[0]); },
                    [](Arrays x) { return reference::softmax(x[0], true); },
                    8,
                    large});
  };
  const auto add_softmax_along = [&](Shape shape, int axis) {
    const auto moved = [=](Arrays x, bool log) {
      const std::vector<int> to_last = swapped(shape, axis, -1);
      return reference::permute(reference::softmax(reference::permute(x[0], to_last), log), to_last);
    };
    const std::string what = message("along axis ", axis, " of ", shape);
    rows.push_back({"softmax: " + what,
                    {{shape}},
                    [=](Inputs x, Generator&) { return softmax(x[0], axis); },
                    [=](Arrays x) { return moved(x, false); },
                    8});
    rows.push_back({"log_softmax: " + what,
                    {{shape}},
                    [=](Inputs x, Generator&) { return log_softmax(x[0], axis); },
                    [=](Arrays x) { return moved(x, true); },
                    8});
  };
  add_softmax_along({3, 4}, 0);
  add_softmax_along({2, 3, 4}, -2);
  add_softmax("vector", {5});
  add_softmax("one class", {3, 1});
  add_softmax("batch", {2, 3, 6});
  add_softmax("large", {300, 170}, true);

  const auto add_layer_norm = [&](const std::string& what, Shape x, double eps, bool large = false) {
    const Shape d{x[-1]};
    rows.push_back({"layer_norm: " + what,
                    {{x}, {d}, {d}},
                    [=](Inputs v, Generator&) { return layer_norm(v[0], v[1], v[2], eps); },
                    [=](Arrays v) { return reference::layer_norm(v[0], v[1], v[2], eps); },
                    16,
                    large});
  };
  add_layer_norm("matrix", {4, 6}, 1e-5);
  add_layer_norm("batch, large eps", {2, 3, 5}, 0.5);
  add_layer_norm("vector", {7}, 1e-5);
  add_layer_norm("large", {200, 96}, 1e-5, true);

  const auto add_dropout = [&](const std::string& what, Shape shape, double p, bool large = false) {
    const reference::Keep keep{kSeed, 0, kStep, p};
    rows.push_back({"dropout: " + what,
                    {{shape}},
                    [=](Inputs x, Generator& g) { return dropout(x[0], p, g); },
                    [=](Arrays x) { return reference::dropout(x[0], keep); },
                    4,
                    large});
    rows.push_back({"dropout_add: " + what,
                    {{shape}, {shape}},
                    [=](Inputs x, Generator& g) { return dropout_add(x[0], x[1], p, g); },
                    [=](Arrays x) {
                      return reference::broadcasted(reference::dropout(x[0], keep), x[1],
                                                    [](double a, double b) { return a + b; });
                    },
                    4,
                    large});
  };
  for (const UnaryOp& activation : {UnaryOp(Unary::relu), UnaryOp(Unary::tanh)})
    rows.push_back(
        {message("linear_dropout: ", name_of(activation)),
         {{{13, 4}}, {{11, 4}}, {{11}}},
         [=](Inputs x, Generator& g) { return linear_dropout(x[0], x[1], x[2], activation, 0.3, g); },
         [=](Arrays x) {
           Array y = reference::broadcasted(reference::matmul(x[0], x[1], false, true), x[2],
                                            [](double a, double b) { return a + b; });
           for (double& v : y.v) v = activation.name == Unary::relu ? std::max(v, 0.) : std::tanh(v);
           return reference::dropout(y, {kSeed, 0, kStep, 0.3});
         },
         8});
  add_dropout("some", {13, 11}, 0.3);
  add_dropout("none", {3, 5}, 0);
  add_dropout("nearly all", {130}, 0.97);
  add_dropout("large", {10007}, 0.1, true);
  add_dropout("larger", {3, 10007}, 0.5, true);
  return rows;
}

inline std::vector<OpCase> op_cases() {
  std::vector<OpCase> all;
  for (auto family : {elementwise_cases, where_cases, reduce_cases, rearrange_cases, product_cases, row_cases,
                      embedding_cases, attention_cases, cross_entropy_cases, prior_cross_entropy_cases})
    for (OpCase& row : family()) all.push_back(std::move(row));
  return all;
}

}  // namespace gradus::tests
