// CUDA kernels called directly, at sizes where tiles, warps and blocks end raggedly and where an operation
// changes its way: the rows of op_cases.h are small and go through autograd. Fused kernels are held against
// their definitions, the others against the CPU's. At the end: numbers that a careless float would lose.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "tensor/fused_ops.h"

using namespace gradus;

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Draws the same numbers for every device and dtype, in the order of the calls.
struct Draws {
  DType dtype;
  Device device;
  bool by_definition = false;
  Generator generator{7};

  Tensor normal(Shape shape, double deviation = 1) {
    return generator.normal(shape, deviation).to(DType::f32).to(dtype).to(device);
  }
  Tensor empty(Shape shape) const { return Tensor::full(shape, NAN, dtype, device); }
  Tensor numbers(const std::vector<double>& values) const {
    return Tensor::from(values, {static_cast<int64_t>(values.size())}).to(dtype).to(device);
  }
  Tensor ids(const std::vector<int32_t>& values, Shape shape) const {
    return Tensor::from(values, shape, device);
  }
  Backend& kernels() const { return backend(device); }
};

// Calls the device's kernel, or the definition that it overrides.
#define FUSED(x, ...) ((x).by_definition ? (x).kernels().Backend::__VA_ARGS__ : (x).kernels().__VA_ARGS__)

// The largest difference, relative to the largest finite element of y.
double difference(const Tensor& a, const Tensor& b) {
  const std::vector<double> x = a.to(DType::f64).to_vector<double>(),
                            y = b.to(DType::f64).to_vector<double>();
  double largest = 1e-300, worst = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    if (x[i] == y[i] || (std::isnan(x[i]) && std::isnan(y[i]))) continue;
    if (!std::isfinite(x[i] - y[i])) return kInfinity;
    worst = std::max(worst, std::fabs(x[i] - y[i]));
  }
  for (double v : y)
    if (std::isfinite(v)) largest = std::max(largest, std::fabs(v));
  return worst / largest;
}

// fn(draws) gives the results of kernels: those of `got` and of `expected` must agree within `epsilons` of
// the dtype, relative to the largest element of each.
template <class Fn> void check_same(double epsilons, const Draws& got, const Draws& expected, const Fn& fn) {
  const std::vector<Tensor> x = fn(got), y = fn(expected);
  for (size_t i = 0; i < y.size(); ++i) {
    INFO(got.dtype, ", result ", i);
    const double epsilon = got.dtype == DType::f32 ? 0x1p-23 : 0x1p-52;
    CHECK(difference(x[i].to(Device::cpu), y[i].to(Device::cpu)) <= epsilons * epsilon);
  }
}
template <class Fn> void same_on_both(double epsilons, const Fn& fn) {
  for (DType dtype : {DType::f32, DType::f64})
    check_same(epsilons, {dtype, Device::cuda}, {dtype, Device::cpu}, fn);
}
// A definition computes in double, and adds thousands of numbers one after the other: so in f64 it is the one
// with the larger error.
template <class Fn> void as_defined(double epsilons, const Fn& fn) {
  for (DType dtype : {DType::f32, DType::f64})
    check_same(dtype == DType::f64 ? 32 * epsilons : epsilons, {dtype, Device::cuda},
               {dtype, Device::cuda, /*by_definition=*/true}, fn);
}

Draws on_cuda() { return {DType::f32, Device::cuda}; }

}  // namespace

TEST_CASE("cuda kernels: the first number that is not finite") {
  for (int64_t n : {0, 1, 1024, 5000})
    for (int64_t bad : {int64_t{-1}, int64_t{0}, n / 2, n - 1})
      for (double value : {kInfinity, -kInfinity, double(NAN)})
        for (DType dtype : {DType::f32, DType::f64}) {
          INFO(n, " elements, bad from ", bad, " on, ", dtype);
          std::vector<double> x(static_cast<size_t>(n), 1);
          for (int64_t i = bad; i >= 0 && i < n; i += 700) x[static_cast<size_t>(i)] = value;
          const Tensor on_device = Tensor::from(x, {n}).to(dtype).to(Device::cuda);
          CHECK(backend(Device::cuda).first_nonfinite(on_device) == (bad < n ? bad : -1));
        }
}

TEST_CASE("cuda kernels: the largest of each row, of which many are equal, and some no numbers") {
  for (int64_t d : {1, 33, 700})
    for (int64_t k : {int64_t{1}, (d + 1) / 2, d}) {
      std::vector<double> numbers;
      for (int64_t i = 0; i < 3 * d; ++i)
        numbers.push_back(i % 17 == 5    ? double(NAN)
                          : i % 13 == 4  ? -kInfinity
                          : i % 19 == 6  ? kInfinity
                          : i % 11 == 10 ? -0.0
                                         : static_cast<double>(i * 7919 % 31) - 9);
      for (DType dtype : {DType::f32, DType::f64}) {
        INFO("d ", d, ", k ", k, ", ", dtype);
        const Tensor x = Tensor::from(numbers, {3, d}).to(dtype);
        const TopK here = topk(x, k), there = topk(x.to(Device::cuda), k);
        CHECK(there.ids.to_vector<int32_t>() == here.ids.to_vector<int32_t>());
        CHECK(message(there.values) == message(here.values));
      }
    }
}

TEST_CASE("cuda kernels: embedding, of words that first come late and come again") {
  constexpr int64_t kRows = 70, kCount = 10, kVocab = 400, kColumns = 130;
  std::vector<int32_t> ids(kRows * (kCount + 2), -5);  // the columns around are nobody's
  for (int64_t i = 0; i < kRows * kCount; ++i)
    ids[static_cast<size_t>(i / kCount * (kCount + 2) + 1 + i % kCount)] =
        static_cast<int32_t>(i < 300 ? i % 90 : 100 + (kRows * kCount - i) * 7 % 120);
  same_on_both(64, [&](Draws x) {
    const IdColumns columns{x.ids(ids, {kRows, kCount + 2}), 1, kCount};
    const Tensor table = x.normal({kVocab, kColumns}), dtable = x.normal({kVocab, kColumns});
    const Tensor positions = x.normal({kCount + 3, kColumns}), dy = x.normal({kRows * kCount, kColumns});
    const Tensor y = x.empty({kRows * kCount, kColumns});
    x.kernels().embedding(table, columns, 3, positions, Out(y));
    x.kernels().embedding_backward(dy, columns, 3, Out(dtable));
    return std::vector{y, dtable};
  });
}

TEST_CASE("cuda kernels: columns are copied, and those around are left alone") {
  for (int64_t rows : {0, 1, 70, 1100})
    for (int64_t width : {0, 1, 5, 33, 300}) {
      INFO(rows, " rows of ", width);
      same_on_both(0, [&](Draws x) {
        const Tensor from = x.normal({rows, width + 7}), to = x.normal({rows, width + 17});
        x.kernels().copy_columns(rows, width, {from, 5, width + 7}, {Out(to), 12, width + 17});
        return std::vector{to};
      });
    }
}

TEST_CASE("cuda kernels: sums along an axis, by a thread or a block each, in one run or several") {
  const Shape sizes[] = {{3, 64, 5},   {2, 65, 7},    {2, 130, 8},    {5, 70, 1}, {1, 1000, 19},
                         {2, 9000, 3}, {1, 8193, 17}, {1, 20'000, 1}, {2, 0, 3}};
  for (const Shape& size : sizes) {
    INFO(size);
    same_on_both(256, [&](Draws x) {
      const Tensor in = x.normal(size), y = x.empty(size.with(1, 1)), more = x.normal(size.with(1, 1));
      x.kernels().sum_to(in, /*add=*/false, Out(y));
      x.kernels().sum_to(in, /*add=*/true, Out(more));
      const Tensor same = x.normal(size);  // no axis to sum
      x.kernels().sum_to(in, /*add=*/true, Out(same));
      return std::vector{y, more, same};
    });
  }
}

TEST_CASE("cuda kernels: two operands of one shape, and stretched along any axis") {
  const Shape y{2, 3, 4, 5};
  for (const Shape& other : {y, Shape{2, 1, 4, 1}, Shape{1, 3, 1, 5}, Shape{5}, Shape{4, 1}, Shape{}}) {
    INFO(other);
    same_on_both(0, [&](Draws x) {
      const Tensor a = x.normal(y), b = x.normal(other), sum = x.empty(y), difference = x.empty(y);
      x.kernels().binary(Binary::add, a, b, Out(sum));
      x.kernels().binary(Binary::sub, b, a, Out(difference));
      const Mask mask = a > x.normal(y), stretched = b > 0.0;
      const Tensor some = x.empty(y), others = x.empty(y), whole = x.empty(y);
      x.kernels().where(mask, a, b, Out(some));
      x.kernels().where(mask, b, a, Out(others));
      x.kernels().where(stretched, a, sum, Out(whole));
      return std::vector{sum, difference, some, others, whole};
    });
  }
}

TEST_CASE("cuda kernels: products") {
  for (int64_t m : {0, 1, 33})
    for (int64_t n : {1, 70})
      for (int64_t k : {0, 1, 31})
        for (int transposes = 0; transposes < 4; ++transposes)
          for (int64_t batch : {1, 3}) {
            const GemmShape s{m,     n, k,    transposes % 2 == 1, transposes / 2 == 1, batch,
                              m * k, 0, m * n};  // b is shared
            INFO("m ", m, ", n ", n, ", k ", k, ", transposes ", transposes, ", batch ", batch);
            for (double beta : {0, 1})
              same_on_both(64, [&](Draws x) {
                const Tensor a = x.normal({batch * m * k}), b = x.normal({k * n}),
                             c = x.normal({batch * m * n});
                x.kernels().gemm(s, a, b, beta, Out(c));
                return std::vector{c};
              });
          }
}

TEST_CASE("cuda kernels: linear") {
  for (const Shape& size :
       {Shape{1, 1, 1}, Shape{33, 31, 5}, Shape{5, 1000, 33}, Shape{0, 3, 4}, Shape{4, 3, 0}})
    for (const std::optional<Unary> op :
         {std::optional<Unary>(), {Unary::relu}, {Unary::gelu}, {Unary::tanh}})
      for (int options = 0; options < 4; ++options) {
        INFO(size, op ? name_of(*op) : "", " options ", options);
        as_defined(64, [&](Draws x) {
          const Tensor in = x.normal({size[0], size[2]}), w = x.normal({size[1], size[2]}, 0.3);
          const Tensor bias = options % 2 ? x.normal({size[1]}) : Tensor(), y = x.empty({size[0], size[1]});
          const Tensor pre = options / 2 ? x.empty({size[0], size[1]}) : Tensor();
          FUSED(x, linear(in, w, bias, op, Out(y), Out(pre)));
          return pre ? std::vector{y, pre} : std::vector{y};
        });
      }
}

TEST_CASE("cuda kernels: softmax") {
  for (int64_t rows : {0, 1, 33})
    for (int64_t d : {1, 33, 1000, 5000})
      for (bool log : {false, true})
        for (double spread : {1., 5.}) {
          INFO(rows, " rows of ", d, log ? " log, spread " : ", spread ", spread);
          as_defined(64, [&](Draws x) {
            const Tensor in = x.normal({rows, d}, spread), y = x.empty({rows, d});
            const Tensor dy = x.normal({rows, d}), dx = x.empty({rows, d});
            FUSED(x, softmax(in, log, Out(y)));
            FUSED(x, softmax_backward(y, dy, log, Out(dx)));
            return std::vector{y, dx};
          });
        }
}

TEST_CASE("cuda kernels: layer norm") {
  for (int64_t rows : {0, 1, 33, 130})
    for (int64_t d : {1, 31, 300})
      for (int wanted : {1, 2, 4, 7}) {
        INFO(rows, " rows of ", d, ", wanted ", wanted);
        as_defined(256, [&](Draws x) {
          const Tensor in = x.normal({rows, d}, 3), gain = x.normal({d}), bias = x.normal({d});
          const Tensor y = x.empty({rows, d}), statistics = x.empty({rows, 3});
          const Tensor dy = x.normal({rows, d}), dgain = x.normal({d}), dbias = x.normal({d});
          const Tensor dx = x.normal({rows, d});
          FUSED(x, layer_norm(in, gain, bias, 1e-5, Out(y), Out(statistics)));
          FUSED(x, layer_norm_backward(dy, in, gain, statistics, d % 2 == 0, wanted & 1 ? Out(dx) : Out(),
                                       wanted & 2 ? Out(dgain) : Out(), wanted & 4 ? Out(dbias) : Out()));
          // mu and c may divide the mean in other ways: their sum, beside the row's rstd, is defined
          const Tensor ones = x.numbers({1, 1, 0}).reshape({3, 1}),
                       rstd = x.numbers({0, 0, 1}).reshape({3, 1});
          std::vector<Tensor> results{y, matmul(statistics, ones), matmul(statistics, rstd), dgain, dbias};
          if (d > 1) results.push_back(dx);  // of one column it is 0, or what rounding leaves of that
          return results;
        });
      }
}

namespace {

struct LossCase {
  int64_t rows, vocab;
  Smoothing convention = Smoothing::uniform;
  Reduction reduction = Reduction::mean;
  double smoothing = 0;
  enum Special { plain, far, tied, masked, lowest, specials } special = plain;  // about the logits
};

Tensor logits_of(const LossCase& c, Draws& x) {
  const Tensor drawn = x.generator.normal({c.rows, c.vocab}, 2).to(DType::f32);
  std::vector<double> logits = drawn.to(DType::f64).to_vector<double>();
  for (size_t i = 0; i < logits.size(); ++i) {
    const bool pad_column = static_cast<int64_t>(i) % c.vocab == 0;
    if (c.special == LossCase::far) logits[i] = std::round(logits[i] * 64) / 64 + 10000;
    if (c.special == LossCase::tied) logits[i] = std::round(logits[i]);
    if (c.special == LossCase::masked && pad_column) logits[i] = -kInfinity;
    if (c.special == LossCase::lowest) logits[i] = std::numeric_limits<float>::lowest();
  }
  return x.numbers(logits).reshape({c.rows, c.vocab});
}

// Targets in the second of two columns, some of them the pad id 0.
IdColumns targets_of(const LossCase& c, const Draws& x) {
  std::vector<int32_t> target(static_cast<size_t>(2 * c.rows), 99);
  for (int64_t i = 0; i < c.rows; ++i) target[static_cast<size_t>(2 * i + 1)] = int32_t(i * 7 % c.vocab);
  return {x.ids(target, {c.rows, 2}), 1, 1};
}

std::vector<Tensor> losses(const LossCase& c, Draws x) {
  const Tensor z = logits_of(c, x), log_sum_exp = Tensor::full({c.rows, 2}, 0, x.dtype, x.device);
  const IdColumns ids = targets_of(c, x);
  std::vector<double> weights(static_cast<size_t>(c.vocab));
  for (size_t i = 0; i < weights.size(); ++i) weights[i] = 0.5 * (i % 3);
  const CrossEntropySpec spec{.convention = c.convention,
                              .smoothing = c.smoothing,
                              .reduction = c.reduction,
                              .pad_id = 0,
                              .subtract_entropy = c.special == LossCase::tied,
                              .class_weight = c.special % 2 == 1 ? x.numbers(weights) : Tensor()};
  const Shape out = c.reduction == Reduction::none ? Shape{c.rows} : Shape{};
  const Tensor loss = x.empty(out), dy = x.normal(out), dz = x.empty({c.rows, c.vocab});
  const Tensor sums({kLossSums}, DType::f64, x.device);
  FUSED(x, cross_entropy(z, ids, spec, Out(log_sum_exp), Out(loss), Out(sums)));
  FUSED(x, cross_entropy_backward(z, ids, spec, log_sum_exp, sums, dy, Out(dz)));
  FUSED(x, cross_entropy_backward(z, ids, spec, log_sum_exp, sums, dy, Out(z)));  // in place
  return {log_sum_exp, loss, sums, dz, z};
}

std::vector<Tensor> prior_losses(const LossCase& c, Draws x) {
  const Tensor z = logits_of(c, x), log_sum_exp = Tensor::full({c.rows, 2}, 0, x.dtype, x.device);
  const IdColumns ids = targets_of(c, x);
  std::vector<double> prior(static_cast<size_t>(c.vocab));
  for (size_t i = 1; i < prior.size(); ++i) prior[i] = 0.25 * (i % 3) / static_cast<double>(c.vocab);
  const Tensor loss = x.empty({c.rows}), dy = x.normal({c.rows}), dz = x.empty({c.rows, c.vocab});
  const Tensor q = x.numbers(prior);
  FUSED(x, prior_cross_entropy(z, q, ids, 0, Out(log_sum_exp), Out(loss)));
  FUSED(x, prior_cross_entropy_backward(z, q, ids, 0, log_sum_exp, dy, Out(dz)));
  FUSED(x, prior_cross_entropy_backward(z, q, ids, 0, log_sum_exp, dy, Out(z)));  // in place
  return {log_sum_exp, loss, dz, z};
}

}  // namespace

TEST_CASE("cuda kernels: cross-entropy") {
  for (const Shape& size : {Shape{0, 4}, Shape{1, 3}, Shape{31, 33}, Shape{2, 5000}})
    for (Smoothing convention :
         {Smoothing::uniform, Smoothing::as_printed, Smoothing::others, Smoothing::others_not_pad})
      for (Reduction reduction : {Reduction::mean, Reduction::none})
        for (double eps : {0., 0.1})
          for (int special = 0; special < LossCase::specials; ++special) {
            INFO(size, " convention ", int(convention), " reduction ", int(reduction), " eps ", eps,
                 " special ", special);
            const LossCase c{size[0], size[1], convention, reduction, eps, LossCase::Special(special)};
            as_defined(64, [&](const Draws& x) { return losses(c, x); });
          }
}

TEST_CASE("cuda kernels: cross-entropy towards a prior") {
  for (const Shape& size : {Shape{0, 4}, Shape{1, 3}, Shape{31, 33}, Shape{3, 5000}})
    for (int special = 0; special < LossCase::specials; ++special) {
      INFO(size, " special ", special);
      const LossCase c{.rows = size[0], .vocab = size[1], .special = LossCase::Special(special)};
      as_defined(64, [&](const Draws& x) { return prior_losses(c, x); });
    }
}

TEST_CASE("cuda kernels: ids are checked, those ignored aside") {
  const IdColumns ids{on_cuda().ids({9, 3, 9, -7, 4, 9}, {2, 3}), 0, 2};  // the last column is nobody's
  const auto check_with = [&](std::optional<int32_t> ignored) {
    backend(Device::cuda).check_ids("look", ids, 5, ignored);
    synchronise(Device::cuda);
  };
  CHECK_THROWS_WITH(check_with({}), "look: id 9 at row 0, position 0 is outside [0, 5)");
  CHECK_THROWS_WITH(check_with(9), "look: id -7 at row 1, position 0 is outside [0, 5)");
  CHECK_THROWS_WITH(check_with(-7), "look: id 9 at row 0, position 0 is outside [0, 5)");
  CHECK_NOTHROW(synchronise(Device::cuda));
}

namespace {

struct AttentionCase {
  int64_t batch, queries, keys, d_head, heads;
  bool causal = false, lengths = false;
  double dropout = 0;
  int64_t apart = 0;  // columns between queries, keys and values, that belong to nobody; -1: all are the same
  int wanted = 7;     // the gradients: 1 of q, 2 of k, 4 of v
};

std::vector<Tensor> attend(const AttentionCase& c, Draws x) {
  const int64_t d = c.d_head * c.heads, step = c.apart < 0 ? 0 : d + c.apart, width = 2 * step + d;
  const bool self = c.queries == c.keys;
  const Tensor packed = x.normal({c.batch, c.keys, width}), dpacked = x.normal({c.batch, c.keys, width});
  const Tensor q = self ? packed : x.normal({c.batch, c.queries, d});
  const Tensor dq = self ? dpacked : x.normal({c.batch, c.queries, d});
  const Qkv in{{q, 0}, {packed, step}, {packed, 2 * step}};
  AttentionSpec spec{.d_model = d, .heads = c.heads, .causal = c.causal, .dropout = c.dropout};
  std::vector<int32_t> lengths;
  for (int64_t b = 0; b < c.batch; ++b) lengths.push_back(static_cast<int32_t>(b * c.keys / c.batch));
  if (c.lengths) spec.key_lengths = x.ids(lengths, {c.batch});  // the first sentence: 0
  spec.draw = Generator(11).next_draw();
  const Tensor y = x.empty({c.batch, c.queries, d}), dy = x.normal({c.batch, c.queries, d});
  const Tensor statistics = x.empty({c.batch, c.heads, c.queries, 2});
  FUSED(x, attention(in, spec, Out(y), Out(statistics)));
  FUSED(x, attention_backward(in, spec, y, statistics, dy, /*add=*/true, c.wanted & 1 ? Out(dq) : Out(),
                              c.wanted & 2 ? Out(dpacked) : Out(), c.wanted & 4 ? Out(dpacked) : Out()));
  if (!self || c.apart != 0 || c.keys == 0) return {y, statistics, dpacked, dq};
  const Tensor written = x.empty(packed.shape());
  FUSED(x, attention_backward(in, spec, y, statistics, dy, /*add=*/false, Out(written), Out(written),
                              Out(written)));
  return {y, statistics, dpacked, dq, written};
}

}  // namespace

TEST_CASE("cuda kernels: attention in one block does not read keys that nobody sees") {
  as_defined(256, [](Draws x) {
    const Tensor q = x.normal({1, 4, 6}), y = x.empty({1, 4, 6}), statistics = x.empty({1, 2, 4, 2});
    const Tensor kv = x.normal({5, 12});
    x.kernels().fill(NAN, Out(kv.rows(3, 5)));
    const PackedHeads k{kv.reshape({1, 5, 12}), 0}, v{k.tensor, 6};
    AttentionSpec spec{.d_model = 6, .heads = 2};
    spec.key_lengths = x.ids({3}, {1});
    FUSED(x, attention({{q, 0}, k, v}, spec, Out(y), Out(statistics)));
    CHECK(std::isfinite(y.to(DType::f64).to_vector<double>()[0]));
    return std::vector{y, statistics};
  });
}

TEST_CASE("cuda kernels: attention, in one block and by products") {
  const AttentionCase cases[] = {
      {1, 1, 1, 1, 1},
      {2, 31, 31, 5, 3},
      {2, 33, 33, 16, 2, true, true, 0.3, 5},
      {3, 7, 40, 8, 2, false, true, 0.2, 1},
      {2, 40, 7, 8, 2, true, true},
      {2, 1, 70, 32, 2, false, true},
      {3, 0, 4, 2, 2},
      {3, 4, 0, 2, 2},
      {1, 3000, 0, 40, 2},  // too many queries for one block
      {2, 64, 64, 64, 1, true, false, 0.1},
      {3, 20, 20, 5, 2, false, true, 0, -1},
      {2, 200, 200, 8, 2, true, true, 0.3, 3},
      {2, 100, 200, 4, 2, false, true, 0.1},
      {2, 200, 150, 3, 1, true, false},
      {1, 1, 1000, 40, 2, false, false, 0.5},
      {2, 200, 200, 3, 1, false, true, 0, -1},
      {1, 260, 260, 8, 1, true, true, 0.3, 3},
  };
  for (const AttentionCase& c : cases) {
    INFO(c.batch, " x ", c.queries, " queries, ", c.keys, " keys of ", c.d_head, " x ", c.heads);
    as_defined(256, [&](const Draws& x) { return attend(c, x); });
  }
}

TEST_CASE("cuda kernels: gradients of attention that nobody wants are not computed") {
  for (int64_t t : {9, 180})  // in one block, by products
    for (int wanted = 0; wanted < 7; ++wanted) {
      INFO(t, " words, wanted ", wanted);
      const AttentionCase c{2, t, t, 4, 2, true, true, 0.1, 1, wanted};
      as_defined(256, [&](const Draws& x) { return attend(c, x); });
    }
}

TEST_CASE("cuda kernels: a length out of range is the CPU's error, at the latest when somebody waits") {
  const auto run = [](Device device, int64_t keys, const std::vector<int32_t>& lengths) {
    Draws x{DType::f32, device};
    const PackedHeads q{x.normal({3, 2, 4})}, k{x.normal({3, keys, 4})};
    AttentionSpec spec{.d_model = 4, .heads = 2, .key_lengths = x.ids(lengths, {3})};
    return attention_forward({q, k, k}, spec).y.to(Device::cpu);
  };
  for (int64_t keys : {5, 9000})  // in one block, by products
    for (int32_t bad : {-1, static_cast<int32_t>(keys + 1), 1 << 30}) {
      const std::string expected = message("attention: length ", bad, " at row 1 is outside [0, ", keys, "]");
      CHECK_THROWS_WITH(run(Device::cpu, keys, {5, bad, -3}), expected.c_str());
      CHECK_THROWS_WITH(run(Device::cuda, keys, {5, bad, -3}), expected.c_str());
      CHECK_NOTHROW(run(Device::cuda, keys, {5, static_cast<int32_t>(keys), 0}));
    }
}

namespace {

// The parameters of an optimiser: their tensors [size], drawn for each in turn.
struct Parameters {
  std::vector<Tensor> gradients, weights, first, second, velocities;

  Parameters(Draws& x, const std::vector<int64_t>& sizes) {
    for (const int64_t n : sizes) {
      gradients.push_back(x.normal({n}));
      weights.push_back(x.normal({n}));
      first.push_back(x.normal({n}, 0.1));
      second.push_back(x.generator.uniform({n}, 0.1, 1).to(DType::f32).to(x.dtype).to(x.device));
      velocities.push_back(x.normal({n}));
    }
  }
  std::vector<AdamParameter> of_adam() const {
    std::vector<AdamParameter> all;
    for (size_t i = 0; i < weights.size(); ++i)
      all.push_back({gradients[i], Out(weights[i]), Out(first[i]), Out(second[i]), 0.01, i % 3 > 0 ? 0.1 : 0,
                     /*step=*/i % 5 == 0 ? 1 : 4});
    return all;
  }
  std::vector<SgdParameter> of_sgd() const {
    std::vector<SgdParameter> all;
    for (size_t i = 0; i < weights.size(); ++i)
      all.push_back({gradients[i], Out(weights[i]), Out(velocities[i]), 0.01, i % 3 > 0 ? 0.1 : 0});
    return all;
  }
  std::vector<Out> to_write() const { return {gradients.begin(), gradients.end()}; }
};

// All that an optimiser does, and what it leaves in every tensor.
std::vector<Tensor> update(const std::vector<int64_t>& sizes, bool second_way, Draws x) {
  const Parameters p(x, sizes);
  const Tensor sum({1}, DType::f64, x.device);
  Backend& k = x.kernels();
  k.adam({.beta1 = 0.9, .beta2 = 0.98, .eps = 1e-9, .decoupled = second_way}, p.of_adam());
  k.sgd({.momentum = 0.9, .nesterov = second_way}, p.of_sgd());
  k.scale(1. / 3, p.to_write());
  k.sum_squares(p.gradients, Out(sum));
  k.clip(sum, second_way ? 1 : 1e6, p.to_write());
  k.clear(std::vector<Out>(p.velocities.begin(), p.velocities.begin() + p.velocities.size() / 2));
  std::vector<Tensor> results{sum};
  for (const auto& tensors : {p.gradients, p.weights, p.first, p.second, p.velocities})
    results.insert(results.end(), tensors.begin(), tensors.end());
  return results;
}

}  // namespace

TEST_CASE("cuda kernels: update") {
  std::vector<int64_t> many;  // more than one launch can be told of
  for (int64_t i = 0; i < 400; ++i) many.push_back(i % 50 == 7 ? 9000 : i % 7 * 11);
  const std::vector<int64_t> setups[] = {{}, {0}, {1}, {4096}, {4097, 0, 1}, {0, 0, 300'000, 5}, many};
  for (const std::vector<int64_t>& sizes : setups)
    for (bool second_way : {true, false}) {  // AdamW, Nesterov, a norm to be clipped
      INFO(sizes.size(), " parameters, second way ", second_way);
      same_on_both(64, [&](const Draws& x) { return update(sizes, second_way, x); });
    }
}

// Numbers that a careless float would lose, beside those of precision.h. All in f32.

TEST_CASE("cuda kernels: attention to two keys alike gives each half, however large their scores") {
  for (int64_t keys : {2, 13000})  // in one block, by products
    for (double score : {1e6, 1e7, 1e8}) {
      INFO(keys, " keys, score ", score);
      Draws x = on_cuda();
      const double side = std::sqrt(score);
      const Tensor q = x.numbers({0.3 * side, 1.1 * side, 0.7 * side}).reshape({1, 1, 3});
      std::vector<double> rows;
      for (int64_t i = 0; i < keys; ++i) rows.insert(rows.end(), {0.9 * side, 0.8 * side, 1.3 * side});
      const Tensor k = x.numbers(rows).reshape({1, keys, 3}), v = x.normal({1, keys, 3});
      const Tensor dy = x.numbers({1, 1, 1}).reshape({1, 1, 3});
      AttentionSpec spec{.d_model = 3, .heads = 1, .key_lengths = x.ids({2}, {1})};
      const Qkv in{{q}, {k}, {v}};
      const AttentionResult result = attention_forward(in, spec);
      const Tensor dv = Tensor::zeros(v.shape(), DType::f32, Device::cuda);
      x.kernels().attention_backward(in, result.spec, result.y, result.statistics, dy, /*add=*/true, Out(),
                                     Out(), Out(dv));
      const std::vector<float> got = dv.to_vector<float>();
      CHECK(result.statistics.to_vector<float>()[1] == 0.5f);
      CHECK(std::vector(got.begin(), got.begin() + 6) == std::vector<float>(6, 0.5f));
    }
}

TEST_CASE("cuda kernels: layer norm of numbers whose squares have no place in a float") {
  for (int64_t d : {2, 40, 600}) {
    const Draws x = on_cuda();
    const Tensor signs = x.numbers([&] {
      std::vector<double> row;
      for (int64_t j = 0; j < d; ++j) row.push_back(j % 2 ? 1 : -1);
      return row;
    }());
    const Tensor gain = Tensor::full({d}, 1, x.dtype, x.device), bias = Tensor::zeros({d}, x.dtype, x.device);
    const Tensor y = x.empty({1, d}), statistics = x.empty({1, 3});
    for (double size : {1e20, 1e-25}) {
      const double eps = size > 1 ? 1e-5 : 1e-60;
      x.kernels().layer_norm((signs * size).reshape({1, d}), gain, bias, eps, Out(y), Out(statistics));
      CHECK(difference(y.to(Device::cpu), signs.reshape({1, d}).to(Device::cpu)) < 1e-6);
    }
  }
}

TEST_CASE("cuda kernels: partial sums are in double") {
  std::vector<double> cancelling(3 * 4096, 0);  // 1 is lost beside 2^24 in a float
  cancelling[0] = 0x1p24;
  cancelling[4096] = 1;
  cancelling[8192] = -0x1p24;
  CHECK(sum(on_cuda().numbers(cancelling)).item() == 1);
}
