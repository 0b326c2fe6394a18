#include "nn/search.h"

#include <algorithm>
#include <cmath>

namespace gradus::nn {

namespace {

constexpr double kWorst = -std::numeric_limits<double>::infinity();

double length_penalty(int64_t tokens, const SearchOptions& o) {
  return std::pow(static_cast<double>(5 + tokens) / 6, o.length_penalty);
}

// The search for one sentence.
struct Search {
  size_t sentence;               // its row in source
  std::vector<Hypothesis> live;  // unfinished, at most `beam`, best first
  std::vector<int32_t> parents;  // which of the last step's live ones each of them continues
  Hypothesis best;               // of those which may no longer grow
};

struct Candidate {
  double log_probability;
  int32_t parent, id;
};

// The `beam` most probable ways to continue `live` by one token, best first; log_p [live, vocab]. NaN and
// -infinity are not among them.
std::vector<Candidate> continuations(const std::vector<Hypothesis>& live, const double* log_p, int32_t vocab,
                                     size_t beam) {
  std::vector<Candidate> best;
  for (size_t r = 0; r < live.size(); ++r)
    for (int32_t id = 0; id < vocab; ++id) {
      const double p = live[r].log_probability + *log_p++;
      if (!(p > (best.size() == beam ? best.back().log_probability : kWorst))) continue;
      if (best.size() == beam) best.pop_back();
      const auto place = std::upper_bound(best.begin(), best.end(), p,
                                          [](double x, const Candidate& c) { return x > c.log_probability; });
      best.insert(place, {p, static_cast<int32_t>(r), id});
    }
  return best;
}

// Grows the hypotheses by token number n; those which end are set aside. log_p [beam, vocab]
void advance(Search& s, double* log_p, int32_t vocab, int64_t n, const SearchOptions& o) {
  const std::vector<Hypothesis> before = std::move(s.live);
  for (size_t r = 0; r < before.size(); ++r)
    for (int32_t id : o.never) log_p[r * static_cast<size_t>(vocab) + static_cast<size_t>(id)] = kWorst;
  const std::vector<Candidate> candidates = continuations(before, log_p, vocab, static_cast<size_t>(o.beam));
  check(!candidates.empty(),
        "beam search: nothing can follow: all ids are in `never`, or no logit is finite");
  s.live.clear(), s.parents.clear();
  for (const Candidate& c : candidates) {
    Hypothesis h = before[static_cast<size_t>(c.parent)];
    h.log_probability = c.log_probability;
    h.score = c.log_probability / length_penalty(n, o);
    h.finished = c.id == o.eos;
    if (!h.finished) {
      h.ids.push_back(c.id);
      s.live.push_back(std::move(h));
      s.parents.push_back(c.parent);
    } else if (h.score > s.best.score) {
      s.best = std::move(h);
    }
  }
}

// Whether the search is over after n tokens. What grows from a live hypothesis of log-probability p <= 0 has
// at most p, since each token adds something <= 0, and its penalty is at most that of `longest` tokens, since
// alpha >= 0. Its score, one over the other, is then at most p / penalty(longest); and the first has the
// largest p.
bool done(Search& s, int64_t n, const SearchOptions& o) {
  const bool can_win =
      !s.live.empty() && s.live[0].log_probability / length_penalty(o.longest, o) > s.best.score;
  if (can_win && n == o.longest) s.best = s.live[0];
  return !can_win || n == o.longest;
}

}  // namespace

std::vector<Hypothesis> beam_search(TranslationModel& model, const Tensor& source,
                                    const Tensor& source_lengths, const SearchOptions& o) {
  const int32_t vocab = static_cast<int32_t>(model.config().target_vocab);
  check(o.length_penalty >= 0, "beam search: expected a length penalty >= 0, got ", o.length_penalty);
  for (int32_t id : o.never)
    check(id >= 0 && id < vocab, "beam search: id ", id, " in `never` is outside [0, ", vocab, ")");
  const Evaluating evaluating(model);
  DecoderState state = model.start(source, source_lengths, o.longest, o.beam);
  const size_t batch = static_cast<size_t>(source.shape()[0]), beam = static_cast<size_t>(o.beam);
  std::vector<Hypothesis> found(batch);
  std::vector<Search> searches;
  for (size_t b = 0; b < batch; ++b) searches.push_back({b, {Hypothesis{}}, {}, {}});
  std::vector<int32_t> ids(batch * beam, o.bos);
  for (int64_t n = 1; !searches.empty(); ++n) {
    const Tensor log_p = log_softmax(model.step(state, ids).to(DType::f64)).to(Device::cpu);  // [B beam, V]
    std::vector<Search> open;
    std::vector<int32_t> rows;
    ids.clear();
    for (size_t i = 0; i < searches.size(); ++i) {
      Search& s = searches[i];
      advance(s, log_p.data<double>() + i * beam * vocab, vocab, n, o);
      if (done(s, n, o)) {
        found[s.sentence] = std::move(s.best);
        continue;
      }
      for (size_t r = 0; r < beam; ++r) {  // where there are fewer, the first stands in
        const size_t k = r < s.live.size() ? r : 0;
        rows.push_back(static_cast<int32_t>(i * beam) + s.parents[k]);
        ids.push_back(s.live[k].ids.back());
      }
      open.push_back(std::move(s));
    }
    searches = std::move(open);
    state.select(rows);
  }
  return found;
}

std::vector<std::vector<int32_t>> greedy_decode(TranslationModel& model, const Tensor& source,
                                                const Tensor& source_lengths, int64_t longest, int32_t bos,
                                                int32_t eos) {
  std::vector<std::vector<int32_t>> sentences;
  for (Hypothesis& h :
       beam_search(model, source, source_lengths, {.beam = 1, .longest = longest, .bos = bos, .eos = eos}))
    sentences.push_back(std::move(h.ids));
  return sentences;
}

}  // namespace gradus::nn
