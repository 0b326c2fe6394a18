#include "tensor/cuda/gemm.cuh"
#include "tensor/cuda/launch.cuh"

// Two ways to the same result. Where the scores of a head fit into shared memory, one block does all of that
// head in one launch. Longer sequences go head by head through cuBLAS, each product over all sentences at
// once, with the scores [B, queries, keys] of that head in memory; there, keys that no query sees take part
// with weight 0, so they must be finite. The formulas stand beside the definition of attention_backward.

namespace gradus {
namespace {

using namespace cuda;

// Element (i, j) stands at data[i * row + j * column].
template <class T> struct Matrix {
  T* data;
  int row, column = 1;

  __device__ T& operator()(int64_t i, int64_t j) const { return data[i * row + j * column]; }
  __device__ Matrix transposed() const { return {data, column, row}; }
};

// PackedHeads as kernels see them: [batch, rows, width], or the columns of it from some number on. Null is
// none.
template <class T> struct Packed {
  T* data;
  int64_t rows, width;

  HOST_DEVICE int64_t stride() const { return rows * width; }
  HOST_DEVICE Packed from(int64_t column) const { return {data ? data + column : data, rows, width}; }
  __device__ Matrix<T> of(int64_t b) const { return {data + b * stride(), int(width)}; }
};
template <class T> Packed<T> packed(const PackedHeads& x) {
  if (!x.tensor) return {};
  return {x.tensor.data<T>() + x.first, x.tensor.shape()[1], x.tensor.shape()[2]};
}

template <class T> struct PackedQkv {
  Packed<T> q, k, v;
  explicit PackedQkv(const Qkv& x) : q(packed<T>(x.q)), k(packed<T>(x.k)), v(packed<T>(x.v)) {}
};

// An AttentionSpec with the sizes of its tensors, as kernels see it.
struct Heads {
  int64_t batch, heads, queries, keys, d_head;
  bool causal;
  const int32_t* key_lengths;
  double scale, kept_scale;
  DropoutBits bits;
  const char* name = "attention";  // a host pointer, for the report
  OutOfRange* slot = runtime().error_slot;

  Heads(const Qkv& x, const AttentionSpec& s)
      : batch(x.q.tensor.shape()[0]), heads(s.heads), queries(x.q.tensor.shape()[1]),
        keys(x.k.tensor.shape()[1]), d_head(s.d_model / s.heads), causal(s.causal),
        key_lengths(argument<const int32_t*>(s.key_lengths)), scale(1 / std::sqrt(d_head)),
        kept_scale(dropout_scale(dropout_threshold(s.dropout))), bits(s.draw.value_or(Draw{}), s.dropout) {}

  // Reports the first length out of range, which seen_keys() clamps; done by the first block, as a whole.
  __device__ void check_lengths() const {
    if (blockIdx.x > 0 || !key_lengths) return;
    const int64_t b =
        first_bad(batch, [&](int64_t i) { return key_lengths[i] < 0 || key_lengths[i] > keys; });
    if (threadIdx.x == 0 && b < batch && slot->op == nullptr) *slot = {name, key_lengths[b], keys, b, -1};
  }

  __device__ static int64_t clamp(int64_t n, int64_t most) { return n < 0 ? 0 : n < most ? n : most; }
  __device__ int64_t seen_keys(int64_t b) const { return key_lengths ? clamp(key_lengths[b], keys) : keys; }
  __device__ int64_t seen_by(int64_t b, int64_t query) const {
    return causal ? clamp(query + keys - queries + 1, seen_keys(b)) : seen_keys(b);
  }

  // Calls fn(j, kept) for the first `count` weights of row i of a head, by one warp; kept is 0 or 1 / (1 -
  // p). The weights [queries, keys] of each head start a group of random bits of their own (random.h).
  template <class Fn> __device__ void each_kept(int64_t head, int64_t i, int64_t count, const Fn& fn) const {
    const int64_t begin = i * keys, end = begin + count, lane = threadIdx.x % kWarp;
    if (bits.threshold == 0)
      for (int64_t j = lane; j < count; j += kWarp) fn(j, 1.);
    const int64_t first_group = head * ((queries * keys + kDropoutGroup - 1) / kDropoutGroup);
    int64_t counter = begin / kDropoutGroup * kDropoutLanes + lane;
    for (; bits.threshold > 0 && counter / kDropoutLanes * kDropoutGroup < end; counter += kWarp) {
      const int64_t group = counter / kDropoutLanes, first = group * kDropoutGroup + counter % kDropoutLanes;
      const PhiloxBlock block = bits.block(first_group + group, counter % kDropoutLanes);
      for (int half = 0; half < 8; ++half) {
        const int64_t e = first + half * kDropoutLanes;
        if (e >= begin && e < end) fn(e - begin, bits.keeps(block, half) ? kept_scale : 0);
      }
    }
  }
};

// Row i of a head's scores becomes weights, by one warp: softmax over the keys it sees, 0 for the rest of the
// first `count`, then dropout. statistics [batch, heads, queries, 2]: the largest score and 1 / the sum of
// exponentials, both 0 for a query that sees no key.
template <class T>
__device__ void weigh(const Heads& h, int64_t head, int64_t i, int64_t count, T* w, T* statistics) {
  const int64_t seen = h.seen_by(head / h.heads, i), lane = threadIdx.x % kWarp;
  T max = -std::numeric_limits<T>::infinity(), part = 0;
  for (int64_t j = lane; j < seen; j += kWarp) max = Max{}(max, w[j]);
  max = warp_reduce(max, Max{});
  for (int64_t j = lane; j < seen; j += kWarp) part += w[j] = math::exp(w[j] - max);
  const T scale = 1 / warp_reduce(part, Sum{});
  for (int64_t j = lane; j < count; j += kWarp) w[j] = j < seen ? w[j] * scale : 0;
  if (lane == 0) {
    T* kept = statistics + 2 * (head * h.queries + i);
    kept[0] = seen > 0 ? max : 0;
    kept[1] = seen > 0 ? scale : 0;
  }
  __syncwarp(kFullMask);
  h.each_kept(head, i, seen, [=](int64_t j, T kept) { w[j] *= kept; });
}

// The same again from the statistics, in forward's own arithmetic, and in ds, which holds dw: the gradient of
// the scores. y and dy are the rows of the query.
template <class T>
__device__ void weigh_backward(const Heads& h, int64_t head, int64_t i, int64_t count, T* w, T* ds,
                               const T* statistics, const T* y, const T* dy) {
  const int64_t seen = h.seen_by(head / h.heads, i), lane = threadIdx.x % kWarp;
  T part = 0;
  for (int64_t j = lane; j < h.d_head; j += kWarp) part += y[j] * dy[j];
  const T dot = warp_reduce(part, Sum{}), *kept_of_row = statistics + 2 * (head * h.queries + i);
  const T max = kept_of_row[0], scale = kept_of_row[1];
  for (int64_t j = seen + lane; j < count; j += kWarp) w[j] = ds[j] = 0;
  h.each_kept(head, i, seen, [=](int64_t j, T kept) {
    const T p = math::exp(w[j] - max) * scale;
    ds[j] = p * (kept * ds[j] - dot);
    w[j] = p * kept;
  });
}

// Short sequences: one block a head.

// store(i, j, sum of a(i, l) b(l, j) over k) for all i < m, j < n, by the whole block. A thread sums
// kSide x kSide of them at a time in registers; they stand apart, so that neighbouring threads read
// neighbouring columns.
template <class T, class Store>
__device__ void block_product(int m, int n, int k, const Matrix<T>& a, const Matrix<T>& b,
                              const Store& store) {
  constexpr int kSide = 4;
  const int rows = (m + kSide - 1) / kSide, columns = (n + kSide - 1) / kSide;
  for (int tile = threadIdx.x; tile < rows * columns; tile += blockDim.x) {
    const int i = tile / columns, j = tile % columns;
    const T *left[kSide], *right[kSide];
    T sums[kSide][kSide] = {};
    for (int s = 0; s < kSide; ++s) {  // past the edge the last row or column is read again
      left[s] = &a(std::min(i + s * rows, m - 1), 0);
      right[s] = &b(0, std::min(j + s * columns, n - 1));
    }
    for (int l = 0; l < k; ++l) {
      T x[kSide], y[kSide];
      for (int s = 0; s < kSide; ++s) {
        x[s] = left[s][l * a.column];
        y[s] = right[s][l * b.row];
      }
      for (int s = 0; s < kSide * kSide; ++s) sums[s / kSide][s % kSide] += x[s / kSide] * y[s % kSide];
    }
    for (int s = 0; s < kSide * kSide; ++s) {
      const int row = i + s / kSide * rows, column = j + s % kSide * columns;
      if (row < m && column < n) store(row, column, sums[s / kSide][s % kSide]);
    }
  }
}

// A block keeps in shared memory: keys, or values, [keys, d_head], read by threads that each go down another
// row; and one or two matrices of scores [queries, keys]. Odd pitches keep rows in different banks.
template <class T> size_t shared_bytes(const Heads& h, int matrices) {
  return sizeof(T) * (h.keys * (h.d_head | 1) + matrices * h.queries * (h.keys | 1));
}
constexpr size_t kSharedBytes = 96 << 10;  // what every GPU since compute capability 8.0 lets a block have

// to [rows, d] = from, by the whole block, a warp per row.
template <class T> __device__ void load(int64_t rows, int64_t d, const Matrix<T>& from, const Matrix<T>& to) {
  for (int64_t i = threadIdx.x / kWarp; i < rows; i += blockDim.x / kWarp)
    for (int64_t j = threadIdx.x % kWarp; j < d; j += kWarp) to(i, j) = from(i, j);
}

// w [queries, m] = scale q k^T: one function, so that backward finds the scores of forward to the bit. It
// subtracts forward's largest score from them, and where scores are large a last bit is much.
template <class T>
__device__ void score(const Heads& h, int m, const Matrix<T>& q, const Matrix<T>& k, const Matrix<T>& w) {
  block_product(h.queries, m, h.d_head, q, k.transposed(),
                [=, scale = T(h.scale)](int64_t i, int64_t j, T sum) { w(i, j) = scale * sum; });
}

template <class T> __global__ void attend(Heads h, PackedQkv<T> x, Packed<T> output, T* statistics) {
  DYN_SHARED(T, data);
  const int64_t head = blockIdx.x, b = head / h.heads, column = head % h.heads * h.d_head;
  const int n = h.queries, m = h.seen_keys(b), d = h.d_head;
  const Matrix<T> k{data, d | 1}, w{data + h.keys * k.row, int(h.keys | 1)}, y = output.from(column).of(b);
  h.check_lengths();
  load(m, d, x.k.from(column).of(b), k);
  __syncthreads();
  score(h, m, x.q.from(column).of(b), k, w);
  __syncthreads();
  for (int64_t i = threadIdx.x / kWarp; i < n; i += blockDim.x / kWarp)
    weigh(h, head, i, m, &w(i, 0), statistics);
  __syncthreads();
  block_product(n, d, m, w, x.v.from(column).of(b), [=](int64_t i, int64_t j, T sum) { y(i, j) = sum; });
}

// dx: where to add the gradients; null where nobody needs one.
template <class T>
__global__ void attend_backward(Heads h, PackedQkv<T> x, Packed<T> output, const T* statistics,
                                Packed<T> doutput, PackedQkv<T> dx) {
  DYN_SHARED(T, data);
  const int64_t head = blockIdx.x, b = head / h.heads, column = head % h.heads * h.d_head;
  const int n = h.queries, m = h.seen_keys(b), d = h.d_head;
  const Matrix<T> kv{data, d | 1}, w{data + h.keys * kv.row, int(h.keys | 1)}, ds{w.data + n * w.row, w.row};
  const Matrix<T> q = x.q.from(column).of(b), k = x.k.from(column).of(b);
  const Matrix<T> y = output.from(column).of(b), dy = doutput.from(column).of(b);
  load(m, d, k, kv);
  __syncthreads();
  score(h, m, q, kv, w);
  __syncthreads();
  load(m, d, x.v.from(column).of(b), kv);
  __syncthreads();
  block_product(n, m, d, dy, kv.transposed(), [=](int64_t i, int64_t j, T sum) { ds(i, j) = sum; });
  __syncthreads();
  for (int64_t i = threadIdx.x / kWarp; i < n; i += blockDim.x / kWarp)
    weigh_backward(h, head, i, m, &w(i, 0), &ds(i, 0), statistics, &y(i, 0), &dy(i, 0));
  const auto add_product = [=](const Packed<T>& to, T scale, int rows, int inner, const Matrix<T>& left,
                               const Matrix<T>& right) {
    __syncthreads();  // the weights are done; and q, k and v may be the same columns
    if (!to.data) return;
    const Matrix<T> out = to.from(column).of(b);
    block_product(rows, d, inner, left, right,
                  [=](int64_t i, int64_t j, T sum) { out(i, j) += scale * sum; });
  };
  add_product(dx.v, 1, m, n, w.transposed(), dy);
  add_product(dx.q, h.scale, n, m, ds, k);
  add_product(dx.k, h.scale, m, n, ds.transposed(), q);
}

// Long sequences: head number `head` of every sentence, one warp a row.

template <class T> __global__ void weigh_rows(Heads h, int64_t head, T* scores, T* statistics) {
  h.check_lengths();
  if (const int64_t r = thread_index() / kWarp; r < h.batch * h.queries)
    weigh(h, r / h.queries * h.heads + head, r % h.queries, h.keys, scores + r * h.keys, statistics);
}

template <class T>
__global__ void weigh_rows_backward(Heads h, int64_t head, T* weights, T* scores, const T* statistics,
                                    Packed<T> y, Packed<T> dy) {
  if (const int64_t r = thread_index() / kWarp; r < h.batch * h.queries) {
    const int64_t b = r / h.queries, i = r % h.queries;
    weigh_backward(h, b * h.heads + head, i, h.keys, weights + r * h.keys, scores + r * h.keys, statistics,
                   &y.of(b)(i, 0), &dy.of(b)(i, 0));
  }
}

// One product per sentence of the batch, in one call; none where there is nowhere to write.
template <class T>
void products(int64_t batch, int64_t m, int64_t n, int64_t k, bool transpose_a, bool transpose_b,
              double alpha, const Packed<T>& a, const Packed<T>& b, double beta, const Packed<T>& c) {
  if (c.data)
    product<T>({m, n, k, transpose_a, transpose_b, batch, a.stride(), b.stride(), c.stride()}, alpha, a.data,
               a.width, b.data, b.width, beta, c.data, c.width);
}

}  // namespace

void CudaBackend::attention(const Qkv& x, const AttentionSpec& spec, Out y, Out statistics) {
  const Heads h(x, spec);
  visit_real(y.dtype(), [&]<class T>(T) {
    const PackedQkv<T> in(x);
    const Packed<T> out = packed<T>({y});
    const int64_t n = h.queries, m = h.keys, d = h.d_head;
    const size_t bytes = shared_bytes<T>(h, 1);
    if (bytes <= kSharedBytes)
      return launch(attend<T>, {h.batch * h.heads, kBlock, bytes}, h, in, out, statistics);
    const Tensor buffer = Tensor::like(y, {h.batch, n, m});
    const Packed<T> scores = packed<T>({buffer});
    for (int64_t head = 0; head < h.heads; ++head) {
      products(h.batch, n, m, d, false, true, h.scale, in.q.from(head * d), in.k.from(head * d), 0, scores);
      launch(weigh_rows<T>, {blocks_for(h.batch * n, kBlock / kWarp)}, h, head, scores.data, statistics);
      products(h.batch, n, d, m, false, false, 1, scores, in.v.from(head * d), 0, out.from(head * d));
    }
  });
}

void CudaBackend::attention_backward(const Qkv& x, const AttentionSpec& spec, In y, In statistics, In dy,
                                     Out dq, Out dk, Out dv) {
  const Heads h(x, spec);
  visit_real(y.dtype(), [&]<class T>(T) {
    const PackedQkv<T> in(x), dx({{dq, x.q.first}, {dk, x.k.first}, {dv, x.v.first}});
    const Packed<T> out = packed<T>({y}), dout = packed<T>({dy});
    const int64_t n = h.queries, m = h.keys, d = h.d_head;
    const size_t bytes = shared_bytes<T>(h, 2);
    if (bytes <= kSharedBytes)
      return launch(attend_backward<T>, {h.batch * h.heads, kBlock, bytes}, h, in, out, statistics, dout, dx);
    const Tensor buffers[] = {Tensor::like(y, {h.batch, n, m}), Tensor::like(y, {h.batch, n, m})};
    const Packed<T> weights = packed<T>({buffers[0]}), scores = packed<T>({buffers[1]});
    for (int64_t head = 0; head < h.heads; ++head) {
      const Packed<T> q = in.q.from(head * d), k = in.k.from(head * d), dy_head = dout.from(head * d);
      products(h.batch, n, m, d, false, true, h.scale, q, k, 0, weights);
      products(h.batch, n, m, d, false, true, 1, dy_head, in.v.from(head * d), 0, scores);
      launch(weigh_rows_backward<T>, {blocks_for(h.batch * n, kBlock / kWarp)}, h, head, weights.data,
             scores.data, statistics, out.from(head * d), dy_head);
      products(h.batch, m, d, n, true, false, 1, weights, dy_head, 1, dx.v.from(head * d));
      products(h.batch, n, d, m, false, false, h.scale, scores, k, 1, dx.q.from(head * d));
      products(h.batch, m, d, n, true, false, h.scale, scores, q, 1, dx.k.from(head * d));
    }
  });
}

}  // namespace gradus
