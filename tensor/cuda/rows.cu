#include "tensor/cuda/rows.cuh"

namespace gradus {
namespace {

using namespace cuda;

template <class T> __global__ void softmax_rows(int64_t d, const T* x, T* y) {
  const int64_t r = blockIdx.x;
  const T *in = x + r * d, max = cuda::max(d, in);
  T* out = y + r * d;
  const T scale = 1 / sum<T>(d, [=](int64_t j) { return out[j] = math::exp(in[j] - max); });
  each(d, [=](int64_t j) { out[j] *= scale; });
}

// The sum leaves out the largest elements, whose exp is 1, and counts them apart: so ln(1 + rest) keeps the
// digits of a small rest.
template <class T> __global__ void log_softmax_rows(int64_t d, const T* x, T* y) {
  const int64_t r = blockIdx.x;
  const T *in = x + r * d, max = cuda::max(d, in);
  T* out = y + r * d;
  const double rest = sum<T>(d, [=](int64_t j) { return in[j] == max ? T(0) : math::exp(in[j] - max); });
  const double largest = sum<T>(d, [=](int64_t j) { return T(in[j] == max); });
  const T log_sum = std::log1p(rest + (largest - 1));
  each(d, [=](int64_t j) { out[j] = in[j] - max - log_sum; });
}

template <class T>
__global__ void softmax_rows_backward(int64_t d, bool log, const T* y, const T* dy, T* dx) {
  const int64_t r = blockIdx.x;
  const T *out = y + r * d, *dout = dy + r * d;
  T* din = dx + r * d;
  const T total = sum<T>(d, [=](int64_t j) { return log ? dout[j] : out[j] * dout[j]; });
  each(d, [=](int64_t j) {
    din[j] = log ? math::minus_share(dout[j], total, out[j]) : out[j] * (dout[j] - total);
  });
}

constexpr int kNormPerThread = 16;  // elements: one warp has up to 512, and need not wait for others

// statistics [rows, 3]: mu, c, rstd, with which h = ((x - mu) - c) rstd. mu, one sum rounded to T, shifts the
// row near 0, where the second pass finds what it lacks and corrects the variance for it.
template <class T>
__global__ void layer_norm_rows(int64_t d, const T* x, const T* gain, const T* bias, double eps, T* y,
                                T* statistics) {
  const int64_t r = blockIdx.x;
  const T* in = x + r * d;
  T *out = y + r * d, *kept = statistics + 3 * r;
  T part = 0, shifts = 0;  // this thread's
  double squares = 0;      // those of 1e20 have no place in a float
  each_read(d, {in}, [&](int, const T(&at)[1]) { part += at[0]; });
  const T mu = block_reduce(static_cast<double>(part), 0., Sum{}) / d;
  each_read(d, {in}, [&](int, const T(&at)[1]) {
    const T shift = at[0] - mu;
    shifts += shift;
    squares += double(shift) * shift;
  });
  const double c = block_reduce(static_cast<double>(shifts), 0., Sum{}) / d;
  const double square = block_reduce(squares, 0., Sum{}) / d;
  const T shift = c, rstd = 1 / std::sqrt(std::max(square - c * c, 0.) + eps);
  each_read(d, {in, gain, bias},
            [=](int j, const T(&at)[3]) { out[j] = ((at[0] - mu) - shift) * rstd * at[1] + at[2]; });
  if (threadIdx.x > 0) return;
  kept[0] = mu;
  kept[1] = shift;
  kept[2] = rstd;
}

// One row's h, from what forward kept of it.
template <class T> struct Normalised {
  T mu, shift, rstd;

  __device__ Normalised(const T* statistics, int64_t r)
      : mu(statistics[3 * r]), shift(statistics[3 * r + 1]), rstd(statistics[3 * r + 2]) {}
  __device__ T operator()(T x) const { return ((x - mu) - shift) * rstd; }
};

// The formulas stand beside the definition of layer_norm_backward.
template <class T>
__global__ void layer_norm_dx(int64_t d, const T* dy, const T* x, const T* gain, const T* statistics,
                              bool add, T* dx) {
  const int64_t r = blockIdx.x;
  const Normalised<T> h(statistics, r);
  const T *in = x + r * d, *dout = dy + r * d;
  T* din = dx + r * d;
  T u = 0, uh = 0;  // this thread's
  each_read(d, {in, dout, gain}, [&](int, const T(&at)[3]) {
    const T u_j = at[2] * at[1];
    u += u_j;
    uh += u_j * h(at[0]);
  });
  const T mean_u = block_reduce(static_cast<double>(u), 0., Sum{}) / d;
  const T mean_uh = block_reduce(static_cast<double>(uh), 0., Sum{}) / d;
  const auto dx_of = [=](const T* at) { return h.rstd * (at[2] * at[1] - mean_u - h(at[0]) * mean_uh); };
  if (add) each_read(d, {in, dout, gain, din}, [=](int j, const T(&at)[4]) { din[j] = at[3] + dx_of(at); });
  else each_read(d, {in, dout, gain}, [=](int j, const T(&at)[3]) { din[j] = dx_of(at); });
}

// dgain += dy h and dbias += dy, summed over the rows; either may be null. A block has kSumColumns columns,
// whose rows its threads share. Few are added in T, their sums in double.
template <class T>
__global__ void __launch_bounds__(kSumThreads)
    layer_norm_parameters(int64_t rows, int64_t d, const T* dy, const T* x, const T* statistics, T* dgain,
                          T* dbias) {
  constexpr int kAtOnce = 4, kLanes = kSumThreads / kSumColumns;
  const int64_t lane = threadIdx.x / kSumColumns, j = blockIdx.x * kSumColumns + threadIdx.x % kSumColumns;
  double gain = 0, bias = 0;
  for (int64_t first = lane; first < rows && j < d; first += kAtOnce * kLanes) {
    T dout[kAtOnce], h[kAtOnce];
    for (int k = 0; k < kAtOnce; ++k) {
      const int64_t r = first + k * kLanes;
      dout[k] = r < rows ? dy[r * d + j] : T(0);
      h[k] = r < rows ? Normalised<T>(statistics, r)(x[r * d + j]) : T(0);
    }
    T gains = 0, biases = 0;
    for (int k = 0; k < kAtOnce; ++k) {
      gains += dout[k] * h[k];
      biases += dout[k];
    }
    gain += gains;
    bias += biases;
  }
  gain = column_reduce(gain, kSumColumns);
  bias = column_reduce(bias, kSumColumns);
  if (lane > 0 || j >= d) return;
  if (dgain) dgain[j] += static_cast<T>(gain);
  if (dbias) dbias[j] += static_cast<T>(bias);
}

}  // namespace

void CudaBackend::softmax(In x, bool log, Out y) {
  visit_real(x.dtype(), [&]<class T>(T) {  // x [N, D]
    launch(log ? log_softmax_rows<T> : softmax_rows<T>, row_blocks(x), x.shape()[-1], x, y);
  });
}

void CudaBackend::softmax_backward(In y, In dy, bool log, Out dx) {
  visit_real(y.dtype(), [&]<class T>(T) {
    launch(softmax_rows_backward<T>, row_blocks(y), y.shape()[-1], log, y, dy, dx);
  });
}

void CudaBackend::layer_norm(In x, In gain, In bias, double eps, Out y, Out statistics) {
  visit_real(x.dtype(), [&]<class T>(T) {
    launch(layer_norm_rows<T>, row_blocks(x, kNormPerThread), x.shape()[-1], x, gain, bias, eps, y,
           statistics);
  });
}

void CudaBackend::layer_norm_backward(In dy, In x, In gain, In statistics, bool add, Out dx, Out dgain,
                                      Out dbias) {
  const int64_t rows = x.shape().before(-1), d = x.shape()[-1];
  visit_real(x.dtype(), [&]<class T>(T) {
    if (dx) launch(layer_norm_dx<T>, row_blocks(x, kNormPerThread), d, dy, x, gain, statistics, add, dx);
    if (!dgain && !dbias) return;
    launch(layer_norm_parameters<T>, {blocks_for(d, kSumColumns), kSumThreads}, rows, d, dy, x, statistics,
           dgain, dbias);
  });
}

}  // namespace gradus
