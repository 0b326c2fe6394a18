// Backend: the kernels of one device behind one interface. It is not what users call: the functions of
// tensor/ops.h and autograd/ops.h check shapes, allocate the output and then call one of these, so a kernel
// may trust what it is given.
//
// A pure virtual function is a primitive kernel. A virtual function with a body is a fused kernel whose body,
// in terms of the primitives, is its definition and its test oracle; a backend overrides it where a real
// fused kernel pays. Inputs come first, outputs (Out) last; an Out is written through its handle. Unless a
// comment says "+=", an output is overwritten, whatever it held.
#pragma once

#include <optional>
#include <vector>

#include "tensor/random.h"
#include "tensor/scalar_math.h"
#include "tensor/target_distribution.h"
#include "tensor/tensor.h"

namespace gradus {

using In = const Tensor&;
using Out = const Tensor&;

// Columns [first, first + count) of ids i32 [rows, width], read in place.
struct IdColumns {
  Tensor ids;
  int64_t first = 0, count = 0;

  int64_t size() const { return ids.shape()[0] * count; }
  // Number i of them, row by row; on the host.
  int32_t at(int64_t i) const { return ids.data<int32_t>()[i / count * ids.shape()[-1] + first + i % count]; }
};

// A batch of products c = alpha op(a) op(b) + beta c with op(a) [m, k], op(b) [k, n], c [m, n], each
// row-major and contiguous; op transposes where asked. Matrices of a batch stand `stride` elements apart;
// stride 0 shares one.
struct GemmShape {
  int64_t m, n, k;
  bool transpose_a = false, transpose_b = false;
  int64_t batch = 1, stride_a = 0, stride_b = 0, stride_c = 0;
};

// Heads packed side by side: columns [first, first + d_model) of tensor [B, T, width]. Attention reads
// queries, keys and values out of one packed projection this way, without a copy.
struct PackedHeads {
  Tensor tensor;
  int64_t first = 0;
};

struct Qkv {
  PackedHeads q, k, v;
};

struct AttentionSpec {
  int64_t d_model, heads;
  bool causal = false;      // query i of Tq sees keys up to i + Tk - Tq: the last query sees all
  Tensor key_lengths = {};  // i32 [B]: keys from there on are not seen, but must be finite; none: all are
  double dropout = 0;       // of the attention weights
  Draw draw = {};
};

struct CrossEntropySpec {
  Smoothing convention;
  Reduction reduction;
  int32_t pad_id;                 // rows with this target are ignored; -1: none are
  bool subtract_entropy = false;  // add sum q ln q to each row: KL(q || p) instead of the cross-entropy
  Tensor smoothing = {};          // f64 [1]
  Tensor class_weight = {};  // [V] or none: row n counts class_weight[target n] times, in the divisor too
  Tensor prior = {};  // [V] or none, with `uniform`: smoothing gives class j eps prior[j] instead of eps / V
  bool weighted_prior = false;  // the prior holds the weights: of the row they multiply the 1 - eps alone
};

struct AdamSpec {
  double beta1, beta2, eps, weight_decay;
  bool decoupled;   // AdamW
  int64_t decayed;  // weight decay applies to the first so many elements
};

struct SgdSpec {
  double momentum, weight_decay;
  bool nesterov;
  int64_t decayed;
};

// What check_ids throws for an id outside [0, vocab).
inline void check_id(const char* op, int32_t id, int64_t vocab, int64_t row, int64_t position) {
  check(id >= 0 && id < vocab, op, ": id ", id, " at row ", row, ", position ", position, " is outside [0, ",
        vocab, ")");
}

class Backend {
 public:
  virtual ~Backend() = default;

  // memory
  virtual std::byte* allocate(size_t bytes) = 0;  // 64-byte aligned; nullptr when there is none
  virtual void release(std::byte* block) = 0;
  virtual void copy(In x, Out y) = 0;  // between this device and the host, or within it
  virtual void synchronise() {}
  virtual std::string describe() = 0;

  // elementwise
  virtual void fill(double value, Out y) = 0;
  virtual void cast(In x, Out y) = 0;
  virtual void unary(Unary op, In x, Out y) = 0;  // y may be x
  // dx = dy * slope(x, y); x or y is empty where the slope does not read it.
  virtual void unary_backward(Unary op, In x, In y, In dy, Out dx) = 0;
  virtual void binary(Binary op, In a, In b, Out y) = 0;  // broadcasts; y may be a or b
  // y = residual + x * kept / (1 - p), kept[i] from draw (see random.h); no residual: 0.
  virtual void dropout(In x, In residual, double p, const Draw& draw, Out y) = 0;
  virtual int64_t first_nonfinite(In x) = 0;  // its index, or -1

  // reduce and rearrange
  virtual void sum_to(In x, Out y) = 0;  // sums the axes along which y's shape would stretch to x's
  virtual void permute(In x, std::span<const int> axes, Out y) = 0;
  // Copies a block of `width` columns: x [rows, *] from column x_first to y [rows, *] at column y_first.
  virtual void copy_columns(int64_t rows, int64_t width, In x, int64_t x_first, int64_t x_pitch, Out y,
                            int64_t y_first, int64_t y_pitch) = 0;

  // products
  virtual void gemm(const GemmShape& shape, double alpha, In a, In b, double beta, Out c) = 0;
  // y = activation(pre), pre = x w^T + b: x [N, K], w [M, K], b [M] or none. pre is kept only where it is
  // given.
  virtual void linear(In x, In w, In b, std::optional<Unary> activation, Out y, Out pre) {
    gemm({x.shape().before(-1), w.shape()[0], w.shape()[1], false, true}, 1, x, w, 0, y);
    if (b) binary(Binary::add, y, b, y);
    if (pre) copy(y, pre);
    if (activation) unary(*activation, y, y);
  }

  // rows: x [N, D]
  virtual void softmax(In x, bool log, Out y) = 0;
  virtual void softmax_backward(In y, In dy, bool log, Out dx) = 0;
  // y = (x - mean) rstd gain + bias; mean, rstd [N]
  virtual void layer_norm(In x, In gain, In bias, double eps, Out y, Out mean, Out rstd) = 0;
  // dx, and dgain += , dbias += ; each may be empty
  virtual void layer_norm_backward(In dy, In x, In gain, In mean, In rstd, Out dx, Out dgain, Out dbias) = 0;
  // logits [N, V]. Per row: -sum q ln p [+ sum q ln q], times its class weight; 0 where the target is pad.
  // loss is their mean or sum [], or all of them [N]. sums f64 [5]: of that, of the nll, of correct, of
  // tokens, of class weights. log_sum_exp [N, 2] holds max z and ln sum exp(z - max): in float their sum
  // would lose digits at large offsets.
  virtual void cross_entropy(In logits, const IdColumns& target, const CrossEntropySpec& spec,
                             Out log_sum_exp, Out loss, Out sums) = 0;
  // dlogits = scale ((sum q) p - q), scale = dy w / divisor; dy is shaped as loss. dlogits may be logits
  // itself.
  virtual void cross_entropy_backward(In logits, const IdColumns& target, const CrossEntropySpec& spec,
                                      In log_sum_exp, In sums, In dy, Out dlogits) = 0;

  // gather
  // Throws the first check_id that fails: at once where the ids are on the host, else at the next copy to the
  // host; until then an id out of range reads as zeros. op is a literal.
  virtual void check_ids(const char* op, const IdColumns& ids, int64_t vocab) = 0;
  // y[r] = scale table[id r] + positions[r mod count]; positions [*, D] or none
  virtual void embedding(In table, const IdColumns& ids, double scale, In positions, Out y) = 0;
  virtual void embedding_backward(In dy, const IdColumns& ids, double scale, Out dtable) = 0;  // +=

  // attention: per batch and head, y = dropout(softmax(mask(q k^T / sqrt(d_head)))) v.
  // log_sum_exp [B, heads, Tq] of the masked scores is all that backward needs to compute the weights again,
  // so memory stays linear in T. A query that sees no key gives 0. dx is added to.
  virtual void attention(const Qkv& x, const AttentionSpec& spec, Out y, Out log_sum_exp) = 0;
  virtual void attention_backward(const Qkv& x, const AttentionSpec& spec, In y, In log_sum_exp, In dy,
                                  const Qkv& dx) = 0;

  // update: lr f64 [1] and step i32 [1] are read through the tensor
  virtual void increment(Out step) = 0;
  virtual void adam(const AdamSpec& spec, In lr, In step, In gradient, Out weight, Out m, Out v) = 0;
  virtual void sgd(const SgdSpec& spec, In lr, In gradient, Out weight, Out velocity) = 0;
  virtual void sum_squares(In x, Out sum) = 0;  // f64 [1]
  // x *= min(1, max_norm / (sqrt(sum_squares) + 1e-6))
  virtual void clip(In sum_squares, double max_norm, Out x) = 0;
};

}  // namespace gradus
