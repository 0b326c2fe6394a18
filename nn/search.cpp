#include "nn/search.h"

#include <algorithm>
#include <functional>

namespace gradus::nn {

namespace {

struct Branch : Hypothesis {  // one that may grow
  int32_t parent = 0;         // number of the branch, one token ago, from which it grew
};
using Branches = std::vector<Branch>;  // of one sentence: at most `beam`, most probable first

// Branches with one token more, the most probable ones; never one that is NaN or -infinity. log_p and ids
// [beam, n]: the most probable tokens after each branch, in their order.
Branches grown(const Branches& live, const double* log_p, const int32_t* ids, int64_t n,
               const SearchOptions& o) {
  Branches all;
  for (size_t parent = 0; parent < live.size(); ++parent)
    for (int64_t i = 0; i < n; ++i, ++log_p, ++ids) {
      const double p = live[parent].log_probability + *log_p;
      if (!(p > -INFINITY) || std::ranges::count(o.never, *ids) > 0) continue;
      Branch& branch = all.emplace_back(live[parent]);
      branch.log_probability = p;
      branch.ids.push_back(*ids);
      branch.parent = static_cast<int32_t>(parent);
    }
  std::ranges::stable_sort(all, std::greater(), &Branch::log_probability);
  all.resize(std::min(all.size(), static_cast<size_t>(o.beam)));
  return all;
}

// After token number n: takes out of live what ended, into best if it is better, and what can no longer win.
void settle(Branches& live, Hypothesis& best, int64_t n, const SearchOptions& o) {
  const auto penalty = [&](int64_t m) { return std::pow(static_cast<double>(5 + m) / 6, o.length_penalty); };
  check(!live.empty(), "beam search: nothing can follow: all is in `never`, or no logit is finite");
  for (Branch& branch : live) {
    branch.score = branch.log_probability / penalty(n);
    branch.finished = branch.ids.back() == o.eos;
    if (branch.finished) branch.ids.pop_back();
    if ((branch.finished || n == o.longest) && branch.score > best.score) best = branch;
  }
  // Each token adds at most 0: what grows from a branch of log-probability p has in the end at most p. As
  // p <= 0, no penalty makes more of it than the largest, which is that of `longest` as alpha >= 0. So no
  // score to come exceeds p / penalty(longest).
  std::erase_if(live, [&](const Branch& branch) {
    return branch.finished || n == o.longest || branch.log_probability / penalty(o.longest) <= best.score;
  });
}

void rectify(const Tensor& log_p, double eps, int64_t vocab) {
  const double off = eps / static_cast<double>(vocab);
  for (double& l : std::span(log_p.data<double>(), static_cast<size_t>(log_p.size()))) {
    const double p = std::min(1., (std::exp(l) - off) / (1 - eps));
    l = p > 0 ? std::log(p) : -INFINITY;
  }
}

}  // namespace

std::vector<Hypothesis> beam_search(TranslationModel& model, const Tensor& source,
                                    const Tensor& source_lengths, const SearchOptions& o) {
  check(o.rectify >= 0 && o.rectify < 1, "beam search: expected to rectify in [0, 1), got ", o.rectify);
  check(o.length_penalty >= 0, "beam search: expected a length penalty >= 0, got ", o.length_penalty);
  const int64_t vocab_size = model.config().target_vocab;
  check(o.longest >= 1, "beam search: expected `longest` to be given, at least 1, got ", o.longest);
  check(o.bos >= 0 && o.bos < vocab_size && o.eos >= 0 && o.eos < vocab_size,
        "beam search: expected `bos` and `eos` to be given, in [0, ", vocab_size, "), got ", o.bos, " and ",
        o.eos);
  const Evaluating evaluating(model);
  DecoderState state = model.start(source, source_lengths, o.longest, o.beam);
  const size_t batch = static_cast<size_t>(source.shape()[0]), beam = static_cast<size_t>(o.beam);
  std::vector<Hypothesis> best(batch);
  std::vector<Branches> live(batch, Branches(1));
  std::vector<int32_t> ids(batch * beam, o.bos), rows;
  // Of one branch at most `beam` tokens are among the best, beside those that `never` strikes out.
  const int64_t most = std::min(vocab_size, o.beam + std::ssize(o.never));
  for (int64_t n = 1; !ids.empty(); ++n) {
    const auto [values, places] = topk(log_softmax(model.step(state, ids)), most);  // [B beam, most]
    const Tensor log_p = values.to(Device::cpu).to(DType::f64), tokens = places.to(Device::cpu);
    if (o.rectify > 0) rectify(log_p, o.rectify, vocab_size);
    ids.clear(), rows.clear();
    int32_t row = 0;  // the first of a sentence
    for (size_t b = 0; b < batch; ++b) {
      if (live[b].empty()) continue;
      const int64_t first = row * most;
      live[b] = grown(live[b], log_p.data<double>() + first, tokens.data<int32_t>() + first, most, o);
      settle(live[b], best[b], n, o);
      for (const Branch& h : live[b]) ids.push_back(h.ids.back()), rows.push_back(row + h.parent);
      while (ids.size() % beam != 0) ids.push_back(ids.back()), rows.push_back(rows.back());  // idle
      row += static_cast<int32_t>(beam);
    }
    if (!ids.empty()) state.select(rows);
  }
  return best;
}

}  // namespace gradus::nn
