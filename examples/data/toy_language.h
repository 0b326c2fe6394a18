// A toy translation task whose truth is known: English sentences of a small grammar and their French
// translations, with agreement, elision, contractions, negation and adjectives on both sides of the noun. The
// source settles the translation up to synonyms, and those have stated probabilities (dog: chien .7, toutou
// .3), so the distribution q(target | source) that a model can at best learn is computed here exactly. Not a
// translator: whatever the grammar does not derive is refused. Words are tokens; l', d', n' and j' are words
// of their own.
#pragma once

#include <map>
#include <random>

#include "examples/data/words.h"

namespace gradus::examples::toy {

inline const std::string kEndOfSentence;  // the empty word

// Draws in our own arithmetic: std distributions may differ between standard libraries, the engine may not.
class Rng {
 public:
  explicit Rng(uint64_t seed) : engine_(seed) {}
  double uniform() { return static_cast<double>(engine_() >> 11) * 0x1p-53; }  // in [0, 1)
  size_t below(size_t n) { return static_cast<size_t>(uniform() * static_cast<double>(n)); }

 private:
  std::mt19937_64 engine_;
};

// A hash of its words puts a source in one split, so the three (90, 5 and 5 %) are disjoint whatever is
// drawn.
enum class Split { train, valid, test };
Split split_of(const Words& source);

// At most 14 words, at most 64 translations.
Words sample_source(Rng& rng, Split split);

struct Translation {
  Words words;
  double probability;
};

// All translations, the most probable first; their probabilities sum to 1. This and the functions below parse
// the source, typed or sampled (a and an are read alike), and throw std::invalid_argument at the first word
// that the grammar does not allow.
std::vector<Translation> translations(const Words& source);
Words sample_translation(Rng& rng, const Words& source);

// q(next word | prefix, source), kEndOfSentence included. The prefix must begin some translation.
std::map<std::string, double> next_word(const Words& source, const Words& prefix);

// q of each word of a translation given the words before it, then of the end of sentence. The mean of -ln q
// over sampled references is the entropy floor; with the same q, (1 - eps) q + eps / V is what smoothed
// labels aim at.
std::vector<double> token_probabilities(const Words& source, const Words& translation);

// The vocabularies, sorted.
Words source_words();
Words target_words();

}  // namespace gradus::examples::toy
