// The encoder-decoder Transformer of Vaswani et al. 2017, from embedded sequences to decoder states, in both orders of
// normalisation: post-norm as in the paper, or pre-norm (Xiong et al. 2020), which trains without careful warmup. Names,
// shapes and structure are those of torch.nn.Transformer, so that its state_dict loads unchanged.
#pragma once

#include "nn/attention.h"

namespace gradus::nn {

struct TransformerConfig {
  int64_t d_model = 512, heads = 8, layers = 6, ff = 2048;  // as many decoder as encoder layers
  double dropout = 0.1;  // after each sublayer, after the activation, and of the attention weights
  bool norm_first = false;
  Unary activation = Unary::relu;
};

// What encoder and decoder layers share: the residual branch around each sublayer, and the feed-forward sublayer.
class Layer : public Module {
 protected:
  explicit Layer(const TransformerConfig& config);

  // x + dropout(f(norm(x))), or norm(x + dropout(f(x)))
  template <class F>
  Variable residual(const Variable& x, const LayerNorm& norm, const F& f) {
    const double p = training() ? dropout_ : 0;
    if (norm_first_) return dropout_add(f(norm(x)), x, p, generator());
    return norm(dropout_add(f(x), x, p, generator()));
  }
  Variable feed_forward(const Variable& x);  // linear2(dropout(activation(linear1(x))))

  Linear linear1_, linear2_;

 private:
  double dropout_;
  bool norm_first_;
  Unary activation_;
};

class EncoderLayer : public Layer {
 public:
  explicit EncoderLayer(const TransformerConfig& config);
  void members(Visitor& visit) override;
  Variable operator()(const Variable& x, const Tensor& lengths);

 private:
  MultiHeadAttention self_attn_;
  LayerNorm norm1_, norm2_;
};

class DecoderLayer : public Layer {
 public:
  explicit DecoderLayer(const TransformerConfig& config);
  void members(Visitor& visit) override;
  Variable operator()(const Variable& x, const Variable& memory, const Tensor& lengths, const Tensor& memory_lengths);

  // Decoding: the token at `position` alone, earlier ones from the cache [B, longest, 2D].
  Variable step(const Variable& x, const Tensor& cache, int64_t position, const Variable& memory_keys_values,
                const Tensor& memory_lengths);
  Variable project_memory(const Variable& memory) const { return multihead_attn_.project_memory(memory); }

 private:
  template <class Self, class Cross>
  Variable sublayers(const Variable& x, const Self& self_attention, const Cross& cross_attention);

  MultiHeadAttention self_attn_, multihead_attn_;
  LayerNorm norm1_, norm2_, norm3_;
};

class Encoder : public Module {
 public:
  explicit Encoder(const TransformerConfig& config);
  void members(Visitor& visit) override;
  Variable operator()(const Variable& x, const Tensor& lengths);  // [B, S, D] -> [B, S, D]

 private:
  std::vector<EncoderLayer> layers_;
  LayerNorm norm_;
};

// What one decoding run remembers of the past.
struct DecoderState {
  std::vector<Tensor> cache;                 // per layer [B, longest, 2D]: keys and values of earlier tokens
  std::vector<Variable> memory_keys_values;  // per layer [B, S, 2D]
  Tensor memory_lengths;                     // i32 [B]
  int64_t position = 0;                      // tokens decoded so far
};

class Decoder : public Module {
 public:
  explicit Decoder(const TransformerConfig& config);
  void members(Visitor& visit) override;
  // x [B, T, D], memory [B, S, D] -> [B, T, D]; causal
  Variable operator()(const Variable& x, const Variable& memory, const Tensor& lengths, const Tensor& memory_lengths);

  DecoderState start(const Variable& memory, const Tensor& memory_lengths, int64_t longest);
  Variable step(const Variable& x, DecoderState& state);  // x [B, 1, D], the next token -> [B, 1, D]

 private:
  std::vector<DecoderLayer> layers_;
  LayerNorm norm_;
};

class Transformer : public Module {
 public:
  explicit Transformer(const TransformerConfig& config);
  void members(Visitor& visit) override;
  // src [B, S, D], tgt [B, T, D], lengths i32 [B] or none -> [B, T, D]
  Variable operator()(const Variable& src, const Variable& tgt, const Tensor& src_lengths = {},
                      const Tensor& tgt_lengths = {});

  Encoder& encoder() { return encoder_; }
  Decoder& decoder() { return decoder_; }
  const TransformerConfig& config() const { return config_; }

 private:
  TransformerConfig config_;
  Encoder encoder_;
  Decoder decoder_;
};

}  // namespace gradus::nn
