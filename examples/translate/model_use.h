// What the commands do with a model, once there is one: measure its loss, and translate with it.
#pragma once

#include "examples/data/batch.h"
#include "examples/translate/task.h"
#include "losses/translation_loss.h"

namespace gradus::examples {

// The loss over all pairs, without dropout and without recording.
losses::LossSums loss_of(nn::TranslationModel& model, const losses::TranslationLoss& criterion,
                         const std::vector<IdPair>& pairs, int64_t batch_tokens);

// A line's ids; none of a blank line. Standard error tells of words that the tokenizer does not know.
Ids encoded(const Tokenizer& tokenizer, const std::string& line, int64_t number);

struct Decoding {
  int64_t beam = 4;
  double length_penalty = 0.6;
  int64_t longest = 0;  // tokens of a translation; 0: as many as the model has positions
};

// Translations of the pairs' sources, in their order; nothing for nothing. Standard error tells, with its
// line, of a source that is cut to the model's positions, and of a translation cut at the longest length.
std::vector<std::string> translate_all(nn::TranslationModel& model, const Tokenizer& target,
                                       std::vector<IdPair> pairs, const Decoding& decoding);

}  // namespace gradus::examples
