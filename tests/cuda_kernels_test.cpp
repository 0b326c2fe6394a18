// CUDA kernels beside the CPU's, at sizes where tiles, warps and blocks end raggedly and where an operation
// changes its way: the rows of op_cases.h are small and go through autograd, here kernels are called
// directly.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "tensor/backend.h"

using namespace gradus;

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Draws the same numbers for every device and dtype, in the order of the calls.
struct Draws {
  DType dtype;
  Device device;
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

// fn(draws) gives the results of a kernel as host tensors: they must agree within `epsilons` of the dtype,
// relative to the largest element of each.
template <class Fn> void same_on_both(double epsilons, const Fn& fn) {
  for (DType dtype : {DType::f32, DType::f64}) {
    const std::vector<Tensor> expected = fn(Draws{dtype, Device::cpu}), got = fn(Draws{dtype, Device::cuda});
    for (size_t i = 0; i < expected.size(); ++i) {
      INFO(dtype, ", result ", i);
      const double epsilon = dtype == DType::f32 ? 0x1p-23 : 0x1p-52;
      CHECK(difference(got[i].to(Device::cpu), expected[i]) <= epsilons * epsilon);
    }
  }
}

}  // namespace

TEST_CASE("cuda kernels: update") {
  for (int64_t n : {0, 1, 9000, 1'100'000})  // the last: more than a launch has threads
    for (bool second : {true, false}) {      // AdamW, Nesterov, a norm to be clipped
      if (n > 1'000'000 && !second) continue;
      INFO(n, " elements, second ", second);
      same_on_both(64, [&](Draws x) {
        const Tensor g = x.normal({n}), w = x.normal({n}), m = x.normal({n}, 0.1), u = x.normal({n});
        const Tensor v = x.generator.uniform({n}, 0.1, 1).to(DType::f32).to(x.dtype).to(x.device);
        const Tensor step = Tensor::full({1}, 3, DType::i32, x.device);
        const Tensor lr = Tensor::full({1}, 0.01, DType::f64, x.device), sum = Tensor::like(lr);
        Backend& k = x.kernels();
        k.increment(step);
        k.adam({0.9, 0.98, 1e-9, /*weight_decay=*/0.1, /*decoupled=*/second, /*decayed=*/n / 2}, lr, step, g,
               w, m, v);
        k.sgd({0.9, /*weight_decay=*/0.1, /*nesterov=*/second, /*decayed=*/n / 2}, lr, g, w, u);
        k.sum_squares(g, sum);
        k.clip(sum, second ? 1 : 1e6, g);
        return std::vector{g, w, m, v, u, sum.to(Device::cpu).to(x.dtype), step};
      });
    }
}

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
    x.kernels().embedding(table, columns, 3, positions, y);
    x.kernels().embedding_backward(dy, columns, 3, dtable);
    return std::vector{y, dtable};
  });
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
                x.kernels().gemm(s, 0.5, a, b, beta, c);
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
        same_on_both(64, [&](Draws x) {
          const Tensor in = x.normal({size[0], size[2]}), w = x.normal({size[1], size[2]}, 0.3);
          const Tensor bias = options % 2 ? x.normal({size[1]}) : Tensor(), y = x.empty({size[0], size[1]});
          const Tensor pre = options / 2 ? x.empty({size[0], size[1]}) : Tensor();
          x.kernels().linear(in, w, bias, op, y, pre);
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
          same_on_both(64, [&](Draws x) {
            const Tensor in = x.normal({rows, d}, spread), y = x.empty({rows, d});
            const Tensor dy = x.normal({rows, d}), dx = x.empty({rows, d});
            x.kernels().softmax(in, log, y);
            x.kernels().softmax_backward(y, dy, log, dx);
            return std::vector{y, dx};
          });
        }
}

TEST_CASE("cuda kernels: layer norm") {
  for (int64_t rows : {0, 1, 33, 130})
    for (int64_t d : {1, 31, 300})
      for (int wanted : {1, 2, 4, 7}) {
        INFO(rows, " rows of ", d, ", wanted ", wanted);
        same_on_both(256, [&](Draws x) {
          const Tensor in = x.normal({rows, d}, 3), gain = x.normal({d}), bias = x.normal({d});
          const Tensor y = x.empty({rows, d}), mean = x.empty({rows}), rstd = x.empty({rows});
          const Tensor dy = x.normal({rows, d}), sums[] = {x.normal({d}), x.normal({d})};
          const Tensor dx = wanted & 1 ? x.empty({rows, d}) : Tensor();
          const Tensor dgain = wanted & 2 ? sums[0] : Tensor(), dbias = wanted & 4 ? sums[1] : Tensor();
          x.kernels().layer_norm(in, gain, bias, 1e-5, y, mean, rstd);
          x.kernels().layer_norm_backward(dy, in, gain, mean, rstd, dx, dgain, dbias);
          std::vector<Tensor> results{y, mean, rstd, sums[0], sums[1]};
          if (dx) results.push_back(dx);
          return results;
        });
      }
}

TEST_CASE("cuda kernels: cross-entropy") {
  enum { kPlain, kFar, kTied, kMasked, kCases };  // what is special about the logits
  for (const Shape& size : {Shape{0, 4}, Shape{1, 3}, Shape{31, 33}, Shape{2, 5000}})
    for (Smoothing convention :
         {Smoothing::uniform, Smoothing::as_printed, Smoothing::others, Smoothing::others_not_pad})
      for (Reduction reduction : {Reduction::mean, Reduction::none})
        for (double eps : {0., 0.1})
          for (int special = 0; special < kCases; ++special) {
            const int64_t n = size[0], vocab = size[1];
            const bool weighted = special % 2 == 1, entropy = special == kTied;
            INFO(size, " convention ", int(convention), " reduction ", int(reduction), " eps ", eps,
                 " special ", special);
            same_on_both(64, [&](Draws x) {
              const Tensor drawn = x.generator.normal({n, vocab}, 2).to(DType::f32);
              std::vector<double> logits = drawn.to(DType::f64).to_vector<double>();
              for (size_t i = 0; i < logits.size(); ++i) {
                if (special == kFar) logits[i] = std::round(logits[i] * 64) / 64 + 10000;
                if (special == kTied) logits[i] = std::round(logits[i]);
                if (special == kMasked && int64_t(i) % vocab == 0) logits[i] = -kInfinity;  // the pad column
              }
              std::vector<int32_t> target(static_cast<size_t>(2 * n), 99);
              for (size_t i = 0; i < size_t(n); ++i)
                target[2 * i + 1] = static_cast<int32_t>(i * 7 % size_t(vocab));
              std::vector<double> weights(static_cast<size_t>(vocab));
              for (size_t i = 0; i < weights.size(); ++i) weights[i] = 0.5 * (i % 3);
              const IdColumns ids{x.ids(target, {n, 2}), 1, 1};
              const CrossEntropySpec spec{convention,
                                          reduction,
                                          0,
                                          entropy,
                                          Tensor::full({1}, eps, DType::f64, x.device),
                                          weighted ? x.numbers(weights) : Tensor()};
              const Shape out = reduction == Reduction::none ? Shape{n} : Shape{};
              const Tensor z = x.numbers(logits).reshape({n, vocab}), loss = x.empty(out), dy = x.normal(out);
              const Tensor log_sum_exp = Tensor::full({n, 2}, 0, x.dtype, x.device);
              const Tensor sums({5}, DType::f64, x.device), dz = x.empty({n, vocab});
              x.kernels().cross_entropy(z, ids, spec, log_sum_exp, loss, sums);
              x.kernels().cross_entropy_backward(z, ids, spec, log_sum_exp, sums, dy, dz);
              x.kernels().cross_entropy_backward(z, ids, spec, log_sum_exp, sums, dy, z);  // in place
              return std::vector{log_sum_exp, loss, sums.to(Device::cpu).to(x.dtype), dz, z};
            });
          }
}

namespace {

struct AttentionCase {
  int64_t batch, queries, keys, d_head, heads;
  bool causal = false, lengths = false;
  double dropout = 0;
  int64_t apart = 0;  // columns between queries, keys and values, that belong to nobody
};

std::vector<Tensor> attend(const AttentionCase& c, Draws x) {
  const int64_t d = c.d_head * c.heads, width = 3 * d + 2 * c.apart;
  const bool self = c.queries == c.keys;
  const Tensor packed = x.normal({c.batch, c.keys, width}), dpacked = x.normal({c.batch, c.keys, width});
  const Tensor q = self ? packed : x.normal({c.batch, c.queries, d});
  const Tensor dq = self ? dpacked : x.normal({c.batch, c.queries, d});
  const auto in = [&](const Tensor& first, const Tensor& rest) {
    return Qkv{{first, 0}, {rest, d + c.apart}, {rest, 2 * (d + c.apart)}};
  };
  AttentionSpec spec{.d_model = d, .heads = c.heads, .causal = c.causal, .dropout = c.dropout};
  std::vector<int32_t> lengths;
  for (int64_t b = 0; b < c.batch; ++b) lengths.push_back(static_cast<int32_t>(b * c.keys / c.batch));
  if (c.lengths) spec.key_lengths = x.ids(lengths, {c.batch});  // the first sentence: 0
  Generator generator(11, x.device);
  spec.draw = generator.next_draw();
  const Tensor y = x.empty({c.batch, c.queries, d}), dy = x.normal({c.batch, c.queries, d});
  const Tensor log_sum_exp = x.empty({c.batch, c.heads, c.queries});
  x.kernels().attention(in(q, packed), spec, y, log_sum_exp);
  x.kernels().attention_backward(in(q, packed), spec, y, log_sum_exp, dy, in(dq, dpacked));
  return {y, log_sum_exp, dpacked, dq};
}

}  // namespace

TEST_CASE("cuda kernels: attention in one block does not read keys that nobody sees") {
  same_on_both(256, [](Draws x) {
    const Tensor q = x.normal({1, 4, 6}), y = x.empty({1, 4, 6}), log_sum_exp = x.empty({1, 2, 4});
    const Tensor kv = x.normal({5, 12});
    x.kernels().fill(NAN, kv.rows(3, 5));
    const PackedHeads k{kv.reshape({1, 5, 12}), 0}, v{k.tensor, 6};
    AttentionSpec spec{.d_model = 6, .heads = 2};
    spec.key_lengths = x.ids({3}, {1});
    x.kernels().attention({{q, 0}, k, v}, spec, y, log_sum_exp);
    CHECK(std::isfinite(y.to(Device::cpu).to(DType::f64).to_vector<double>()[0]));
    return std::vector{y, log_sum_exp};
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
      {2, 64, 64, 64, 1, true, false, 0.1},
      {2, 200, 200, 8, 2, true, true, 0.3, 3},
      {2, 100, 200, 4, 2, false, true, 0.1},
      {2, 200, 150, 3, 1, true, false},
      {1, 1, 1000, 40, 2, false, false, 0.5},
  };
  for (const AttentionCase& c : cases) {
    INFO(c.batch, " x ", c.queries, " queries, ", c.keys, " keys of ", c.d_head, " x ", c.heads);
    same_on_both(256, [&](const Draws& x) { return attend(c, x); });
  }
}
