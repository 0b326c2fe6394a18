#include "examples/translate/task.h"

#include <cmath>
#include <ostream>
#include <sstream>

#include "examples/support/toy_language.h"

namespace gradus::examples {

HeldOut toy_held_out(bool test, size_t count, const TrainOptions& o, const Tokenizer& source,
                     const Tokenizer& target) {
  toy::Rng rng(test ? 20170706 : 20151202);  // whatever the training seed: the same sentences for every model
  const auto labels = TargetDistribution::of(o.convention(), o.smoothing, target.size(), Vocabulary::pad);
  HeldOut held_out;
  double words = 0;
  while (held_out.pairs.size() < count) {
    const Words sentence = toy::sample_source(rng, test ? toy::Split::test : toy::Split::valid);
    const Words reference = toy::sample_translation(rng, sentence);
    held_out.pairs.push_back({source.encode(join_words(sentence)), target.encode(join_words(reference))});
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
      : Task(Tokenizer(Vocabulary(toy::source_words())), Tokenizer(Vocabulary(toy::target_words()))),
        batch_tokens_(options.batch_tokens), seed_(options.seed) {
    validation_ = toy_held_out(/*test=*/false, 500, options, source_, target_);
  }

  Batch batch(int64_t number) override {
    toy::Rng rng(uint64_t(seed_) << 32 | uint64_t(number));
    constexpr int64_t kPositions = 16;  // of the longest target: a batch padded to it holds batch_tokens
    std::vector<IdPair> pairs;
    while (std::ssize(pairs) < std::max<int64_t>(1, batch_tokens_ / kPositions)) {
      const Words source = toy::sample_source(rng, toy::Split::train);
      pairs.push_back({source_.encode(join_words(source)),
                       target_.encode(join_words(toy::sample_translation(rng, source)))});
    }
    return make_batch(pairs);
  }

 private:
  int64_t batch_tokens_, seed_;
};

// Two files and, for validation, two others or a part put aside. Tokens are learned from the training part
// alone.
class TextTask : public Task {
 public:
  TextTask(const ParallelText& train, const ParallelText& valid, const TrainOptions& o, std::ostream& log)
      : TextTask(learn(train, o), o) {
    pairs_ = encode(train, "to learn from", log);
    validation_.pairs = encode(valid, "held out", log);
    const std::pair<const char*, const std::vector<std::string>&> files[] = {
        {"source ", train.source},
        {", target ", train.target},
        {", held-out source ", valid.source},
        {", held-out target ", valid.target}};
    for (const auto& [name, lines] : files) {
      std::string text;
      for (const std::string& line : lines) text += line + '\n';
      std::ostringstream hash;
      hash << std::hex << content_hash(text);
      hash_ += name + hash.str();
    }
    check_world(!pairs_.empty() && !validation_.pairs.empty(), "train: ", pairs_.size(),
                " pairs to learn from and ", validation_.pairs.size(),
                " held out; need both (see --longest and --held-out)");
    order_ = order_of(0);
    log << pairs_.size() << " pairs to learn from, " << validation_.pairs.size()
        << " held out; vocabularies of " << source_.size() << " and " << target_.size()
        << (o.words() ? " words\n" : " byte pairs\n");
  }

  Batch batch(int64_t number) override {
    const int64_t epoch = number / batches_per_epoch();
    if (epoch != epoch_) order_ = order_of(epoch);
    epoch_ = epoch;
    return make_batch(pairs_, order_[number % batches_per_epoch()]);
  }

  int64_t batches_per_epoch() const override { return std::ssize(order_); }
  std::string data_hash() const override { return hash_; }

 private:
  using Tokenizers = std::pair<Tokenizer, Tokenizer>;
  std::vector<BatchPlan> order_of(int64_t epoch) const {
    return bucketed_batches(pairs_, options_.batch_tokens, options_.seed, epoch);
  }

  TextTask(Tokenizers sides, const TrainOptions& o) : Task(sides.first, sides.second), options_(o) {}

  static Tokenizers learn(const ParallelText& text, const TrainOptions& o) {
    const auto of = [&](const std::vector<std::string>& lines) {
      return o.words() ? Tokenizer(Vocabulary::learn(lines, o.vocab_size, o.min_count))
                       : Tokenizer(Bpe::learn(lines, o.vocab_size, o.min_count));
    };
    if (o.words() && o.tie != "all") return {of(text.source), of(text.target)};
    std::vector<std::string> both = text.source;  // byte pairs, and tables that are one, need one vocabulary
    both.insert(both.end(), text.target.begin(), text.target.end());
    const Tokenizer joint = of(both);
    return {joint, joint};
  }

  std::vector<IdPair> encode(const ParallelText& text, const char* part, std::ostream& log) const {
    std::vector<IdPair> pairs;
    for (size_t i = 0; i < text.source.size(); ++i) {
      IdPair ids{source_.encode(text.source[i]), target_.encode(text.target[i]), text.lines[i]};
      if (positions(ids) <= options_.longest) pairs.push_back(std::move(ids));
    }
    if (pairs.size() < text.source.size())
      log << text.source.size() - pairs.size() << " pairs " << part << " longer than " << options_.longest
          << " tokens are left out\n";
    return pairs;
  }

  TrainOptions options_;
  std::vector<IdPair> pairs_;
  std::vector<BatchPlan> order_;  // of epoch_; as many in every epoch
  int64_t epoch_ = 0;
  std::string hash_;
};

}  // namespace

ParallelText read_pairs(const std::string& source, const std::string& target, std::ostream& log) {
  ParallelText text = read_parallel(source, target);
  if (text.dropped > 0) log << text.dropped << " pairs with an empty side are left out\n";
  return text;
}

std::unique_ptr<Task> make_task(const TrainOptions& o, std::ostream& log) {
  if (o.toy) return std::make_unique<ToyTask>(o);
  const ParallelText text = read_pairs(o.source, o.target, log);
  if (!o.valid_source.empty())
    return std::make_unique<TextTask>(text, read_pairs(o.valid_source, o.valid_target, log), o, log);
  ParallelText train, valid;
  for (size_t i = 0; i < text.source.size(); ++i) {
    ParallelText& part = is_held_out(text.source[i], o.held_out) ? valid : train;
    part.source.push_back(text.source[i]);
    part.target.push_back(text.target[i]);
    part.lines.push_back(text.lines[i]);
  }
  return std::make_unique<TextTask>(train, valid, o, log);
}

}  // namespace gradus::examples
