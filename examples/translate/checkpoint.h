// A checkpoint is one safetensors file: the weights by torch's names, what Adam remembers, and in its
// metadata the options, both tokenizers and how far training had come. It is written atomically, so there is
// always a whole one. Random numbers and batches are named by seed and step, so nothing else is needed to go
// on.
#pragma once

#include <cmath>
#include <map>

#include "examples/translate/task.h"

namespace gradus::examples {

struct Checkpoint {
  TrainOptions options;
  Tokenizers tokenizers;
  std::string data_hash;
  int64_t step = 0;                         // the next batch follows from it
  double best_nll = INFINITY, seconds = 0;  // seconds: of training so far; 0 unless --max-minutes counts them
  std::map<std::string, Tensor> weights = {}, optimizer = {};
};

void save_checkpoint(const std::string& path, const Checkpoint& checkpoint);
Checkpoint load_checkpoint(const std::string& path);

}  // namespace gradus::examples
