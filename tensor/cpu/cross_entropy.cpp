#include <cmath>

#include "tensor/cpu/cpu_backend.h"
#include "tensor/cpu/parallel.h"
#include "tensor/cpu/prior_mix.h"

namespace gradus {
namespace {

TargetDistribution distribution(const CrossEntropySpec& spec, int64_t vocab) {
  return TargetDistribution::of(spec.convention, *spec.smoothing.data<double>(), vocab, spec.pad_id);
}

// With shifted = z - max and log_sum = ln sum exp(shifted), ln p_j = shifted_j - log_sum. So
//   -sum q ln p = -on ln p_y - off (sum of the other shifted_j - off_count log_sum),
// where "other" leaves out the target y and the excluded column. A term whose q is 0 is not computed, so that
// 0 ln 0 = 0 even where ln p = -infinity; with eps = 0 what is left is plain cross-entropy.
template <class T>
double row_loss(const T* z, T max, double log_sum, int64_t vocab, int64_t y, const TargetDistribution& q) {
  double loss = q.on != 0 ? q.on * (log_sum - (z[y] - max)) : 0;
  if (q.off == 0) return loss;
  double others = 0;
  int64_t begin = 0;
  for (int64_t hole : {std::min(y, q.excluded), std::max(y, q.excluded), vocab}) {
    others += cpu::sum<T>(hole - begin, [=](int64_t j) { return z[begin + j] - max; });
    begin = std::max(begin, hole + 1);
  }
  return loss - q.off * (others - q.off_count * log_sum);
}

}  // namespace

void CpuBackend::cross_entropy(In logits, const IdColumns& target, const CrossEntropySpec& spec,
                               Out log_sum_exp, Out loss, Out sums) {
  const int64_t n = target.size(), vocab = logits.shape()[-1];  // logits [N, V]
  const TargetDistribution q = distribution(spec, vocab);
  const double constant = spec.subtract_entropy ? q.negative_entropy() : 0;
  // Per row: loss, nll, correct, 1, weight; all 0 where ignored.
  const Tensor per_row = Tensor::zeros({n, 5}, DType::f64);
  double *rows = per_row.data<double>(), *total = sums.data<double>();
  visit_real(logits.dtype(), [&]<class T>(T) {
    const cpu::PriorMix<T> mix(spec, vocab);
    cpu::parallel_rows(n, vocab, [&](int64_t r) {
      const int32_t y = target.at(r);
      if (y == spec.pad_id) return;
      const T *z = logits.data<T>() + r * vocab, max = cpu::max(vocab, z);
      const double log_sum = std::log(cpu::sum<T>(vocab, [=](int64_t j) { return math::exp(z[j] - max); }));
      log_sum_exp.data<T>()[2 * r] = max;
      log_sum_exp.data<T>()[2 * r + 1] = log_sum;
      const bool correct = z[y] == max && std::find(z, z + y, max) == z + y;  // ties go to the lowest index
      const double w = spec.class_weight ? spec.class_weight.data<T>()[y] : 1;
      const double nll = log_sum - (z[y] - max);
      const double smoothed =
          mix ? mix.loss(z, max, log_sum, vocab, y) : row_loss(z, max, log_sum, vocab, y, q) + constant;
      const double of_row = spec.weighted_prior ? 1 : w;
      const double row[] = {of_row > 0 ? of_row * smoothed : 0, w > 0 ? w * nll : 0, double(correct), 1, w};
      std::copy(row, row + 5, rows + 5 * r);
    });
    std::fill(total, total + 5, 0.);
    for (int64_t i = 0; i < 5 * n; ++i) total[i % 5] += rows[i];
    T* out = loss.data<T>();
    const double divisor = spec.reduction == Reduction::mean && total[4] > 0 ? total[4] : 1;
    if (spec.reduction != Reduction::none) *out = total[0] / divisor;
    else
      for (int64_t r = 0; r < n; ++r) out[r] = rows[5 * r];
  });
}

void CpuBackend::cross_entropy_backward(In logits, const IdColumns& target, const CrossEntropySpec& spec,
                                        In log_sum_exp, In sums, In dy, Out dlogits) {
  const int64_t vocab = logits.shape()[-1];
  const TargetDistribution q = distribution(spec, vocab);
  const double divisor = spec.reduction == Reduction::mean ? sums.data<double>()[4] : 1;
  visit_real(logits.dtype(), [&]<class T>(T) {
    const cpu::PriorMix<T> mix(spec, vocab);
    cpu::parallel_rows(target.size(), vocab, [&](int64_t r) {
      const int32_t y = target.at(r);
      const T* z = logits.data<T>() + r * vocab;
      T* dz = dlogits.data<T>() + r * vocab;
      const bool by_row = spec.class_weight && !spec.weighted_prior;
      const double w = y == spec.pad_id ? 0 : by_row ? spec.class_weight.data<T>()[y] : 1;
      if (w == 0) return std::fill(dz, dz + vocab, T(0));  // the row may hold anything
      const double scale = dy.data<T>()[spec.reduction == Reduction::none ? r : 0] * w / divisor;
      const T max = log_sum_exp.data<T>()[2 * r], log_sum = log_sum_exp.data<T>()[2 * r + 1];
      const T mass = scale * (mix ? mix.hard(y) + mix.eps * mix.prior_sum : q.sum()), off = scale * q.off;
      const auto pull = [=](int64_t j) { return mass * math::exp(z[j] - max - log_sum); };
      if (mix) {
        const T share = scale * mix.eps, *prior = mix.prior;
        const T at_y = pull(y) - T(scale * mix.hard(y)) - share * prior[y];
        cpu::lanes(0, vocab, [=](int64_t j) { dz[j] = pull(j) - share * prior[j]; });
        dz[y] = at_y;
        return;
      }
      const T at_target = pull(y) - T(scale * q.on), at_excluded = q.excluded >= 0 ? pull(q.excluded) : 0;
      cpu::lanes(0, vocab, [=](int64_t j) { dz[j] = pull(j) - off; });  // dz may be z: the two came first
      if (q.excluded >= 0) dz[q.excluded] = at_excluded;
      dz[y] = at_target;
    });
  });
}

}  // namespace gradus
