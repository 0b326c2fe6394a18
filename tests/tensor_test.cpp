// Shapes, tensors, their memory and how they print; what the operations on tensors refuse and in which words;
// tensors without elements.
#include <cblas.h>

#include <cstdlib>
#include <cstring>
#include <functional>
#include <numeric>

#include "compare.h"
#include "tensor/ops.h"

using namespace gradus;
using namespace gradus::compare;

namespace {

Tensor filled(Shape shape, DType dtype = DType::f32) { return Tensor::full(shape, 0.5, dtype); }

void refused(const std::string& words, const std::function<void()>& call) { CHECK(error_of(call) == words); }

// Under AddressSanitizer no block is kept, and its malloc ends the program where ours throws.
bool blocks_are_cached() {
  Tensor({1000});
  return memory_use(Device::cpu).cached > 0;
}

}  // namespace

TEST_CASE("shape: sizes and axes") {
  const Shape s{2, 3, 4, 5};
  CHECK(s.numel() == 120);
  CHECK(s[-1] == 5);
  CHECK(s.before(2) == 6);
  CHECK(s.after(1) == 20);
  CHECK(s.with(-2, 7) == Shape{2, 3, 7, 5});
  CHECK(s.without_last() == Shape{2, 3, 4});
  CHECK(Shape{}.numel() == 1);
  CHECK(message(s, Shape{}) == "[2, 3, 4, 5][]");
  CHECK(error_of([&] { s[4]; }) == "shape: no axis 4 in [2, 3, 4, 5]");
  CHECK(error_of([&] { s.before(-5); }) == "shape: no axis -5 in [2, 3, 4, 5]");
  CHECK(error_of([&] { s.with(4, 1); }) == "shape: no axis 4 in [2, 3, 4, 5]");
  CHECK(error_of([&] { s.with(0, -1); }) == "shape: negative size in [-1, 3, 4, 5]");
}

TEST_CASE("shape: what is no shape") {
  constexpr int64_t big = int64_t{1} << 31;
  CHECK(Shape{1, 1, 1, 1, 1, 1}.rank() == 6);
  CHECK(error_of([] { Shape{1, 1, 1, 1, 1, 1, 1}; }) == "shape: at most 6 axes, not 7");
  CHECK(error_of([] { Shape{2, -3}; }) == "shape: negative size in [2, -3]");
  CHECK(contains(error_of([] { Shape{big, big}; }), "more elements than can be addressed"));
  for (const std::vector<int64_t>& sizes : {std::vector<int64_t>{0, big, big}, {big, 0, big}, {big, big, 0}})
    CHECK(contains(error_of([&] { Shape{sizes}; }), "more elements than can be addressed"));
}

TEST_CASE("shape: broadcasting") {
  CHECK(broadcast("op", {2, 1, 4}, {3, 1}) == Shape{2, 3, 4});
  CHECK(broadcast("op", {}, {2, 3}) == Shape{2, 3});
  CHECK(broadcast("op", {1, 3}, {0, 1}) == Shape{0, 3});
  CHECK(error_of([] { broadcast("op", {2, 3}, {2}); }) == "op: shapes do not broadcast: [2, 3] and [2]");
  CHECK(error_of([] { broadcast("op", {0}, {2}); }) == "op: shapes do not broadcast: [0] and [2]");
}

TEST_CASE("tensor: views share memory, copies do not") {
  const Tensor x = ints({0, 1, 2, 3, 4, 5}, {3, 2});
  const Tensor flat = x.reshape({6}), last = x.rows(2, 3), copy = x.copy();
  flat.data<int32_t>()[4] = 40;
  CHECK(last.to_vector<int32_t>() == std::vector{40, 5});
  CHECK(copy.to_vector<int32_t>() == std::vector{0, 1, 2, 3, 4, 5});
  CHECK(x.rows(1, 3).rows(1, 2).data<int32_t>() == last.data<int32_t>());
  CHECK(x.rows(3, 3).shape() == Shape{0, 2});
  x.rows(0, 2).assign(x.rows(1, 3));  // they overlap
  CHECK(x.to_vector<int32_t>() == std::vector{2, 3, 40, 5, 40, 5});

  CHECK_FALSE(x.unique());
  CHECK(copy.unique());
  CHECK_FALSE(Tensor().unique());
  Tensor moved = x.copy();
  { const Tensor other = moved; }
  CHECK(moved.unique());
}

TEST_CASE("tensor: conversion and single elements") {
  const Tensor x = Tensor::from<double>({1.75, -2.5}, {2});
  CHECK(x.to(DType::f64).bytes() == x.bytes());
  CHECK(x.to(DType::f32).to_vector<float>() == std::vector{1.75f, -2.5f});
  CHECK(x.to(DType::i32).to_vector<int32_t>() == std::vector{1, -2});
  CHECK(ints({7}).to(DType::f64).item() == 7);
  CHECK(Tensor::full({1, 1}, -3, DType::i32).item() == -3);
}

TEST_CASE("tensor: what is refused") {
  const Tensor x = filled({2, 3}), none;
  CHECK(error_of([] { ints({1, 2, 3}, {2, 2}); }) == "tensor: 3 values for shape [2, 2]");
  CHECK(error_of([&] { x.reshape({2, 2}); }) == "reshape: [2, 3] has not the elements of [2, 2]");
  CHECK(error_of([&] { x.rows(1, 3); }) == "rows: no rows 1 to 3 in [2, 3]");
  CHECK(error_of([&] { x.rows(-1, 1); }) == "rows: no rows -1 to 1 in [2, 3]");
  CHECK(error_of([] { filled({}).rows(0, 1); }) == "rows: no rows 0 to 1 in []");
  CHECK(error_of([&] { x.assign(filled({3, 2})); }) == "assign: expected f32 [2, 3], got f32 [3, 2]");
  CHECK(contains(error_of([&] { x.assign(filled({2, 3}, DType::f64)); }), "got f64 [2, 3]"));
  CHECK(error_of([&] { x.item(); }) == "item: expected one element, got shape [2, 3]");
  CHECK(error_of([&] { x.data<double>(); }) == "tensor: asked for f64 data of f32 tensor");
  CHECK(error_of([&] { none.data<float>(); }) == "tensor: asked for f32 data of an empty tensor");
  CHECK(error_of([&] { none.bytes(); }) == "tensor: this one is empty");
  CHECK(error_of([&] { none.to(DType::f64); }) != "");
  CHECK(error_of([&] { none.item(); }) != "");
  CHECK(error_of([&] { x + none; }) == "add: got an empty tensor");
  CHECK(error_of([&] { permute(none, std::vector<int>{}); }) != "");
}

TEST_CASE("tensor: printing") {
  CHECK(message(Tensor()) == "(no tensor)");
  CHECK(message(Tensor::full({}, 2.5)) == "2.5  f32 []");
  CHECK(message(Tensor({0})) == "[]  f32 [0]");
  CHECK(message(Tensor({2, 0}, DType::f64)) == "[[],\n []]  f64 [2, 0]");
  CHECK(message(Tensor({int64_t{1} << 40, 0})).size() < 100);  // a line for each end, not for each row
  CHECK(message(ints({1, 2, 3, 4}, {2, 2})) == "[[1, 2],\n [3, 4]]  i32 [2, 2]");
  CHECK(message(ints({1, 2, 3, 4}, {2, 2, 1})) == "[[[1],\n  [2]],\n [[3],\n  [4]]]  i32 [2, 2, 1]");
  std::vector<int32_t> count(1002);
  for (int i = 0; i < 1002; ++i) count[i] = i;
  CHECK(message(ints(count)) == "[0, 1, 2, ..., 999, 1000, 1001]  i32 [1002]");
  CHECK(message(ints(count, {2, 501})) ==
        "[[0, 1, 2, ..., 498, 499, 500],\n [501, 502, 503, ..., 999, 1000, 1001]]  i32 [2, 501]");
  CHECK(message(ints(count, {501, 2})) ==
        "[[0, 1],\n [2, 3],\n [4, 5],\n ...,\n [996, 997],\n [998, 999],\n [1000, 1001]]  i32 [501, 2]");
}

TEST_CASE("storage: blocks are used again and counted") {
  if (!blocks_are_cached()) return;
  Tensor x({5000});
  const std::byte* block = x.bytes();
  x = Tensor();
  x = Tensor({4990});  // rounded up to the same size
  CHECK(x.bytes() == block);

  constexpr size_t kMiB = size_t{1} << 20;
  release_cached_memory(Device::cpu);
  const MemoryUse before = memory_use(Device::cpu);
  CHECK(before.cached == 0);
  Tensor y({1 << 18});
  CHECK(memory_use(Device::cpu).in_use == before.in_use + kMiB);
  const Tensor view = y.reshape({2, 1 << 17});
  y = Tensor();
  CHECK(memory_use(Device::cpu).in_use == before.in_use + kMiB);  // the view holds it
  { const Tensor peak({static_cast<int64_t>((before.peak + kMiB) / 4)}); }
  const MemoryUse after = memory_use(Device::cpu);
  CHECK(after.in_use == before.in_use + kMiB);
  CHECK(after.cached >= before.peak + kMiB);
  CHECK(after.peak == after.in_use + after.cached);
  release_cached_memory(Device::cpu);
  CHECK(memory_use(Device::cpu).cached == 0);
}

TEST_CASE("storage: running out of memory is an error like others") {
  if (!blocks_are_cached()) return;
  const size_t in_use = memory_use(Device::cpu).in_use;
  const Shape far_too_large{1 << 20, 1 << 20, 1 << 10};
  std::string error;
  try {
    Tensor(far_too_large, DType::f64);
  } catch (const std::runtime_error& e) {
    error = e.what();
  }
  CHECK(contains(error, "out of memory on cpu: asked for 9007199254740992 bytes"));
  CHECK(memory_use(Device::cpu).in_use == in_use);
  CHECK(memory_use(Device::cpu).cached == 0);  // idle blocks were given back before giving up
  CHECK((filled({3}) + filled({3})).to_vector<float>() == std::vector<float>(3, 1));
}

TEST_CASE("operations: what is refused, and the words") {
  const Tensor a = filled({2, 3}), b = filled({2, 4}), cube = filled({2, 3, 8}), i = ints({1, 2});
  refused("add: shapes do not broadcast: [2, 3] and [2, 4]", [&] { a + b; });
  refused("div: expected f32 on cpu as [2, 3] is, got f64 on cpu [2, 3]; to() brings both together",
          [&] { a / a.to(DType::f64); });
  refused("exp: its slope reads x or y of the shape of dy [2, 3], got [] and [2, 4]",
          [&] { unary_backward(Unary::exp, {}, b, a); });
  refused("exp: expected f32 or f64, got i32 [2]; say .to(DType::f32)", [&] { unary(Unary::exp, i); });
  refused("mul: expected f32 or f64, got i32 [2]; say .to(DType::f32)", [&] { i* i; });
  refused("add_to: [2, 3] does not broadcast to [1, 3]", [&] { add_to(filled({1, 3}), a); });
  refused("sum_to: [2, 2, 3] does not broadcast to [2, 3]", [&] { sum_to(a, {2, 2, 3}); });
  refused("sum: axis -2 of [2, 3] is named twice", [&] { sum(a, {0, -2}); });
  refused("sum: no axis 2 in [2, 3]", [&] { sum(a, {2}); });
  refused("permute: expected each of the 2 axes of [2, 3] once", [&] { permute(a, {0, 0}); });
  refused("concat: nothing to join", [&] { concat({}, 0); });
  refused("concat: shapes differ beside axis 0: [2, 3] and [2, 4]", [&] { concat(std::vector{a, b}, 0); });
  refused("concat: expected f32 on cpu, got i32 on cpu", [&] { concat(std::vector{a, i}, 0); });
  refused("slice: no range 2 to 4 in axis 1 of [2, 3]", [&] { slice(a, 1, 2, 4); });
  refused("matmul: inner sizes differ: [2, 3] x [2, 4]^T", [&] { matmul(a, b, false, true); });
  refused("matmul: expected matrices, got [2, 3] x [3]", [&] { matmul(a, filled({3})); });
  refused("matmul: leading axes differ: [2, 3, 8] x [3, 8, 1]", [&] { matmul(cube, filled({3, 8, 1})); });
  refused("softmax: expected an axis of at least 1, got axis 1 of [2, 0]", [&] { softmax(filled({2, 0})); });
  refused("dropout_add: shapes differ: [2, 3] and [2, 4]", [&] { dropout(a, b, 0.5, {}); });
  refused("dropout: expected a probability in [0, 1), got 1", [&] { dropout(a, {}, 1, {}); });
  Generator random;
  refused("dropout: expected f32 or f64, got i32 [2]; say .to(DType::f32)", [&] { dropout(i, 0, random); });
  refused("dropout: got an empty tensor", [&] { dropout(Tensor(), 0, random); });
  refused("dropout_add: shapes differ: [2, 3] and [3]", [&] { dropout_add(a, filled({3}), 0, random); });
  const std::vector<std::pair<std::string, std::function<void()>>> names = {
      {"add", [&] { i + 0.0; }}, {"add", [&] { i + 1; }},  {"sub", [&] { 0.0 - i; }}, {"sub", [&] { i - 1; }},
      {"sub", [&] { 2 - i; }},   {"mul", [&] { i * 1; }},  {"mul", [&] { i * 0; }},   {"div", [&] { i / 2; }},
      {"max", [&] { max(i); }},  {"sum", [&] { sum(i); }},
  };
  for (const auto& [name, operation] : names)
    refused(name + ": expected f32 or f64, got i32 [2]; say .to(DType::f32)", operation);
  refused("max: got an empty tensor", [] { max(Tensor()); });
  const std::vector<int64_t> none;
  refused("sum: no axis 9223372036854775807 in [2, 3]", [&] { sum(a, none.size() - 1); });
  refused("softmax: no axis 9223372036854775807 in [2, 3]", [&] { softmax(a, none.size() - 1); });
  const Tensor long_rows({0, (int64_t{1} << 30) + 1});
  refused("softmax: expected rows of at most 2^30 elements, got [0, 1073741825]",
          [&] { softmax(long_rows); });
}

TEST_CASE("store_columns: where it writes, and what it refuses") {
  const Tensor x = ints({1, 2, 3, 4, 5, 6, 7, 8}, {2, 1, 4}).to(DType::f32), cache = Tensor::zeros({2, 3, 2});
  store_columns(x, 1, cache, 2);
  CHECK(values(cache) == std::vector<double>{0, 0, 0, 0, 2, 3, /**/ 0, 0, 0, 0, 6, 7});
  const Tensor before = cache.copy();
  for (int position : {-1, 3})
    refused(message("store_columns: no position ", position, " in cache [2, 3, 2]"),
            [&] { store_columns(x, 0, cache, position); });
  const auto misfit = [&](const Tensor& from, int64_t first, const Tensor& to) {
    refused(message("store_columns: expected x [B, 1, >= ", first, " + W] and cache [B, longest, W], got ",
                    from.shape(), " and ", to.shape()),
            [&] { store_columns(from, first, to, 0); });
  };
  misfit(x, 3, cache);  // columns 3 and 4 of 4
  misfit(x, -1, cache);
  misfit(x.reshape({1, 1, 8}), 0, cache);
  misfit(x.reshape({2, 2, 2}), 0, cache);
  misfit(x.reshape({2, 1, 4, 1}), 0, cache);
  misfit(x, 0, cache.reshape({2, 3, 2, 1}));
  CHECK(equal(cache, before));
}

TEST_CASE("sum: of several hundred thousand elements, exactly") {
  const int64_t n = 300'001;  // more than 64 blocks, the last one not full
  std::vector<double> count(n), threes;
  std::iota(count.begin(), count.end(), 1.);
  for (double i : count)
    for (double factor : {1., 2., -3.}) threes.push_back(factor * i);
  const double total = n * (n + 1.) / 2;  // below 2^53
  CHECK(sum(Tensor::from(count, {n})).item() == total);
  CHECK(values(sum(Tensor::from(threes, {n, 3}), {0})) == std::vector<double>{total, 2 * total, -3 * total});
  CHECK(sum(Tensor::from(threes, {n, 3})).item() == 0);
  CHECK(sum(filled({n})).item() == 0.5 * n);
}

TEST_CASE("operations: tensors without elements") {
  for (DType dtype : {DType::f32, DType::f64}) {
    const auto make = [&](Shape shape) { return filled(shape, dtype); };
    const Tensor x = make({0, 3}), batch = make({0, 2, 8});
    CHECK(softmax(unary(Unary::gelu, x)).shape() == x.shape());
    CHECK((x + make({1, 3})).shape() == x.shape());
    add_to(x, make({3}));
    CHECK(equal(sum(x, {0}), Tensor::zeros({3}, dtype)));
    CHECK(sum(x).item() == 0);
    CHECK(permute(x, {1, 0}).shape() == Shape{3, 0});
    CHECK(equal(concat(std::vector{x, make({2, 3}), x}, 0), make({2, 3})));
    CHECK(slice(make({2, 3}), 1, 3, 3).shape() == Shape{2, 0});
    CHECK(matmul(x, make({3, 4})).shape() == Shape{0, 4});
    CHECK(equal(matmul(make({2, 0}), make({0, 3})), Tensor::zeros({2, 3}, dtype)));
    CHECK(matmul(batch, batch, false, true).shape() == Shape{0, 2, 2});
    CHECK(dropout(x, x, 0.5, Generator(1).next_draw()).shape() == x.shape());
  }
}

TEST_CASE("add_to: operands that overlap") {
  const auto fresh = [] { return Tensor::from(std::vector<float>{1, 2, 3, 4, 5, 6}, {3, 2}); };
  const auto after = [&](auto change) {
    const Tensor y = fresh();
    change(y);
    return y.to_vector<float>();
  };
  CHECK(after([](const Tensor& y) { add_to(y, y); }) == std::vector<float>{2, 4, 6, 8, 10, 12});
  CHECK(after([](const Tensor& y) { add_to(y, y.rows(0, 1)); }) == std::vector<float>{2, 4, 4, 6, 6, 8});
  CHECK(after([](const Tensor& y) { add_to(y, y.rows(2, 3)); }) == std::vector<float>{6, 8, 8, 10, 10, 12});
  CHECK(after([](const Tensor& y) { add_to(y.rows(1, 3), y.rows(0, 2)); }) ==
        std::vector<float>{1, 2, 4, 6, 8, 10});
  CHECK(after([](const Tensor& y) { add_to(y.rows(0, 2), y.rows(1, 3)); }) ==
        std::vector<float>{4, 6, 8, 10, 5, 6});
  // Large enough for several threads.
  const int64_t n = 100'000;
  const Tensor large = Tensor::full({n + 1}, 1);
  add_to(large.rows(1, n + 1), large.rows(0, n));
  CHECK(large.rows(0, 1).item() == 1);
  CHECK(sum(large).item() == 1 + 2. * n);
  const Tensor shifted({n + 1});
  std::iota(shifted.data<float>(), shifted.data<float>() + n + 1, 0.f);
  shifted.rows(1, n + 1).assign(shifted.rows(0, n));
  CHECK(shifted.rows(n, n + 1).item() == n - 1);
  CHECK(shifted.rows(12345, 12346).item() == 12344);

  const Tensor cache({2, 3, 4});
  CHECK(contains(error_of([&] {
                   store_columns(cache.rows(0, 2).reshape({2, 1, 12}), 0, cache, 1);
                 }),
                 "share elements"));
}

TEST_CASE("topk: the largest of each row in their order, the first of equal ones first") {
  const double inf = INFINITY, nan = NAN;
  const Tensor x =
      Tensor::from({1., 3., 3., -2., -inf, nan, inf, 3., /**/ 0., -0., -1., 5., 5., 5., 5., 4.}, {2, 8});
  const TopK all = topk(x, 8), some = topk(x.to(DType::f32), 3);
  CHECK(all.ids.to_vector<int32_t>() ==
        std::vector<int32_t>{5, 6, 1, 2, 7, 0, 3, 4, /**/ 3, 4, 5, 6, 7, 0, 1, 2});
  CHECK(some.ids.to_vector<int32_t>() == std::vector<int32_t>{5, 6, 1, 3, 4, 5});
  CHECK(message(some.values) == "[[nan, inf, 3],\n [5, 5, 5]]  f32 [2, 3]");
  CHECK(topk(Tensor::zeros({0, 4}), 2).ids.shape() == Shape{0, 2});
  refused("topk: no 9 numbers in a row of [2, 8]", [&] { topk(x, 9); });
  refused("topk: no 0 numbers in a row of [2, 8]", [&] { topk(x, 0); });
  refused("topk: no 1 numbers in a row of []", [] { topk(Tensor::ones({}), 1); });
  refused("topk: expected f32 or f64, got i32 [2]; say .to(DType::f32)", [] { topk(ints({1, 2}), 1); });
}

TEST_CASE("tensor: what has no value, and numbers that have no place in an i32") {
  CHECK(Tensor().size() == 0);
  CHECK(Tensor().version() == 0);
  refused("item: got an empty tensor", [] { Tensor().item(); });
  CHECK(message(-Tensor::from({double(NAN), -double(NAN)}, {2})) == "[nan, nan]  f64 [2]");
  refused("full: 3e+09 is no i32", [] { Tensor::full({1}, 3e9, DType::i32); });
  refused("full: nan is no i32", [] { Tensor::full({1}, NAN, DType::i32); });
  CHECK(Tensor::full({1}, -2147483648., DType::i32).item() == -2147483648.);
  for (DType dtype : {DType::f32, DType::f64}) {
    CHECK(Tensor::full({2}, -3.75, dtype).to(DType::i32).to_vector<int32_t>() ==
          std::vector<int32_t>{-3, -3});
    for (double x : {3e9, -3e9, double(NAN), double(INFINITY)})
      CHECK(
          contains(error_of([&] { Tensor::full({2}, x, dtype).to(DType::i32); }), "has no place in an i32"));
  }
}

TEST_CASE("softmax takes an axis, and nothing else") {
  const Tensor x = Tensor::from(std::vector<double>{1, 2, 3, 4, 5, 6}, {2, 3});
  CHECK(compare::distance(sum(softmax(x, 0), {0}), Tensor::full({3}, 1, DType::f64)) <= 1e-15);
  CHECK(compare::distance(unary(Unary::log, softmax(x, 0)), log_softmax(x, 0)) <= 1e-14);
  CHECK(equal(softmax(x, -1), softmax(x, 1)));
  refused("softmax: no axis 2 in [2, 3]", [&] { softmax(x, 2); });
  const auto takes = []<class X, class Argument>(X, Argument) {
    return requires(X input, Argument argument) { softmax(input, argument); };
  };
  CHECK(takes(Tensor(), 0));
  CHECK_FALSE(takes(Tensor(), true));
}

TEST_CASE("storage: what is kept has a limit, and the longest idle sizes go first") {
  if (!blocks_are_cached()) return;
  constexpr size_t kMiB = size_t{1} << 20;
  release_cached_memory(Device::cpu);
  // A program whose tensors grow: one of each size, one after the other.
  for (int64_t mib = 8; mib <= 96; mib += 4) Tensor({mib << 18});
  const MemoryUse grown = memory_use(Device::cpu);
  CHECK(grown.in_use + grown.cached <= 2 * grown.peak);
  set_cache_limit(Device::cpu, 1);
  const MemoryUse tight = memory_use(Device::cpu);
  CHECK(tight.in_use + tight.cached <= tight.peak);
  CHECK(contains(error_of([] { set_cache_limit(Device::cpu, 0.5); }), "at least 1, got 0.5"));

  // At the limit a larger idle block serves, before memory is asked for.
  release_cached_memory(Device::cpu);
  std::vector<Tensor> held;
  while (memory_use(Device::cpu).in_use + 2 * kMiB <= memory_use(Device::cpu).peak)
    held.emplace_back(Shape{1 << 18});
  { const Tensor larger({3 << 17}); }  // 1.5 MiB
  const MemoryUse before = memory_use(Device::cpu);
  CHECK(before.cached == kMiB * 3 / 2);
  const Tensor small({1 << 18});
  CHECK(memory_use(Device::cpu).cached == 0);
  CHECK(memory_use(Device::cpu).in_use == before.in_use + kMiB * 3 / 2);
  // But not one that would waste more than half.
  held.clear();
  const Tensor tiny({100});
  CHECK(memory_use(Device::cpu).in_use < before.in_use);
  set_cache_limit(Device::cpu, 2);
  release_cached_memory(Device::cpu);
}

TEST_CASE("comparisons: i32 masks of any dtype, broadcast, NaN and numbers with a fraction") {
  const Tensor x = Tensor::from<double>({1, 2, NAN}, {3}), y = Tensor::from<double>({2}, {1});
  using Bits = std::vector<double>;
  CHECK(values(x < y) == Bits{1, 0, 0});
  CHECK(values(x <= y) == Bits{1, 1, 0});
  CHECK(values(x > y) == Bits{0, 0, 0});
  CHECK(values(x >= y) == Bits{0, 1, 0});
  CHECK(values(x == y) == Bits{0, 1, 0});
  CHECK(values(x != y) == Bits{1, 0, 1});
  CHECK(values(2 > x) == Bits{1, 0, 0});
  CHECK((x < y).dtype() == DType::i32);
  const Tensor ids = ints({1, 2, 3});
  CHECK(values(ids > 2.5) == Bits{0, 0, 1});  // not 2, which 2.5 would be as a whole number
  CHECK(values(ids == ints({3, 2, 1})) == Bits{0, 1, 0});
  CHECK(values(Tensor::zeros({2, 1}) < Tensor::ones({3})).size() == 6);
  CHECK(contains(error_of([&] { (void)(x < ids); }), "expected f64 on cpu on both sides, got i32"));
  CHECK(contains(error_of([&] { (void)(x < Tensor()); }), "compare: got an empty tensor"));
  CHECK(contains(error_of([] { (void)(Tensor::ones({2}) < Tensor::ones({3})); }),
                 "less: shapes do not broadcast"));
  static_assert(!std::is_constructible_v<bool, Mask>);  // if (x < y) does not compile
}

TEST_CASE("where takes ids, too, and says what does not fit") {
  const Tensor mask = ints({1, 0, 2});
  CHECK(values(where(mask, ints({1, 2, 3}), ints({7, 8, 9}))) == std::vector<double>{1, 8, 3});
  CHECK(values(where(mask, ints({1, 2, 3}), 0)) == std::vector<double>{1, 0, 3});
  CHECK(where(Tensor::ones({0, 3}), Tensor::ones({3}), Tensor::ones({1})).shape() == Shape{0, 3});
  CHECK(contains(error_of([&] { where(mask, Tensor::ones({3}), ints({1, 2, 3})); }), "expected one dtype"));
  CHECK(contains(error_of([&] { where(mask, Tensor::ones({2}), Tensor::ones({2})); }), "do not broadcast"));
  CHECK(
      contains(error_of([&] { where(Tensor(), Tensor::ones({2}), Tensor::ones({2})); }), "an empty tensor"));
}

TEST_CASE("tensor: lists, ranges, places, and a size that is left to reshape") {
  CHECK(Tensor::from({1.f, 2.f}, {2}).dtype() == DType::f32);
  CHECK(Tensor::from({1., 2.}, {2}).dtype() == DType::f64);
  CHECK(Tensor::from({1, 2}, {2}).dtype() == DType::i32);
  const Tensor x = Tensor::arange(6).reshape({2, -1});
  CHECK(x.shape() == Shape{2, 3});
  CHECK(x.at({1, 0}) == 3);
  CHECK(x.at({-1, -1}) == 5);
  CHECK(Tensor::ones({}).at({}) == 1);
  CHECK(error_of([&] { x.at({0, 3}); }) == "at: no place 3 in an axis of 3, of [2, 3]");
  CHECK(error_of([&] { x.at({0}); }) == "at: expected 2 numbers for [2, 3], got 1");
  CHECK(error_of([&] { x.reshape({4, -1}); }) == "reshape: [2, 3] does not divide into -1 and [4, 1]");
  CHECK(contains(error_of([&] { x.reshape({-1, -1}); }), "only one size may be -1"));
  CHECK(contains(error_of([] { Tensor::zeros({0, 3}).reshape({0, -1}); }), "does not divide"));
  CHECK(Tensor::zeros({0, 3}).reshape({-1, 3}).shape() == Shape{0, 3});
  CHECK(error_of([] { Tensor::arange(-1); }) == "arange: expected 0 to 2^31 - 1 numbers, got -1");
  Tensor y = Tensor::ones({2}), other = y;
  y += 1;
  y -= other;
  CHECK(values(y) == std::vector<double>{1, 1});
  CHECK(values(other) == std::vector<double>{1, 1});
}

TEST_CASE("sum is a tensor of its own, also where there is nothing to add up") {
  const Tensor x = Tensor::ones({2, 1}), y = sum(x, -1, /*keep=*/true);
  add_to(y, y);
  CHECK(values(x) == std::vector<double>{1, 1});
  const int64_t axis = 0;
  CHECK(softmax(x, axis).shape() == Shape{2, 1});
}

TEST_CASE("mean divides, and so the mean of ones is 1") {
  for (const DType dtype : {DType::f32, DType::f64})
    for (int64_t n = 1; n <= 200; ++n) CHECK(mean(Tensor::ones({n}, dtype)).item() == 1);
}

TEST_CASE("reductions to no elements have none, and those of no elements are refused by name") {
  CHECK(max(Tensor::zeros({0, 3}), 1).shape() == Shape{0});
  CHECK(mean(Tensor::zeros({0, 3}), 1).shape() == Shape{0});
  CHECK(max(Tensor::zeros({3, 0}), 0).shape() == Shape{0});
  refused("max: of no elements, in [0, 3]", [] { max(Tensor::zeros({0, 3}), 0); });
  refused("mean: of no elements, in [0, 3]", [] { mean(Tensor::zeros({0, 3}), 0); });
}

TEST_CASE("a number with a fraction does not become an i32") {
  const Tensor ids = ints({1, 2}, {2});
  refused("full: 2.5 is no i32", [] { Tensor::full({}, 2.5, DType::i32); });
  refused("full: 2.5 is no i32", [&] { where(ids == 1, ids, 2.5); });
  refused("full: 2.5 is no i32", [&] { where(ids == 1, 2.5, ids); });
}

TEST_CASE("axes: a bool is none, and neither is a number beyond int") {
  static_assert(std::is_constructible_v<Axes, int, int64_t>);
  static_assert(!std::is_constructible_v<Axes, bool>);
  static_assert(!std::is_constructible_v<Axes, int, bool>);
  static_assert(!std::is_constructible_v<Axes, double>);
  refused("sum: no axis 4294967296 in [2, 3]", [] { sum(filled({2, 3}), int64_t{1} << 32); });
}

TEST_CASE("cpu: OpenBLAS runs kernels that fit this CPU, also where it is older than the CPU") {
  if (std::getenv("OPENBLAS_CORETYPE") || !std::strstr(openblas_get_config(), "DYNAMIC_ARCH")) return;
  const std::string text = describe(Device::cpu);
  CAPTURE(text);
  CHECK(text.find("slower kernels") == std::string::npos);
}
