#include "tensor/cuda/gemm.cuh"
#include "tensor/cuda/launch.cuh"

// Two ways to the same result. Where the scores of a head fit into shared memory, one block does all of that
// head in one launch. Longer sequences go head by head through cuBLAS, each product over all sentences at
// once, with the scores [B, queries, keys] of that head in memory; there, keys that no query sees take part
// with weight 0, so they must be finite. The formulas stand beside the definition of attention_backward.

namespace gradus {
namespace {

using namespace cuda;

// The columns of one head in one sentence, in memory: its rows stand `pitch` elements apart. whole: they can
// be read and written four at a time.
template <class T> struct Columns {
  T* data;
  int64_t pitch;
  int count;
  bool whole;

  // Columns j to j + 3 of row i; those past the last are 0.
  __device__ Four<T> read(int i, int j) const {
    const T* from = data + i * pitch + j;
    if (whole) return *reinterpret_cast<const Four<T>*>(from);
    Four<T> x;
    for (int s = 0; s < 4; ++s) x.at[s] = j + s < count ? from[s] : T(0);
    return x;
  }
  __device__ void write(int i, int j, const Four<T>& x) const {
    T* to = data + i * pitch + j;
    if (whole) *reinterpret_cast<Four<T>*>(to) = x;
    for (int s = 0; s < 4 && !whole; ++s)
      if (j + s < count) to[s] = x.at[s];
  }
};

// PackedHeads as kernels see them: [batch, rows, width], or the columns of it from some number on. Null is
// none.
template <class T> struct Packed {
  T* data;
  int64_t rows, width;

  HOST_DEVICE int64_t stride() const { return rows * width; }
  HOST_DEVICE Packed from(int64_t column) const { return {data ? data + column : data, rows, width}; }
  __device__ T* row(int64_t b, int64_t i) const { return data + b * stride() + i * width; }
  __device__ Columns<T> of(int64_t b, int64_t column, int count) const {
    T* first = data + b * stride() + column;
    return {first, width, count, width % 4 == 0 && count % 4 == 0 && aligned(first)};
  }
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

  // Calls fn(e, kept) for the weights number e in [begin, end) of a head's [queries, keys], which so many
  // workers share; kept is 0 or 1 / (1 - p). The weights of each head start a group of random bits of their
  // own (random.h).
  template <class T, class Fn>
  __device__ void each_kept(int64_t head, int64_t begin, int64_t end, int worker, int workers,
                            const Fn& fn) const {
    if (bits.threshold == 0)
      for (int64_t e = begin + worker; e < end; e += workers) fn(e, T(1));
    const T if_kept = kept_scale;
    const int64_t first_group = head * ((queries * keys + kDropoutGroup - 1) / kDropoutGroup);
    int64_t counter = begin / kDropoutGroup * kDropoutLanes + worker;
    for (; bits.threshold > 0 && counter / kDropoutLanes * kDropoutGroup < end; counter += workers) {
      const int64_t group = counter / kDropoutLanes, first = group * kDropoutGroup + counter % kDropoutLanes;
      const PhiloxBlock block = bits.block(first_group + group, counter % kDropoutLanes);
      for (int half = 0; half < 8; ++half) {
        const int64_t e = first + half * kDropoutLanes;
        if (e >= begin && e < end) fn(e, bits.keeps(block, half) ? if_kept : T(0));
      }
    }
  }
};

// Row i of a head's scores becomes weights before dropout, by one warp: softmax over the keys it sees, 0 for
// the rest of the first `count`. statistics [batch, heads, queries, 2]: the largest score and 1 / the sum of
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
  if (lane > 0) return;
  T* kept = statistics + 2 * (head * h.queries + i);
  kept[0] = seen > 0 ? max : 0;
  kept[1] = seen > 0 ? scale : 0;
}

// What backward asks of a query: the statistics of its scores, y dy, and how many keys it sees.
template <class T> struct alignas(16) Query {
  T max, scale, dot;
  int seen;

  // Element j of a row: the score in w becomes the weight again, in forward's own arithmetic, and dw, in ds,
  // the gradient of the score.
  __device__ void weigh(int j, T kept, T& w, T& ds) const {
    const T p = j < seen ? math::exp(w - max) * scale : 0;
    ds = j < seen ? p * (kept * ds - dot) : 0;
    w = p * kept;
  }
};

// By one warp; y and dy are the rows of the query.
template <class T>
__device__ Query<T> query(const Heads& h, int64_t head, int64_t i, const T* statistics, const T* y,
                          const T* dy) {
  T part = 0;
  for (int64_t j = threadIdx.x % kWarp; j < h.d_head; j += kWarp) part += y[j] * dy[j];
  const T* kept = statistics + 2 * (head * h.queries + i);
  return {kept[0], kept[1], warp_reduce(part, Sum{}), int(h.seen_by(head / h.heads, i))};
}

// Short sequences: one block a head, all of whose matrices stand in shared memory.

// A factor of a product. It has rows o, of which each has its own sums, and columns l, which are summed over:
// element (o, l) is data[o * pitch + l], transposed data[l * pitch + o]. A thread has four rows: neighbours
// where they are read as one, else `tiles` apart, so that neighbouring threads read neighbouring rows.
template <class T, bool kTransposed> struct Factor {
  const T* data;
  int pitch, tiles;

  __device__ int row(int tile, int s) const { return kTransposed ? 4 * tile + s : tile + s * tiles; }
  // x[s][t] = element (row(tile, s), l + t)
  __device__ void read(int tile, int l, T (&x)[4][4]) const {
    for (int s = 0; s < 4; ++s) {
      const int at = kTransposed ? (l + s) * pitch + 4 * tile : row(tile, s) * pitch + l;
      const Four<T> four = *reinterpret_cast<const Four<T>*>(data + at);
      for (int t = 0; t < 4; ++t) (kTransposed ? x[t][s] : x[s][t]) = four.at[t];
    }
  }
};

// A matrix in shared memory, filled up with zeros to fours of rows and of columns: so products need no edges.
// Rows stand an odd number of fours apart, so that fours of eight of them are in different banks.
template <class T> struct Tiles {
  T* data;
  int pitch;

  HOST_DEVICE static int pitch_of(int columns) { return 4 * (fours(columns) | 1); }
  __device__ T& operator()(int i, int j) const { return data[i * pitch + j]; }
  __device__ Factor<T, false> rows(int n) const { return {data, pitch, fours(n)}; }
  __device__ Factor<T, true> columns(int n) const { return {data, pitch, fours(n)}; }

  // Becomes rows [0, n) of x, by the whole block.
  __device__ void load(int n, const Columns<T>& x) const {
    constexpr int kAtOnce = 4;  // so many reads are under way
    const int width = fours(x.count), count = 4 * fours(n) * width;
    for (int first = threadIdx.x; first < count; first += kAtOnce * kBlock) {
      Four<T> part[kAtOnce];
      for (int k = 0; k < kAtOnce; ++k) {
        const int i = (first + k * kBlock) / width, j = (first + k * kBlock) % width;
        part[k] = i < n ? x.read(i, 4 * j) : Four<T>{};
      }
      for (int k = 0; k < kAtOnce; ++k) {
        const int i = (first + k * kBlock) / width, j = (first + k * kBlock) % width;
        if (first + k * kBlock < count) *reinterpret_cast<Four<T>*>(&(*this)(i, 4 * j)) = part[k];
      }
    }
  }
};

// store(i, j, sums over l of a(i, l) b(row(j, t), l) for t = 0..3) for all rows i of a and tiles j of b, by
// the whole block. A thread sums four by four of them in registers. Those of a warp are 8 tiles by 4, so that
// it reads few different rows.
template <class T, bool kA, bool kB, class Store>
__device__ void block_product(const Factor<T, kA>& a, const Factor<T, kB>& b, int inner, const Store& store) {
  constexpr int kPanel = 4;
  for (int tile = threadIdx.x; tile < a.tiles * b.tiles; tile += kBlock) {
    const int panel = tile / (kPanel * a.tiles), first = kPanel * panel, rest = tile - first * a.tiles;
    const int width = std::min(kPanel, b.tiles - first), i = rest / width, j = first + rest % width;
    Four<T> sums[4] = {};
    for (int l = 0; l < inner; l += 4) {
      T x[4][4], y[4][4];
      a.read(i, l, x);
      b.read(j, l, y);
      for (int s = 0; s < 4; ++s)
        for (int t = 0; t < 4; ++t)
          for (int k = 0; k < 4; ++k) sums[s].at[t] += x[s][k] * y[t][k];
    }
    for (int s = 0; s < 4; ++s) store(a.row(i, s), j, sums[s]);
  }
}

// w [queries, m] = scale q k^T: one function, so that backward finds the scores of forward to the bit. It
// subtracts forward's largest score from them, and where scores are large a last bit is much.
template <class T>
__device__ void score(const Heads& h, int m, T scale, const Tiles<T>& q, const Tiles<T>& k,
                      const Tiles<T>& w) {
  const auto keys = k.rows(m);
  block_product(q.rows(h.queries), keys, h.d_head, [=](int i, int j, const Four<T>& sums) {
    for (int t = 0; t < 4; ++t) w(i, keys.row(j, t)) = scale * sums.at[t];
  });
}

// What a block keeps: queries, or what is shaped as they; keys, or values; one or two matrices of scores
// [queries, keys]; and a Query<T> each, as large as four elements.
template <class T> struct Shared {
  Tiles<T> left, right, w, ds;
  Query<T>* queries;

  __device__ Shared(const Heads& h, T* data) {
    const int d = Tiles<T>::pitch_of(h.d_head), m = Tiles<T>::pitch_of(h.keys), n = 4 * fours(h.queries);
    left = {data, d};
    right = {left.data + n * d, d};
    w = {right.data + 4 * fours(h.keys) * d, m};
    ds = {w.data + n * m, m};
    queries = reinterpret_cast<Query<T>*>(ds.data + n * m);
  }
  static size_t bytes(const Heads& h, bool backward) {
    const size_t d = Tiles<T>::pitch_of(h.d_head), m = Tiles<T>::pitch_of(h.keys), n = 4 * fours(h.queries);
    return sizeof(T) * (n * d + 4 * fours(h.keys) * d + (backward ? 2 : 1) * n * m + (backward ? 4 * n : 0));
  }
};

// For so many blocks on one of the GPU's processors a thread's registers must leave room. Shared memory has
// room for 4 forward and 3 backward at 64 keys of 64 columns, and for more where sequences are shorter.
template <class T> constexpr int kForwardBlocks = sizeof(T) == 4 ? 4 : 2;
template <class T> constexpr int kBackwardBlocks = sizeof(T) == 4 ? 4 : 1;

template <class T>
__global__ void __launch_bounds__(kBlock, kForwardBlocks<T>)
    attend(Heads h, PackedQkv<T> x, Packed<T> output, T* statistics) {
  DYN_SHARED(T, data);
  const Shared<T> s(h, data);
  const int64_t head = blockIdx.x, b = head / h.heads, column = head % h.heads * h.d_head;
  const int n = h.queries, m = h.seen_keys(b), d = h.d_head;
  h.check_lengths();
  s.left.load(n, x.q.of(b, column, d));
  s.right.load(m, x.k.of(b, column, d));
  __syncthreads();
  score(h, m, T(h.scale), s.left, s.right, s.w);
  __syncthreads();
  s.right.load(m, x.v.of(b, column, d));
  for (int i = threadIdx.x / kWarp; i < n; i += kBlock / kWarp) weigh(h, head, i, m, &s.w(i, 0), statistics);
  __syncthreads();
  if (h.bits.threshold > 0)
    h.each_kept<T>(head, 0, h.queries * h.keys, threadIdx.x, kBlock, [=](unsigned e, T kept) {
      if (const int i = e / unsigned(h.keys), j = e % unsigned(h.keys); j < m) s.w(i, j) *= kept;
    });
  __syncthreads();
  const Columns<T> y = output.of(b, column, d);
  block_product(s.w.rows(n), s.right.columns(d), m, [=](int i, int j, const Four<T>& sums) {
    if (i < n) y.write(i, 4 * j, sums);
  });
}

// dx: where to write the gradients, or to add them; null where nobody needs one.
template <class T>
__global__ void __launch_bounds__(kBlock, kBackwardBlocks<T>)
    attend_backward(Heads h, PackedQkv<T> x, Packed<T> output, const T* statistics, Packed<T> doutput,
                    bool add, PackedQkv<T> dx) {
  DYN_SHARED(T, data);
  const Shared<T> s(h, data);
  const int64_t head = blockIdx.x, b = head / h.heads, column = head % h.heads * h.d_head;
  const int n = h.queries, m = h.seen_keys(b), d = h.d_head;
  s.left.load(n, x.q.of(b, column, d));
  s.right.load(m, x.k.of(b, column, d));
  __syncthreads();
  score(h, m, T(h.scale), s.left, s.right, s.w);
  __syncthreads();
  s.left.load(n, doutput.of(b, column, d));
  s.right.load(m, x.v.of(b, column, d));
  __syncthreads();
  for (int i = threadIdx.x / kWarp; i < n; i += kBlock / kWarp) {
    const Query<T> one = query(h, head, i, statistics, output.row(b, i) + column, &s.left(i, 0));
    if (threadIdx.x % kWarp == 0) s.queries[i] = one;
  }
  score(h, m, T(1), s.left, s.right, s.ds);
  __syncthreads();
  s.right.load(m, x.k.of(b, column, d));
  h.each_kept<T>(head, 0, h.queries * h.keys, threadIdx.x, kBlock, [=](unsigned e, T kept) {
    if (const int i = e / unsigned(h.keys), j = e % unsigned(h.keys); j < m)
      s.queries[i].weigh(j, kept, s.w(i, j), s.ds(i, j));
  });
  const auto put_product = [=](const Packed<T>& to, T scale, int rows, int inner, const auto& a,
                               const Tiles<T>& right) {
    __syncthreads();  // the factors are there; and q, k and v may be the same columns
    if (!to.data) return;
    const Columns<T> out = to.of(b, column, d);
    block_product(a, right.columns(d), inner, [=](int i, int j, const Four<T>& sums) {
      if (i >= rows) return;
      Four<T> sum = add ? out.read(i, 4 * j) : Four<T>{};
      for (int t = 0; t < 4; ++t) sum.at[t] += scale * sums.at[t];
      out.write(i, 4 * j, sum);
    });
  };
  put_product(dx.v, 1, m, n, s.w.columns(m), s.left);
  put_product(dx.q, h.scale, n, m, s.ds.rows(n), s.right);
  s.left.load(n, x.q.of(b, column, d));  // dv is done with dy
  put_product(dx.k, h.scale, m, n, s.ds.columns(m), s.left);
  if (add) return;
  for (const Packed<T>& to : {dx.k, dx.v}) {  // 0 for the keys that nobody sees
    if (!to.data) continue;
    const Columns<T> out = to.of(b, column, d);
    for (int e = threadIdx.x; e < (h.keys - m) * fours(d); e += kBlock)
      out.write(m + e / fours(d), 4 * (e % fours(d)), Four<T>{});
  }
}

// Long sequences: head number `head` of every sentence, one warp a row.

template <class T> __global__ void weigh_rows(Heads h, int64_t head, T* scores, T* statistics) {
  h.check_lengths();
  const int64_t r = thread_index() / kWarp, b = r / h.queries, i = r % h.queries, number = b * h.heads + head;
  if (r >= h.batch * h.queries) return;  // the whole warp
  T* w = scores + r * h.keys;
  weigh(h, number, i, h.keys, w, statistics);
  __syncwarp(kFullMask);
  h.each_kept<T>(number, i * h.keys, i * h.keys + h.seen_by(b, i), threadIdx.x % kWarp, kWarp,
                 [=](int64_t e, T kept) { w[e - i * h.keys] *= kept; });
}

template <class T>
__global__ void weigh_rows_backward(Heads h, int64_t head, T* weights, T* scores, const T* statistics,
                                    Packed<T> y, Packed<T> dy) {
  const int64_t r = thread_index() / kWarp, b = r / h.queries, i = r % h.queries, number = b * h.heads + head;
  if (r >= h.batch * h.queries) return;  // the whole warp
  const Query<T> one = query(h, number, i, statistics, y.row(b, i), dy.row(b, i));
  T *w = weights + r * h.keys, *ds = scores + r * h.keys;
  h.each_kept<T>(number, i * h.keys, (i + 1) * h.keys, threadIdx.x % kWarp, kWarp, [=](int64_t e, T kept) {
    const int j = e - i * h.keys;
    one.weigh(j, kept, w[j], ds[j]);
  });
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
    const size_t bytes = Shared<T>::bytes(h, false);
    if (bytes <= runtime().shared_bytes)
      return launch(attend<T>, {h.batch * h.heads, kBlock, bytes}, h, in, out, statistics);
    if (m == 0) fill(0, y);  // a product over nothing writes nothing
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
                                     bool add, Out dq, Out dk, Out dv) {
  const Heads h(x, spec);
  visit_real(y.dtype(), [&]<class T>(T) {
    const PackedQkv<T> in(x), dx({{dq, x.q.first}, {dk, x.k.first}, {dv, x.v.first}});
    const Packed<T> out = packed<T>({y}), dout = packed<T>({dy});
    const int64_t n = h.queries, m = h.keys, d = h.d_head;
    const double beta = add ? 1 : 0;
    const size_t bytes = Shared<T>::bytes(h, true);
    if (bytes <= runtime().shared_bytes)
      return launch(attend_backward<T>, {h.batch * h.heads, kBlock, bytes}, h, in, out, statistics, dout,
                    add, dx);
    const Tensor buffers[] = {Tensor::like(y, {h.batch, n, m}), Tensor::like(y, {h.batch, n, m})};
    const Packed<T> weights = packed<T>({buffers[0]}), scores = packed<T>({buffers[1]});
    for (int64_t head = 0; head < h.heads; ++head) {
      const Packed<T> q = in.q.from(head * d), k = in.k.from(head * d), dy_head = dout.from(head * d);
      products(h.batch, n, m, d, false, true, h.scale, q, k, 0, weights);
      products(h.batch, n, m, d, false, true, 1, dy_head, in.v.from(head * d), 0, scores);
      launch(weigh_rows_backward<T>, {blocks_for(h.batch * n, kBlock / kWarp)}, h, head, weights.data,
             scores.data, statistics, out.from(head * d), dy_head);
      products(h.batch, m, d, n, true, false, 1, weights, dy_head, beta, dx.v.from(head * d));
      products(h.batch, n, d, m, false, false, h.scale, scores, k, beta, dx.q.from(head * d));
      products(h.batch, m, d, n, true, false, h.scale, scores, q, beta, dx.k.from(head * d));
    }
  });
}

}  // namespace gradus
