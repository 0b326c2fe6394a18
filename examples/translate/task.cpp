#include "examples/translate/task.h"

#include <cmath>
#include <map>
#include <ostream>

#include "examples/support/corpus.h"
#include "examples/support/toy_language.h"

namespace gradus::examples {

TensorBatch::TensorBatch(const Batch& b)
    : source(Tensor::from(b.source, {b.rows, b.source_width})),
      source_lengths(Tensor::from(b.source_lengths, {b.rows})),
      target(Tensor::from(b.target, {b.rows, b.target_width})),
      target_lengths(Tensor::from(b.target_lengths, {b.rows})) {}

HeldOut toy_held_out(bool test, size_t count, const TrainOptions& o, const Vocabulary& source,
                     const Vocabulary& target) {
  toy::Rng rng(test ? 20170706 : 20151202);  // whatever the training seed: the same sentences for every model
  const auto labels = TargetDistribution::of(o.convention(), o.smoothing, target.size(), Vocabulary::pad);
  HeldOut held_out;
  double words = 0;
  while (held_out.pairs.size() < count) {
    const Words sentence = toy::sample_source(rng, test ? toy::Split::test : toy::Split::valid);
    const Words reference = toy::sample_translation(rng, sentence);
    held_out.pairs.push_back({source.encode(sentence), target.encode(reference)});
    held_out.best.push_back(toy::translations(sentence)[0].words);
    for (double q : toy::token_probabilities(sentence, reference)) {
      held_out.floor -= std::log(q);
      // What the labels look like on average: q of them put `on` here, the others `off`.
      held_out.smoothed_floor -= std::log((labels.off + (labels.on - labels.off) * q) / labels.sum());
      ++words;
    }
  }
  held_out.floor /= words;
  held_out.smoothed_floor /= words;
  return held_out;
}

namespace {

class ToyTask : public Task {
 public:
  explicit ToyTask(const TrainOptions& options)
      : Task(Vocabulary(toy::source_words()), Vocabulary(toy::target_words())),
        batch_tokens_(options.batch_tokens), rng_(static_cast<uint64_t>(options.seed)) {
    validation_ = toy_held_out(/*test=*/false, 500, options, source_, target_);
  }

  TensorBatch next_batch() override {
    constexpr int64_t kPositions = 16;  // of the longest target: a batch padded to it holds batch_tokens
    std::vector<IdPair> pairs;
    while (static_cast<int64_t>(pairs.size()) < std::max<int64_t>(1, batch_tokens_ / kPositions)) {
      const Words source = toy::sample_source(rng_, toy::Split::train);
      pairs.push_back({source_.encode(source), target_.encode(toy::sample_translation(rng_, source))});
    }
    return TensorBatch(make_batch(pairs));
  }

 private:
  int64_t batch_tokens_;
  toy::Rng rng_;
};

struct WordPair {
  Words source, target;
  int64_t line;
};

// The words of both files, counted over the training part alone.
class TextTask : public Task {
 public:
  TextTask(const std::vector<WordPair>& train, const std::vector<WordPair>& valid, const TrainOptions& o,
           std::ostream& log)
      : Task(vocabulary(train, &WordPair::source, o), vocabulary(train, &WordPair::target, o)), options_(o) {
    pairs_ = encode(train, log);
    validation_.pairs = encode(valid, log);
    check_world(!pairs_.empty() && !validation_.pairs.empty(), "train: ", pairs_.size(),
                " pairs to learn from and ", validation_.pairs.size(),
                " held out; need both (see --longest and --held-out)");
    log << pairs_.size() << " pairs to learn from, " << validation_.pairs.size()
        << " held out; vocabularies of " << source_.size() << " and " << target_.size() << " words\n";
  }

  TensorBatch next_batch() override {
    if (next_ == order_.size()) {
      order_ =
          bucketed_batches(pairs_, options_.batch_tokens, static_cast<uint64_t>(options_.seed), epoch_++);
      next_ = 0;
    }
    return TensorBatch(make_batch(pairs_, order_[next_++]));
  }

 private:
  static Vocabulary vocabulary(const std::vector<WordPair>& pairs, Words WordPair::*side,
                               const TrainOptions& o) {
    std::map<std::string, int64_t> counts;
    for (const WordPair& pair : pairs)
      for (const std::string& word : pair.*side) {
        ++counts[word];
        if (o.tie == "all")  // one vocabulary for both sides
          for (const std::string& other : side == &WordPair::source ? pair.target : pair.source)
            counts[other] += 0;
      }
    return Vocabulary::from_counts(counts, o.vocab_size, o.min_count);
  }

  std::vector<IdPair> encode(const std::vector<WordPair>& words, std::ostream& log) const {
    std::vector<IdPair> pairs;
    for (const WordPair& pair : words) {
      const IdPair ids{source_.encode(pair.source), target_.encode(pair.target), pair.line};
      if (positions(ids) <= options_.longest) pairs.push_back(ids);
    }
    if (pairs.size() < words.size())
      log << words.size() - pairs.size() << " pairs longer than " << options_.longest
          << " words are left out\n";
    return pairs;
  }

  TrainOptions options_;
  std::vector<IdPair> pairs_;
  std::vector<std::vector<size_t>> order_;
  size_t next_ = 0;
  int64_t epoch_ = 0;
};

}  // namespace

std::unique_ptr<Task> make_task(const TrainOptions& o, std::ostream& log) {
  check(o.toy != !o.source.empty() && o.source.empty() == o.target.empty(),
        "train: name what to learn: either --toy, or both --source FILE and --target FILE");
  if (o.toy) return std::make_unique<ToyTask>(o);
  const ParallelText text = read_parallel(o.source, o.target);
  if (text.dropped > 0) log << text.dropped << " pairs with an empty side are left out\n";
  std::vector<WordPair> train, valid;
  for (size_t i = 0; i < text.source.size(); ++i)
    (is_held_out(text.source[i], o.held_out) ? valid : train)
        .push_back({split_words(text.source[i]), split_words(text.target[i]), text.lines[i]});
  return std::make_unique<TextTask>(train, valid, o, log);
}

}  // namespace gradus::examples
