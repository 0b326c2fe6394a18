// Beam search against exhaustive search, its score against teacher forcing, and greedy decoding against the
// plain loop.
#include "nn/search.h"

#include <tuple>

#include "tiny_model.h"

using namespace gradus;
using namespace gradus::compare;
using nn::Hypothesis;
using nn::SearchOptions;

namespace {

using Ids = std::vector<int32_t>;

// A random model of `vocab` words, three sentences of different lengths, and options to search them with.
struct Task {
  nn::TranslationModel model;
  Tensor source = ints({3, 1, 2, 3, /**/ 2, 0, 0, 0, /**/ 1, 3, 1, 0}, {3, 4}), lengths = ints({4, 1, 3});
  SearchOptions options{.beam = 3, .longest = 5, .bos = 1, .eos = 2};

  explicit Task(uint64_t seed, int64_t vocab = 4, DType dtype = DType::f64)
      : model({.source_vocab = 5,
               .target_vocab = vocab,
               .tie = nn::Tie::none,
               .transformer = {.d_model = 8,
                               .heads = 2,
                               .layers = 2,
                               .ff = 12,
                               .norm_first = seed % 2 == 0,
                               .activation = Unary::gelu},
               .longest = 12}) {
    model.init(seed);
    model.to(dtype);
    for (const NamedParameter& p : model.parameters())  // livelier than initial values: sentences differ
      if (p.variable.shape().rank() == 2)
        add_to(p.variable.value(), random(p.variable.shape(), ++seed, dtype) * 0.5);
  }

  std::vector<Hypothesis> search() { return beam_search(model, source, lengths, options); }
};

// log P(ids, then EOS where finished | sentence b) by the full forward pass.
double teacher_forced(Task& task, int64_t b, Ids ids, bool finished, double rectify = 0) {
  if (finished) ids.push_back(task.options.eos);
  const int64_t n = static_cast<int64_t>(ids.size()), vocab = task.model.config().target_vocab;
  ids.insert(ids.begin(), task.options.bos);
  const nn::Evaluating evaluating(task.model);
  const Variable logits = task.model(task.source.rows(b, b + 1), task.lengths.rows(b, b + 1),
                                     ints(ids, {1, n + 1}), ints({static_cast<int32_t>(n + 1)}));
  const std::vector<double> log_p = values(log_softmax(logits.value().to(DType::f64)));
  double sum = 0;
  for (int64_t t = 0; t < n; ++t) {
    const double l = log_p[static_cast<size_t>(t * vocab + ids[static_cast<size_t>(t) + 1])];
    const double off = rectify / static_cast<double>(vocab);
    sum += rectify == 0 ? l : std::log(std::clamp((std::exp(l) - off) / (1 - rectify), 0., 1.));
  }
  return sum;
}

double score(double log_probability, const Hypothesis& h, double alpha) {
  const double n = static_cast<double>(h.ids.size() + (h.finished ? 1 : 0));
  return log_probability / std::pow((5 + n) / 6, alpha);
}

// Every sentence of at most `longest` tokens, from the prefix on; keeps the best.
void enumerate(Task& task, int64_t b, const Ids& prefix, Hypothesis& best) {
  const SearchOptions& o = task.options;
  const bool full = static_cast<int64_t>(prefix.size()) == o.longest;
  Hypothesis h{prefix, 0, 0, !full};
  h.log_probability = teacher_forced(task, b, prefix, h.finished);
  h.score = score(h.log_probability, h, o.length_penalty);
  if (h.score > best.score) best = h;
  for (int32_t id = 0; !full && id < task.model.config().target_vocab; ++id) {
    if (id == o.eos || std::count(o.never.begin(), o.never.end(), id) > 0) continue;
    Ids longer = prefix;
    longer.push_back(id);
    enumerate(task, b, longer, best);
  }
}

// Beam search as in the textbook: each beginning by a full forward pass, and never stopped before `longest`.
Hypothesis plain_beam_search(Task& task, int64_t b) {
  const SearchOptions& o = task.options;
  std::vector<Hypothesis> live(1);
  Hypothesis best;
  for (int64_t n = 1; n <= o.longest; ++n) {
    std::vector<Hypothesis> all;
    for (const Hypothesis& h : live)
      for (int32_t id = 0; id < task.model.config().target_vocab; ++id) {
        Hypothesis longer = h;
        longer.finished = id == o.eos;
        if (!longer.finished) longer.ids.push_back(id);
        longer.log_probability = teacher_forced(task, b, longer.ids, longer.finished);
        longer.score = score(longer.log_probability, longer, o.length_penalty);
        all.push_back(longer);
      }
    std::stable_sort(all.begin(), all.end(), [](const Hypothesis& x, const Hypothesis& y) {
      return x.log_probability > y.log_probability;
    });
    all.resize(std::min(all.size(), static_cast<size_t>(o.beam)));
    live.clear();
    for (const Hypothesis& h : all) {
      if ((h.finished || n == o.longest) && h.score > best.score) best = h;
      if (!h.finished) live.push_back(h);
    }
  }
  return best;
}

// Greedy decoding, without a search.
std::vector<Ids> greedy_loop(Task& task) {
  const nn::Evaluating evaluating(task.model);
  const SearchOptions& o = task.options;
  const size_t batch = static_cast<size_t>(task.source.shape()[0]);
  nn::DecoderState state = task.model.start(task.source, task.lengths, o.longest);
  std::vector<Ids> sentences(batch);
  Ids ids(batch, o.bos);
  std::vector<bool> finished(batch, false);
  for (int64_t t = 0; t < o.longest; ++t) {
    const std::vector<double> logits = values(task.model.step(state, ids));
    const std::ptrdiff_t vocab = task.model.config().target_vocab;
    for (size_t b = 0; b < batch; ++b) {
      const auto row = logits.begin() + static_cast<std::ptrdiff_t>(b) * vocab;
      ids[b] = static_cast<int32_t>(std::max_element(row, row + vocab) - row);
      finished[b] = finished[b] || ids[b] == o.eos;
      if (!finished[b]) sentences[b].push_back(ids[b]);
    }
  }
  return sentences;
}

}  // namespace

TEST_CASE("a beam as wide as all beginnings finds the best sentence there is") {
  int cut = 0, finished = 0, beyond_greedy = 0;
  for (uint64_t seed = 1; seed <= 6; ++seed)
    for (double alpha : {0., 0.6, 1., 2.5}) {
      Task task(seed, seed % 3 == 0 ? 5 : 4);
      task.options.length_penalty = alpha;
      task.options.longest = 4;
      task.options.beam = 260;  // 4^4 beginnings without EOS, and those that end in it
      if (seed % 2 == 0) task.options.never = {0, 1};
      const std::vector<Hypothesis> found = task.search();
      const std::vector<Ids> greedy = greedy_loop(task);
      for (int64_t b = 0; b < 3; ++b) {
        const Hypothesis& h = found[static_cast<size_t>(b)];
        Hypothesis best;
        enumerate(task, b, {}, best);
        CAPTURE(seed);
        CAPTURE(alpha);
        CHECK(h.ids == best.ids);
        CHECK(h.finished == best.finished);
        CHECK(h.score == near(best.score, 1e-10));
        ++(h.finished ? finished : cut);
        beyond_greedy += h.ids != greedy[static_cast<size_t>(b)];
      }
    }
  MESSAGE(cut << " cut, " << finished << " finished, " << beyond_greedy << " beyond greedy");
  CHECK(cut > 0);
  CHECK(finished > 0);
  CHECK(beyond_greedy > 0);
}

TEST_CASE("a narrow beam finds what the textbook's finds, and stops early without loss") {
  for (uint64_t seed = 1; seed <= 12; ++seed)
    for (double alpha : {0., 1., 3.}) {
      Task task(seed, 5);
      task.options.beam = static_cast<int64_t>(2 + seed % 2);
      task.options.longest = 8;
      task.options.length_penalty = alpha;
      const std::vector<Hypothesis> found = task.search();
      for (int64_t b = 0; b < 3; ++b) {
        const Hypothesis &h = found[static_cast<size_t>(b)], expected = plain_beam_search(task, b);
        CHECK(h.ids == expected.ids);
        CHECK(h.score == near(expected.score, 1e-10));
      }
    }
}

TEST_CASE("a beam of 1 is greedy decoding, token for token") {
  for (DType dtype : {DType::f32, DType::f64})
    for (uint64_t seed = 1; seed <= 20; ++seed) {
      Task task(seed, 7, dtype);
      task.options.beam = 1;
      task.options.longest = 12;
      task.options.length_penalty = static_cast<double>(seed % 3);
      const std::vector<Ids> expected = greedy_loop(task);
      const std::vector<Hypothesis> found = task.search();
      for (size_t b = 0; b < 3; ++b) CHECK(found[b].ids == expected[b]);
      CHECK(greedy_decode(task.model, task.source, task.lengths, 12, 1, 2) == expected);
    }
}

TEST_CASE("equal probabilities: the lowest ids") {
  Task task(1, 6);
  for (const NamedParameter& p : task.model.parameters())
    if (p.name == "output.weight") p.variable.value().assign(Tensor::zeros(p.variable.shape(), DType::f64));
  task.options.eos = 5;
  task.options.never = {1};
  for (int64_t beam : {1, 3}) {
    task.options.beam = beam;
    for (const Hypothesis& h : task.search()) {
      CHECK(h.ids == Ids{0, 0, 0, 0, 0});
      CHECK(!h.finished);
      CHECK(h.log_probability == near(-5 * std::log(6.)));
    }
  }
}

TEST_CASE("scores are the teacher-forced log-probability over the length penalty, and `never` is obeyed") {
  for (uint64_t seed = 1; seed <= 12; ++seed)
    for (int64_t beam : {1, 2, 3, 5}) {
      Task task(seed, 6);
      task.options.beam = beam;
      task.options.longest = 9;
      if (seed % 2 == 0) task.options.never = {0, 1, 4};
      const std::vector<Hypothesis> found = task.search();
      for (int64_t b = 0; b < 3; ++b) {
        const Hypothesis& h = found[static_cast<size_t>(b)];
        const double log_p = teacher_forced(task, b, h.ids, h.finished);
        CHECK(h.log_probability == near(log_p, 1e-10));
        CHECK(h.score == near(score(log_p, h, 0.6), 1e-10));
        CHECK((h.finished || static_cast<int64_t>(h.ids.size()) == task.options.longest));
        for (int32_t id : h.ids)
          CHECK(std::count(task.options.never.begin(), task.options.never.end(), id) == 0);
      }
    }
}

TEST_CASE("rectified: the score is that of (p - eps / V) / (1 - eps); beam 1 finds the same words") {
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    Task plain(seed), rectified(seed);
    rectified.options.rectify = 0.2;
    for (int64_t beam : {1, 3}) {
      plain.options.beam = rectified.options.beam = beam;
      const auto before = plain.search(), found = rectified.search();
      for (int64_t b = 0; b < 3; ++b) {
        const Hypothesis& h = found[static_cast<size_t>(b)];
        CHECK(h.log_probability == near(teacher_forced(plain, b, h.ids, h.finished, 0.2), 1e-9));
        if (beam == 1) CHECK(h.ids == before[static_cast<size_t>(b)].ids);
      }
    }
  }
  Task task(1);
  task.options.rectify = 1;
  CHECK(contains(error_of([&] { task.search(); }), "rectify in [0, 1), got 1"));
}

TEST_CASE("a sentence is translated as if it were alone, whatever it is batched with") {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    Task task(seed, 6), alone(seed, 6);
    task.options.longest = alone.options.longest = 10;
    const std::vector<Hypothesis> found = task.search();
    for (int64_t b = 0; b < 3; ++b) {
      const Hypothesis& h = found[static_cast<size_t>(b)];
      alone.source = task.source.rows(b, b + 1), alone.lengths = task.lengths.rows(b, b + 1);
      const Hypothesis expected = alone.search()[0];
      CHECK(h.ids == expected.ids);
      CHECK(h.finished == expected.finished);
      CHECK(h.score == near(expected.score, 1e-10));
    }
  }
}

TEST_CASE("what cannot be searched is refused, and the model trains on as before") {
  Task task(1);
  const auto with = [](auto change) {
    Task t(1);
    change(t);
    return error_of([&] { t.search(); });
  };
  CHECK(contains(with([](Task& t) { t.options.beam = 0; }),
                 "translation model: expected a beam of at least 1, got 0"));
  CHECK(contains(with([](Task& t) { t.options.longest = 13; }),
                 "translation model: asked to decode 13 tokens"));
  CHECK(contains(with([](Task& t) { t.options.longest = 0; }),
                 "beam search: expected `longest` to be given, at least 1, got 0"));
  CHECK(contains(with([](Task& t) { t.options.length_penalty = -1; }),
                 "beam search: expected a length penalty >= 0, got -1"));
  CHECK(contains(with([](Task& t) { t.options.length_penalty = std::nan(""); }),
                 "beam search: expected a length penalty"));
  CHECK(contains(with([](Task& t) { t.options.never = {0, 1, 2, 3}; }), "beam search: nothing can follow"));
  CHECK(contains(with([](Task& t) { t.options.bos = 4; }), "`bos` and `eos` to be given, in [0, 4), got 4"));
  CHECK(contains(with([](Task& t) {
                   t.source = ints({1, 2});
                 }),
                 "expected source [B, S] and lengths [B], got [2] and [3]"));
  CHECK(contains(with([](Task& t) {
                   t.lengths = ints({1, 2});
                 }),
                 "translation model: expected source [B, S] and lengths [B], got [3, 4] and [2]"));
  CHECK(task.model.training());
  CHECK(task.search().size() == 3);
  CHECK(task.model.training());
  nn::DecoderState state = task.model.start(task.source, task.lengths, 4, /*beam=*/2);
  CHECK(contains(error_of([&] { task.model.step(state, Ids(3, 1)); }), "expected 6 ids, one a row, got 3"));
}

TEST_CASE("decoder state: rows that it cannot go on from are refused") {
  nn::TranslationModel model = tiny_model(tiny_config());
  const Tensor source = ints({1, 2, 3, 4}, {2, 2}), lengths = ints({2, 2});
  const auto refused = [&](int64_t beam, const std::vector<int32_t>& rows) {
    nn::DecoderState state = model.start(source, lengths, 3, beam);
    return error_of([&] { state.select(rows); });
  };
  CHECK(contains(refused(1, {1, 0}), "row 0 at place 1 is of no sentence that may stand there"));
  CHECK(contains(refused(1, {0, 2}), "row 2 at place 1"));
  CHECK(contains(refused(1, {1, 1}), "row 1 at place 1"));
  CHECK(contains(refused(2, {0, 2}), "row 2 at place 1"));
  CHECK(contains(refused(2, {0}), "expected 2 rows a sentence, got 1"));
  CHECK(refused(2, {1, 1, 3, 2}) == "");
  CHECK(refused(2, {3, 3}) == "");
}
