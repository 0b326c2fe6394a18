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
// once.
struct DecoderState {
  std::vector<Tensor> cache;                 // per layer [B, longest, 2D]: keys and values of earlier tokens
  std::vector<Variable> memory_keys_values;  // per layer [B, S, 2D]
  Tensor memory_lengths;                     // i32 [B]
  int64_t position = 0, longest = 0;         // tokens decoded so far, and at most
};

class TranslationModel : public Module {
 public:
  explicit TranslationModel(const TranslationModelConfig& config);
  void members(Visitor& visit) override;

  // source i32 [B, S]; target_ids i32 [B, T], BOS first, of which columns 0 .. T-2 are read; lengths i32 [B],
  // the target's counting BOS and EOS -> logits [B, T-1, target_vocab], the prediction of columns 1 .. T-1
  Variable operator()(const Tensor& source, const Tensor& source_lengths, const Tensor& target_ids,
                      const Tensor& target_lengths);

  // The state before the first of at most `longest` tokens; then, step by step, the logits [B, target_vocab]
  // that follow ids, the B tokens just chosen (BOS at first).
  DecoderState start(const Tensor& source, const Tensor& source_lengths, int64_t longest);
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

// The most probable token at each step, until EOS or `longest` tokens: for each row of source the tokens in
// between.
std::vector<std::vector<int32_t>> greedy_decode(TranslationModel& model, const Tensor& source,
                                                const Tensor& source_lengths, int64_t longest, int32_t bos,
                                                int32_t eos);

}  // namespace gradus::nn
