// Search: the translation to which a model gives the highest score, or nearly so. Beam search keeps the best
// few beginnings of a sentence at each step; with a beam of 1 it is greedy decoding. All sentences of a batch
// are searched together, on the cached decoder, and leave the batch one by one as they are done.
#pragma once

#include <cmath>

#include "nn/translation_model.h"

namespace gradus::nn {

struct SearchOptions {
  int64_t beam = 4;             // this and the penalty as in Vaswani et al. 2017, section 6.1
  double length_penalty = 0.6;  // alpha >= 0; 0: none; larger ones favour longer sentences
  int64_t longest = 0;          // tokens at most, EOS among them; this and the next two must be given
  int32_t bos = -1, eos = -1;
  // Of a model trained with uniform smoothing eps: search by (p - eps / V) / (1 - eps), 0 where that is
  // negative (Liang et al. 2022).
  double rectify = 0;
  std::vector<int32_t> never = {};  // ids that are not produced, such as padding and BOS
};

struct Hypothesis {
  std::vector<int32_t> ids;    // between BOS and EOS
  double log_probability = 0;  // of these ids and, where finished, EOS after them
  double score = -INFINITY;
  bool finished = false;  // or else cut off after `longest` tokens
};

// For each row of source i32 [B, S] (lengths i32 [B]) the best hypothesis found. With n the number of tokens,
// EOS included,
//
//   score = log_probability / ((5 + n) / 6)^length_penalty        (Wu et al. 2016, equation 14)
//
// Where `longest` is reached, unfinished hypotheses compete by the same formula. Of equal scores the earlier
// found wins, of equal log-probabilities in one step the better parent's, then the lowest id. Probabilities
// are the model's own: they are not rescaled for what `never` leaves out.
std::vector<Hypothesis> beam_search(TranslationModel& model, const Tensor& source,
                                    const Tensor& source_lengths, const SearchOptions& options);

// A beam of 1: the most probable token at each step, until EOS or `longest` tokens. For each row of source
// the tokens in between.
inline std::vector<std::vector<int32_t>> greedy_decode(TranslationModel& model, const Tensor& source,
                                                       const Tensor& source_lengths, int64_t longest,
                                                       int32_t bos, int32_t eos) {
  const SearchOptions options{.beam = 1, .longest = longest, .bos = bos, .eos = eos};
  std::vector<std::vector<int32_t>> ids;
  for (Hypothesis& h : beam_search(model, source, source_lengths, options)) ids.push_back(std::move(h.ids));
  return ids;
}

}  // namespace gradus::nn
