#include "nn/transformer.h"

namespace gradus::nn {

Layer::Layer(const TransformerConfig& config)
    : linear1_(config.d_model, config.ff),
      linear2_(config.ff, config.d_model),
      dropout_(config.dropout),
      norm_first_(config.norm_first),
      activation_(config.activation) {}

Variable Layer::feed_forward(const Variable& x) {
  return linear2_(dropout(linear1_(x, activation_), training() ? dropout_ : 0, generator()));
}

EncoderLayer::EncoderLayer(const TransformerConfig& config)
    : Layer(config),
      self_attn_(config.d_model, config.heads, config.dropout),
      norm1_(config.d_model),
      norm2_(config.d_model) {}

void EncoderLayer::members(Visitor& visit) {
  visit("self_attn", self_attn_);
  visit("linear1", linear1_);
  visit("linear2", linear2_);
  visit("norm1", norm1_);
  visit("norm2", norm2_);
}

Variable EncoderLayer::operator()(const Variable& x, const Tensor& lengths) {
  const Variable attended =
      residual(x, norm1_, [&](const Variable& h) { return self_attn_.self_attention(h, lengths, /*causal=*/false); });
  return residual(attended, norm2_, [&](const Variable& h) { return feed_forward(h); });
}

DecoderLayer::DecoderLayer(const TransformerConfig& config)
    : Layer(config),
      self_attn_(config.d_model, config.heads, config.dropout),
      multihead_attn_(config.d_model, config.heads, config.dropout),
      norm1_(config.d_model),
      norm2_(config.d_model),
      norm3_(config.d_model) {}

void DecoderLayer::members(Visitor& visit) {
  visit("self_attn", self_attn_);
  visit("multihead_attn", multihead_attn_);
  visit("linear1", linear1_);
  visit("linear2", linear2_);
  visit("norm1", norm1_);
  visit("norm2", norm2_);
  visit("norm3", norm3_);
}

template <class Self, class Cross>
Variable DecoderLayer::sublayers(const Variable& x, const Self& self_attention, const Cross& cross_attention) {
  const Variable a = residual(x, norm1_, self_attention);
  const Variable b = residual(a, norm2_, cross_attention);
  return residual(b, norm3_, [&](const Variable& h) { return feed_forward(h); });
}

Variable DecoderLayer::operator()(const Variable& x, const Variable& memory, const Tensor& lengths,
                                  const Tensor& memory_lengths) {
  return sublayers(
      x, [&](const Variable& h) { return self_attn_.self_attention(h, lengths, /*causal=*/true); },
      [&](const Variable& h) { return multihead_attn_.cross_attention(h, memory, memory_lengths); });
}

Variable DecoderLayer::step(const Variable& x, const Tensor& cache, int64_t position,
                            const Variable& memory_keys_values, const Tensor& memory_lengths) {
  return sublayers(
      x, [&](const Variable& h) { return self_attn_.attend_cached(h, cache, position); },
      [&](const Variable& h) { return multihead_attn_.attend_memory(h, memory_keys_values, memory_lengths); });
}

Encoder::Encoder(const TransformerConfig& config) : norm_(config.d_model) {
  for (int64_t i = 0; i < config.layers; ++i) layers_.emplace_back(config);
}

void Encoder::members(Visitor& visit) {
  visit("layers", layers_);
  visit("norm", norm_);
}

Variable Encoder::operator()(const Variable& x, const Tensor& lengths) {
  Variable h = x;
  for (EncoderLayer& layer : layers_) h = layer(h, lengths);
  return norm_(h);
}

Decoder::Decoder(const TransformerConfig& config) : norm_(config.d_model) {
  for (int64_t i = 0; i < config.layers; ++i) layers_.emplace_back(config);
}

void Decoder::members(Visitor& visit) {
  visit("layers", layers_);
  visit("norm", norm_);
}

Variable Decoder::operator()(const Variable& x, const Variable& memory, const Tensor& lengths,
                             const Tensor& memory_lengths) {
  Variable h = x;
  for (DecoderLayer& layer : layers_) h = layer(h, memory, lengths, memory_lengths);
  return norm_(h);
}

DecoderState Decoder::start(const Variable& memory, const Tensor& memory_lengths, int64_t longest) {
  const Tensor& m = memory.value();  // [B, S, D]
  DecoderState state{{}, {}, memory_lengths, 0};
  for (const DecoderLayer& layer : layers_) {
    state.cache.emplace_back(Shape{m.shape()[0], longest, 2 * m.shape()[2]}, m.dtype(), m.device());
    state.memory_keys_values.push_back(layer.project_memory(memory));
  }
  return state;
}

Variable Decoder::step(const Variable& x, DecoderState& state) {
  check(state.cache.empty() || state.position < state.cache[0].shape()[1], "decoder: the state has room for ",
        state.cache.empty() ? 0 : state.cache[0].shape()[1], " tokens");
  Variable h = x;
  for (size_t i = 0; i < layers_.size(); ++i)
    h = layers_[i].step(h, state.cache[i], state.position, state.memory_keys_values[i], state.memory_lengths);
  ++state.position;
  return norm_(h);
}

Transformer::Transformer(const TransformerConfig& config) : config_(config), encoder_(config), decoder_(config) {
  check(config.layers >= 0 && config.ff >= 1, "transformer: expected layers >= 0 and ff >= 1, got ", config.layers,
        " and ", config.ff);
  generator();  // one for all layers
}

void Transformer::members(Visitor& visit) {
  visit("encoder", encoder_);
  visit("decoder", decoder_);
}

Variable Transformer::operator()(const Variable& src, const Variable& tgt, const Tensor& src_lengths,
                                 const Tensor& tgt_lengths) {
  return decoder_(tgt, encoder_(src, src_lengths), tgt_lengths, src_lengths);
}

}  // namespace gradus::nn
