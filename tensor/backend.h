// Backend: the kernels of one device behind one interface. It is not what users call: the functions of
// tensor/ops.h and tensor/fused_ops.h check shapes, allocate the output and then call one of these, so a
// kernel may trust what it is given.
//
// A pure virtual function is a primitive kernel. A virtual function with a body is a fused kernel; its body,
// here or as plain loops in definitions.cpp, is its definition and its test oracle, and runs on any device. A
// backend overrides it where a real fused kernel pays. Inputs come first, outputs (Out) last. Unless a
// comment says
// "+=", an output is overwritten, whatever it held.
#pragma once

#include <optional>
#include <utility>
#include <vector>

#include "tensor/random.h"
#include "tensor/scalar_math.h"
#include "tensor/target_distribution.h"
#include "tensor/tensor.h"

namespace gradus {

using In = const Tensor&;

// What a kernel writes to. A type of its own, so that arguments in the wrong order do not compile.
class Out : public Tensor {
 public:
  Out() = default;  // none
  explicit Out(Tensor tensor) : Tensor(std::move(tensor)) {}
};

// Columns [first, first + count) of the last axis of ids i32, read in place; a Tensor means all of them.
struct IdColumns {
  Tensor ids;
  int64_t first = 0, count = 0;

  IdColumns(Tensor all) : ids(std::move(all)), count(ids.shape().rank() > 0 ? ids.shape()[-1] : 1) {}
  IdColumns(Tensor of, int64_t first_column, int64_t columns)
      : ids(std::move(of)), first(first_column), count(columns) {}

  int64_t width() const { return ids.shape().rank() > 0 ? ids.shape()[-1] : 1; }
  int64_t rows() const { return ids.shape().rank() > 0 ? ids.shape().before(-1) : 1; }
  int64_t size() const { return rows() * count; }
  Shape shape() const { return ids.shape().rank() > 0 ? ids.shape().with(-1, count) : Shape{}; }
  // Number i of them, row by row; on the host.
  int32_t at(int64_t i) const { return ids.data<int32_t>()[i / count * width() + first + i % count]; }
};

// Columns of a matrix whose rows stand `pitch` elements apart, from column `first` on; read, or written.
struct InColumns {
  In matrix;
  int64_t first, pitch;
};
struct OutColumns {
  Out matrix;
  int64_t first, pitch;
};

// A batch of products c = op(a) op(b) + beta c with op(a) [m, k], op(b) [k, n], c [m, n], each
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
  bool causal = false;            // query i of Tq sees keys up to i + Tk - Tq: the last query sees all
  Tensor key_lengths = {};        // i32 [B], each in [0, Tk]: keys from there on are not seen; none: all are
  double dropout = 0;             // of the attention weights
  std::optional<Draw> draw = {};  // needed where dropout is above 0
};

struct CrossEntropySpec {
  Smoothing convention = Smoothing::uniform;
  double smoothing = 0;
  Reduction reduction = Reduction::mean;
  int32_t pad_id = kNoPad;        // rows with this target are ignored
  bool subtract_entropy = false;  // add sum q ln q to each row: KL(q || p) instead of the cross-entropy
  Tensor class_weight = {};  // [V] or none: row n counts class_weight[target n] times, in the divisor too
};

// One parameter of an update, and what the method remembers of it.
struct AdamParameter {
  Tensor gradient;
  Out weight, m, v;
  double lr, weight_decay;
  int64_t step;  // how many updates it has had, with this one
};
struct AdamSpec {
  double beta1, beta2, eps;
  bool decoupled;  // AdamW
};

struct SgdParameter {
  Tensor gradient;
  Out weight, velocity;
  double lr, weight_decay;
};
struct SgdSpec {
  double momentum;
  bool nesterov;
};

// What check_ids throws for an id outside [0, vocab).
inline void check_id(const char* op, int32_t id, int64_t vocab, int64_t row, int64_t position) {
  check(id >= 0 && id < vocab, op, ": id ", id, " at row ", row, ", position ", position, " is outside [0, ",
        vocab, ")");
}

// What a length outside [0, most] is told.
inline void check_length(const char* op, int64_t length, int64_t most, int64_t row) {
  check(length >= 0 && length <= most, op, ": length ", length, " at row ", row, " is outside [0, ", most,
        "]");
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
  virtual void unary(const UnaryOp& op, In x, Out y) = 0;  // y may be x
  // dx = dy * slope(x, y); x or y is empty where the slope does not read it.
  virtual void unary_backward(const UnaryOp& op, In x, In y, In dy, Out dx) = 0;
  virtual void binary(Binary op, In a, In b, Out y) = 0;    // broadcasts; y may be a or b
  virtual void compare(Compare op, In a, In b, Out y) = 0;  // y i32, 1 where it holds, else 0; broadcasts
  virtual void where(In mask, In a, In b, Out y) = 0;       // a where mask (i32) is not 0, else b; broadcasts
  // y = residual + x * kept / (1 - p), kept[i] from draw (see random.h); no residual: 0.
  virtual void dropout(In x, In residual, double p, const Draw& draw, Out y) = 0;
  virtual int64_t first_nonfinite(In x) = 0;  // its index, or -1

  // reduce and rearrange
  // Sums the axes along which y's shape would stretch to x's; y += that where `add` says so.
  virtual void sum_to(In x, bool add, Out y) = 0;
  // x [outer, n, inner]: the first largest of each n, y i32 [outer, inner]; NaN is larger than all.
  virtual void argmax(In x, int axis, Out y) = 0;
  // x [N, D]: the k largest of each row, the largest first, of equal ones the first; NaN is larger than all.
  // values [N, k], ids i32 [N, k]
  virtual void topk(In x, Out values, Out ids) = 0;
  virtual void permute(In x, std::span<const int> axes, Out y) = 0;
  // Copies `width` columns of `rows` rows from x to y.
  virtual void copy_columns(int64_t rows, int64_t width, const InColumns& x, const OutColumns& y) = 0;

  // products
  virtual void gemm(const GemmShape& shape, In a, In b, double beta, Out c) = 0;
  // y = activation(pre), pre = x w^T + b: x [N, K], w [M, K], b [M] or none. pre is kept only where it is
  // given.
  virtual void linear(In x, In w, In b, std::optional<UnaryOp> activation, Out y, Out pre) {
    gemm({x.shape().before(-1), w.shape()[0], w.shape()[1], false, true}, x, w, 0, y);
    if (b) binary(Binary::add, y, b, y);
    if (pre) copy(y, pre);
    if (activation) unary(*activation, y, y);
  }

  // rows: x [N, D]
  virtual void softmax(In x, bool log, Out y);
  virtual void softmax_backward(In y, In dy, bool log, Out dx);
  // y = (x - mean) rstd gain + bias, rstd = 1 / sqrt(variance + eps). statistics [N, 3]: mu, c, rstd with
  // mean = mu + c, two numbers because one float cannot hold the mean of large x exactly enough.
  virtual void layer_norm(In x, In gain, In bias, double eps, Out y, Out statistics);
  // dx, or dx += where `add` says so, and dgain += , dbias += ; each may be empty, and gain where dx is
  virtual void layer_norm_backward(In dy, In x, In gain, In statistics, bool add, Out dx, Out dgain,
                                   Out dbias);
  // logits [N, V]. Per row: -sum q ln p [+ sum q ln q], times its class weight; 0 where the target is pad.
  // loss is their mean or sum [], or all of them [N]. sums f64 [kLossSums]. log_sum_exp [N, 2] holds max z
  // and ln sum exp(z - max), because in float their sum would lose digits at large offsets; a row whose
  // target is pad may hold anything.
  virtual void cross_entropy(In logits, const IdColumns& target, const CrossEntropySpec& spec,
                             Out log_sum_exp, Out loss, Out sums);
  // dlogits = scale ((sum q) p - q), scale = dy w / divisor; dy is shaped as loss. dlogits may be logits
  // itself.
  virtual void cross_entropy_backward(In logits, const IdColumns& target, const CrossEntropySpec& spec,
                                      In log_sum_exp, In sums, In dy, Out dlogits);
  // Towards one distribution for all rows: loss [N] = -sum_j prior_j ln p_j, 0 where the target is pad. A
  // column whose prior is 0 is not read.
  virtual void prior_cross_entropy(In logits, In prior, const IdColumns& target, int32_t pad_id,
                                   Out log_sum_exp, Out loss);
  // dlogits = dy ((sum prior) p - prior)
  virtual void prior_cross_entropy_backward(In logits, In prior, const IdColumns& target, int32_t pad_id,
                                            In log_sum_exp, In dy, Out dlogits);

  // gather
  // Throws the first check_id that fails, `ignored` aside: at once where the ids are on the host, else at the
  // next copy to the host; until then an id out of range reads as zeros. op is a literal.
  virtual void check_ids(const char* op, const IdColumns& ids, int64_t vocab,
                         std::optional<int32_t> ignored) = 0;
  // y[r] = scale table[id r] + positions[r mod count]; positions [*, D] or none
  virtual void embedding(In table, const IdColumns& ids, double scale, In positions, Out y) = 0;
  virtual void embedding_backward(In dy, const IdColumns& ids, double scale, Out dtable) = 0;  // +=

  // attention: per batch and head, y = dropout(softmax(mask(q k^T / sqrt(d_head)))) v; a query that sees no
  // key gives 0. statistics [B, heads, Tq, 2], the largest seen score and 1 / sum exp(score - largest), are
  // all that backward needs to compute the weights again as forward did, so memory stays linear in T. Keys
  // and values must be finite where they are not seen, too: their weight is 0, and 0 times infinity is NaN.
  virtual void attention(const Qkv& x, const AttentionSpec& spec, Out y, Out statistics);
  // dq, dk, dv, or += where `add` says so, each shaped as its tensor in x, in the same columns; each may be
  // empty. Without `add` their columns are apart and make up all of each tensor, of which none is empty.
  virtual void attention_backward(const Qkv& x, const AttentionSpec& spec, In y, In statistics, In dy,
                                  bool add, Out dq, Out dk, Out dv);

  // update: each over all parameters of an optimiser
  virtual void adam(const AdamSpec& spec, std::span<const AdamParameter> parameters) = 0;
  virtual void sgd(const SgdSpec& spec, std::span<const SgdParameter> parameters) = 0;
  virtual void clear(std::span<const Out> x) = 0;                    // to 0
  virtual void scale(double factor, std::span<const Out> x) = 0;     // x *= factor
  virtual void sum_squares(std::span<const Tensor> x, Out sum) = 0;  // f64 [1]
  // x *= min(1, max_norm / (sqrt(sum_squares) + 1e-6))
  virtual void clip(In sum_squares, double max_norm, std::span<const Out> x) = 0;
};

}  // namespace gradus
