#include "nn/attention.h"

namespace gradus::nn {

MultiHeadAttention::MultiHeadAttention(int64_t d_model, int64_t heads, double dropout)
    : d_model_(d_model),
      heads_(heads),
      dropout_(dropout),
      in_proj_weight_(Tensor::zeros({3 * d_model, d_model}), true),
      in_proj_bias_(Tensor::zeros({3 * d_model}), true),
      out_proj_(d_model, d_model) {
  check(heads >= 1 && d_model % heads == 0, "attention: ", heads, " heads do not divide d_model ", d_model);
  check_probability("attention", dropout);
  init(0);
}

void MultiHeadAttention::members(Visitor& visit) {
  visit("in_proj_weight", in_proj_weight_, {Init::xavier_uniform});
  visit("in_proj_bias", in_proj_bias_, {Init::constant, 0});
  visit("out_proj", out_proj_);
}

Variable MultiHeadAttention::project(const Variable& x, int64_t from, int64_t to) const {
  if (to - from == 3 * d_model_) return linear(x, in_proj_weight_, in_proj_bias_);
  return linear(x, rows(in_proj_weight_, from, to), rows(in_proj_bias_, from, to));
}

Variable MultiHeadAttention::attend(const Columns& q, const Columns& k, const Columns& v, const Tensor& key_lengths,
                                    bool causal) {
  AttentionSpec spec{d_model_, heads_, causal, key_lengths, 0, {}};
  if (training() && dropout_ > 0) {
    spec.dropout = dropout_;
    spec.draw = generator().next_draw();
  }
  return out_proj_(attention(q, k, v, spec));
}

Variable MultiHeadAttention::self_attention(const Variable& x, const Tensor& lengths, bool causal) {
  const Variable qkv = project(x, 0, 3 * d_model_);
  return attend({qkv, 0}, {qkv, d_model_}, {qkv, 2 * d_model_}, lengths, causal);
}

Variable MultiHeadAttention::cross_attention(const Variable& x, const Variable& memory, const Tensor& memory_lengths) {
  return attend_memory(x, project_memory(memory), memory_lengths);
}

Variable MultiHeadAttention::project_memory(const Variable& memory) const {
  return project(memory, d_model_, 3 * d_model_);
}

Variable MultiHeadAttention::attend_memory(const Variable& x, const Variable& keys_values,
                                           const Tensor& memory_lengths) {
  return attend({project(x, 0, d_model_), 0}, {keys_values, 0}, {keys_values, d_model_}, memory_lengths, false);
}

Variable MultiHeadAttention::attend_cached(const Variable& x, const Tensor& cache, int64_t position) {
  const Variable qkv = project(x, 0, 3 * d_model_);
  const int64_t batch = cache.shape()[0], longest = cache.shape()[1], pair = 2 * d_model_;
  backend(cache.device()).copy_columns(batch, pair, qkv.value(), d_model_, 3 * d_model_, cache, position * pair,
                                       longest * pair);
  const Tensor lengths = Tensor::full({batch}, static_cast<double>(position + 1), DType::i32, cache.device());
  const Variable keys_values(cache);
  return attend({qkv, 0}, {keys_values, 0}, {keys_values, d_model_}, lengths, false);
}

}  // namespace gradus::nn
