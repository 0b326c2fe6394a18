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

// statistics [rows, 3]: mu, c, rstd, with which h = ((x - mu) - c) rstd. mu, one sum rounded to T, shifts the
// row near 0, where the second pass finds what it lacks and corrects the variance for it.
template <class T>
__global__ void layer_norm_rows(int64_t d, const T* x, const T* gain, const T* bias, double eps, T* y,
                                T* statistics) {
  const int64_t r = blockIdx.x;
  const T *in = x + r * d, mu = sum<T>(d, [=](int64_t j) { return in[j]; }) / d;
  T *out = y + r * d, *kept = statistics + 3 * r;
  T shifts = 0, squares = 0;  // this thread's
  each(d, [&](int64_t j) {
    const T shift = in[j] - mu;
    shifts += shift;
    squares += shift * shift;
  });
  const double c = block_reduce(static_cast<double>(shifts), 0., Sum{}) / d;
  const double square = block_reduce(static_cast<double>(squares), 0., Sum{}) / d;
  const T shift = c, rstd = 1 / std::sqrt(std::max(square - c * c, 0.) + eps);
  each(d, [=](int64_t j) { out[j] = ((in[j] - mu) - shift) * rstd * gain[j] + bias[j]; });
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
__global__ void layer_norm_dx(int64_t d, const T* dy, const T* x, const T* gain, const T* statistics, T* dx) {
  const int64_t r = blockIdx.x;
  const Normalised<T> h(statistics, r);
  const T *in = x + r * d, *dout = dy + r * d;
  T* din = dx + r * d;
  const auto u = [=](int64_t j) { return gain[j] * dout[j]; };
  const T mean_u = sum<T>(d, u) / d;
  const T mean_uh = sum<T>(d, [=](int64_t j) { return u(j) * h(in[j]); }) / d;
  each(d, [=](int64_t j) { din[j] = h.rstd * (u(j) - mean_u - h(in[j]) * mean_uh); });
}

constexpr int64_t kNormRows = 32;  // of one partial sum of dgain and dbias

// partial [blocks, 2, d]: row 0 of block b adds dy h over its kNormRows rows, row 1 adds dy. One thread a
// column.
template <class T>
__global__ void layer_norm_partial(int64_t rows, int64_t d, const T* dy, const T* x, const T* statistics,
                                   T* partial) {
  for (int64_t j = thread_index(); j < d; j += thread_count())
    for (int64_t block = blockIdx.y; block * kNormRows < rows; block += gridDim.y) {
      T dgain = 0, dbias = 0;
      for (int64_t r = block * kNormRows; r < std::min((block + 1) * kNormRows, rows); ++r) {
        const T dout = dy[r * d + j];
        dgain += dout * Normalised<T>(statistics, r)(x[r * d + j]);
        dbias += dout;
      }
      partial[2 * block * d + j] = dgain;
      partial[(2 * block + 1) * d + j] = dbias;
    }
}

// dgain += and dbias += the partial sums, in block order; either may be null.
template <class T>
__global__ void layer_norm_add(int64_t blocks, int64_t d, const T* partial, T* dgain, T* dbias) {
  for (int64_t j = thread_index(); j < 2 * d; j += thread_count()) {
    T* out = j < d ? dgain : dbias;
    double total = 0;
    for (int64_t block = 0; block < blocks; ++block) total += partial[2 * block * d + j];
    if (out) out[j % d] += static_cast<T>(total);
  }
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
    launch(layer_norm_rows<T>, row_blocks(x), x.shape()[-1], x, gain, bias, eps, y, statistics);
  });
}

void CudaBackend::layer_norm_backward(In dy, In x, In gain, In statistics, Out dx, Out dgain, Out dbias) {
  const int64_t rows = x.shape().before(-1), d = x.shape()[-1], blocks = (rows + kNormRows - 1) / kNormRows;
  visit_real(x.dtype(), [&]<class T>(T) {
    if (dx) launch(layer_norm_dx<T>, row_blocks(x), d, dy, x, gain, statistics, dx);
    if (!dgain && !dbias) return;
    const Tensor partial = Tensor::like(x, {blocks, 2, d});
    constexpr unsigned kColumns = 64;
    launch(layer_norm_partial<T>, {dim3(blocks_for(d, kColumns), std::min<int64_t>(blocks, 65535)), kColumns},
           rows, d, dy, x, statistics, partial);
    launch(layer_norm_add<T>, {blocks_for(2 * d, kColumns), kColumns}, blocks, d, partial, dgain, dbias);
  });
}

}  // namespace gradus
