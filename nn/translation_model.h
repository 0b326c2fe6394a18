// TranslationModel: token ids in, logits out. Embeddings times sqrt(d_model) plus sinusoidal positions, a
// Transformer, and an output layer without bias whose weight may be the target embedding's (Press & Wolf
// 2017) or all three one table.
#pragma once

#include "nn/transformer.h"

namespace gradus::nn {

enum class Tie { none, output, all };  // all: the source embedding too; both vocabularies are then one

struct TranslationModelConfig {
  int64_t source_vocab = 0, target_vocab = 0;
  Tie tie = Tie::output;
  TransformerConfig transformer = {};
  int64_t longest = 512;  // positions: sentences of more tokens are refused
};

// What a decoding run remembers of the past: decoding goes one token at a time, and each token is projected
// once. Each of the B sentences is continued in `beam` ways; row i beam + r is way r of sentence i, and the
// ways of a sentence share the keys and values of its source. A copy shares the tables with the original, as
// a Tensor does, and must not be decoded beside it.
struct DecoderState {
  std::vector<Tensor> cache;  // per layer [B beam, longest, 2D]: keys and values of earlier tokens
  std::vector<Variable> memory_keys_values;     // per layer [B, S, 2D]
  Tensor memory_lengths;                        // i32 [B]
  int64_t position = 0, longest = 0, beam = 1;  // tokens decoded so far, and at most

  // Row j goes on from what was row rows[j]: `beam` rows, all of one sentence, for each sentence that stays.
  // The sentences keep their order.
  void select(std::span<const int32_t> rows);
};

class TranslationModel : public Module {
 public:
  explicit TranslationModel(const TranslationModelConfig& config);
  void members(Visitor& visit) override;

  // source i32 [B, S]; target_ids i32 [B, T], BOS first, of which columns 0 .. T-2 are read; lengths i32 [B],
  // the target's counting BOS and EOS -> logits [B, T-1, target_vocab], the prediction of columns 1 .. T-1.
  // The batch may stay on the host wherever the model is: ids are checked there, and copied.
  Variable operator()(const Tensor& source, const Tensor& source_lengths, const Tensor& target_ids,
                      const Tensor& target_lengths);

  // The state before the first of at most `longest` tokens; then, step by step, the logits
  // [B beam, target_vocab] that follow ids, the tokens just chosen, one a row (BOS at first).
  DecoderState start(const Tensor& source, const Tensor& source_lengths, int64_t longest, int64_t beam = 1);
  Tensor step(DecoderState& state, std::span<const int32_t> ids);

  const TranslationModelConfig& config() const { return config_; }

 private:
  Variable embed(const Embedding& table, const IdColumns& ids, int64_t position = 0);

  TranslationModelConfig config_;
  Embedding source_embedding_, target_embedding_;
  Linear output_;
  Transformer transformer_;
  SinusoidalPositions positions_;
};

}  // namespace gradus::nn
