// A checkpoint is one safetensors file: the weights by torch's names, and in its metadata the options, both
// vocabularies and how far training had come. It is written atomically, so there is always a whole one.
#pragma once

#include "examples/support/vocabulary.h"
#include "examples/translate/options.h"

namespace gradus::examples {

struct TrainedModel {
  TrainOptions options;
  Vocabulary source, target;
  nn::TranslationModel model;
};

void save_checkpoint(const std::string& path, nn::TranslationModel& model, const std::string& options_text,
                     const Vocabulary& source, const Vocabulary& target, int64_t step);
TrainedModel load_checkpoint(const std::string& path);

}  // namespace gradus::examples
