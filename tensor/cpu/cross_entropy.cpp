#include <cmath>

#include "tensor/cpu/cpu_backend.h"
#include "tensor/cpu/parallel.h"
#include "tensor/cpu/sums.h"

namespace gradus {
using cpu::parallel_for;

namespace {

int32_t id_at(const IdColumns& ids, int64_t row) {
  return ids.ids.data<int32_t>()[row / ids.count * ids.pitch() + ids.first + row % ids.count];
}

TargetDistribution distribution(const CrossEntropySpec& spec, int64_t vocab) {
  return TargetDistribution::of(spec.convention, *spec.smoothing.data<double>(), vocab, spec.pad_id);
}

double weight_of(const CrossEntropySpec& spec, int32_t target) {
  if (target == spec.pad_id) return 0;
  if (!spec.class_weight) return 1;
  return visit_real(spec.class_weight.dtype(), [&](auto t) {
    return static_cast<double>(spec.class_weight.data<decltype(t)>()[target]);
  });
}

struct RowResult {
  double loss, nll;
  bool correct;
};

// With shifted = z - max and log_sum = ln sum exp(shifted), ln p_j = shifted_j - log_sum. So
//   -sum q ln p = -on ln p_y - off (sum of the other shifted_j - off_count log_sum),
// where "other" leaves out the target y and the excluded column. A term whose q is 0 is not computed, so that
// 0 ln 0 = 0 even where ln p = -infinity; with eps = 0 what is left is plain cross-entropy.
template <class T>
RowResult row_loss(const T* z, int64_t vocab, int32_t y, const TargetDistribution& q, T* log_sum_exp) {
  const T max = cpu::max(vocab, z);
  const double log_sum = std::log(cpu::sum<T>(vocab, [=](int64_t j) { return math::exp(z[j] - max); }));
  log_sum_exp[0] = max;
  log_sum_exp[1] = static_cast<T>(log_sum);

  const double nll = log_sum - static_cast<double>(z[y] - max);
  double loss = q.on != 0 ? q.on * nll : 0;
  if (q.off != 0) {
    const int64_t holes[] = {std::min<int64_t>(y, q.excluded), std::max<int64_t>(y, q.excluded), vocab};
    double others = 0;
    int64_t begin = 0;
    for (int64_t hole : holes) {
      others += cpu::sum<T>(hole - begin, [=](int64_t j) { return z[begin + j] - max; });
      begin = std::max(begin, hole + 1);
    }
    loss -= q.off * (others - q.off_count * log_sum);
  }
  const bool correct = z[y] == max && std::find(z, z + y, max) == z + y;  // ties go to the lowest index
  return {loss, nll, correct};
}

}  // namespace

void CpuBackend::cross_entropy(const Tensor& logits, const IdColumns& target, const CrossEntropySpec& spec,
                               Out log_sum_exp, Out loss, Out sums) {
  const int64_t n = target.size(), vocab = logits.shape()[-1];  // logits [N, V]
  const TargetDistribution q = distribution(spec, vocab);
  const double constant = spec.subtract_entropy ? q.negative_entropy() : 0;
  const Tensor per_row = Tensor::zeros({n, 5}, DType::f64);
  double* rows = per_row.data<double>();
  visit_real(logits.dtype(), [&](auto t) {
    using T = decltype(t);
    parallel_for(n, vocab, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        const int32_t y = id_at(target, r);
        if (y == spec.pad_id) continue;  // its log_sum_exp is never read
        const RowResult row =
            row_loss(logits.data<T>() + r * vocab, vocab, y, q, log_sum_exp.data<T>() + 2 * r);
        const double w = weight_of(spec, y);
        const double values[] = {w * (row.loss + constant), w * row.nll, row.correct ? 1. : 0., 1., w};
        std::copy(values, values + 5, rows + 5 * r);
      }
    });
  });
  double* total = sums.data<double>();
  std::fill(total, total + 5, 0.);
  for (int64_t r = 0; r < n; ++r)
    for (int i = 0; i < 5; ++i) total[i] += rows[5 * r + i];
  visit_real(loss.dtype(), [&](auto t) {
    using T = decltype(t);
    T* out = loss.data<T>();
    if (spec.reduction == Reduction::none)
      for (int64_t r = 0; r < n; ++r) out[r] = static_cast<T>(rows[5 * r]);
    else
      *out = static_cast<T>(spec.reduction == Reduction::sum ? total[0] : total[4] > 0 ? total[0] / total[4] : 0);
  });
}

void CpuBackend::cross_entropy_backward(const Tensor& logits, const IdColumns& target, const CrossEntropySpec& spec,
                                        const Tensor& log_sum_exp, const Tensor& sums, const Tensor& dy,
                                        Out dlogits) {
  const int64_t n = target.size(), vocab = logits.shape()[-1];
  const TargetDistribution q = distribution(spec, vocab);
  const double divisor = spec.reduction == Reduction::mean ? sums.data<double>()[4] : 1;
  visit_real(logits.dtype(), [&](auto t) {
    using T = decltype(t);
    parallel_for(n, vocab, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        const int32_t y = id_at(target, r);
        const T* z = logits.data<T>() + r * vocab;
        T* dz = dlogits.data<T>() + r * vocab;
        const double w = weight_of(spec, y);
        if (w == 0) {
          std::fill(dz, dz + vocab, T(0));
          continue;
        }
        const double upstream = dy.data<T>()[spec.reduction == Reduction::none ? r : 0] * w / divisor;
        const T max = log_sum_exp.data<T>()[2 * r], log_sum = log_sum_exp.data<T>()[2 * r + 1];
        const T p_scale = static_cast<T>(upstream * q.sum()), off = static_cast<T>(upstream * q.off);
        const auto p_part = [=](int64_t j) { return p_scale * math::exp(z[j] - max - log_sum); };
        const T at_target = p_part(y) - static_cast<T>(upstream * q.on);
        const T at_excluded = q.excluded >= 0 ? p_part(q.excluded) : T(0);
#pragma omp simd
        for (int64_t j = 0; j < vocab; ++j) dz[j] = p_part(j) - off;
        if (q.excluded >= 0) dz[q.excluded] = at_excluded;
        dz[y] = at_target;
      }
    });
  });
}

}  // namespace gradus
