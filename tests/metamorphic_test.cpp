// Metamorphic relations: how a result must change, or must not, when its input is changed in a known way. No
// other implementation is needed to check one, so each is checked on many random shapes. "Bitwise" where the
// same numbers are computed in the same order; within rounding where the shape of a product differs.
#include "losses/translation_loss.h"
#include "nn/search.h"
#include "tiny_model.h"

using namespace gradus;
using namespace gradus::compare;

namespace {

constexpr double kRounding = 1e-12;
constexpr uint64_t kShapes = 24;  // random shapes for each relation
constexpr Smoothing kConventions[] = {Smoothing::uniform, Smoothing::as_printed, Smoothing::others,
                                      Smoothing::others_not_pad};

struct Dice {
  uint64_t seed;
  uint32_t throws = 0;
  int32_t operator()(int64_t low, int64_t high) {  // both can come up
    return static_cast<int32_t>(low + philox({throws++, 0, 0, 0}, seed)[0] % (high - low + 1));
  }
  std::vector<int64_t> permutation(int64_t n) {
    std::vector<int64_t> order;
    for (int64_t i = 0; i < n; ++i) order.insert(order.begin() + (*this)(0, i), i);
    return order;
  }
};

// The blocks of `size` rows of x in another order: block i of the result is block order[i] of x.
Tensor reorder(const Tensor& x, const std::vector<int64_t>& order, int64_t size = 1) {
  const Tensor y = x.copy();
  for (int64_t i = 0; i < std::ssize(order); ++i)
    y.rows(i * size, (i + 1) * size).assign(x.rows(order[i] * size, (order[i] + 1) * size));
  return y;
}
Tensor transposed(const Tensor& x) { return permute(x, std::vector<int>{1, 0}); }
Tensor reorder_columns(const Tensor& x, const std::vector<int64_t>& order, int64_t size = 1) {
  return transposed(reorder(transposed(x), order, size));
}

int32_t& at(const Tensor& ids, int64_t b, int64_t t) { return ids.data<int32_t>()[b * ids.shape()[1] + t]; }

Tensor widened(const Tensor& ids, int64_t by) {  // by columns of padding
  const Tensor wide = Tensor::zeros({ids.shape()[0], ids.shape()[1] + by}, DType::i32);
  for (int64_t i = 0; i < ids.size(); ++i)
    at(wide, i / ids.shape()[1], i % ids.shape()[1]) = ids.data<int32_t>()[i];
  return wide;
}

// All numbers of all of them: compared together, for a key bias alone has gradient 0 but for rounding.
Tensor flat(const std::vector<Tensor>& parts) {
  std::vector<double> all;
  for (const Tensor& part : parts)
    for (double x : values(part)) all.push_back(x);
  return Tensor::from(all, {std::ssize(all)});
}

// A model of a random size and a batch for it, sentences of up to 5 words in 5 to 7 columns.
struct Case {
  Dice dice;
  nn::TranslationModel model;
  TranslationBatch batch;
  int64_t size, vocab;

  explicit Case(uint64_t seed, DType dtype = DType::f64) : dice{seed}, model(make(dice)) {
    model.to(dtype);
    size = dice(2, 5), vocab = model.config().target_vocab;
    const int64_t width = dice(5, 7);
    batch = {Tensor::zeros({size, width}, DType::i32), Tensor({size}, DType::i32),
             Tensor::zeros({size, width + 2}, DType::i32), Tensor({size}, DType::i32)};
    for (int64_t b = 0; b < size; ++b) {
      const int32_t s = batch.source_lengths.data<int32_t>()[b] = dice(1, 5);
      const int32_t t = batch.target_lengths.data<int32_t>()[b] = dice(2, 7);
      for (int64_t i = 0; i < s; ++i) at(batch.source, b, i) = word();
      for (int64_t i = 0; i < t; ++i) at(batch.target, b, i) = i == 0 ? kBos : i == t - 1 ? kEos : word();
    }
  }
  static nn::TranslationModel make(Dice& dice) {
    nn::TranslationModelConfig c = tiny_config(static_cast<nn::Tie>(dice(0, 2)), dice(0, 1) == 1);
    c.source_vocab = c.target_vocab = dice(5, 40);
    const int64_t heads = c.transformer.heads = dice(1, 4);
    c.transformer.d_model = heads * dice(5 - heads, 7);  // a norm over fewer than 4 forgets its input
    c.transformer.layers = dice(1, 3);
    c.transformer.ff = dice(1, 20);
    c.longest = 32;
    return tiny_model(c, dice(1, 1000));
  }
  int32_t word() { return dice(3, vocab - 1); }

  // The logits that predict a word, not what stands behind it: [words of the batch, V].
  Tensor predictions(const Tensor& logits) const {
    std::vector<Tensor> parts;
    for (int64_t b = 0; b < size; ++b)
      parts.push_back(logits.rows(b, b + 1)
                          .reshape({logits.shape()[1], vocab})
                          .rows(0, batch.target_lengths.data<int32_t>()[b] - 1));
    return concat(parts, 0);
  }
  Tensor predict(const TranslationBatch& seen) { return predictions(run(model, seen).value()); }

  // Loss and gradients of all parameters, the model shown another batch than the loss perhaps.
  Tensor learn(const TranslationBatch& seen, const Tensor& target,
               losses::Reduction reduction = losses::Reduction::mean) {
    for (const NamedParameter& p : model.parameters()) p.variable.zero_grad();
    const losses::TranslationLoss criterion(vocab, kPad, 0.1, Smoothing::others_not_pad, reduction);
    const Variable loss = criterion(run(model, seen), target).loss;
    loss.backward();
    std::vector<Tensor> result{loss.value()};
    for (const NamedParameter& p : model.parameters()) result.push_back(p.variable.grad());
    return flat(result);
  }
};

// Rows of logits with a target each, some of them pad.
struct Rows {
  Dice dice;
  int64_t n = dice(1, 6), vocab = dice(3, 40);
  Tensor logits = random({n, vocab}, dice.seed) * 4., target = Tensor({n}, DType::i32);

  explicit Rows(uint64_t seed) : dice{seed} {
    for (int64_t i = 0; i < n; ++i) target.data<int32_t>()[i] = i == 0 ? 1 : dice(0, vocab - 1);
  }
};

// The gradient [N, V] of a loss, and below it a row full of the loss.
Tensor loss_of(const Tensor& logits, const Tensor& target, Smoothing q, double eps = 0.1, int32_t pad = 0) {
  const Variable z(logits.copy(), true);
  const Variable loss = losses::LabelSmoothingLoss(logits.shape()[1], eps, pad, q)(z, target);
  loss.backward();
  const Tensor parts[] = {z.grad(), Tensor::full({1, logits.shape()[1]}, loss.value().item(), DType::f64)};
  return concat(parts, 0);
}

}  // namespace

TEST_CASE("a number added to a row of logits changes no probability, no loss and no gradient") {
  for (uint64_t seed = 1; seed <= kShapes; ++seed) {
    const Rows r(seed);
    const Tensor shifted = r.logits + random({r.n, 1}, seed + 100) * 50., dy = random({r.n, r.vocab}, seed);
    const auto soft = [&](const Tensor& logits) {
      const Variable z(logits, true), y = softmax(z);
      y.backward(dy);
      return flat({y.value(), log_softmax(logits), z.grad()});
    };
    CHECK(distance(soft(shifted), soft(r.logits)) <= kRounding);
    for (Smoothing q : kConventions)
      CHECK(distance(loss_of(shifted, r.target, q), loss_of(r.logits, r.target, q)) <= kRounding);
  }
}

TEST_CASE("the loss knows no names of words, its gradient rows sum to 0, and eps = 1 knows no target") {
  for (uint64_t seed = 1; seed <= kShapes; ++seed) {
    Rows r(seed);
    const std::vector<int64_t> order = r.dice.permutation(r.vocab);
    std::vector<int32_t> name(order.size()), renamed, other;
    for (size_t i = 0; i < order.size(); ++i) name[order[i]] = static_cast<int32_t>(i);
    for (int32_t y : r.target.to_vector<int32_t>()) {
      renamed.push_back(name[y]);
      other.push_back(y == 0 ? 0 : r.dice(1, r.vocab - 1));
    }
    for (Smoothing q : kConventions) {
      const Tensor was = loss_of(r.logits, r.target, q);
      const Tensor is = loss_of(reorder_columns(r.logits, order), ints(renamed), q, 0.1, name[0]);
      CHECK(distance(is, reorder_columns(was, order)) <= kRounding);
      CHECK(largest(values(sum(was.rows(0, r.n), std::vector<int>{1}))) <= 1e-15);
    }
    const auto uniform = [&](const Tensor& y) { return loss_of(r.logits, y, Smoothing::uniform, 1); };
    CHECK(distance(uniform(ints(other)), uniform(r.target)) <= kRounding);
  }
}

TEST_CASE("what stands under the padding changes nothing, bitwise") {
  for (DType dtype : {DType::f32, DType::f64})
    for (uint64_t seed = 1; seed <= kShapes; ++seed) {
      Case c(seed, dtype);
      TranslationBatch dirty = c.batch;
      for (Tensor* ids : {&dirty.source, &dirty.target}) {
        *ids = ids->copy();
        for (int64_t i = 0; i < ids->size(); ++i)
          if (int32_t& id = ids->data<int32_t>()[i]; id == kPad) id = c.word();
      }
      CHECK(equal(c.predict(dirty), c.predict(c.batch)));
      CHECK(equal(c.learn(dirty, c.batch.target), c.learn(c.batch, c.batch.target)));
    }
}

TEST_CASE("how much padding there is, and the order of the sentences, change nothing") {
  for (uint64_t seed = 1; seed <= kShapes; ++seed) {
    Case c(seed);
    TranslationBatch wide = c.batch;
    wide.source = widened(wide.source, c.dice(0, 20));
    wide.target = widened(wide.target, c.dice(1, 20));
    const std::vector<int64_t> order = c.dice.permutation(c.size);
    const TranslationBatch shuffled{reorder(c.batch.source, order), reorder(c.batch.source_lengths, order),
                                    reorder(c.batch.target, order), reorder(c.batch.target_lengths, order)};
    CHECK(distance(c.predict(wide), c.predict(c.batch)) <= kRounding);
    CHECK(distance(run(c.model, shuffled).value(), reorder(run(c.model, c.batch).value(), order)) <=
          kRounding);
    for (const TranslationBatch& same : {wide, shuffled})
      CHECK(distance(c.learn(same, same.target), c.learn(c.batch, c.batch.target)) <= kRounding);
  }
}

TEST_CASE("a batch is its sentences one by one") {
  for (uint64_t seed = 1; seed <= kShapes; ++seed) {
    Case c(seed);
    const Tensor logits = run(c.model, c.batch).value(),
                 whole = c.learn(c.batch, c.batch.target, losses::Reduction::sum),
                 parts = Tensor::zeros(whole.shape(), DType::f64);
    for (int64_t b = 0; b < c.size; ++b) {
      const auto row = [&](const Tensor& x) { return x.rows(b, b + 1); };
      const TranslationBatch one{row(c.batch.source), row(c.batch.source_lengths), row(c.batch.target),
                                 row(c.batch.target_lengths)};
      CHECK(distance(run(c.model, one).value(), row(logits)) <= kRounding);
      add_to(parts, c.learn(one, one.target, losses::Reduction::sum));
    }
    CHECK(distance(parts, whole) <= kRounding);
  }
}

TEST_CASE("a word is predicted from those before it: later ones change nothing, bitwise") {
  for (DType dtype : {DType::f32, DType::f64})
    for (uint64_t seed = 1; seed <= kShapes; ++seed) {
      Case c(seed, dtype);
      TranslationBatch edited = c.batch;
      const int64_t width = c.batch.target.shape()[1], from = c.dice(1, width - 2);
      edited.target = edited.target.copy();
      edited.target_lengths = c.batch.target_lengths = Tensor::full({c.size}, width, DType::i32);
      for (int64_t b = 0; b < c.size; ++b)
        for (int64_t t = from; t < width; ++t) at(edited.target, b, t) = (at(edited.target, b, t) + 1) % 5;
      const Tensor before = run(c.model, c.batch).value(), after = run(c.model, edited).value();
      CHECK(equal(slice(after, 1, 0, from), slice(before, 1, 0, from)));
      CHECK(!equal(slice(after, 1, from, from + 1), slice(before, 1, from, from + 1)));
    }
}

TEST_CASE("decoding with a cache, one token at a time, gives the logits of the full forward pass") {
  for (uint64_t seed = 1; seed <= kShapes; ++seed) {
    Case c(seed);
    const int64_t longest = c.batch.target.shape()[1] - 1;
    nn::DecoderState state = c.model.start(c.batch.source, c.batch.source_lengths, longest);
    std::vector<Tensor> steps;
    for (int64_t t = 0; t < longest; ++t) {
      std::vector<int32_t> ids;
      for (int64_t b = 0; b < c.size; ++b) ids.push_back(at(c.batch.target, b, t));
      steps.push_back(c.model.step(state, ids).reshape({c.size, 1, c.vocab}));
    }
    CHECK(distance(c.predictions(concat(steps, 1)), c.predict(c.batch)) <= kRounding);
  }
}

TEST_CASE("greedy decoding takes the most probable word of the full forward pass") {
  int ended = 0, cut = 0;
  for (uint64_t seed = 1; seed <= kShapes; ++seed) {
    Case c(seed);
    const int32_t longest = c.dice(1, 10);
    const Tensor &source = c.batch.source, &lengths = c.batch.source_lengths;
    const auto found = nn::greedy_decode(c.model, source, lengths, longest, kBos, kEos);
    for (int64_t b = 0; b < c.size; ++b) {
      std::vector<int32_t> ids{kBos, kPad};  // the model reads all columns but the last
      for (int32_t width = 2; width <= longest + 1 && ids.back() != kEos; ++width) {
        if (width > 2) ids.push_back(kPad);
        const Variable logits =
            c.model(source.rows(b, b + 1), lengths.rows(b, b + 1), ints(ids, {1, width}), ints({width}));
        const std::vector<double> last =
            values(logits.value().reshape({width - 1, c.vocab}).rows(width - 2, width - 1));
        ids.back() = static_cast<int32_t>(std::max_element(last.begin(), last.end()) - last.begin());
      }
      ++(ids.back() == kEos ? ended : cut);
      if (ids.back() == kEos) ids.pop_back();
      CHECK(found[b] == std::vector<int32_t>(ids.begin() + 1, ids.end()));
    }
  }
  CHECK(ended > 0);
  CHECK(cut > 0);
}

TEST_CASE("the order of the heads does not matter") {
  for (uint64_t seed = 1; seed <= kShapes; ++seed) {
    Dice dice{seed};
    const int64_t heads = dice(2, 5), width = dice(1, 6), d = heads * width, b = dice(1, 3), t = dice(1, 7);
    nn::MultiHeadAttention first(d, heads), second(d, heads);
    for (nn::MultiHeadAttention* module : {&first, &second}) module->to(DType::f64);
    std::map<std::string, Tensor> state = first.state();
    for (auto& [name, x] : state) x = random(x.shape(), dice(1, 1000));
    first.load(state);
    const std::vector<int64_t> order = dice.permutation(heads);
    std::vector<int64_t> packed;  // queries, keys and values, each in that order
    for (int64_t part = 0; part < 3; ++part)
      for (int64_t head : order) packed.push_back(part * heads + head);
    for (const char* name : {"in_proj_weight", "in_proj_bias"})
      state[name] = reorder(state[name], packed, width);
    state["out_proj.weight"] = reorder_columns(state["out_proj.weight"], order, width);
    second.load(state);

    const Tensor lengths = Tensor::full({b}, dice(1, t), DType::i32), dy = random({b, t, d}, seed);
    const auto outputs = [&](nn::MultiHeadAttention& a) {
      const Variable x = random_leaf({b, t, d}, 1), memory = random_leaf({b, t + 2, d}, 2);
      const Variable self = a.self_attention(x, lengths, /*causal=*/true);
      const Variable y = a.cross_attention(self, memory, lengths);
      y.backward(dy);
      return flat({self.value(), y.value(), x.grad(), memory.grad()});
    };
    CHECK(distance(outputs(second), outputs(first)) <= kRounding);
  }
}

TEST_CASE("attention to nothing is 0 and learns nothing; an empty source tells nothing") {
  for (uint64_t seed = 1; seed <= kShapes; ++seed) {
    Case c(seed);
    const int64_t d = c.model.config().transformer.d_model, heads = c.model.config().transformer.heads;
    const int64_t keys = c.batch.source.shape()[1];
    c.batch.source_lengths.data<int32_t>()[0] = 0;
    const Variable q = random_leaf({c.size, 3, d}, seed), kv = random_leaf({c.size, keys, 2 * d}, seed + 1);
    const Variable y = attention({q, 0}, {kv, 0}, {kv, d}, {d, heads, false, c.batch.source_lengths, 0, {}});
    y.backward(random(y.shape(), seed + 2));
    for (const Tensor& t : {y.value(), q.grad(), kv.grad()}) {
      CHECK(largest(values(t.rows(0, 1))) == 0);
      CHECK(distance(t, t) == 0);  // all finite
    }
    CHECK(largest(values(y.value().rows(1, 2))) > 0);

    TranslationBatch other = c.batch;
    other.source = other.source.copy();
    for (int64_t i = 0; i < keys; ++i) at(other.source, 0, i) = c.word();
    CHECK(equal(c.learn(other, other.target), c.learn(c.batch, c.batch.target)));
  }
}
