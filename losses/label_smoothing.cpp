#include "losses/label_smoothing.h"

namespace gradus::losses {

IdColumns target_columns(const char* op, const Variable& logits, const Tensor& target) {
  const Shape& z = logits.shape();
  check((z.rank() == 2 || z.rank() == 3) && target && target.shape() == z.without_last(), op,
        ": expected logits [B, T, V] and target [B, T], or [N, V] and [N], got ", z, " and ", target.shape());
  if (z.rank() == 3) return {target, 0, z[1]};
  return {target.reshape({1, z[0]}), 0, z[0]};
}

void check_vocab(const char* op, int64_t vocab_size, const CrossEntropySpec& spec) {
  const int64_t least = spec.convention == Smoothing::others_not_pad && spec.pad_id >= 0 ? 3 : 2;
  check(vocab_size >= least, op, ": expected a vocabulary of at least ", least, ", got ", vocab_size);
  check(spec.pad_id >= -1 && spec.pad_id < vocab_size, op, ": pad id ", spec.pad_id, " is neither -1 nor inside [0, ",
        vocab_size, ")");
}

CrossEntropySpec smoothed_spec(const char* op, double smoothing, int32_t pad_id, Smoothing convention,
                               Reduction reduction, int64_t vocab_size, bool subtract_entropy) {
  check(smoothing >= 0 && smoothing <= 1, op, ": expected smoothing in [0, 1], got ", smoothing);
  CrossEntropySpec spec{convention, reduction, pad_id, subtract_entropy, Tensor::full({1}, smoothing, DType::f64), {}};
  if (vocab_size != 0) check_vocab(op, vocab_size, spec);
  return spec;
}

CrossEntropy::CrossEntropy(int32_t pad_id, Reduction reduction, Tensor class_weight)
    : spec_(smoothed_spec("cross-entropy", 0, pad_id, Smoothing::uniform, reduction, 0, false)) {
  spec_.class_weight = std::move(class_weight);
}

Variable CrossEntropy::operator()(const Variable& logits, const Tensor& target) const {
  return cross_entropy(logits, target_columns("cross-entropy", logits, target), spec_).loss;
}

LabelSmoothingLoss::LabelSmoothingLoss(int64_t vocab_size, double smoothing, int32_t pad_id, Smoothing convention,
                                       Reduction reduction)
    : vocab_size_(vocab_size),
      spec_(smoothed_spec("label smoothing loss", smoothing, pad_id, convention, reduction, vocab_size, true)) {
  check_vocab("label smoothing loss", vocab_size, spec_);
}

Variable LabelSmoothingLoss::operator()(const Variable& logits, const Tensor& target) const {
  const IdColumns columns = target_columns("label smoothing loss", logits, target);
  check(logits.shape()[-1] == vocab_size_, "label smoothing loss: expected a last axis of ", vocab_size_, ", got logits ",
        logits.shape());
  return cross_entropy(logits, columns, spec_).loss;
}

LabelSmoothingCrossEntropy::LabelSmoothingCrossEntropy(double smoothing, int32_t pad_id, Smoothing convention,
                                                       Reduction reduction)
    : spec_(smoothed_spec("label smoothing cross-entropy", smoothing, pad_id, convention, reduction, 0, false)) {}

Variable LabelSmoothingCrossEntropy::operator()(const Variable& logits, const Tensor& target) const {
  const IdColumns columns = target_columns("label smoothing cross-entropy", logits, target);
  check_vocab("label smoothing cross-entropy", logits.shape()[-1], spec_);
  return cross_entropy(logits, columns, spec_).loss;
}

// q of `others` with eps is q of `uniform` with eps' when off = eps / (V-1) = eps' / V. The other two conventions give q
// a hole or a sum below 1, which no eps' of another convention reproduces, except that eps = 0 is the same everywhere.
double convert(double eps, Smoothing from, Smoothing to, int64_t vocab_size) {
  const double v = static_cast<double>(vocab_size);
  check(eps >= 0 && eps <= 1, "convert: expected smoothing in [0, 1], got ", eps);
  check(vocab_size >= 2, "convert: expected a vocabulary of at least 2, got ", vocab_size);
  if (from == to || eps == 0) return eps;
  const auto proper = [](Smoothing s) { return s == Smoothing::uniform || s == Smoothing::others; };
  check(proper(from) && proper(to), "convert: `as_printed` does not sum to 1 and `others_not_pad` has no mass on the pad "
        "column, so neither equals another convention");
  const double converted = from == Smoothing::others ? eps * v / (v - 1) : eps * (v - 1) / v;
  check(converted <= 1, "convert: `others` with ", eps, " would need `uniform` with ", converted,
        ", above 1, at a vocabulary of ", vocab_size);
  return converted;
}

}  // namespace gradus::losses
