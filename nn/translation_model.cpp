#include "nn/translation_model.h"

#include <algorithm>
#include <cmath>

namespace gradus::nn {

TranslationModel::TranslationModel(const TranslationModelConfig& config)
    : config_(config),
      source_embedding_(config.source_vocab, config.transformer.d_model),
      target_embedding_(config.target_vocab, config.transformer.d_model),
      output_(config.transformer.d_model, config.target_vocab, /*bias=*/false),
      transformer_(config.transformer),
      positions_(config.longest, config.transformer.d_model) {
  check(config.source_vocab >= 1 && config.target_vocab >= 1, "translation model: expected vocabularies of at least 1, got ",
        config.source_vocab, " and ", config.target_vocab);
  check(config.tie != Tie::all || config.source_vocab == config.target_vocab,
        "translation model: Tie::all needs one vocabulary, got ", config.source_vocab, " and ", config.target_vocab);
  if (config.tie == Tie::all) target_embedding_ = Embedding(source_embedding_.weight());
  if (config.tie != Tie::none) output_ = Linear(target_embedding_.weight());
  generator();  // one for all layers
}

void TranslationModel::members(Visitor& visit) {
  visit("source_embedding", source_embedding_);
  visit("target_embedding", target_embedding_);
  visit("output", output_);
  visit("transformer", transformer_);
}

Variable TranslationModel::embed(const Embedding& table, const IdColumns& ids, int64_t position) {
  const Tensor& weight = table.weight().value();
  const Tensor& all = positions_.as(weight.dtype(), weight.device());
  check(position + ids.count <= config_.longest, "translation model: a sentence of ", position + ids.count,
        " tokens is longer than its ", config_.longest, " positions");
  const double scale = std::sqrt(static_cast<double>(config_.transformer.d_model));
  return dropout(table(ids, scale, all.rows(position, config_.longest)), training() ? config_.transformer.dropout : 0,
                 generator());
}

Variable TranslationModel::operator()(const Tensor& source, const Tensor& source_lengths, const Tensor& target_ids,
                                      const Tensor& target_lengths) {
  check(source.shape().rank() == 2 && target_ids.shape().rank() == 2 && source.shape()[0] == target_ids.shape()[0] &&
            target_ids.shape()[1] >= 2,
        "translation model: expected source [B, S] and target [B, T >= 2], got ", source.shape(), " and ",
        target_ids.shape());
  const Variable src = embed(source_embedding_, {source, 0, source.shape()[1]});
  const Variable tgt = embed(target_embedding_, {target_ids, 0, target_ids.shape()[1] - 1});
  return output_(transformer_(src, tgt, source_lengths, target_lengths));
}

DecoderState TranslationModel::start(const Tensor& source, const Tensor& source_lengths, int64_t longest) {
  check(source.shape().rank() == 2, "translation model: expected source [B, S], got ", source.shape());
  check(longest >= 1 && longest <= config_.longest, "translation model: asked to decode ", longest, " tokens; it has ",
        config_.longest, " positions");
  const Variable src = embed(source_embedding_, {source, 0, source.shape()[1]});
  return transformer_.decoder().start(transformer_.encoder()(src, source_lengths), source_lengths, longest);
}

Tensor TranslationModel::step(DecoderState& state, std::span<const int32_t> ids) {
  const int64_t batch = static_cast<int64_t>(ids.size());
  const Tensor column = Tensor::from(ids, {batch, 1}, target_embedding_.weight().value().device());
  const Variable x = embed(target_embedding_, {column, 0, 1}, state.position);
  const Variable y = output_(transformer_.decoder().step(x, state));
  return y.value().reshape({batch, config_.target_vocab});
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
    const std::vector<float> logits = model.step(state, ids).to(DType::f32).to_vector<float>();
    const size_t vocab = logits.size() / batch;
    for (size_t b = 0; b < batch; ++b) {
      const auto row = logits.begin() + static_cast<std::ptrdiff_t>(b * vocab);
      ids[b] = static_cast<int32_t>(std::max_element(row, row + static_cast<std::ptrdiff_t>(vocab)) - row);
      finished[b] = finished[b] || ids[b] == eos;
      if (!finished[b]) sentences[b].push_back(ids[b]);
    }
  }
  return sentences;
}

}  // namespace gradus::nn
