#include "examples/label_smoothing/training.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "examples/data/batch.h"
#include "examples/data/toy_language.h"
#include "examples/measure/bleu.h"
#include "examples/measure/calibration.h"
#include "examples/program/program.h"
#include "examples/training_step.h"
#include "losses/label_smoothing.h"
#include "losses/translation_loss.h"
#include "losses/variants.h"
#include "nn/search.h"
#include "optim/adam.h"
#include "optim/schedule.h"

namespace gradus::examples::lab {

IdPair toy_pair(toy::Rng& rng, toy::Split split, const Lesson& lesson);

// On the test sentences, per token and teacher-forced where nothing else is said. nll is never smoothed, top
// is the mean of the largest p. distance: mean total variation between p and (1 - eps) q + eps / V, with eps
// = 0 but for method smoothing. scaled_: with the temperature that was fitted on the validation sentences.
// eos_: where the prediction is the end of sentence. free_: given the model's own words, against `best`, word
// by word.
const std::vector<std::string> kValues{"bleu",       "nll",        "ece",      "brier",     "accuracy",
                                       "entropy",    "top",        "distance", "train_nll", "temperature",
                                       "scaled_nll", "scaled_ece", "eos_ece",  "eos_top",   "free_ece"};
// curve: step, nll of the training batches since the one before, nll of the validation sentences. eps: step,
// smoothing, loss. reliability, scaled, free: tokens, mean confidence, accuracy of each of 15 bins. optimum:
// q, words of that q, their mean p. recall: by a quarter of the test tokens, from rare to frequent ones:
// tokens, mean count of the right word in training, recall. beams, rectified: beam, length / reference
// length, BLEU.
const std::vector<std::string> kSeries{"curve",   "eps",    "reliability", "scaled",   "free",
                                       "optimum", "recall", "beams",       "rectified"};

double learning_rate(const Run& run, int64_t step) {
  const double steps = static_cast<double>(run.steps), warmup = run.warmup * steps;
  if (run.schedule == "cosine") return optim::cosine(step, run.peak, warmup, steps);
  if (run.schedule == "linear") return optim::linear(step, run.peak, warmup, steps);
  if (run.schedule == "inverse_sqrt") return optim::inverse_square_root(step, run.peak, warmup);
  check(run.schedule == "noam", "lab: there is no schedule ", run.schedule);
  return optim::noam(step, static_cast<double>(run.width), std::max(1., warmup));
}

namespace {

nn::TranslationModelConfig config_of(const Lesson& lesson, const Run& run) {
  nn::TransformerConfig layers{.d_model = run.width, .heads = 2, .layers = run.layers, .ff = 2 * run.width};
  layers.dropout = 0, layers.norm_first = run.norm_first;
  return {lesson.source.size(), lesson.target.size(), nn::Tie::output, layers, /*longest=*/64};
}

struct BatchLoss {
  Variable loss;          // that the method of the run minimises
  losses::LossSums sums;  // without smoothing
};

class Student {
 public:
  Student(const Lesson& lesson, const Run& run)
      : lesson_(lesson), run_(run), rng_(static_cast<uint64_t>(run.seed)), model_(config_of(lesson, run)),
        pairs_(lesson.train), counts_(static_cast<size_t>(lesson.target.size()), 0) {
    const auto size = static_cast<size_t>(run.pairs);
    model_.init(static_cast<uint64_t>(run.seed));
    shuffle();
    if (run.regime == "overfit" && pairs_.size() > size) pairs_.resize(size);
    while (run.regime == "overfit" && lesson.train.empty() && pairs_.size() < size) pairs_.push_back(draw());
    std::vector<IdPair> sample = pairs_;
    toy::Rng others(0);
    while (pairs_.empty() && sample.size() < 1000)
      sample.push_back(toy_pair(others, toy::Split::train, lesson));
    for (const IdPair& pair : sample) {
      ++counts_[Vocabulary::eos];
      for (int32_t id : pair.target) ++counts_[static_cast<size_t>(id)];
    }
    for (const std::string& name : kSeries) outcome_.series[name];
  }

  Outcome run() {
    learn();
    if (interrupted()) return {};
    const nn::Evaluating evaluating(model_);
    measure_tokens();
    measure_translations();
    return std::move(outcome_);
  }

 private:
  IdPair draw() { return toy_pair(rng_, toy::Split::train, lesson_); }
  void shuffle() {
    for (size_t i = pairs_.size(); i > 1; --i) std::swap(pairs_[i - 1], pairs_[rng_.below(i)]);
  }
  IdPair next_pair() {
    if (pairs_.empty()) return draw();
    if (at_ % pairs_.size() == 0) shuffle();
    return pairs_[at_++ % pairs_.size()];
  }

  // Weights for rare classes: the inverse root of their count, 1 on average over tokens.
  Tensor weights() const {
    std::vector<float> w;
    double mass = 0, tokens = 0;
    for (double n : counts_) {
      w.push_back(static_cast<float>(1 / std::sqrt(n + 1)));
      mass += n * w.back(), tokens += n;
    }
    return Tensor::from(w, {lesson_.target.size()}) * (tokens / mass);
  }
  Tensor prior() const {
    return losses::unigram_prior(Tensor::from(counts_, {lesson_.target.size()}).to(DType::f32));
  }

  // shown: adaptive
  double smoothing_at(int64_t step) {
    const double steps = static_cast<double>(run_.steps), strength = run_.strength;
    if (run_.method == "linear") return losses::linear_smoothing(step, steps, /*first=*/0, /*last=*/strength);
    if (run_.method == "cosine") return losses::cosine_smoothing(step, steps, /*first=*/0, /*last=*/strength);
    if (run_.method == "triggered") return trigger_(nll_);  // of the batch before
    return run_.method == "smoothing" ? strength : 0;
  }
  // end shown

  // shown: methods
  Variable loss_of(const Variable& z, const Tensor& y, int64_t step, double smoothing) const {
    using namespace losses;
    using enum ClassWeighting;
    const double strength = run_.strength, steps = static_cast<double>(run_.steps);
    const auto penalized = [&](double beta, double threshold = INFINITY) {
      return CrossEntropy({.pad_id = 0})(z, y) +
             beta * ConfidencePenalty(0, Reduction::mean, threshold)(z, y);
    };
    if (run_.method == "penalty") return penalized(strength);
    if (run_.method == "hinge") return penalized(strength, /*threshold=*/1);
    if (run_.method == "annealed") return penalized(strength * linear_smoothing(step, steps, 0, 1));
    const auto weighted = [&](ClassWeighting weighting) {
      return CrossEntropy(
          {.smoothing = strength, .pad_id = 0, .class_weight = weights(), .weighting = weighting})(z, y);
    };
    if (run_.method == "per_target") return weighted(per_target);
    if (run_.method == "per_class") return weighted(per_class);
    if (run_.method == "unigram")
      return CrossEntropy({.smoothing = strength, .pad_id = 0, .prior = prior()})(z, y);
    static const std::set<std::string> smoothed{"smoothing", "linear", "cosine", "triggered"};
    check(smoothed.contains(run_.method), "lab: there is no method ", run_.method);
    return LabelSmoothingCrossEntropy(smoothing)(z, y);
  }
  // end shown

  void learn() {
    optim::Adam adam(model_.parameters(), {.beta2 = 0.98, .eps = 1e-9});
    const int64_t every = std::max<int64_t>(1, run_.steps / 20);
    losses::LossSums since;
    double smoothed = 0;
    for (int64_t step = 1; step <= run_.steps && !interrupted(); ++step) {
      const double smoothing = smoothing_at(step);
      std::vector<IdPair> pairs(32);
      for (IdPair& pair : pairs) pair = next_pair();
      // shown: train_step
      const std::vector<Batch> batches{make_batch(pairs)};
      const auto criterion = [&](const Variable& z, const Tensor& target) {
        const Variable loss = loss_of(z, batches[0].labels(), step, smoothing);
        smoothed += loss.value().item() / static_cast<double>(every);
        return BatchLoss{loss, plain_(z.detach(), target).sums};
      };
      adam.set_lr(learning_rate(run_, step));
      const losses::LossSums sums = training_step(model_, criterion, adam, batches, step, /*clip=*/1).sums;
      since += sums;
      nll_ = sums.mean_nll();
      // end shown
      if (step % every != 0) continue;
      const double now = static_cast<double>(step);
      outcome_.series["curve"].push_back({now, since.mean_nll(), validation_nll()});
      outcome_.series["eps"].push_back({now, smoothing, smoothed});
      outcome_.values["train_nll"] = since.mean_nll();
      since = {}, smoothed = 0;
    }
  }

  double validation_nll() {
    const nn::Evaluating evaluating(model_);
    const Batch b = make_batch(lesson_.valid);
    return plain_(logits_of(model_, b), b.target).nll_loss();
  }

  void record(const std::string& prefix, const std::string& bins, const Calibration& c) {
    auto& v = outcome_.values;
    v[prefix + "nll"] = c.nll, v[prefix + "ece"] = c.ece, v[prefix + "brier"] = c.brier;
    v[prefix + "accuracy"] = c.accuracy, v[prefix + "entropy"] = c.entropy, v[prefix + "top"] = c.confidence;
    for (const ReliabilityBin& b : c.bins)
      outcome_.series[bins].push_back({double(b.count), b.confidence, b.accuracy});
  }

  void measure_tokens() {
    const Batch valid = make_batch(lesson_.valid), test = make_batch(lesson_.test);
    const Ids valid_ids = valid.labels().to_vector<int32_t>(), ids = test.labels().to_vector<int32_t>();
    // shown: reliability
    const Tensor z = logits_of(model_, test).value();
    const double t = fit_temperature(logits_of(model_, valid).value(), valid_ids, Vocabulary::pad);
    std::vector<TokenPrediction> tokens = predictions(z, ids, Vocabulary::pad);
    record("", "reliability", calibration(tokens));
    record("scaled_", "scaled", calibration(predictions(z, ids, Vocabulary::pad, t)));
    // end shown
    outcome_.values["temperature"] = t;
    measure_distance(softmax(z).to_vector<float>(), ids);
    measure_recall(tokens);
    std::erase_if(tokens, [](const TokenPrediction& p) { return p.predicted != Vocabulary::eos; });
    record("eos_", "eos", calibration(tokens));
  }

  // By quarters of the tokens, from those whose word is rare in training to the frequent ones.
  void measure_recall(std::vector<TokenPrediction> tokens) {
    const auto count = [&](const TokenPrediction& p) { return counts_[static_cast<size_t>(p.target)]; };
    std::ranges::stable_sort(tokens, {}, count);
    Triples& recall = outcome_.series["recall"];
    recall.resize(4);
    for (size_t i = 0; i < tokens.size(); ++i) {
      auto& [n, mean_count, right] = recall[4 * i / tokens.size()];
      ++n, mean_count += count(tokens[i]), right += tokens[i].correct();
    }
    for (auto& [n, mean_count, right] : recall) mean_count /= n, right /= n;
  }

  // p [tokens, V] against the truth, row by row.
  void measure_distance(const std::vector<float>& p, const std::vector<int32_t>& ids) {
    const size_t vocab = counts_.size();
    const double eps = run_.method == "smoothing" ? run_.strength : 0, off = eps / double(vocab);
    std::map<double, std::array<double, 2>> by_q;  // q, rounded: words, sum of their p
    double distance = 0;
    size_t token = 0;
    for (size_t r = 0; r < ids.size() && token < lesson_.truth.size(); ++r) {
      if (ids[r] == Vocabulary::pad) continue;
      // shown: population_optimum
      const std::map<int32_t, double>& truth = lesson_.truth[token++];
      for (size_t j = 0; j < vocab; ++j) {
        const auto found = truth.find(static_cast<int32_t>(j));
        const double q = found == truth.end() ? 0 : found->second, p_j = p[r * vocab + j];
        auto& [words, sum] = by_q[std::round(100 * q) / 100];
        ++words, sum += p_j;
        distance += std::abs(p_j - (1 - eps) * q - off) / 2;
      }
      // end shown
    }
    outcome_.values["distance"] = distance / std::max<double>(1, double(token));
    for (const auto& [q, n] : by_q) outcome_.series["optimum"].push_back({q, n[0], n[1] / n[0]});
  }

  // Of the first `count` test sentences.
  std::vector<nn::Hypothesis> translated(size_t count, int64_t beam = 1, double rectify = 0) {
    const Batch b = make_batch({lesson_.test.begin(), lesson_.test.begin() + std::ptrdiff_t(count)});
    // shown: beams
    const int64_t longest = lesson_.truth.empty() ? 40 : 16;
    nn::SearchOptions how{
        .length_penalty = 0, .longest = longest, .bos = Vocabulary::bos, .eos = Vocabulary::eos};
    how.beam = beam, how.rectify = rectify, how.never = {Vocabulary::pad, Vocabulary::bos};
    return nn::beam_search(model_, b.source, b.source_lengths, how);
    // end shown
  }

  Bleu bleu_of(const std::vector<nn::Hypothesis>& found) const {
    std::vector<Words> words;
    for (const nn::Hypothesis& h : found) words.push_back(lesson_.target.decode(h.ids));
    return corpus_bleu(words, {lesson_.best.begin(), lesson_.best.begin() + std::ssize(found)});
  }

  void measure_translations() {
    const std::vector<nn::Hypothesis> found = translated(lesson_.test.size());
    outcome_.values["bleu"] = bleu_of(found).score;
    measure_free_running(found);
    const int64_t widest = lesson_.truth.empty() ? 16 : 64;  // a text takes longer
    for (int64_t beam = 1; run_.beams && beam <= widest; beam *= 2)
      for (const auto& [name, eps] : {std::pair("beams", 0.), {"rectified", run_.strength}}) {
        const Bleu bleu = bleu_of(translated(std::min<size_t>(100, lesson_.test.size()), beam, eps));
        outcome_.series[name].push_back(
            {double(beam), double(bleu.hypothesis_length) / double(bleu.reference_length), bleu.score});
      }
  }

  // The model reads what it has said; whether a word is right, the reference's word in the same place tells.
  void measure_free_running(const std::vector<nn::Hypothesis>& found) {
    std::vector<IdPair> said;
    for (size_t i = 0; i < found.size(); ++i) said.push_back({lesson_.test[i].source, found[i].ids});
    const Batch b = make_batch(said);
    Ids right = b.labels().to_vector<int32_t>();
    const size_t width = right.size() / found.size();
    for (size_t i = 0; i < found.size(); ++i) {
      Ids reference = lesson_.target.encode(lesson_.best[i]);
      reference.push_back(Vocabulary::eos), reference.resize(width, -1);
      std::copy_n(reference.begin(), found[i].ids.size() + 1, right.begin() + std::ptrdiff_t(i * width));
    }
    record("free_", "free", calibration(predictions(logits_of(model_, b).value(), right, Vocabulary::pad)));
  }

  const Lesson& lesson_;
  const Run run_;
  toy::Rng rng_;
  nn::TranslationModel model_;
  std::vector<IdPair> pairs_;   // the training set, or none: fresh ones are drawn
  std::vector<double> counts_;  // of each target word in training
  size_t at_ = 0;               // pairs taken so far
  const losses::TranslationLoss plain_{lesson_.target.size(), Vocabulary::pad, 0.};
  losses::ConfidenceTriggered trigger_{run_.method == "triggered" ? run_.strength : 0.};
  double nll_ = std::log(double(lesson_.target.size()));  // of the last batch
  Outcome outcome_;
};

}  // namespace

Outcome train_and_measure(const Lesson& lesson, const Run& run) { return Student(lesson, run).run(); }

}  // namespace gradus::examples::lab
