// Multi-head attention (Vaswani et al. 2017, section 3.2) with torch's parameters: one in_proj_weight [3D, D] whose rows
// are the projections of queries, keys and values, and an out_proj. The projections stay packed, [B, T, 3D] or
// [B, T, 2D]; the attention kernel reads each head's columns in place. Masks are lengths and a causal flag.
#pragma once

#include "nn/layers.h"

namespace gradus::nn {

class MultiHeadAttention : public Module {
 public:
  MultiHeadAttention(int64_t d_model, int64_t heads, double dropout = 0);
  void members(Visitor& visit) override;

  // x [B, T, D]; lengths i32 [B] or none
  Variable self_attention(const Variable& x, const Tensor& lengths, bool causal);
  Variable cross_attention(const Variable& x, const Variable& memory, const Tensor& memory_lengths);

  // The same in two steps, for decoding one token at a time: keys and values are projected once and kept.
  Variable project_memory(const Variable& memory) const;  // [B, S, D] -> keys and values [B, S, 2D]
  Variable attend_memory(const Variable& x, const Variable& keys_values, const Tensor& memory_lengths);
  // x [B, 1, D] is token number `position`; its key and value join cache [B, longest, 2D].
  Variable attend_cached(const Variable& x, const Tensor& cache, int64_t position);

 private:
  Variable project(const Variable& x, int64_t from, int64_t to) const;  // by rows of in_proj_weight
  Variable attend(const Columns& q, const Columns& k, const Columns& v, const Tensor& key_lengths, bool causal);

  int64_t d_model_, heads_;
  double dropout_;
  Variable in_proj_weight_, in_proj_bias_;  // [3D, D], [3D]
  Linear out_proj_;
};

}  // namespace gradus::nn
