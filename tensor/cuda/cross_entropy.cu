#include "tensor/cuda/rows.cuh"

namespace gradus {
namespace {

using namespace cuda;

// What one thread knows of the part of a row of logits z that it has read so far. Its sums are over
// exp(z - max) and z - max: when a larger max comes, they move to it. `rest` leaves out one largest element,
// whose exp is 1, so that ln(1 + rest) keeps the digits of a small rest.
template <class T> struct RowSums {
  T max = std::numeric_limits<T>::lowest(), rest = 0;
  int argmax = -1;           // the lowest index of max; -1: nothing read, or only -infinity
  T others = 0, shares = 0;  // sums of share (z - max), and of share

  __device__ void raise(T larger, int j) {
    rest = (rest + (argmax < 0 ? 0 : 1)) * math::exp(max - larger);
    if (shares > 0) others -= shares * (larger - max);
    max = larger;
    argmax = j;
  }

  // Elements first, first + step, ...; values past `end` are -infinity, and have no share. The largest of all
  // is found before the others are added: so the lanes of a warp part only once, where some have a new one.
  // Where a share is 0 there is no term, so that 0 ln 0 = 0 even where z = -infinity.
  template <int kCount, class Share>
  __device__ void add(const T (&values)[kCount], int first, int step, int end, const Share& share) {
    T largest = max;
    int at = argmax;
    for (int i = 0; i < kCount; ++i)
      if (values[i] > largest || (values[i] == largest && at < 0)) largest = values[i], at = first + i * step;
    if (at != argmax) raise(largest, at);
    for (int i = 0; i < kCount; ++i) {
      const int j = first + i * step;
      const T below = values[i] - max, e = math::exp(below), of_j = j < end ? share(j) : T(0);
      rest += j == argmax ? T(0) : e;
      others += of_j == 0 ? T(0) : of_j * below;
      shares += of_j;
    }
  }
};

// The same of a whole row; ln p_j = z_j - max - log_sum.
template <class T> struct Row {
  T max;
  int64_t argmax;
  double log_sum, others, shares;

  __device__ double nll(T value) const { return log_sum - (value - max); }
  // -sum of share_j ln p_j
  __device__ double shared_loss() const { return shares * log_sum - others; }
  __device__ void keep(T* log_sum_exp) const {
    log_sum_exp[0] = max;
    log_sum_exp[1] = log_sum;
  }
};

// The logits z [vocab] of one row, by a whole block, read once and eight at a time; share(j) says how much of
// element j `others` has.
template <class T, class Share> __device__ Row<T> read_row(const T* z, int64_t vocab, const Share& share) {
  constexpr int kAtOnce = 8;
  constexpr T kInfinity = std::numeric_limits<T>::infinity();
  RowSums<T> mine;
  const int end = vocab, step = blockDim.x;
  for (int first = threadIdx.x; first < end; first += kAtOnce * step) {
    T values[kAtOnce];
    for (int i = 0; i < kAtOnce; ++i) values[i] = first + i * step < end ? z[first + i * step] : -kInfinity;
    mine.add(values, first, step, end, share);
  }
  const T own_max = mine.argmax < 0 ? -kInfinity : mine.max, max = block_reduce(own_max, -kInfinity, Max{});
  const int64_t argmax = -block_reduce(own_max == max ? -mine.argmax : -vocab, -vocab, Max{});
  if (mine.argmax != argmax) mine.raise(max, argmax);  // this thread's largest joins the rest
  const auto total = [](T part) { return block_reduce(static_cast<double>(part), 0., Sum{}); };
  return {max, argmax, std::log1p(total(mine.rest)), total(mine.others), total(mine.shares)};
}

// ln p_j of one row, from what forward kept of it.
template <class T> struct LogP {
  const T* z;
  T max, log_sum;

  __device__ LogP(const T* logits, int64_t r, int64_t vocab, const T* log_sum_exp)
      : z(logits + r * vocab), max(log_sum_exp[2 * r]), log_sum(log_sum_exp[2 * r + 1]) {}
  __device__ T of(T logit) const { return logit - max - log_sum; }
};

// A CrossEntropySpec as kernels see it.
template <class T> struct Loss {
  TargetDistribution q;
  Reduction reduction;
  int32_t pad_id;
  double constant;
  const T* class_weight;
  int64_t vocab;

  Loss(const CrossEntropySpec& s, int64_t vocab_size)
      : q(TargetDistribution::of(s.convention, s.smoothing, vocab_size, s.pad_id)), reduction(s.reduction),
        pad_id(s.pad_id), constant(s.subtract_entropy ? q.negative_entropy() : 0),
        class_weight(argument<const T*>(s.class_weight)), vocab(vocab_size) {}

  // An id out of range, which check_ids() reports later, must not be read through: it is ignored, too.
  __device__ bool ignores(int64_t y) const { return y == pad_id || y < 0 || y >= vocab; }
  __device__ double weight(int64_t y) const { return class_weight ? class_weight[y] : 1; }
};

// per_row [rows, kLossSums]: what each row adds to the sums; all 0 where it is ignored.
template <class T>
__global__ void cross_entropy_rows(Loss<T> spec, const T* logits, DeviceIds target, T* log_sum_exp,
                                   double* per_row) {
  const int64_t r = blockIdx.x, y = target.at(r);
  double* out = per_row + kLossSums * r;
  if (spec.ignores(y)) return each(kLossSums, [=](int64_t i) { out[i] = 0; });  // the whole block
  const TargetDistribution& q = spec.q;
  const T* z = logits + r * spec.vocab;
  const int target_j = y, excluded = q.excluded;
  const Row<T> row = read_row(z, spec.vocab, [=](int j) { return T(j != target_j && j != excluded); });
  if (threadIdx.x > 0) return;
  row.keep(log_sum_exp + 2 * r);
  const double w = spec.weight(y), nll = row.nll(z[y]);
  double loss = spec.constant;
  if (q.on != 0) loss += q.on * nll;
  if (q.off != 0) loss += q.off * row.shared_loss();
  out[kSmoothed] = w > 0 ? w * loss : 0;
  out[kNll] = w > 0 ? w * nll : 0;
  out[kCorrect] = row.argmax == y;
  out[kTokens] = 1;
  out[kWeights] = w;
}

// One block adds the rows up.
template <class T>
__global__ void cross_entropy_sums(int64_t rows, Reduction reduction, const double* per_row, T* loss,
                                   double* sums) {
  double total[kLossSums];
  for (int i = 0; i < kLossSums; ++i) {
    total[i] = sum<double>(rows, [=](int64_t r) { return per_row[kLossSums * r + i]; });
    if (threadIdx.x == 0) sums[i] = total[i];
  }
  if (reduction == Reduction::none)
    each(rows, [=](int64_t r) { loss[r] = per_row[kLossSums * r + kSmoothed]; });
  else if (threadIdx.x == 0) *loss = total[kSmoothed] / loss_divisor(reduction, total[kWeights]);
}

// dz_j = scale ((sum q) p_j - q_j). On the target (sum q) p_y and q_y may be nearly equal; written as
// (sum q) (p_y - 1) + off off_count, their difference loses no digits. dlogits may be logits: a thread reads
// an element, then writes it; the target is read and written by the thread whose element it is.
template <class T>
__global__ void cross_entropy_backward_rows(Loss<T> spec, const T* logits, DeviceIds target,
                                            const T* log_sum_exp, const double* sums, const T* dy,
                                            T* dlogits) {
  const int64_t r = blockIdx.x, y = target.at(r);
  const double w = spec.ignores(y) ? 0 : spec.weight(y);
  T* dz = dlogits + r * spec.vocab;
  if (!(w > 0)) return each(spec.vocab, [=](int64_t j) { dz[j] = 0; });  // the row may hold anything
  const TargetDistribution& q = spec.q;
  const double scale =
      dy[spec.reduction == Reduction::none ? r : 0] * w / loss_divisor(spec.reduction, sums[kWeights]);
  const LogP<T> log_p(logits, r, spec.vocab, log_sum_exp);
  const T mass = scale * q.sum(), off = scale * q.off;
  const bool owner = threadIdx.x == y % blockDim.x;
  const T of_target = owner ? log_p.of(log_p.z[y]) : T(0);
  const int excluded = q.excluded;
  transform(spec.vocab, log_p.z, dz, [=](int j, T logit) {
    return mass * math::exp(log_p.of(logit)) - (j == excluded ? T(0) : off);
  });
  if (owner) dz[y] = static_cast<T>(scale * (q.sum() * std::expm1(double(of_target)) + q.off * q.off_count));
}

template <class T>
__global__ void prior_rows(int64_t vocab, const T* logits, const T* prior, DeviceIds target, int32_t pad_id,
                           T* log_sum_exp, T* loss) {
  const int64_t r = blockIdx.x;
  const bool ignored = target.at(r) == pad_id;
  if (ignored && threadIdx.x == 0) loss[r] = 0;
  if (ignored) return;  // the whole block
  const Row<T> row = read_row(logits + r * vocab, vocab, [=](int j) { return prior[j]; });
  if (threadIdx.x > 0) return;
  row.keep(log_sum_exp + 2 * r);
  loss[r] = row.shared_loss();
}

template <class T>
__global__ void prior_backward_rows(int64_t vocab, const T* logits, const T* prior, DeviceIds target,
                                    int32_t pad_id, const T* log_sum_exp, const T* dy, T* dlogits) {
  const int64_t r = blockIdx.x;
  T* dz = dlogits + r * vocab;
  if (target.at(r) == pad_id) return each(vocab, [=](int64_t j) { dz[j] = 0; });
  const T scale = dy[r], sum_q = sum<T>(vocab, [=](int64_t j) { return prior[j]; });
  const LogP<T> log_p(logits, r, vocab, log_sum_exp);
  each_read(vocab, {log_p.z, prior}, [=](int j, const T(&x)[2]) {
    dz[j] = -scale * math::minus_share(x[1], sum_q, log_p.of(x[0]));
  });
}

}  // namespace

void CudaBackend::cross_entropy(In logits, const IdColumns& target, const CrossEntropySpec& spec,
                                Out log_sum_exp, Out loss, Out sums) {
  const int64_t n = target.size();  // logits [N, V]
  const Tensor per_row({n, kLossSums}, DType::f64, Device::cuda);
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

void CudaBackend::prior_cross_entropy(In logits, In prior, const IdColumns& target, int32_t pad_id,
                                      Out log_sum_exp, Out loss) {
  visit_real(logits.dtype(), [&]<class T>(T) {
    launch(prior_rows<T>, row_blocks(logits), logits.shape()[-1], logits, prior, DeviceIds(target), pad_id,
           log_sum_exp, loss);
  });
}

void CudaBackend::prior_cross_entropy_backward(In logits, In prior, const IdColumns& target, int32_t pad_id,
                                               In log_sum_exp, In dy, Out dlogits) {
  visit_real(logits.dtype(), [&]<class T>(T) {
    launch(prior_backward_rows<T>, row_blocks(logits), logits.shape()[-1], logits, prior, DeviceIds(target),
           pad_id, log_sum_exp, dy, dlogits);
  });
}

}  // namespace gradus
