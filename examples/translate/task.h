// A Task is what there is to learn: two tokenizers, training batches without end, and sentences held out.
// There are two: the toy language, drawn fresh, whose true distribution is known; and a parallel corpus in
// two text files.
#pragma once

#include <memory>

#include "examples/support/batch.h"
#include "examples/support/text.h"
#include "examples/support/tokenizer.h"
#include "examples/translate/options.h"

namespace gradus::examples {

// Held-out sentences. For the toy language `floor` and `smoothed_floor` are known: the nll per word of the
// truth itself on these very references, and that of the model which smoothed labels aim at. Else they are 0.
struct HeldOut {
  std::vector<IdPair> pairs;
  std::vector<Words> best;  // the most probable translation, where it is known
  double floor = 0, smoothed_floor = 0;
};

class Task {
 public:
  virtual ~Task() = default;
  // Training batch `number`, from 0, without end. It follows from the seed and the number alone, so a run
  // that goes on needs to know no more than its step.
  virtual Batch batch(int64_t number) = 0;
  virtual int64_t batches_per_epoch() const { return 0; }  // 0: there are no epochs
  virtual std::string data_hash() const { return "toy"; }  // differs where the training data do
  const Tokenizer& source_vocabulary() const { return source_; }
  const Tokenizer& target_vocabulary() const { return target_; }
  const HeldOut& validation() const { return validation_; }

 protected:
  Task(Tokenizer source, Tokenizer target) : source_(std::move(source)), target_(std::move(target)) {}
  Tokenizer source_, target_;
  HeldOut validation_;
};

// read_parallel, with a word about the pairs that it left out.
ParallelText read_pairs(const std::string& source, const std::string& target, std::ostream& log);

std::unique_ptr<Task> make_task(const TrainOptions& options, std::ostream& log);

// The toy language's held-out sentences: `count` of the validation or, with `test`, of the test split.
HeldOut toy_held_out(bool test, size_t count, const TrainOptions& options, const Tokenizer& source,
                     const Tokenizer& target);

}  // namespace gradus::examples
