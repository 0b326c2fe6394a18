// The operations that are one kernel each: what they refuse and in which words, and tensors without elements,
// forward and backward.
#include <functional>

#include "autograd/gradcheck.h"
#include "autograd/ops.h"
#include "compare.h"

using namespace gradus;
using namespace gradus::compare;

namespace {

Variable filled(Shape shape, DType dtype = DType::f32) {
  return Variable(Tensor::full(shape, 0.5, dtype), true);
}

AttentionSpec heads(int64_t count, const Tensor& key_lengths = {}) {
  return {.d_model = 8, .heads = count, .key_lengths = key_lengths};
}
const CrossEntropySpec kPlain;

void refused(const std::string& words, const std::function<void()>& call) { CHECK(error_of(call) == words); }

}  // namespace

TEST_CASE("fused operations: what is refused, and the words") {
  const Variable a = filled({2, 3}), b = filled({2, 4}), cube = filled({2, 3, 8});
  const IdColumns two{ints({0, 1}, {1, 2}), 0, 2}, outside{ints({9, 0, 1, 9, 9, 0, 2, 9}, {2, 4}), 1, 2};
  const Columns x{cube}, shifted{cube, 1}, one{rows(cube, 0, 1)}, longer{filled({2, 4, 8})};
  refused("linear: expected x [.., K] and w [M, K], got [2, 3] and [2, 4]", [&] { linear(a, b, {}); });
  refused("linear: expected b [2], got [3]", [&] { linear(a, a, filled({3})); });
  refused("layer_norm: expected gain and bias [D] for x [.., D], got x [2, 3], gain [3], bias [2]",
          [&] { layer_norm(a, filled({3}), filled({2})); });
  refused("embedding: expected a table [V, D], got [2, 3, 8]", [&] { embedding(cube, two); });
  refused("embedding: expected positions [>= 2, 3], got [2, 4]", [&] { embedding(a, two, 1, b.value()); });
  refused("embedding: expected positions [>= 2, 3], got [1, 3]",
          [&] { embedding(a, two, 1, rows(a, 0, 1).value()); });
  refused("embedding: expected positions [>= 2, 3], got [3]",
          [&] { embedding(a, two, 1, filled({3}).value()); });
  refused("embedding: id 2 at row 1, position 2 is outside [0, 2)", [&] { embedding(a, outside); });
  const auto columns = [](const std::string& asked) {
    return "embedding: no " + asked + " on in ids [2, 2]";
  };
  const Tensor ids = ints({0, 1, 0, 1}, {2, 2});
  refused(columns("3 columns from column 0"), [&] { embedding(a, {ids, 0, 3}); });
  refused(columns("2 columns from column 1"), [&] { embedding(a, {ids, 1, 2}); });
  refused(columns("2 columns from column -1"), [&] { embedding(a, {ids, -1, 2}); });
  refused(columns("-1 columns from column 2"), [&] { embedding(a, {ids, 2, -1}); });
  refused(columns("1 columns from column 9223372036854775807"), [&] { embedding(a, {ids, INT64_MAX, 1}); });
  refused("embedding: expected ids i32 [.., T], got f64 [2, 2]", [&] { embedding(a, ids.to(DType::f64)); });
  refused("attention: no 8 columns from column 1 on in [2, 3, 8]",
          [&] { attention(x, shifted, x, heads(2)); });
  refused(
      "attention: expected queries, keys and values [B, T, D] with one B, got [1, 3, 8] beside queries [2, "
      "3, "
      "8]",
      [&] { attention(x, one, x, heads(2)); });
  refused("attention: 3 keys but 4 values", [&] { attention(x, x, longer, heads(2)); });
  refused("attention: 3 heads do not divide d_model 8", [&] { attention(x, x, x, heads(3)); });
  refused("attention: dropout needs a draw of a generator",
          [&] { attention(x, x, x, {.d_model = 8, .heads = 2, .dropout = 0.1}); });
  refused("attention: expected key lengths [2], got [3]", [&] {
    attention(x, x, x, heads(2, ints({1, 2, 3})));
  });
  refused("cross_entropy: logits [2, 3, 8] do not fit 2 targets", [&] { cross_entropy(cube, two, kPlain); });
  refused("cross_entropy: id 2 at row 1, position 2 is outside [0, 2)", [&] {
    cross_entropy(filled({4, 2}), outside, kPlain);
  });
}

TEST_CASE("fused operations: tensors without elements, forward and backward") {
  for (DType dtype : {DType::f32, DType::f64}) {
    const auto make = [&](Shape shape) { return filled(shape, dtype); };
    // The result, after its gradient went back.
    const auto walked = [&](const Variable& y) {
      y.backward(Tensor::full(y.shape(), 1, dtype));
      return y.value();
    };
    const Variable x = make({0, 3}), batch = make({0, 2, 8}), gain = make({3}), w = make({4, 3});
    const Variable nothing = make({2, 0}), bias = make({4});
    CHECK(walked(layer_norm(x, gain, gain)).shape() == x.shape());
    CHECK(equal(gain.grad(), Tensor::zeros({3}, dtype)));
    CHECK(walked(layer_norm(nothing, make({0}), make({0}))).shape() == nothing.shape());
    CHECK(walked(linear(x, w, bias, Unary::gelu)).shape() == Shape{0, 4});
    CHECK(equal(w.grad(), Tensor::zeros({4, 3}, dtype)));
    CHECK(equal(bias.grad(), Tensor::zeros({4}, dtype)));
    CHECK(equal(walked(linear(nothing, make({4, 0}), bias)), Tensor::full({2, 4}, 0.5, dtype)));
    CHECK(walked(embedding(make({5, 3}), {Tensor({0, 2}, DType::i32), 0, 2})).shape() == Shape{0, 2, 3});
    CHECK(walked(embedding(make({5, 3}), {ints({9, 9}, {2, 1}), 1, 0})).shape() == Shape{2, 0, 3});
    CHECK(walked(attention({batch}, {batch}, {batch}, heads(2))).shape() == batch.shape());
    const Variable q = make({1, 2, 8}), no_keys = make({1, 0, 8});
    CHECK(walked(attention({no_keys}, {q}, {q}, heads(2))).shape() == no_keys.shape());
    CHECK(equal(walked(attention({q}, {no_keys}, {no_keys}, heads(2))), Tensor::zeros({1, 2, 8}, dtype)));
    CHECK(equal(q.grad(), Tensor::zeros({1, 2, 8}, dtype)));
    CHECK(walked(cross_entropy(x, {Tensor({0, 2}, DType::i32), 0, 2}, kPlain).loss).item() == 0);
  }
}

TEST_CASE("attention: packed columns that somebody else reads, too") {
  const Variable x = random_leaf({2, 3, 12}, 1);
  const AttentionSpec spec{.d_model = 4, .heads = 2, .causal = true};
  for (bool attention_first : {false, true}) {
    const auto f = [&] {
      const Variable packed = x * 2;  // not a leaf: its gradient is collected from both
      const auto attended = [&] { return sum(attention({packed}, {packed, 4}, {packed, 8}, spec)); };
      const auto squared = [&] { return sum(packed * packed); };
      return attention_first ? attended() + squared() : squared() + attended();
    };
    CHECK(gradcheck(f, {{"x", x}}).error <= 1e-8);
  }
}

TEST_CASE("attention: columns may be the same or apart, but not overlap") {
  const Variable x = filled({2, 3, 24});
  const AttentionSpec spec{.d_model = 16, .heads = 2};
  CHECK_NOTHROW(attention({x, 8}, {x, 8}, {x, 8}, spec));
  refused("attention: columns 0 to 16 and 8 to 24 of one tensor overlap; take the same ones, or others", [&] {
    attention({x}, {x, 8}, {x, 8}, spec);
  });
}

TEST_CASE("dropout: with and without a chance to drop, the same shapes are refused") {
  Generator generator(1);
  const Variable x = filled({2, 2}), row = filled({2});
  for (double p : {0., 0.1})
    refused("dropout_add: shapes differ: [2, 2] and [2]", [&] { dropout_add(x, row, p, generator); });
  refused("dropout: a probability of 0.999995 is 1 when rounded to 1/65,536",
          [&] { dropout(x, 0.999995, generator); });
}

TEST_CASE("rows by ids are copies to the bit, the sign of -0 among them") {
  const Tensor picked = rows(Tensor::from({-0.0, 0.0}, {2, 1}), ints({1, 0}));
  CHECK((1 / picked).to_vector<double>() == std::vector<double>{INFINITY, -INFINITY});
}

TEST_CASE("layer_norm of numbers whose squares have no place in a float") {
  const Tensor signs = Tensor::from({1.f, -1.f, -1.f, 1.f}, {1, 4}), gain = Tensor::ones({4}),
               bias = Tensor::zeros({4});
  CHECK(compare::distance(layer_norm(signs * 1e20, gain, bias), signs) < 1e-6);
  CHECK(compare::distance(layer_norm(signs * 1e-25, gain, bias, 1e-60), signs) < 1e-6);
}

TEST_CASE("cross_entropy without smoothing needs no other class, under any convention") {
  const Tensor logits = random({2, 2}, 1, DType::f64), target = ints({1, 1}, {2});
  for (const Smoothing convention : {Smoothing::others, Smoothing::others_not_pad}) {
    const Variable z(logits, true);
    const Variable loss = cross_entropy(z, target, {.convention = convention, .pad_id = 0}).loss;
    CHECK(loss.item() == doctest::Approx(-mean(slice(log_softmax(logits), -1, 1, 2)).item()));
    loss.backward();
    CHECK(sum(abs(z.grad())).item() > 0);
  }
  const Variable alone(Tensor::zeros({2, 1}, DType::f64), true);
  CHECK(cross_entropy(alone, ints({0, 0}, {2}), {.convention = Smoothing::others}).loss.item() == 0);
}

TEST_CASE(
    "attention: lengths that were overwritten after the forward pass are refused by the backward pass") {
  const Variable x(random({1, 2, 8}, 1, DType::f64), true);
  Tensor lengths = ints({2}, {1});
  const Variable y = attention({x}, {x}, {x}, heads(2, lengths));
  lengths.data<int32_t>()[0] = 10'000'000;
  refused("attention: length 10000000 at row 0 is outside [0, 2]", [&] { sum(y).backward(); });
}
