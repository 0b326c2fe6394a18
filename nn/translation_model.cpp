#include "nn/translation_model.h"

#include <algorithm>

namespace gradus::nn {

namespace {

const TranslationModelConfig& checked(const TranslationModelConfig& c) {  // before anything is built from it
  Transformer::checked(c.transformer);
  check(c.source_vocab >= 1 && c.target_vocab >= 1 && c.longest >= 1,
        "translation model: expected vocabularies of at least 1, got ", c.source_vocab, " and ",
        c.target_vocab, ", and a longest sentence of at least 1, got ", c.longest);
  check(c.tie != Tie::all || c.source_vocab == c.target_vocab,
        "translation model: Tie::all needs one vocabulary, got ", c.source_vocab, " and ", c.target_vocab);
  return c;
}

}  // namespace

TranslationModel::TranslationModel(const TranslationModelConfig& c)
    : config_(checked(c)), source_embedding_(c.source_vocab, c.transformer.d_model),
      target_embedding_(c.target_vocab, c.transformer.d_model),
      output_(c.transformer.d_model, c.target_vocab, /*bias=*/false), transformer_(c.transformer),
      positions_(c.longest, c.transformer.d_model) {
  if (c.tie == Tie::all) target_embedding_ = Embedding(source_embedding_.weight());
  if (c.tie != Tie::none) output_ = Linear(target_embedding_.weight());
  init(0);  // and hands one generator to all layers
}

void TranslationModel::members(Visitor& visit) {
  visit("source_embedding", source_embedding_);
  visit("target_embedding", target_embedding_);
  visit("output", output_);
  visit("transformer", transformer_);
}

Variable TranslationModel::embed(const Embedding& table, const IdColumns& ids, int64_t position) {
  check(position + ids.count <= config_.longest, "translation model: a sentence of ", position + ids.count,
        " tokens is longer than its ", config_.longest, " positions");
  const Tensor& weight = table.weight().value();
  const Tensor positions = positions_.as(weight.dtype(), weight.device()).rows(position, config_.longest);
  const Variable x = table(ids, std::sqrt(config_.transformer.d_model), positions);
  return dropout(x, training() ? config_.transformer.dropout : 0, generator());
}

Variable TranslationModel::operator()(const Tensor& source, const Tensor& source_lengths,
                                      const Tensor& target_ids, const Tensor& target_lengths) {
  const Shape &s = source.shape(), &t = target_ids.shape();
  check(s.rank() == 2 && t.rank() == 2 && s[0] == t[0] && t[1] >= 2,
        "translation model: expected source [B, S] and target [B, T >= 2], got ", s, " and ", t);
  const Variable src = embed(source_embedding_, {source, 0, s[1]});
  const Variable tgt = embed(target_embedding_, {target_ids, 0, t[1] - 1});
  return output_(transformer_(src, tgt, source_lengths, target_lengths));
}

DecoderState TranslationModel::start(const Tensor& source, const Tensor& source_lengths, int64_t longest) {
  check(source.shape().rank() == 2, "translation model: expected source [B, S], got ", source.shape());
  check(longest >= 1 && longest <= config_.longest, "translation model: asked to decode ", longest,
        " tokens; it has ", config_.longest, " positions");
  const int64_t batch = source.shape()[0];
  const Variable src = embed(source_embedding_, {source, 0, source.shape()[1]});
  const Variable memory = transformer_.encoder(src, source_lengths);
  DecoderState state{{}, {}, source_lengths, 0, longest};
  for (const DecoderLayer& layer : transformer_.decoder.layers()) {
    state.cache.emplace_back(Shape{batch, longest, 2 * memory.shape()[2]}, memory.value().dtype(),
                             source.device());
    state.memory_keys_values.push_back(layer.project_memory(memory));
  }
  return state;
}

Tensor TranslationModel::step(DecoderState& s, std::span<const int32_t> ids) {
  check(s.position < s.longest, "translation model: decoding was started for ", s.longest, " tokens at most");
  const int64_t batch = static_cast<int64_t>(ids.size()),
                rows = s.cache.empty() ? batch : s.cache[0].shape()[0];
  check(batch == rows, "translation model: expected ", rows, " ids, one a sentence, got ", batch);
  const Tensor column = Tensor::from(ids, {batch, 1}, target_embedding_.weight().value().device());
  Variable x = embed(target_embedding_, {column, 0, 1}, s.position);
  std::vector<DecoderLayer>& layers = transformer_.decoder.layers();
  for (size_t i = 0; i < layers.size(); ++i)
    x = layers[i].step(x, s.cache[i], s.position, s.memory_keys_values[i], s.memory_lengths);
  ++s.position;
  return output_(transformer_.decoder.norm()(x)).value().reshape({batch, config_.target_vocab});
}

std::vector<std::vector<int32_t>> greedy_decode(TranslationModel& model, const Tensor& source,
                                                const Tensor& source_lengths, int64_t longest, int32_t bos,
                                                int32_t eos) {
  const Evaluating evaluating(model);
  const size_t batch = static_cast<size_t>(source.shape()[0]);
  DecoderState state = model.start(source, source_lengths, longest);
  std::vector<std::vector<int32_t>> sentences(batch);
  std::vector<int32_t> ids(batch, bos);
  std::vector<bool> finished(batch, false);
  for (int64_t t = 0; t < longest && std::count(finished.begin(), finished.end(), false) > 0; ++t) {
    const std::vector<double> logits = model.step(state, ids).to(DType::f64).to_vector<double>();
    const std::ptrdiff_t vocab = model.config().target_vocab;
    for (size_t b = 0; b < batch; ++b) {
      const auto row = logits.begin() + static_cast<std::ptrdiff_t>(b) * vocab;
      ids[b] = static_cast<int32_t>(std::max_element(row, row + vocab) - row);
      finished[b] = finished[b] || ids[b] == eos;
      if (!finished[b]) sentences[b].push_back(ids[b]);
    }
  }
  return sentences;
}

}  // namespace gradus::nn
