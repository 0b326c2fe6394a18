#include <cmath>

#include "tensor/cpu/cpu_backend.h"
#include "tensor/cpu/parallel.h"

namespace gradus {
namespace {

// One row of logits z [V]. log_sum = ln sum exp(z - max): the sum leaves out one largest element, whose exp
// is 1, so that ln(1 + rest) keeps the digits of a small rest. With shifted = z - max, ln p_j = shifted_j -
// log_sum.
template <class T> struct Row {
  const T* z;
  int64_t vocab;
  T max;
  int64_t argmax;  // the lowest index of max
  double log_sum;

  Row(const T* logits, int64_t n) : z(logits), vocab(n), max(cpu::max(n, z)), argmax(cpu::find(n, z, max)) {
    const auto term = [z = z, max = max](int64_t j) { return math::exp(z[j] - max); };
    log_sum = std::log1p(cpu::sum_without<T>(n, argmax, -1, term));
  }

  double nll(int64_t y) const { return log_sum - (z[y] - max); }

  // -sum q ln p = -on ln p_y - off (sum of the other shifted_j - off_count log_sum), where "other" leaves out
  // the target y and the excluded column. A term whose q is 0 is not computed, so that 0 ln 0 = 0 even where
  // ln p = -infinity; with eps = 0 what is left is plain cross-entropy.
  double loss(int64_t y, const TargetDistribution& q) const {
    const double on = q.on != 0 ? q.on * nll(y) : 0;
    if (q.off == 0) return on;
    const double others =
        cpu::sum_without<T>(vocab, y, q.excluded, [z = z, max = max](int64_t j) { return z[j] - max; });
    return on - q.off * (others - q.off_count * log_sum);
  }
};

// ln p_j of one row, from what forward kept of it. Valid until z is overwritten.
template <class T> auto log_p_of(const T* z, const T* log_sum_exp) {
  return [z, max = log_sum_exp[0], log_sum = log_sum_exp[1]](int64_t j) { return z[j] - max - log_sum; };
}

}  // namespace

void CpuBackend::cross_entropy(In logits, const IdColumns& target, const CrossEntropySpec& spec,
                               Out log_sum_exp, Out loss, Out sums) {
  const int64_t n = target.size(), vocab = logits.shape()[-1];  // logits [N, V]
  const auto q = TargetDistribution::of(spec.convention, spec.smoothing, vocab, spec.pad_id);
  const double constant = spec.subtract_entropy ? q.negative_entropy() : 0;
  const Tensor per_row = Tensor::zeros({n, kLossSums}, DType::f64);  // 0 where ignored
  double *rows = per_row.data<double>(), *total = sums.data<double>();
  visit_real(logits.dtype(), [&]<class T>(T) {
    cpu::parallel_rows(n, vocab, [&](int64_t r) {
      const int32_t y = target.at(r);
      if (y == spec.pad_id) return;
      const Row<T> row(logits.data<T>() + r * vocab, vocab);
      log_sum_exp.data<T>()[2 * r] = row.max;
      log_sum_exp.data<T>()[2 * r + 1] = row.log_sum;
      const double w = spec.class_weight ? spec.class_weight.data<T>()[y] : 1;
      double* out = rows + kLossSums * r;
      out[kSmoothed] = w > 0 ? w * (row.loss(y, q) + constant) : 0;
      out[kNll] = w > 0 ? w * row.nll(y) : 0;
      out[kCorrect] = row.argmax == y;
      out[kTokens] = 1;
      out[kWeights] = w;
    });
    std::fill(total, total + kLossSums, 0.);
    for (int64_t i = 0; i < n * kLossSums; ++i) total[i % kLossSums] += rows[i];
    T* out = loss.data<T>();
    if (spec.reduction == Reduction::none)
      for (int64_t r = 0; r < n; ++r) out[r] = rows[kLossSums * r + kSmoothed];
    else *out = total[kSmoothed] / loss_divisor(spec.reduction, total[kWeights]);
  });
}

// dz_j = scale ((sum q) p_j - q_j). On the target (sum q) p_y and q_y may be nearly equal; written as
// (sum q) (p_y - 1) + off off_count, their difference loses no digits.
void CpuBackend::cross_entropy_backward(In logits, const IdColumns& target, const CrossEntropySpec& spec,
                                        In log_sum_exp, In sums, In dy, Out dlogits) {
  const int64_t vocab = logits.shape()[-1];
  check_ids("cross_entropy", target, vocab,
            spec.pad_id);  // who wrote into them since must not make us write astray
  const auto q = TargetDistribution::of(spec.convention, spec.smoothing, vocab, spec.pad_id);
  const double divisor = loss_divisor(spec.reduction, sums.data<double>()[kWeights]);
  visit_real(logits.dtype(), [&]<class T>(T) {
    cpu::parallel_rows(target.size(), vocab, [&](int64_t r) {
      const int32_t y = target.at(r);
      T* dz = dlogits.data<T>() + r * vocab;
      const double w = y == spec.pad_id ? 0 : spec.class_weight ? spec.class_weight.data<T>()[y] : 1;
      if (!(w > 0)) return std::fill(dz, dz + vocab, T(0));  // the row may hold anything
      const double scale = dy.data<T>()[spec.reduction == Reduction::none ? r : 0] * w / divisor;
      const T mass = scale * q.sum(), off = scale * q.off;
      const auto log_p = log_p_of(logits.data<T>() + r * vocab, log_sum_exp.data<T>() + 2 * r);
      // dz may be z: these two are computed before the row is overwritten.
      const T at_target = scale * (q.sum() * std::expm1(double(log_p(y))) + q.off * q.off_count);
      const T at_excluded = q.excluded >= 0 ? mass * math::exp(log_p(q.excluded)) : 0;
      cpu::lanes(0, vocab, [=](int64_t j) { dz[j] = mass * math::exp(log_p(j)) - off; });
      if (q.excluded >= 0) dz[q.excluded] = at_excluded;
      dz[y] = at_target;
    });
  });
}

// loss = -sum prior_j (shifted_j - log_sum)
void CpuBackend::prior_cross_entropy(In logits, In prior, const IdColumns& target, int32_t pad_id,
                                     Out log_sum_exp, Out loss) {
  const int64_t vocab = logits.shape()[-1];
  visit_real(logits.dtype(), [&]<class T>(T) {
    const T* q = prior.data<T>();
    const double sum_q = cpu::sum<T>(vocab, [=](int64_t j) { return q[j]; });
    cpu::parallel_rows(target.size(), vocab, [&](int64_t r) {
      T &out = loss.data<T>()[r], *kept = log_sum_exp.data<T>() + 2 * r;
      out = 0;
      if (target.at(r) == pad_id) return;
      const Row<T> row(logits.data<T>() + r * vocab, vocab);
      const double shifted = cpu::sum<T>(
          vocab, [=, z = row.z, max = row.max](int64_t j) { return q[j] != 0 ? q[j] * (z[j] - max) : 0; });
      out = sum_q * row.log_sum - shifted;
      kept[0] = row.max;
      kept[1] = row.log_sum;
    });
  });
}

void CpuBackend::prior_cross_entropy_backward(In logits, In prior, const IdColumns& target, int32_t pad_id,
                                              In log_sum_exp, In dy, Out dlogits) {
  const int64_t vocab = logits.shape()[-1];
  visit_real(logits.dtype(), [&]<class T>(T) {
    const T* q = prior.data<T>();
    const T sum_q = cpu::sum<T>(vocab, [=](int64_t j) { return q[j]; });
    cpu::parallel_rows(target.size(), vocab, [&](int64_t r) {
      T* dz = dlogits.data<T>() + r * vocab;
      if (target.at(r) == pad_id) return std::fill(dz, dz + vocab, T(0));
      const auto log_p = log_p_of(logits.data<T>() + r * vocab, log_sum_exp.data<T>() + 2 * r);
      const T scale = dy.data<T>()[r];
      cpu::lanes(0, vocab, [=](int64_t j) { dz[j] = -scale * math::minus_share(q[j], sum_q, log_p(j)); });
    });
  });
}

}  // namespace gradus
