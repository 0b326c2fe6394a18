// Corpus BLEU-4 against one reference (Papineni et al., 2002) as sacreBLEU 2 computes it, so that scores
// can stand beside published ones: its 13a tokens, its exponential smoothing (an order without a match
// counts 1/2, 1/4, ... of a match), sums over the whole corpus before any division. It is not a sentence
// score, and words are compared as they are, case included.
#pragma once

#include <array>

#include "examples/data/words.h"

namespace gradus::examples {

struct Bleu {
  double score = 0;                       // 0 to 100
  std::array<double, 4> precisions = {};  // of 1- to 4-grams, 0 to 100, smoothed
  double brevity_penalty = 1;
  int64_t hypothesis_length = 0, reference_length = 0;  // words
};

// What sacreBLEU prints for corpus_bleu on 13a tokens.
inline constexpr const char* bleu_signature = "nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp";

// One list of words per sentence. Different numbers of sentences, or none, are an error.
Bleu corpus_bleu(const std::vector<Words>& hypotheses, const std::vector<Words>& references);

std::vector<Words> tokenized(const std::vector<std::string>& lines);  // each by tokenize_13a

// The tokens of NIST's mteval-v13a.pl in sacreBLEU's version.
Words tokenize_13a(std::string line);

}  // namespace gradus::examples
