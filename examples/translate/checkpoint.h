// A checkpoint is one safetensors file: the weights by torch's names, and in its metadata the options, both
// tokenizers and how far training had come. It is written atomically, so there is always a whole one.
#pragma once

#include "examples/support/tokenizer.h"
#include "examples/translate/options.h"

namespace gradus::examples {

struct TrainedModel {
  TrainOptions options;
  Tokenizer source, target;
  nn::TranslationModel model;
};

void save_checkpoint(const std::string& path, nn::TranslationModel& model, const std::string& options_text,
                     const Tokenizer& source, const Tokenizer& target, int64_t step);
TrainedModel load_checkpoint(const std::string& path);

}  // namespace gradus::examples
