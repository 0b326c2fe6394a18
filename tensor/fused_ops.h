// The operations of a Transformer that are one kernel each, on Tensors. Each function checks its arguments
// once, for the kernel and for its gradient, allocates and calls the kernel. What backward needs comes back
// beside the result; autograd/fused_ops.cpp saves it. backend.h gives the formulas, definitions.cpp spells
// them out.
#pragma once

#include "tensor/ops.h"

namespace gradus {

struct LayerNormResult {
  Tensor y, statistics;
};
// gain and bias [D] for x [.., D]; eps > 0.
LayerNormResult layer_norm_forward(const Tensor& x, const Tensor& gain, const Tensor& bias, double eps);
inline Tensor layer_norm(const Tensor& x, const Tensor& gain, const Tensor& bias, double eps = 1e-5) {
  return layer_norm_forward(x, gain, bias, eps).y;
}

struct LinearResult {
  Tensor y, pre;  // pre: before the activation, where `keep_pre` says so
};
// x [.., K], w [M, K], b [M] or none -> [.., M]
LinearResult linear_forward(const Tensor& x, const Tensor& w, const Tensor& b,
                            std::optional<UnaryOp> activation = {}, bool keep_pre = false);
inline Tensor linear(const Tensor& x, const Tensor& w, const Tensor& b,
                     std::optional<UnaryOp> activation = {}) {
  return linear_forward(x, w, b, activation).y;
}

// The ids where the kernels of `device` run, checked against [0, vocab); `ignored` may stand there, too.
IdColumns checked_ids(const char* op, const IdColumns& ids, int64_t vocab, Device device,
                      std::optional<int32_t> ignored = {});

// scale * row + position: table [V, D], ids as checked_ids returns them -> the ids' shape and D.
Tensor embedding_forward(const Tensor& table, const IdColumns& ids, double scale, const Tensor& positions);
Tensor embedding(const Tensor& table, const IdColumns& ids, double scale = 1, const Tensor& positions = {});

// The rows of x [N, ..] that ids i32 name, in their order -> the ids' shape and x's other axes. x has any
// dtype; rows_forward takes real ones, and ids as row_ids returns them.
IdColumns row_ids(const Tensor& x, const Tensor& ids);
Tensor rows_forward(const Tensor& x, const IdColumns& ids);
Tensor rows(const Tensor& x, const Tensor& ids);

struct AttentionResult {
  Tensor y, statistics;
  AttentionSpec spec;  // as asked, with the lengths where the kernel runs
};
AttentionResult attention_forward(const Qkv& x, const AttentionSpec& spec);

struct CrossEntropyResult {
  Tensor loss, sums, log_sum_exp;
};
// target: as checked_ids returns it.
CrossEntropyResult cross_entropy_forward(const Tensor& logits, const IdColumns& target,
                                         const CrossEntropySpec& spec);
CrossEntropyResult prior_cross_entropy_forward(const Tensor& logits, const Tensor& prior,
                                               const IdColumns& target, int32_t pad_id);  // no sums

}  // namespace gradus
