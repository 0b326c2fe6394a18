#include "nn/translation_model.h"

#include <algorithm>
#include <numeric>

#include "tensor/fused_ops.h"

namespace gradus::nn {

namespace {

const TranslationModelConfig& checked(const TranslationModelConfig& c) {  // before anything is built from it
  nn::checked(c.transformer);
  check(c.source_vocab >= 1 && c.target_vocab >= 1 && c.longest >= 1,
        "translation model: expected vocabularies of at least 1, got ", c.source_vocab, " and ",
        c.target_vocab, ", and a longest sentence of at least 1, got ", c.longest);
  check(c.tie != Tie::all || c.source_vocab == c.target_vocab,
        "translation model: Tie::all needs one vocabulary, got ", c.source_vocab, " and ", c.target_vocab);
  return c;
}

// The target's lengths [B] as those of the decoder's input, which ends before the last column.
Tensor input_lengths(const Tensor& target_lengths, int64_t columns) {
  if (!target_lengths) return {};
  std::vector<int32_t> lengths = target_lengths.to_vector<int32_t>();
  for (int32_t& length : lengths) length = std::min(length, static_cast<int32_t>(columns));
  return Tensor::from(lengths, target_lengths.shape());
}

}  // namespace

void DecoderState::select(std::span<const int32_t> rows) {
  std::vector<int32_t> all(memory_lengths.size() * beam);
  std::iota(all.begin(), all.end(), 0);
  if (std::ranges::equal(rows, all)) return;
  check(std::ssize(rows) % beam == 0, "decoder state: expected ", beam, " rows a sentence, got ",
        rows.size());
  for (int64_t j = 0; j < std::ssize(rows); ++j) {
    const int64_t sentence = rows[j] / beam, first = rows[j - j % beam] / beam;
    const bool in_order = j < beam || sentence > rows[j - j % beam - 1] / beam;
    check(rows[j] >= 0 && rows[j] < std::ssize(all) && sentence == first && in_order, "decoder state: row ",
          rows[j], " at place ", j, " is of no sentence that may stand there");
  }
  const auto ids = [](std::span<const int32_t> some) { return Tensor::from(some, {std::ssize(some)}); };
  for (Tensor& layer : cache) layer = gradus::rows(layer, ids(rows));
  if (rows.size() == all.size()) return;  // no sentence was left out
  std::vector<int32_t> sentences;
  for (size_t j = 0; j < rows.size(); j += beam) sentences.push_back(rows[j] / static_cast<int32_t>(beam));
  for (Variable& layer : memory_keys_values) layer = gradus::rows(layer.value(), ids(sentences));
  memory_lengths = gradus::rows(memory_lengths, ids(sentences));
}

TranslationModel::TranslationModel(const TranslationModelConfig& c)
    : config_(checked(c)), source_embedding_(c.source_vocab, c.transformer.d_model),
      target_embedding_(c.target_vocab, c.transformer.d_model),
      output_(c.transformer.d_model, c.target_vocab, /*bias=*/false), transformer_(c.transformer),
      positions_(c.longest, c.transformer.d_model) {
  if (c.tie == Tie::all) target_embedding_ = Embedding(source_embedding_.weight());
  if (c.tie != Tie::none) output_ = Linear(target_embedding_.weight());
  generator();  // one for all layers
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
  const Tensor positions = positions_.rows(position, position + ids.count, weight.dtype(), weight.device());
  const Variable x = table(ids, std::sqrt(config_.transformer.d_model), positions);
  return dropout(x, training() ? config_.transformer.dropout : 0, generator());
}

Variable TranslationModel::operator()(const Tensor& source, const Tensor& source_lengths,
                                      const Tensor& target_ids, const Tensor& target_lengths) {
  const Shape &s = source.shape(), &t = target_ids.shape();
  check(s.rank() == 2 && t.rank() == 2 && s[0] == t[0] && t[1] >= 2,
        "translation model: expected source [B, S] and target [B, T >= 2], got ", s, " and ", t);
  check_lengths("translation model: source", source_lengths, s[1]);
  check_lengths("translation model: target", target_lengths, t[1]);
  const Variable src = embed(source_embedding_, source);
  const Variable tgt = embed(target_embedding_, {target_ids, 0, t[1] - 1});
  const Device device = src.value().device();  // once for all layers
  const Tensor tgt_lengths = input_lengths(target_lengths, t[1] - 1).to(device);
  return output_(transformer_(src, tgt, source_lengths.to(device), tgt_lengths));
}

DecoderState TranslationModel::start(const Tensor& source, const Tensor& source_lengths, int64_t longest,
                                     int64_t beam) {
  const Shape &s = source.shape(), &l = source_lengths.shape();
  check(s.rank() == 2 && l == Shape{s[0]}, "translation model: expected source [B, S] and lengths [B], got ",
        s, " and ", l);
  check(beam >= 1, "translation model: expected a beam of at least 1, got ", beam);
  check(longest >= 1 && longest <= config_.longest, "translation model: asked to decode ", longest,
        " tokens; it has ", config_.longest, " positions");
  check_lengths("translation model: source", source_lengths, s[1]);
  const Variable src = embed(source_embedding_, source);
  const Tensor lengths = source_lengths.to(src.value().device());
  const Variable memory = transformer_.encoder(src, lengths);
  DecoderState state{{}, {}, lengths, 0, longest, beam};
  for (const DecoderLayer& layer : transformer_.decoder.layers()) {
    const Tensor& m = memory.value();  // zeros, since what is not seen yet must be finite
    state.cache.push_back(Tensor::zeros({s[0] * beam, longest, 2 * m.shape()[2]}, m.dtype(), m.device()));
    state.memory_keys_values.push_back(layer.project_memory(memory));
  }
  return state;
}

Tensor TranslationModel::step(DecoderState& s, std::span<const int32_t> ids) {
  check(s.position < s.longest, "translation model: decoding was started for ", s.longest, " tokens at most");
  const int64_t n = static_cast<int64_t>(ids.size()), rows = s.memory_lengths.size() * s.beam;
  check(n == rows, "translation model: expected ", rows, " ids, one a row, got ", n);
  const Tensor column = Tensor::from(ids, {n, 1}, target_embedding_.weight().value().device());
  Variable x = embed(target_embedding_, {column, 0, 1}, s.position);
  std::vector<DecoderLayer>& layers = transformer_.decoder.layers();
  for (size_t i = 0; i < layers.size(); ++i)
    x = layers[i].step(x, s.cache[i], s.position, s.memory_keys_values[i], s.memory_lengths);
  ++s.position;
  return output_(transformer_.decoder.norm()(x)).value().reshape({n, config_.target_vocab});
}

}  // namespace gradus::nn
