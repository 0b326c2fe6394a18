// From pairs of sentences to the rectangles that a model reads.
#pragma once

#include "examples/data/tokenizer.h"
#include "tensor/ops.h"

namespace gradus::examples {

struct IdPair {
  Ids source, target;  // the words alone: neither bos nor eos
  int64_t line = 0;    // where they come from, for messages
};

// Sentences in rows, padded on the right.
struct Batch {
  Tensor source, source_lengths;  // i32 [B, S], [B]
  Tensor target, target_lengths;  // i32 [B, T], [B]; a row is bos, words, eos, and its length all of these
  int64_t target_tokens;          // those to be predicted: the words and eos

  // i32 [B, T - 1]: target without bos, what is to be predicted.
  Tensor labels() const { return slice(target, 1, 1, target.shape()[1]); }
};

// Which pairs make a batch, and how wide its rectangles are at least.
struct BatchPlan {
  std::vector<size_t> pairs;
  int64_t source_width = 0, target_width = 0;
  bool operator==(const BatchPlan&) const = default;
};

// The pairs of a plan, in its order; or all of them. No pair, or an empty source, is an error.
Batch make_batch(const std::vector<IdPair>& pairs, const BatchPlan& plan);
Batch make_batch(const std::vector<IdPair>& pairs);

// How many positions a pair takes on its longer side. The decoder reads bos and the words, never eos.
int64_t positions(const IdPair& pair);

// One epoch: every pair once, in batches of at most `tokens` padded positions on their longer side (a longer
// pair stands alone). Pairs of like lengths share a bucket, and a bucket's batches have one shape: there are
// at most `max_shapes` of (rows, source_width, target_width), the same ones in every epoch, so that blocks of
// memory that are given back fit again. Order depends on (seed, epoch) alone
// and is the same on every machine, so (epoch, index of the batch) is a place to go on from.
constexpr size_t max_shapes = 24;
std::vector<BatchPlan> bucketed_batches(const std::vector<IdPair>& pairs, int64_t tokens, uint64_t seed,
                                        int64_t epoch);

}  // namespace gradus::examples
