#include <cmath>

#include "tensor/cuda/cuda_backend.h"
#include "tensor/cuda/gemm.cuh"
#include "tensor/cuda/launch.cuh"

// Two ways to the same result. Where the scores of a head fit into shared memory, one block does all of that
// head in one launch. Longer sequences go head by head through cuBLAS, each product over all sentences at
// once, with the scores [B, queries, keys] of that head in memory; there, keys that no query sees take part
// with weight 0, so they must be finite. The formulas stand beside the CPU's attend_backward.

namespace gradus {
namespace {

using namespace cuda;

// Element (i, j) stands at data[i * row + j * column].
template <class T> struct Matrix {
  T* data;
  int64_t row, column = 1;

  __device__ T& operator()(int64_t i, int64_t j) const { return data[i * row + j * column]; }
  __device__ Matrix transposed() const { return {data, column, row}; }
};

// PackedHeads as kernels see them: [batch, rows, width], or the columns of it from some number on.
template <class T> struct Packed {
  T* data;
  int64_t rows, width;

  explicit Packed(const PackedHeads& x)
      : data(x.tensor.data<T>() + x.first), rows(x.tensor.shape()[1]), width(x.tensor.shape()[2]) {}
  HOST_DEVICE int64_t stride() const { return rows * width; }
  HOST_DEVICE Packed from(int64_t column) const {
    Packed copy = *this;
    copy.data += column;
    return copy;
  }
  __device__ Matrix<T> of(int64_t b) const { return {data + b * stride(), width}; }
};

template <class T> struct PackedQkv {
  Packed<T> q, k, v;
  explicit PackedQkv(const Qkv& x) : q(x.q), k(x.k), v(x.v) {}
};

// An AttentionSpec with the sizes of its tensors, as kernels see it.
struct Heads {
  int64_t batch, heads, queries, keys, d_head;
  bool causal;
  const int32_t* key_lengths;
  double scale, kept_scale;
  DropoutBits bits;

  Heads(const Qkv& x, const AttentionSpec& s)
      : batch(x.q.tensor.shape()[0]), heads(s.heads), queries(x.q.tensor.shape()[1]),
        keys(x.k.tensor.shape()[1]), d_head(s.d_model / s.heads), causal(s.causal),
        key_lengths(s.key_lengths ? s.key_lengths.data<int32_t>() : nullptr), scale(1 / std::sqrt(d_head)),
        kept_scale(dropout_scale(dropout_threshold(s.dropout))), bits(s.draw, s.dropout) {}

  __device__ static int64_t clamp(int64_t n, int64_t most) { return n < 0 ? 0 : n < most ? n : most; }
  __device__ int64_t seen_keys(int64_t b) const { return key_lengths ? clamp(key_lengths[b], keys) : keys; }
  __device__ int64_t seen_by(int64_t b, int64_t query) const {
    return causal ? clamp(query + keys - queries + 1, seen_keys(b)) : seen_keys(b);
  }

  // Calls fn(e, kept) for the weights e of [begin, end) of one head's [queries, keys], shared out among
  // `threads`; kept is 0 or 1 / (1 - p). Each head starts a group of its own.
  template <class Fn>
  __device__ void each_kept(int64_t head, int64_t begin, int64_t end, int thread, int threads,
                            const Fn& fn) const {
    const auto blocks = [](int64_t n) { return (n + kDropoutGroup - 1) / kDropoutGroup; };
    if (bits.threshold == 0)
      for (int64_t e = begin + thread; e < end; e += threads) fn(e, 1.);
    const int64_t first = begin / kDropoutGroup * kDropoutLanes, last = blocks(end) * kDropoutLanes;
    for (int64_t i = first + thread; bits.threshold > 0 && i < last; i += threads) {
      const int64_t group = i / kDropoutLanes, lane = i % kDropoutLanes;
      const PhiloxBlock block = bits.block(head * blocks(queries * keys) + group, lane);
#pragma unroll
      for (int half = 0; half < 8; ++half) {
        const int64_t e = group * kDropoutGroup + half * kDropoutLanes + lane;
        if (e >= begin && e < end) fn(e, bits.keeps(block, half) ? kept_scale : 0);
      }
    }
  }
};

// Turns one row of scores into weights, by one warp: softmax over the first `seen`, 0 for the rest up to
// `count`. Returns their log-sum-exp, or 0 where none is seen.
template <class T> __device__ T weigh(T* w, int64_t seen, int64_t count) {
  const int lane = threadIdx.x % kWarp;
  T max = -std::numeric_limits<T>::infinity(), part = 0;
  for (int64_t j = lane; j < seen; j += kWarp) max = Max{}(max, w[j]);
  max = warp_reduce(max, Max{});
  for (int64_t j = lane; j < seen; j += kWarp) part += w[j] = math::exp(w[j] - max);
  const T sum = warp_reduce(part, Sum{}), scale = 1 / sum;
  for (int64_t j = lane; j < count; j += kWarp) w[j] = j < seen ? w[j] * scale : 0;
  return seen > 0 ? max + std::log(sum) : 0;
}

// The same again, from the log-sum-exp; ds becomes 0 where the weight is. Returns dy . y, of d columns.
template <class T>
__device__ T weigh_again(T* w, T* ds, int64_t seen, int64_t count, T log_sum_exp, const T* y, const T* dy,
                         int64_t d) {
  const int lane = threadIdx.x % kWarp;
  for (int64_t j = lane; j < count; j += kWarp) {
    w[j] = j < seen ? math::exp(w[j] - log_sum_exp) : 0;
    if (j >= seen) ds[j] = 0;
  }
  T dot = 0;
  for (int64_t j = lane; j < d; j += kWarp) dot += y[j] * dy[j];
  return warp_reduce(dot, Sum{});
}

// From the weight p and dw: ds, and the weight after dropout.
template <class T> __device__ void drop(T& w, T& ds, T kept, T dot) {
  const T p = w;
  ds = p * (kept * ds - dot);
  w = p * kept;
}

// Short sequences: one block a head.

// store(i, j, sum of a(i, l) b(l, j) over k) for all i < m, j < n, by the whole block. A thread sums
// kSide x kSide of them at a time in registers; they stand apart, so that neighbouring threads read
// neighbouring columns.
template <class T, class Store>
__device__ void block_product(int64_t m, int64_t n, int64_t k, const Matrix<T>& a, const Matrix<T>& b,
                              const Store& store) {
  constexpr int kSide = 4;
  const int64_t rows = (m + kSide - 1) / kSide, columns = (n + kSide - 1) / kSide;
  for (int64_t tile = threadIdx.x; tile < rows * columns; tile += blockDim.x) {
    const int64_t i = tile / columns, j = tile % columns;
    const T *left[kSide], *right[kSide];
    T sums[kSide][kSide] = {};
#pragma unroll
    for (int s = 0; s < kSide; ++s) {  // past the edge the last row or column is read again
      left[s] = &a(std::min(i + s * rows, m - 1), 0);
      right[s] = &b(0, std::min(j + s * columns, n - 1));
    }
    for (int64_t l = 0; l < k; ++l) {
      T x[kSide], y[kSide];
#pragma unroll
      for (int s = 0; s < kSide; ++s) x[s] = left[s][l * a.column], y[s] = right[s][l * b.row];
#pragma unroll
      for (int s = 0; s < kSide * kSide; ++s) sums[s / kSide][s % kSide] += x[s / kSide] * y[s % kSide];
    }
#pragma unroll
    for (int s = 0; s < kSide * kSide; ++s) {
      const int64_t row = i + s / kSide * rows, column = j + s % kSide * columns;
      if (row < m && column < n) store(row, column, sums[s / kSide][s % kSide]);
    }
  }
}

// What a block keeps in shared memory: keys, later values, that threads read down the rows; and `scores`
// matrices [queries, keys]. Odd pitches keep the rows in different banks.
template <class T> struct Shared {
  Matrix<T> rows, first, second;
  T* dots;  // [queries]

  static size_t bytes(const Heads& h, int scores) {
    return sizeof(T) * (h.keys * (h.d_head | 1) + scores * h.queries * (h.keys | 1) + h.queries);
  }
  __device__ Shared(const Heads& h, T* data) {
    rows = {data, h.d_head | 1};
    first = {data + h.keys * rows.row, h.keys | 1};
    second = {first.data + h.queries * first.row, first.row};
    dots = second.data + h.queries * first.row;
  }
};
constexpr size_t kSharedBytes = 96 << 10;  // what a block may ask for since compute capability 8.0

template <class T> __device__ void load(int64_t rows, int64_t d, const Matrix<T>& from, const Matrix<T>& to) {
  for (int64_t e = threadIdx.x; e < rows * d; e += blockDim.x) to(e / d, e % d) = from(e / d, e % d);
}

template <class T>
__global__ void __launch_bounds__(kBlock, 1)
    attend(Heads h, PackedQkv<T> x, Packed<T> output, T* log_sum_exp) {
  DYN_SHARED(T, data);
  const int64_t head = blockIdx.x, b = head / h.heads, column = head % h.heads * h.d_head;
  const int64_t n = h.queries, m = h.seen_keys(b), d = h.d_head;
  const Shared<T> shared(h, data);
  const Matrix<T> w = shared.first, y = output.from(column).of(b);
  load(m, d, x.k.from(column).of(b), shared.rows);
  __syncthreads();
  block_product(n, m, d, x.q.from(column).of(b), shared.rows.transposed(),
                [=](int64_t i, int64_t j, T sum) { w(i, j) = T(h.scale) * sum; });
  __syncthreads();
  for (int64_t i = threadIdx.x / kWarp; i < n; i += kBlock / kWarp) {
    const T sum = weigh(&w(i, 0), h.seen_by(b, i), m);
    if (threadIdx.x % kWarp == 0) log_sum_exp[head * n + i] = sum;
  }
  __syncthreads();
  if (h.bits.threshold > 0)
    h.each_kept(head, 0, n * h.keys, threadIdx.x, kBlock, [=](int64_t e, T kept) {
      if (e % h.keys < m) w(e / h.keys, e % h.keys) *= kept;
    });
  __syncthreads();
  block_product(n, d, m, w, x.v.from(column).of(b), [=](int64_t i, int64_t j, T sum) { y(i, j) = sum; });
}

template <class T>
__global__ void __launch_bounds__(kBlock, 1)
    attend_backward(Heads h, PackedQkv<T> x, Packed<T> output, const T* log_sum_exp, Packed<T> doutput,
                    PackedQkv<T> dx) {
  DYN_SHARED(T, data);
  const int64_t head = blockIdx.x, b = head / h.heads, column = head % h.heads * h.d_head;
  const int64_t n = h.queries, m = h.seen_keys(b), d = h.d_head;
  const Shared<T> shared(h, data);
  const Matrix<T> w = shared.first, ds = shared.second;
  const Matrix<T> q = x.q.from(column).of(b), k = x.k.from(column).of(b), v = x.v.from(column).of(b);
  const Matrix<T> y = output.from(column).of(b), dy = doutput.from(column).of(b);
  load(m, d, k, shared.rows);
  __syncthreads();
  block_product(n, m, d, q, shared.rows.transposed(),
                [=](int64_t i, int64_t j, T sum) { w(i, j) = T(h.scale) * sum; });
  __syncthreads();
  load(m, d, v, shared.rows);
  __syncthreads();
  block_product(n, m, d, dy, shared.rows.transposed(), [=](int64_t i, int64_t j, T sum) { ds(i, j) = sum; });
  __syncthreads();
  for (int64_t i = threadIdx.x / kWarp; i < n; i += kBlock / kWarp) {
    const T dot = weigh_again(&w(i, 0), &ds(i, 0), h.seen_by(b, i), m, log_sum_exp[head * n + i], &y(i, 0),
                              &dy(i, 0), d);
    if (threadIdx.x % kWarp == 0) shared.dots[i] = dot;
  }
  __syncthreads();
  h.each_kept(head, 0, n * h.keys, threadIdx.x, kBlock, [=](int64_t e, T kept) {
    const int64_t i = e / h.keys, j = e % h.keys;
    if (j < m) drop(w(i, j), ds(i, j), kept, shared.dots[i]);
  });
  __syncthreads();
  const auto add_to = [](const Matrix<T>& out, T scale) {
    return [=](int64_t i, int64_t j, T sum) { out(i, j) += scale * sum; };
  };
  block_product(m, d, n, w.transposed(), dy, add_to(dx.v.from(column).of(b), 1));
  block_product(n, d, m, ds, k, add_to(dx.q.from(column).of(b), h.scale));
  block_product(m, d, n, ds.transposed(), q, add_to(dx.k.from(column).of(b), h.scale));
}

// Long sequences: head number `head` of every sentence, one warp a row.

template <class T>
__global__ void __launch_bounds__(kBlock) masked_softmax(Heads h, int64_t head, T* scores, T* log_sum_exp) {
  const int lane = threadIdx.x % kWarp;
  for (int64_t r = thread_index() / kWarp; r < h.batch * h.queries; r += thread_count() / kWarp) {
    const int64_t b = r / h.queries, i = r % h.queries, index = b * h.heads + head;
    T* w = scores + r * h.keys;
    const T sum = weigh(w, h.seen_by(b, i), h.keys);
    if (lane == 0) log_sum_exp[index * h.queries + i] = sum;
    __syncwarp(kFullMask);
    if (h.bits.threshold > 0)
      h.each_kept(index, i * h.keys, (i + 1) * h.keys, lane, kWarp,
                  [=](int64_t e, T kept) { w[e - i * h.keys] *= kept; });
  }
}

template <class T>
__global__ void __launch_bounds__(kBlock)
    masked_softmax_backward(Heads h, int64_t head, T* weights, T* scores, const T* log_sum_exp, Packed<T> y,
                            Packed<T> dy) {
  const int lane = threadIdx.x % kWarp;
  for (int64_t r = thread_index() / kWarp; r < h.batch * h.queries; r += thread_count() / kWarp) {
    const int64_t b = r / h.queries, i = r % h.queries, index = b * h.heads + head;
    const int64_t first = i * h.keys;
    T *w = weights + r * h.keys, *ds = scores + r * h.keys;
    const T dot = weigh_again(w, ds, h.seen_by(b, i), h.keys, log_sum_exp[index * h.queries + i],
                              &y.of(b)(i, 0), &dy.of(b)(i, 0), h.d_head);
    __syncwarp(kFullMask);
    h.each_kept(index, first, first + h.keys, lane, kWarp,
                [=](int64_t e, T kept) { drop(w[e - first], ds[e - first], kept, dot); });
  }
}

// One product per sentence of the batch, in one call.
template <class T>
void products(int64_t batch, int64_t m, int64_t n, int64_t k, bool transpose_a, bool transpose_b,
              double alpha, const Packed<T>& a, const Packed<T>& b, double beta, const Packed<T>& c) {
  product<T>({m, n, k, transpose_a, transpose_b, batch, a.stride(), b.stride(), c.stride()}, alpha, a.data,
             a.width, b.data, b.width, beta, c.data, c.width);
}

template <class T>
void attend_by_products(const Heads& h, const PackedQkv<T>& x, const Packed<T>& y, T* log_sum_exp) {
  const Tensor buffer({h.batch, h.queries, h.keys}, dtype_of<T>, Device::cuda);
  const Packed<T> scores({buffer});
  const int64_t n = h.queries, m = h.keys, d = h.d_head;
  for (int64_t head = 0; head < h.heads; ++head) {
    products(h.batch, n, m, d, false, true, h.scale, x.q.from(head * d), x.k.from(head * d), 0, scores);
    launch(masked_softmax<T>, blocks_for(h.batch * n, kBlock / kWarp), kBlock, 0, h, head, scores.data,
           log_sum_exp);
    products(h.batch, n, d, m, false, false, 1, scores, x.v.from(head * d), 0, y.from(head * d));
  }
}

template <class T>
void attend_backward_by_products(const Heads& h, const PackedQkv<T>& x, const Packed<T>& y,
                                 const T* log_sum_exp, const Packed<T>& dy, const PackedQkv<T>& dx) {
  const Tensor buffer({2, h.batch, h.queries, h.keys}, dtype_of<T>, Device::cuda);
  const Shape shape{h.batch, h.queries, h.keys};
  const Packed<T> weights({buffer.rows(0, 1).reshape(shape)}), scores({buffer.rows(1, 2).reshape(shape)});
  const int64_t n = h.queries, m = h.keys, d = h.d_head;
  for (int64_t head = 0; head < h.heads; ++head) {
    const Packed<T> q = x.q.from(head * d), k = x.k.from(head * d), v = x.v.from(head * d);
    const Packed<T> out = y.from(head * d), dout = dy.from(head * d);
    products(h.batch, n, m, d, false, true, h.scale, q, k, 0, weights);
    products(h.batch, n, m, d, false, true, 1, dout, v, 0, scores);
    launch(masked_softmax_backward<T>, blocks_for(h.batch * n, kBlock / kWarp), kBlock, 0, h, head,
           weights.data, scores.data, log_sum_exp, out, dout);
    products(h.batch, m, d, n, true, false, 1, weights, dout, 1, dx.v.from(head * d));
    products(h.batch, n, d, m, false, false, h.scale, scores, k, 1, dx.q.from(head * d));
    products(h.batch, m, d, n, true, false, h.scale, scores, q, 1, dx.k.from(head * d));
  }
}

}  // namespace

void CudaBackend::attention(const Qkv& x, const AttentionSpec& spec, Out y, Out log_sum_exp) {
  const Heads h(x, spec);
  visit_real(y.dtype(), [&]<class T>(T) {
    const size_t bytes = Shared<T>::bytes(h, 1);
    T* sums = log_sum_exp.data<T>();
    if (bytes > kSharedBytes) return attend_by_products(h, PackedQkv<T>(x), Packed<T>({y}), sums);
    launch(attend<T>, h.batch * h.heads, kBlock, bytes, h, PackedQkv<T>(x), Packed<T>({y}), sums);
  });
}

void CudaBackend::attention_backward(const Qkv& x, const AttentionSpec& spec, In y, In log_sum_exp, In dy,
                                     const Qkv& dx) {
  const Heads h(x, spec);
  visit_real(y.dtype(), [&]<class T>(T) {
    const PackedQkv<T> in(x), gradients(dx);
    const Packed<T> out({y}), dout({dy});
    const size_t bytes = Shared<T>::bytes(h, 2);
    const T* sums = log_sum_exp.data<T>();
    if (bytes > kSharedBytes) return attend_backward_by_products(h, in, out, sums, dout, gradients);
    launch(attend_backward<T>, h.batch * h.heads, kBlock, bytes, h, in, out, sums, dout, gradients);
  });
}

}  // namespace gradus
