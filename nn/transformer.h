// The encoder-decoder Transformer of Vaswani et al. 2017, from embedded sequences to decoder states, in both
// orders of normalisation: post-norm as in the paper, or pre-norm (Xiong et al. 2020), which trains without
// careful warmup. Names, shapes and structure are those of torch.nn.Transformer, so that its state_dict loads
// unchanged.
#pragma once

#include "nn/attention.h"

namespace gradus::nn {

struct TransformerConfig {
  int64_t d_model = 512, heads = 8, layers = 6, ff = 2048;  // as many decoder as encoder layers
  double dropout = 0.1;  // after each sublayer, after the activation, and of the attention weights
  bool norm_first = false;
  Unary activation = Unary::relu;
};

inline const TransformerConfig& checked(const TransformerConfig& c) {  // before anything is built from it
  check(c.d_model >= 1 && c.heads >= 1 && c.d_model % c.heads == 0, "transformer: ", c.heads,
        " heads do not divide d_model ", c.d_model);
  check(c.layers >= 0 && c.ff >= 1, "transformer: expected layers >= 0 and ff >= 1, got ", c.layers, " and ",
        c.ff);
  check_probability("transformer", c.dropout);
  return c;
}

// What encoder and decoder layers share: self-attention, feed-forward, and the residual branch around each
// sublayer.
class Layer : public Module {
 public:
  explicit Layer(const TransformerConfig& c)
      : self_attn_(checked(c).d_model, c.heads, c.dropout), linear1_(c.d_model, c.ff),
        linear2_(c.ff, c.d_model), norm1_(c.d_model), norm2_(c.d_model), config_(c) {}

  void members(Visitor& visit) override {
    visit("self_attn", self_attn_);
    visit("linear1", linear1_);
    visit("linear2", linear2_);
    visit("norm1", norm1_);
    visit("norm2", norm2_);
  }

 protected:
  // x + dropout(f(norm(x))), or norm(x + dropout(f(x)))
  template <class F> Variable residual(const Variable& x, const LayerNorm& norm, const F& f) {
    return config_.norm_first ? add_dropped(x, f(norm(x))) : norm(add_dropped(x, f(x)));
  }

  Variable feed_forward(const Variable& x, const LayerNorm& norm) {
    return residual(x, norm, [&](const Variable& h) {
      if (!training() || config_.dropout == 0) return linear2_(linear1_(h, config_.activation));
      return linear2_(linear1_.dropped(h, config_.activation, config_.dropout, generator()));
    });
  }

  MultiHeadAttention self_attn_;
  Linear linear1_, linear2_;
  LayerNorm norm1_, norm2_;

 private:
  // x + dropout(y). A layer that drops nothing asks for no generator.
  Variable add_dropped(const Variable& x, const Variable& y) {
    if (training() && config_.dropout > 0) return dropout_add(y, x, config_.dropout, generator());
    return x + y;
  }

  TransformerConfig config_;
};

class EncoderLayer : public Layer {
 public:
  using Layer::Layer;

  // x [B, T, D], lengths i32 [B] or none -> [B, T, D]. Causal, position t sees what stands at t and before:
  // the layer of a language model.
  Variable operator()(const Variable& x, const Tensor& lengths = {}, bool causal = false) {
    const auto self = [&](const Variable& h) { return self_attn_.self_attention(h, lengths, causal); };
    return feed_forward(residual(x, norm1_, self), norm2_);
  }

  // The causal layer for the token at `position` alone, x [B, 1, D]: what it needs of earlier ones stands in
  // the cache [B, longest, 2D], and what later ones need of it joins them. Not for training.
  Variable step(const Variable& x, const Tensor& cache, int64_t position) {
    const auto self = [&](const Variable& h) { return self_attn_.attend_cached(h, cache, position); };
    return feed_forward(residual(x, norm1_, self), norm2_);
  }
};

class DecoderLayer : public Layer {
 public:
  explicit DecoderLayer(const TransformerConfig& c)
      : Layer(c), multihead_attn_(c.d_model, c.heads, c.dropout), norm3_(c.d_model) {}

  void members(Visitor& visit) override {
    visit("self_attn", self_attn_);
    visit("multihead_attn", multihead_attn_);
    visit("linear1", linear1_);
    visit("linear2", linear2_);
    visit("norm1", norm1_);
    visit("norm2", norm2_);
    visit("norm3", norm3_);
  }

  Variable operator()(const Variable& x, const Variable& memory, const Tensor& lengths,
                      const Tensor& memory_lengths) {
    const auto self = [&](const Variable& h) {
      return self_attn_.self_attention(h, lengths, /*causal=*/true);
    };
    const auto cross = [&](const Variable& h) {
      return multihead_attn_.cross_attention(h, memory, memory_lengths);
    };
    Variable y = residual(x, norm1_, self);
    y = residual(y, norm2_, cross);
    return feed_forward(y, norm3_);
  }

  // Decoding: the token at `position` alone, x [B beam, 1, D]; earlier ones come from the cache
  // [B beam, longest, 2D]. The beams of a sentence are so many queries to the one memory: [B, beam, D].
  Variable step(const Variable& x, const Tensor& cache, int64_t position, const Variable& keys_values,
                const Tensor& memory_lengths) {
    const auto self = [&](const Variable& h) { return self_attn_.attend_cached(h, cache, position); };
    const auto cross = [&](const Variable& h) {
      const int64_t batch = keys_values.shape()[0];
      const Variable queries = reshape(h, {batch, h.shape()[0] / batch, h.shape()[2]});
      return reshape(multihead_attn_.attend_memory(queries, keys_values, memory_lengths), h.shape());
    };
    Variable y = residual(x, norm1_, self);
    y = residual(y, norm2_, cross);
    return feed_forward(y, norm3_);
  }

  Variable project_memory(const Variable& memory) const { return multihead_attn_.project_memory(memory); }

 private:
  MultiHeadAttention multihead_attn_;
  LayerNorm norm3_;
};

// Layers one after the other, and a final norm in both orders of normalisation.
template <class L> class Stack : public Module {
 public:
  explicit Stack(const TransformerConfig& config) : norm_(checked(config).d_model) {
    for (int64_t i = 0; i < config.layers; ++i) layers_.emplace_back(config);
  }

  void members(Visitor& visit) override {
    visit("layers", layers_);
    visit("norm", norm_);
  }

  template <class... Inputs> Variable operator()(Variable x, const Inputs&... inputs) {
    for (L& layer : layers_) x = layer(x, inputs...);
    return norm_(x);
  }

  std::vector<L>& layers() { return layers_; }
  const std::vector<L>& layers() const { return layers_; }
  const LayerNorm& norm() const { return norm_; }

 private:
  std::vector<L> layers_;
  LayerNorm norm_;
};

class Transformer : public Module {
 public:
  explicit Transformer(const TransformerConfig& config) : encoder(config), decoder(config) {
    generator();  // one for all layers
  }

  void members(Visitor& visit) override {
    visit("encoder", encoder);
    visit("decoder", decoder);
  }

  // src [B, S, D], tgt [B, T, D], lengths i32 [B] or none -> [B, T, D]; the decoder is causal
  Variable operator()(const Variable& src, const Variable& tgt, const Tensor& src_lengths = {},
                      const Tensor& tgt_lengths = {}) {
    return decoder(tgt, encoder(src, src_lengths), tgt_lengths, src_lengths);
  }

  Stack<EncoderLayer> encoder;
  Stack<DecoderLayer> decoder;
};

}  // namespace gradus::nn
