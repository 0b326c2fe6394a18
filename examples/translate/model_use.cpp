#include "examples/translate/model_use.h"

#include <algorithm>
#include <iostream>

#include "examples/data/utf8.h"
#include "examples/data/words.h"
#include "examples/training_step.h"
#include "nn/search.h"

namespace gradus::examples {
namespace {

// A terminal gets no control characters, and no more of a word than one can read.
std::string printable(std::string_view word) {
  constexpr size_t kLongest = 40;
  std::string text;
  size_t points = 0;
  for (const CodePoint& point : CodePoints{word}) {
    if (++points > kLongest) return text + "...";
    const bool control = point.value < 0x20 || (point.value >= 0x7F && point.value < 0xA0);
    text += control ? " " : point.bytes;
  }
  return text;
}

}  // namespace

losses::LossSums loss_of(nn::TranslationModel& model, const losses::TranslationLoss& criterion,
                         const std::vector<IdPair>& pairs, int64_t batch_tokens) {
  const nn::Evaluating evaluating(model);
  losses::LossSums sums;
  for (const BatchPlan& plan : bucketed_batches(pairs, batch_tokens, 0, 0)) {
    const Batch batch = make_batch(pairs, plan);
    sums += criterion(logits_of(model, batch), batch.target).sums;
  }
  return sums;
}

Ids encoded(const Tokenizer& tokenizer, const std::string& line, int64_t number) {
  const Words words = split_words(line);
  if (words.empty()) return {};
  const Ids ids = tokenizer.encode(line);
  for (size_t i = 0; i < ids.size(); ++i) {  // only a word can be unknown, and words are one id each
    if (ids[i] == Vocabulary::unk)
      std::cerr << "line " << number << ": the model does not know `" << printable(words[i]) << "`\n";
  }
  return ids;
}

std::vector<std::string> translate_all(nn::TranslationModel& model, const Tokenizer& target,
                                       std::vector<IdPair> pairs, const Decoding& decoding) {
  const int64_t most = model.config().longest;
  const int64_t longest = decoding.longest > 0 ? std::min(decoding.longest, most) : most;
  std::vector<size_t> by_length;  // without the empty ones
  for (size_t i = 0; i < pairs.size(); ++i) {
    Ids& source = pairs[i].source;
    if (!source.empty()) by_length.push_back(i);
    if (std::ssize(source) <= most) continue;
    std::cerr << "line " << pairs[i].line << ": " << source.size() << " tokens, cut to the model's " << most
              << "\n";
    source.resize(most);
  }
  const auto length = [&](size_t i) { return pairs[i].source.size(); };
  std::ranges::stable_sort(by_length, {}, length);
  std::vector<std::string> translated(pairs.size());
  const int64_t together = std::max<int64_t>(1, 256 / decoding.beam);
  for (auto begin = by_length.begin(); begin != by_length.end();) {
    // Of one length: so nothing is padding, and a translation does not depend on its neighbours.
    const auto end = std::find_if(begin, begin + std::min(together, by_length.end() - begin),
                                  [&](size_t i) { return length(i) != length(*begin); });
    const Batch batch = make_batch(pairs, {{begin, end}});
    nn::SearchOptions search{decoding.beam, decoding.length_penalty, longest, Vocabulary::bos,
                             Vocabulary::eos};
    search.never = {Vocabulary::pad, Vocabulary::bos};
    for (const nn::Hypothesis& found : nn::beam_search(model, batch.source, batch.source_lengths, search)) {
      const size_t i = *begin++;
      translated[i] = target.decode(found.ids);
      if (!found.finished && pairs[i].line > 0)
        std::cerr << "line " << pairs[i].line << ": the translation is cut after " << longest << " tokens\n";
    }
  }
  return translated;
}

}  // namespace gradus::examples
