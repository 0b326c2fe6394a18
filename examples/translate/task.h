// A Task is what there is to learn: two tokenizers, training batches without end, and sentences held out.
// There are two: the toy language, drawn fresh, whose true distribution is known; and a parallel corpus in
// two text files.
#pragma once

#include <functional>

#include "examples/data/batch.h"
#include "examples/data/lines.h"
#include "examples/data/tokenizer.h"
#include "examples/translate/options.h"

namespace gradus::examples {

struct Tokenizers {
  Tokenizer source, target;
};

// Held-out sentences. For the toy language `floor` and `smoothed_floor` are known: the nll per word of the
// truth itself on these very references, and that of the model which smoothed labels aim at. Else they are 0.
struct HeldOut {
  std::vector<IdPair> pairs = {};
  ParallelText text = {};  // for BLEU alone: of the toy language with the most probable translations
  double floor = 0, smoothed_floor = 0;
};

struct Task {
  Tokenizers tokenizers;
  HeldOut validation;
  // Training batch `number`, from 0, without end. It follows from the seed and the number alone, so a run
  // that goes on needs to know no more than its step.
  std::function<Batch(int64_t number)> batch;
  int64_t batches_per_epoch = 0;  // 0: there are no epochs
  std::string data_hash = "toy";  // differs where the training data do
};

Task make_task(const TrainOptions& options, std::ostream& log);

// read_parallel, with a word about the pairs that it left out.
ParallelText read_pairs(const std::string& source, const std::string& target, std::ostream& log);

// The toy language's held-out sentences: `count` of the validation or, with `test`, of the test split.
HeldOut toy_held_out(bool test, size_t count, const TrainOptions& options, const Tokenizers& tokenizers);

}  // namespace gradus::examples
