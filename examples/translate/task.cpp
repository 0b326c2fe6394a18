#include "examples/translate/task.h"

#include <algorithm>
#include <cmath>
#include <ostream>

#include "examples/data/toy_language.h"
#include "examples/data/words.h"

namespace gradus::examples {
namespace {

Task toy_task(const TrainOptions& o) {
  const Vocabulary english(toy::source_words()), french(toy::target_words());
  const Tokenizers tokenizers{Tokenizer(english), Tokenizer(french)};
  constexpr int64_t kPositions = 16;  // of the longest target: a batch padded to it holds batch_tokens
  const size_t rows = std::max<int64_t>(1, o.batch_tokens / kPositions);
  const auto batch = [=, seed = uint64_t(o.seed)](int64_t number) {
    toy::Rng rng(seed << 32 | uint64_t(number));
    std::vector<IdPair> pairs;
    while (pairs.size() < rows) {
      const Words source = toy::sample_source(rng, toy::Split::train);
      pairs.push_back({english.encode(source), french.encode(toy::sample_translation(rng, source))});
    }
    return make_batch(pairs);
  };
  return {tokenizers, toy_held_out(/*test=*/false, 500, o, tokenizers), batch};
}

Tokenizers learn(const ParallelText& text, const TrainOptions& o) {
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

// The pairs of a text that fit the model.
std::vector<IdPair> encode(const ParallelText& text, const Tokenizers& tokenizers, int64_t longest,
                           const char* part, std::ostream& log) {
  std::vector<IdPair> pairs;
  for (size_t i = 0; i < text.source.size(); ++i)
    pairs.push_back({tokenizers.source.encode(text.source[i]), tokenizers.target.encode(text.target[i])});
  const size_t out = std::erase_if(pairs, [&](const IdPair& pair) { return positions(pair) > longest; });
  if (out > 0) log << out << " pairs " << part << " longer than " << longest << " tokens are left out\n";
  return pairs;
}

std::string hash_of(const ParallelText& train, const ParallelText& valid) {
  const auto of = [](const std::vector<std::string>& lines) {
    std::string text;
    for (const std::string& line : lines) text += line + '\n';
    return message(std::hex, content_hash(text));
  };
  return "source " + of(train.source) + ", target " + of(train.target) + ", held-out source " +
         of(valid.source) + ", held-out target " + of(valid.target);
}

// Two files and, for validation, two others or a part put aside. Tokens are learned from the training part
// alone.
Task text_task(const ParallelText& train, const ParallelText& valid, const TrainOptions& o,
               std::ostream& log) {
  const Tokenizers tokenizers = learn(train, o);
  auto pairs = encode(train, tokenizers, o.longest, "to learn from", log);
  const auto held_out = encode(valid, tokenizers, o.longest, "held out", log);
  check_world(!pairs.empty() && !held_out.empty(), "train: ", pairs.size(), " pairs to learn from and ",
              held_out.size(), " held out; need both (see --longest and --held-out)");
  log << pairs.size() << " pairs to learn from, " << held_out.size() << " held out; vocabularies of "
      << tokenizers.source.size() << " and " << tokenizers.target.size()
      << (o.words() ? " words\n" : " byte pairs\n");
  std::vector<BatchPlan> order = bucketed_batches(pairs, o.batch_tokens, o.seed, 0);
  const int64_t per_epoch = std::ssize(order);
  auto batch = [=, pairs = std::move(pairs), epoch = int64_t{0}](int64_t number) mutable {
    if (number / per_epoch != epoch) {
      epoch = number / per_epoch;
      order = bucketed_batches(pairs, o.batch_tokens, o.seed, epoch);
    }
    return make_batch(pairs, order[number % per_epoch]);
  };
  return {tokenizers, {held_out}, std::move(batch), per_epoch, hash_of(train, valid)};
}

}  // namespace

ParallelText read_pairs(const std::string& source, const std::string& target, std::ostream& log) {
  ParallelText text = read_parallel(source, target);
  if (text.dropped > 0) log << text.dropped << " pairs with an empty side are left out\n";
  return text;
}

Task make_task(const TrainOptions& o, std::ostream& log) {
  if (o.toy) return toy_task(o);
  const ParallelText text = read_pairs(o.source, o.target, log);
  if (!o.valid_source.empty())
    return text_task(text, read_pairs(o.valid_source, o.valid_target, log), o, log);
  ParallelText train, valid;
  for (size_t i = 0; i < text.source.size(); ++i) {
    ParallelText& part = is_held_out(text.source[i], o.held_out) ? valid : train;
    part.source.push_back(text.source[i]);
    part.target.push_back(text.target[i]);
  }
  return text_task(train, valid, o, log);
}

HeldOut toy_held_out(bool test, size_t count, const TrainOptions& o, const Tokenizers& tokenizers) {
  toy::Rng rng(test ? 20170706 : 20151202);  // whatever the training seed: the same sentences for every model
  const auto labels =
      TargetDistribution::of(o.convention(), o.smoothing, tokenizers.target.size(), Vocabulary::pad);
  HeldOut held_out;
  double words = 0;
  while (held_out.pairs.size() < count) {
    const Words sentence = toy::sample_source(rng, test ? toy::Split::test : toy::Split::valid);
    const Words reference = toy::sample_translation(rng, sentence);
    held_out.text.source.push_back(join_words(sentence));
    held_out.text.target.push_back(join_words(toy::translations(sentence)[0].words));
    held_out.pairs.push_back({tokenizers.source.encode(held_out.text.source.back()),
                              tokenizers.target.encode(join_words(reference))});
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

}  // namespace gradus::examples
