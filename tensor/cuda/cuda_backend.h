// The CUDA backend: the same kernels in the same order as the CPU's, one source file per family, products by
// cuBLAS. All work goes to one stream and returns at once; only a copy to the host and first_nonfinite()
// wait. This header names no CUDA type, so that code without nvcc may include it.
#pragma once

#include "tensor/backend.h"

namespace gradus {

class CudaBackend final : public Backend {
 public:
  static std::string missing();  // why this machine cannot run CUDA; empty when it can

  std::byte* allocate(size_t bytes) override;
  void release(std::byte* block) override;
  void copy(In x, Out y) override;
  void synchronise() override;
  std::string describe() override;

  void fill(double value, Out y) override;
  void cast(In x, Out y) override;
  void unary(const UnaryOp& op, In x, Out y) override;
  void unary_backward(const UnaryOp& op, In x, In y, In dy, Out dx) override;
  void binary(Binary op, In a, In b, Out y) override;
  void compare(Compare op, In a, In b, Out y) override;
  void where(In mask, In a, In b, Out y) override;
  void dropout(In x, In residual, double p, const Draw& draw, Out y) override;
  int64_t first_nonfinite(In x) override;

  void sum_to(In x, bool add, Out y) override;
  void argmax(In x, int axis, Out y) override;
  void topk(In x, Out values, Out ids) override;
  void permute(In x, std::span<const int> axes, Out y) override;
  void copy_columns(int64_t rows, int64_t width, const InColumns& x, const OutColumns& y) override;

  void gemm(const GemmShape& shape, In a, In b, double beta, Out c) override;
  void linear(In x, In w, In b, std::optional<UnaryOp> activation, Out y, Out pre) override;

  void softmax(In x, bool log, Out y) override;
  void softmax_backward(In y, In dy, bool log, Out dx) override;
  void layer_norm(In x, In gain, In bias, double eps, Out y, Out statistics) override;
  void layer_norm_backward(In dy, In x, In gain, In statistics, bool add, Out dx, Out dgain,
                           Out dbias) override;
  void cross_entropy(In logits, const IdColumns& target, const CrossEntropySpec& spec, Out log_sum_exp,
                     Out loss, Out sums) override;
  void cross_entropy_backward(In logits, const IdColumns& target, const CrossEntropySpec& spec,
                              In log_sum_exp, In sums, In dy, Out dlogits) override;
  void prior_cross_entropy(In logits, In prior, const IdColumns& target, int32_t pad_id, Out log_sum_exp,
                           Out loss) override;
  void prior_cross_entropy_backward(In logits, In prior, const IdColumns& target, int32_t pad_id,
                                    In log_sum_exp, In dy, Out dlogits) override;

  void check_ids(const char* op, const IdColumns& ids, int64_t vocab,
                 std::optional<int32_t> ignored) override;
  void embedding(In table, const IdColumns& ids, double scale, In positions, Out y) override;
  void embedding_backward(In dy, const IdColumns& ids, double scale, Out dtable) override;

  void attention(const Qkv& x, const AttentionSpec& spec, Out y, Out statistics) override;
  void attention_backward(const Qkv& x, const AttentionSpec& spec, In y, In statistics, In dy, bool add,
                          Out dq, Out dk, Out dv) override;

  void adam(const AdamSpec& spec, std::span<const AdamParameter> parameters) override;
  void sgd(const SgdSpec& spec, std::span<const SgdParameter> parameters) override;
  void clear(std::span<const Out> x) override;
  void scale(double factor, std::span<const Out> x) override;
  void sum_squares(std::span<const Tensor> x, Out sum) override;
  void clip(In sum_squares, double max_norm, std::span<const Out> x) override;
};

}  // namespace gradus
