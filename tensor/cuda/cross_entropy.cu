#include "tensor/cuda/rows.cuh"

namespace gradus {
namespace {

using namespace cuda;

// A CrossEntropySpec as kernels see it.
template <class T> struct Loss {
  Smoothing convention;
  Reduction reduction;
  int32_t pad_id;
  bool subtract_entropy, weighted_prior;
  const double* smoothing;
  const T *class_weight, *prior;
  int64_t vocab;

  Loss(const CrossEntropySpec& s, int64_t vocab_size)
      : convention(s.convention), reduction(s.reduction), pad_id(s.pad_id),
        subtract_entropy(s.subtract_entropy), weighted_prior(s.weighted_prior),
        smoothing(s.smoothing.data<double>()), class_weight(argument<const T*>(s.class_weight)),
        prior(argument<const T*>(s.prior)), vocab(vocab_size) {}

  // With a prior, `on` comes on top of the target's share of `off`.
  __device__ TargetDistribution distribution(int64_t y) const {
    const double eps = *smoothing;
    if (!prior) return TargetDistribution::of(convention, eps, vocab, pad_id);
    return {(1 - eps) * (weighted_prior ? class_weight[y] : T(1)), eps, 0, -1};
  }
  // How much of q.off class j has: all or nothing, or as the prior says.
  __device__ T share(const TargetDistribution& q, int64_t y, int64_t j) const {
    return prior ? prior[j] : T(j != y && j != q.excluded);
  }
  // An id out of range, which check_ids() reports later, must not be read through: it is ignored, too.
  __device__ bool ignores(int64_t y) const { return y == pad_id || y < 0 || y >= vocab; }
  __device__ double weight(int64_t y) const { return class_weight ? class_weight[y] : 1; }
  __device__ double row_weight(int64_t y) const { return weighted_prior ? 1 : weight(y); }
};

// What one thread collects of a row as it reads it. Its sums are over exp(z - max) and z - max, where max is
// the largest so far: when a larger one comes, they move to it.
template <class T> struct RowSums {
  T max = std::numeric_limits<T>::lowest(), exponentials = 0, others = 0, count = 0;  // of shares
  int64_t argmax = 0;  // the lowest index of max

  __device__ void move_to(T larger) {
    exponentials *= math::exp(max - larger);
    if (count > 0) others -= count * (larger - max);
    max = larger;
  }
};

// The logits z [vocab] of one row, read once, four at a time; share(j) says how much of class j "others" has.
template <class T, class Share>
__device__ RowSums<T> read_row(const T* z, int64_t vocab, const Share& share) {
  constexpr int kAtOnce = 4;
  RowSums<T> sums;
  for (int64_t first = threadIdx.x; first < vocab; first += kAtOnce * blockDim.x) {
    T values[kAtOnce], largest = sums.max;
    for (int i = 0; i < kAtOnce; ++i) {
      const int64_t j = first + i * blockDim.x;
      values[i] = j < vocab ? z[j] : -std::numeric_limits<T>::infinity();
      if (values[i] > largest) largest = values[i], sums.argmax = j;
    }
    if (largest > sums.max) sums.move_to(largest);
    for (int i = 0; i < kAtOnce; ++i) {
      const int64_t j = first + i * blockDim.x;
      sums.exponentials += math::exp(values[i] - sums.max);
      const T part = j < vocab ? share(j) : 0;
      if (part > 0) sums.others += part * (values[i] - sums.max), sums.count += part;
    }
  }
  return sums;
}

// per_row [rows, 5]: loss, nll, correct, 1, weight; all 0 where ignored. How the loss follows from the sums
// stands beside the CPU's row_loss.
template <class T>
__global__ void cross_entropy_rows(Loss<T> spec, const T* logits, DeviceIds target, T* log_sum_exp,
                                   double* per_row) {
  const int64_t r = blockIdx.x, y = target.at(r);
  if (spec.ignores(y)) {
    if (threadIdx.x < 5) per_row[5 * r + threadIdx.x] = 0;
    return;  // the whole block
  }
  const TargetDistribution q = spec.distribution(y);
  const T* z = logits + r * spec.vocab;
  RowSums<T> mine = read_row(z, spec.vocab, [=](int64_t j) { return spec.share(q, y, j); });
  const T own_max = mine.max, max = block_reduce(own_max, std::numeric_limits<T>::lowest(), Max{});
  mine.move_to(max);
  const double log_sum = std::log(block_reduce(double(mine.exponentials), 0., Sum{}));
  const double others = block_reduce(double(mine.others), 0., Sum{});
  const double count = block_reduce(double(mine.count), 0., Sum{});
  const int64_t argmax = -block_reduce(own_max == max ? -mine.argmax : -spec.vocab, -spec.vocab, Max{});
  if (threadIdx.x > 0) return;
  log_sum_exp[2 * r] = max;
  log_sum_exp[2 * r + 1] = log_sum;
  const double w = spec.weight(y), of_row = spec.row_weight(y), nll = log_sum - (z[y] - max);
  double loss = spec.subtract_entropy ? q.negative_entropy() : 0;
  if (q.on != 0) loss += q.on * nll;
  if (q.off != 0) loss -= q.off * (others - count * log_sum);
  const double row[] = {of_row > 0 ? of_row * loss : 0, w > 0 ? w * nll : 0, double(argmax == y), 1, w};
  for (int i = 0; i < 5; ++i) per_row[5 * r + i] = row[i];
}

// One block adds the rows up.
template <class T>
__global__ void cross_entropy_sums(int64_t rows, Reduction reduction, const double* per_row, T* loss,
                                   double* sums) {
  double total[5];
  for (int i = 0; i < 5; ++i) {
    total[i] = sum<double>(rows, [=](int64_t r) { return per_row[5 * r + i]; });
    if (threadIdx.x == 0) sums[i] = total[i];
  }
  if (reduction == Reduction::none) each(rows, [=](int64_t r) { loss[r] = per_row[5 * r]; });
  else if (threadIdx.x == 0) *loss = total[0] / (reduction == Reduction::mean && total[4] > 0 ? total[4] : 1);
}

// dlogits may be logits: a thread reads an element, then writes it.
template <class T>
__global__ void cross_entropy_backward_rows(Loss<T> spec, const T* logits, DeviceIds target,
                                            const T* log_sum_exp, const double* sums, const T* dy,
                                            T* dlogits) {
  const int64_t r = blockIdx.x, y = target.at(r);
  const double w = spec.ignores(y) ? 0 : spec.row_weight(y);
  const T* z = logits + r * spec.vocab;
  T* dz = dlogits + r * spec.vocab;
  if (w == 0) return each(spec.vocab, [=](int64_t j) { dz[j] = 0; });  // the row may hold anything
  const double scale =
      dy[spec.reduction == Reduction::none ? r : 0] * w / (spec.reduction == Reduction::mean ? sums[4] : 1);
  TargetDistribution q = spec.distribution(y);
  if (spec.prior) q.off_count = sum<double>(spec.vocab, [=](int64_t j) { return spec.prior[j]; });
  const T mass = scale * q.sum(), on = scale * q.on, off = scale * q.off;
  const T max = log_sum_exp[2 * r], log_sum = log_sum_exp[2 * r + 1];
  each(spec.vocab, [=](int64_t j) {
    dz[j] = mass * math::exp(z[j] - max - log_sum) - (j == y ? on : T(0)) - off * spec.share(q, y, j);
  });
}

}  // namespace

void CudaBackend::cross_entropy(In logits, const IdColumns& target, const CrossEntropySpec& spec,
                                Out log_sum_exp, Out loss, Out sums) {
  const int64_t n = target.size();  // logits [N, V]
  const Tensor per_row({n, 5}, DType::f64, Device::cuda);
  visit_real(logits.dtype(), [&]<class T>(T) {
    launch(cross_entropy_rows<T>, row_blocks(logits), Loss<T>(spec, logits.shape()[-1]), logits,
           DeviceIds(target), log_sum_exp, per_row);
    launch(cross_entropy_sums<T>, {1}, n, spec.reduction, per_row, loss, sums);
  });
}

void CudaBackend::cross_entropy_backward(In logits, const IdColumns& target, const CrossEntropySpec& spec,
                                         In log_sum_exp, In sums, In dy, Out dlogits) {
  visit_real(logits.dtype(), [&]<class T>(T) {
    launch(cross_entropy_backward_rows<T>, row_blocks(logits), Loss<T>(spec, logits.shape()[-1]), logits,
           DeviceIds(target), log_sum_exp, sums, dy, dlogits);
  });
}

}  // namespace gradus
