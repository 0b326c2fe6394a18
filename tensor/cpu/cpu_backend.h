// The CPU backend: loops that the compiler vectorises, OpenMP for threads, OpenBLAS for products. One source file per
// family of kernels; tensor/cuda/ has the same names in the same order.
#pragma once

#include "tensor/backend.h"

namespace gradus {

class CpuBackend final : public Backend {
 public:
  CpuBackend();

  std::byte* allocate(size_t bytes) override;
  void release(std::byte* block) override;
  void copy(const Tensor& x, Out y) override;
  std::string describe() override;

  void fill(double value, Out y) override;
  void cast(const Tensor& x, Out y) override;
  void unary(Unary op, const Tensor& x, Out y) override;
  void unary_backward(Unary op, const Tensor& x, const Tensor& y, const Tensor& dy, Out dx) override;
  void binary(Binary op, const Tensor& a, const Tensor& b, Out y) override;
  void dropout(const Tensor& x, const Tensor& residual, double p, const Draw& draw, Out y) override;
  int64_t first_nonfinite(const Tensor& x) override;

  void sum_to(const Tensor& x, Out y) override;
  void permute(const Tensor& x, std::span<const int> axes, Out y) override;
  void copy_columns(int64_t rows, int64_t width, const Tensor& x, int64_t x_first, int64_t x_pitch, Out y,
                    int64_t y_first, int64_t y_pitch) override;

  void gemm(const GemmShape& shape, double alpha, const Tensor& a, const Tensor& b, double beta, Out c) override;
  void linear(const Tensor& x, const Tensor& w, const Tensor& b, std::optional<Unary> activation, Out y,
              Out pre) override;

  void softmax(const Tensor& x, bool log, Out y) override;
  void softmax_backward(const Tensor& y, const Tensor& dy, bool log, Out dx) override;
  void layer_norm(const Tensor& x, const Tensor& gain, const Tensor& bias, double eps, Out y, Out mean,
                  Out rstd) override;
  void layer_norm_backward(const Tensor& dy, const Tensor& x, const Tensor& gain, const Tensor& mean,
                           const Tensor& rstd, Out dx, Out dgain, Out dbias) override;
  void cross_entropy(const Tensor& logits, const IdColumns& target, const CrossEntropySpec& spec, Out log_sum_exp,
                     Out loss, Out sums) override;
  void cross_entropy_backward(const Tensor& logits, const IdColumns& target, const CrossEntropySpec& spec,
                              const Tensor& log_sum_exp, const Tensor& sums, const Tensor& dy, Out dlogits) override;

  void check_ids(const char* op, const IdColumns& ids, int64_t vocab) override;
  void embedding(const Tensor& table, const IdColumns& ids, double scale, const Tensor& positions, Out y) override;
  void embedding_backward(const Tensor& dy, const IdColumns& ids, double scale, Out dtable) override;

  void attention(const PackedHeads& q, const PackedHeads& k, const PackedHeads& v, const AttentionSpec& spec, Out y,
                 Out log_sum_exp) override;
  void attention_backward(const PackedHeads& q, const PackedHeads& k, const PackedHeads& v, const AttentionSpec& spec,
                          const Tensor& y, const Tensor& log_sum_exp, const Tensor& dy, const PackedHeads& dq,
                          const PackedHeads& dk, const PackedHeads& dv) override;

  void adam(const AdamSpec& spec, const Tensor& lr, const Tensor& step, const Tensor& gradient, Out weight, Out m,
            Out v) override;
  void sgd(const SgdSpec& spec, const Tensor& lr, const Tensor& gradient, Out weight, Out velocity) override;
  void sum_squares(const Tensor& x, Out sum) override;
  void clip(const Tensor& sum_squares, double max_norm, Out x) override;
};

}  // namespace gradus
