#include "examples/data/lines.h"
#include "examples/data/toy_language.h"
#include "examples/data/words.h"
#include "examples/label_smoothing/training.h"
#include "tensor/error.h"

namespace gradus::examples::lab {

IdPair toy_pair(toy::Rng& rng, toy::Split split, const Lesson& lesson) {
  Words words;
  do words = toy::sample_source(rng, split);
  while (words.size() > 6);
  return {lesson.source.encode(words), lesson.target.encode(toy::sample_translation(rng, words))};
}

Lesson toy_lesson() {
  Lesson lesson{"toy", Vocabulary(toy::source_words()), Vocabulary(toy::target_words())};
  toy::Rng rng(20170706);  // whatever the seed of a run: the same sentences for all
  for (int i = 0; i < 200; ++i) {
    lesson.valid.push_back(toy_pair(rng, toy::Split::valid, lesson));
    lesson.test.push_back(toy_pair(rng, toy::Split::test, lesson));
  }
  for (const IdPair& pair : lesson.test) {
    const Words source = lesson.source.decode(pair.source), target = lesson.target.decode(pair.target);
    lesson.best.push_back(toy::translations(source)[0].words);
    for (size_t t = 0; t <= target.size(); ++t) {
      auto& q = lesson.truth.emplace_back();
      for (const auto& [word, probability] :
           toy::next_word(source, {target.begin(), target.begin() + static_cast<std::ptrdiff_t>(t)}))
        q[word == toy::kEndOfSentence ? Vocabulary::eos : lesson.target.id(word)] = probability;
    }
  }
  return lesson;
}

// Sentences of at most 20 words; every twentieth pair is held out, by turns to validate and to test.
Lesson text_lesson(const std::string& source_path, const std::string& target_path) {
  const ParallelText text = read_parallel(source_path, target_path);
  std::string all;
  for (size_t i = 0; i < text.source.size(); ++i) all += text.source[i] + '\n' + text.target[i] + '\n';
  Lesson lesson{message(std::hex, content_hash(all)), Vocabulary::learn(text.source, 2000, 2),
                Vocabulary::learn(text.target, 2000, 2)};
  for (size_t i = 0; i < text.source.size(); ++i) {
    const Words source = split_words(text.source[i]), target = split_words(text.target[i]);
    if (source.size() > 20 || target.size() > 20) continue;
    IdPair pair{lesson.source.encode(source), lesson.target.encode(target), text.lines[i]};
    const bool held_out = is_held_out(text.source[i], 0.05), test = lesson.valid.size() > lesson.test.size();
    auto& part = !held_out ? lesson.train : test ? lesson.test : lesson.valid;
    if (held_out && part.size() >= 200) continue;
    part.push_back(std::move(pair));
    if (held_out && test) lesson.best.push_back(target);
  }
  check_world(lesson.train.size() >= 400 && lesson.test.size() >= 20, "label_smoothing: ", source_path,
              " has ", lesson.train.size(), " pairs of at most 20 words to learn from and ",
              lesson.test.size(), " to test on; expected 400 and 20 at least");
  return lesson;
}

}  // namespace gradus::examples::lab
