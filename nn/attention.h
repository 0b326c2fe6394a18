// Multi-head attention (Vaswani et al. 2017, section 3.2) with torch's parameters: one in_proj_weight [3D, D]
// whose rows are the projections of queries, keys and values, and an out_proj. The projections stay packed,
// [B, T, 3D] or [B, T, 2D]; the attention kernel reads each head's columns in place. Masks are lengths and a
// causal flag.
#pragma once

#include "nn/layers.h"

namespace gradus::nn {

class MultiHeadAttention : public Module {
 public:
  MultiHeadAttention(int64_t d_model, int64_t heads, double dropout = 0)
      : d_(checked_width(d_model, heads)), heads_(heads), dropout_(dropout),
        in_proj_weight_(parameter({3 * d_model, d_model}, Init::xavier_uniform(d_model, 3 * d_model))),
        in_proj_bias_(parameter({3 * d_model})), out_proj_(d_model, d_model) {
    check_probability("attention", dropout);
  }

  void members(Visitor& visit) override {
    visit("in_proj_weight", in_proj_weight_);
    visit("in_proj_bias", in_proj_bias_);
    visit("out_proj", out_proj_);
  }

  // x [B, T, D], lengths i32 [B] or none -> [B, T, D]
  Variable self_attention(const Variable& x, const Tensor& lengths, bool causal = false) {
    const Variable qkv = linear(x, in_proj_weight_, in_proj_bias_);
    return attend({qkv}, {qkv, d_}, {qkv, 2 * d_}, lengths, causal);
  }

  Variable cross_attention(const Variable& x, const Variable& memory, const Tensor& memory_lengths) {
    return attend_memory(x, project_memory(memory), memory_lengths);
  }

  // The same in two steps, for decoding one token at a time: keys and values are projected once and kept.
  Variable project_memory(const Variable& memory) const { return project(memory, d_, 3 * d_); }  // [B, S, 2D]
  Variable attend_memory(const Variable& x, const Variable& keys_values, const Tensor& memory_lengths) {
    return attend({project(x, 0, d_)}, {keys_values}, {keys_values, d_}, memory_lengths);
  }

  // x [B, 1, D] is token number `position`; its key and value join cache [B, longest, 2D]. Not for training:
  // what stands in the cache is off the tape.
  Variable attend_cached(const Variable& x, const Tensor& cache, int64_t position) {
    const Variable qkv = linear(x, in_proj_weight_, in_proj_bias_), keys_values(cache);
    store_columns(qkv.value(), d_, cache, position);
    const Tensor lengths = Tensor::full({cache.shape()[0]}, position + 1, DType::i32, cache.device());
    return attend({qkv}, {keys_values}, {keys_values, d_}, lengths);
  }

 private:
  static int64_t checked_width(int64_t d_model, int64_t heads) {  // before anything is built from it
    check(heads >= 1 && d_model >= 1 && d_model % heads == 0, "attention: ", heads,
          " heads do not divide d_model ", d_model);
    return d_model;
  }

  Variable project(const Variable& x, int64_t from, int64_t to) const {  // by these rows of in_proj_weight
    return linear_rows(x, in_proj_weight_, in_proj_bias_, from, to);
  }

  Variable attend(const Columns& q, const Columns& k, const Columns& v, const Tensor& key_lengths,
                  bool causal = false) {
    AttentionSpec spec{.d_model = d_, .heads = heads_, .causal = causal, .key_lengths = key_lengths};
    if (training() && dropout_ > 0) {
      spec.dropout = dropout_;
      spec.draw = generator().next_draw();
    }
    return out_proj_(attention(q, k, v, spec));
  }

  int64_t d_, heads_;  // d_model
  double dropout_;
  Variable in_proj_weight_, in_proj_bias_;  // [3D, D], [3D]
  Linear out_proj_;
};

}  // namespace gradus::nn
