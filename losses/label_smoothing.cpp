#include "losses/label_smoothing.h"

namespace gradus::losses {
namespace {

void check_vocab(const char* name, int64_t vocab_size, const CrossEntropySpec& spec) {
  const int64_t least = spec.convention == Smoothing::others_not_pad && spec.pad_id >= 0 ? 3 : 2;
  check(vocab_size >= least, name, ": expected a vocabulary of at least ", least, ", got ", vocab_size);
  check(spec.pad_id >= -1 && spec.pad_id < vocab_size, name, ": pad id ", spec.pad_id,
        " is neither -1 nor in [0, ", vocab_size, ")");
}

void check_smoothing(const char* name, double smoothing) {
  check(smoothing >= 0 && smoothing <= 1, name, ": expected smoothing in [0, 1], got ", smoothing);
}

}  // namespace

SmoothedLoss::SmoothedLoss(const char* name, int64_t vocab_size, double smoothing, CrossEntropySpec spec)
    : name_(name), vocab_size_(vocab_size), spec_(std::move(spec)) {
  check_smoothing(name, smoothing);
  spec_.smoothing = Tensor::full({1}, smoothing, DType::f64);
  if (vocab_size != kAnyVocab) check_vocab(name, vocab_size, spec_);
}

void SmoothedLoss::set_smoothing(double smoothing) {
  check_smoothing(name_, smoothing);
  spec_.smoothing.assign(Tensor::full({1}, smoothing, DType::f64));
}

CrossEntropyOutput SmoothedLoss::compute(const Variable& logits, const IdColumns& target) const {
  const int64_t vocab = logits.shape()[-1];
  check(vocab_size_ == kAnyVocab || vocab_size_ == vocab, name_, ": expected a last axis of ", vocab_size_,
        ", got logits ", logits.shape());
  check_vocab(name_, vocab, spec_);
  return cross_entropy(logits, target, spec_);
}

Variable SmoothedLoss::operator()(const Variable& logits, const Tensor& target) const {
  const Shape& z = logits.shape();
  check((z.rank() == 2 || z.rank() == 3) && target && target.shape() == z.without_last(), name_,
        ": expected logits [B, T, V] and target [B, T], or [N, V] and [N], got ", z, " and ", target.shape());
  const Tensor rows = z.rank() == 3 ? target : target.reshape({1, z[0]});
  return compute(logits, {rows, 0, rows.shape()[1]}).loss;
}

LabelSmoothingLoss::LabelSmoothingLoss(int64_t vocab_size, double smoothing, int32_t pad_id,
                                       Smoothing convention, Reduction reduction)
    : SmoothedLoss("label smoothing loss", vocab_size, smoothing,
                   {convention, reduction, pad_id, /*subtract_entropy=*/true, {}, {}}) {}

LabelSmoothingCrossEntropy::LabelSmoothingCrossEntropy(double smoothing, int32_t pad_id, Smoothing convention,
                                                       Reduction reduction)
    : SmoothedLoss("label smoothing cross-entropy", kAnyVocab, smoothing,
                   {convention, reduction, pad_id, false, {}, {}}) {}

// q of `others` with eps is q of `uniform` with eps' when off = eps / (V-1) = eps' / V. The other two
// conventions give q a hole or a sum below 1, which no eps' of another convention reproduces, except that eps
// = 0 is the same everywhere.
double convert(double eps, Smoothing from, Smoothing to, int64_t vocab_size) {
  const double v = static_cast<double>(vocab_size);
  check_smoothing("convert", eps);
  check(vocab_size >= 2, "convert: expected a vocabulary of at least 2, got ", vocab_size);
  if (from == to || eps == 0) return eps;
  const auto proper = [](Smoothing s) { return s == Smoothing::uniform || s == Smoothing::others; };
  check(proper(from) && proper(to),
        "convert: `as_printed` does not sum to 1 and `others_not_pad` has no mass on the pad column, so "
        "neither equals "
        "another convention");
  const double converted = from == Smoothing::others ? eps * v / (v - 1) : eps * (v - 1) / v;
  check(converted <= 1, "convert: `others` with ", eps, " would need `uniform` with ", converted,
        ", above 1, at a vocabulary of ", vocab_size);
  return converted;
}

}  // namespace gradus::losses
