#include <cmath>

#include "tensor/cpu/cpu_backend.h"
#include "tensor/cpu/dropout_bits.h"
#include "tensor/cpu/gemm.h"
#include "tensor/cpu/parallel.h"

namespace gradus {
namespace {

// One head of one packed tensor: a matrix [T, d_head] whose rows stand `pitch` elements apart.
template <class T> struct HeadMatrix {
  T* data;
  int64_t pitch;
  T* row(int64_t i) const { return data + i * pitch; }
  HeadMatrix from(int64_t i) const { return {row(i), pitch}; }
};

// A head is worked through so many queries at a time: so scratch grows with the number of keys alone.
constexpr int64_t kQueries = 64;

// What forward and backward share about one (batch, head): its sizes, which keys a query sees, and dropout.
struct Head {
  const AttentionSpec& spec;
  int64_t index, b, queries, keys, d_head, seen_keys;  // seen_keys: those before key_lengths[b]
  double scale;

  Head(int64_t i, const Qkv& x, const AttentionSpec& s)
      : spec(s), index(i), b(i / s.heads), queries(x.q.tensor.shape()[1]), keys(x.k.tensor.shape()[1]),
        d_head(s.d_model / s.heads), seen_keys(keys), scale(1 / std::sqrt(d_head)) {
    if (!s.key_lengths) return;
    seen_keys = s.key_lengths.data<int32_t>()[b];
    check_length("attention", seen_keys, keys, b);  // again: they may have been written into since
  }

  template <class T> HeadMatrix<T> of(const PackedHeads& x) const {
    const int64_t rows = x.tensor.shape()[1], width = x.tensor.shape()[2];
    return {x.tensor.data<T>() + b * rows * width + x.first + index % spec.heads * d_head, width};
  }

  int64_t seen_by(int64_t query) const {
    return spec.causal ? std::clamp<int64_t>(query + keys - queries + 1, 0, seen_keys) : seen_keys;
  }

  // Calls fn(first, n, m) for n queries from `first` on, block after block; m: the keys that any of them
  // sees.
  template <class Fn> void for_queries(const Fn& fn) const {
    for (int64_t first = 0; first < queries; first += kQueries) {
      const int64_t n = std::min(kQueries, queries - first);
      fn(first, n, seen_by(first + n - 1));
    }
  }

  // out [n, m] = scale q k^T, q [n, d_head], k [m, d_head]
  template <class T>
  void scores(int64_t n, int64_t m, const HeadMatrix<T>& q, const HeadMatrix<T>& k, T* out) const {
    cpu::product({n, m, d_head, false, true}, scale, q.data, q.pitch, k.data, k.pitch, 0, out, keys);
  }

  // keep [n, keys], of the queries from `first` on: 1 / (1 - p) for a kept weight, 0 for a dropped one. Each
  // head starts a group of its own.
  template <class T> void fill_keep(int64_t first, int64_t n, T* keep) const {
    const uint32_t threshold = dropout_threshold(spec.dropout);
    if (threshold == 0) return std::fill(keep, keep + n * keys, T(1));
    const int64_t groups = cpu::blocks_of(queries * keys, kDropoutGroup), from = first * keys,
                  to = from + n * keys;
    const T factor = dropout_scale(threshold);
    uint16_t bits[kDropoutGroup];
    for (int64_t group = from / kDropoutGroup; group * kDropoutGroup < to; ++group) {
      cpu::dropout_bits(index * groups + group, *spec.draw, bits);
      const int64_t begin = group * kDropoutGroup;
      cpu::lanes(std::max(begin, from), std::min(begin + kDropoutGroup, to),
                 [=, b = bits](int64_t e) { keep[e - from] = b[e - begin] >= threshold ? factor : T(0); });
    }
  }
};

template <class T>
void attend(const Head& head, const Qkv& x, const HeadMatrix<T>& y, T* statistics, T* scratch) {
  const HeadMatrix<T> q = head.of<T>(x.q), k = head.of<T>(x.k), v = head.of<T>(x.v);
  const int64_t pitch = head.keys;
  T *weights = scratch, *keep = weights + kQueries * pitch;  // both [kQueries, keys]
  std::fill_n(statistics, 2 * head.queries, T(0));
  head.for_queries([&](int64_t first, int64_t n, int64_t m) {
    if (m == 0) {
      for (int64_t i = first; i < first + n; ++i) std::fill_n(y.row(i), head.d_head, T(0));
      return;
    }
    head.scores(n, m, q.from(first), k, weights);
    head.fill_keep(first, n, keep);
    for (int64_t i = 0; i < n; ++i) {
      T *w = weights + i * pitch, *kept = keep + i * pitch;
      const int64_t seen = head.seen_by(first + i);
      std::fill(w + seen, w + m, T(0));
      if (seen == 0) continue;
      const T max = cpu::max(seen, w);
      const T sum = cpu::sum<T>(seen, [=](int64_t j) { return w[j] = math::exp(w[j] - max); });
      const T scale = 1 / sum;
      cpu::lanes(0, seen, [=](int64_t j) { w[j] *= scale * kept[j]; });
      statistics[2 * (first + i)] = max;
      statistics[2 * (first + i) + 1] = scale;
    }
    cpu::product({n, head.d_head, m}, 1, weights, pitch, v.data, v.pitch, 0, y.row(first), y.pitch);
  });
}

// With w = keep p the dropped weights and y = w v:  dv += w^T dy, dw = dy v^T, dp = keep dw,
// ds = p (dp - sum_j p_j dp_j), and sum_j p_j dp_j = dy . y; then dq += scale ds k, dk += scale ds^T q.
template <class T> struct HeadGradients {
  HeadMatrix<T> q, k, v;  // data is null where nobody needs it
};
template <class T>
void attend_backward(const Head& head, const Qkv& x, const HeadMatrix<T>& all_y, const HeadMatrix<T>& all_dy,
                     const T* statistics, bool add, const HeadGradients<T>& d, T* scratch) {
  const HeadMatrix<T> k = head.of<T>(x.k), v = head.of<T>(x.v);
  const int64_t pitch = head.keys, d_head = head.d_head;
  T *weights = scratch, *scores = weights + kQueries * pitch, *keep = scores + kQueries * pitch;
  const auto clear = [&](const HeadMatrix<T>& to, int64_t rows) {
    for (int64_t i = 0; i < rows && to.data; ++i) std::fill_n(to.row(i), d_head, T(0));
  };
  if (!add) {  // block after block of queries adds to them
    clear(d.q, head.queries);
    clear(d.k, head.keys);
    clear(d.v, head.keys);
  }
  head.for_queries([&](int64_t first, int64_t n, int64_t m) {
    if (m == 0) return;
    const HeadMatrix<T> q = head.of<T>(x.q).from(first), y = all_y.from(first), dy = all_dy.from(first);
    head.scores(n, m, q, k, weights);
    cpu::product({n, m, d_head, false, true}, 1, dy.data, dy.pitch, v.data, v.pitch, 0, scores, pitch);
    head.fill_keep(first, n, keep);
    for (int64_t i = 0; i < n; ++i) {
      T *w = weights + i * pitch, *ds = scores + i * pitch, *kept = keep + i * pitch;
      const int64_t seen = head.seen_by(first + i);
      const T dot = cpu::sum<T>(d_head, [a = y.row(i), b = dy.row(i)](int64_t j) { return a[j] * b[j]; });
      const T max = statistics[2 * (first + i)], scale = statistics[2 * (first + i) + 1];
      cpu::lanes(0, seen, [=](int64_t j) {
        const T p = math::exp(w[j] - max) * scale;
        ds[j] = p * (kept[j] * ds[j] - dot);
        w[j] = p * kept[j];
      });
      std::fill(w + seen, w + m, T(0));
      std::fill(ds + seen, ds + m, T(0));
    }
    // += op(a) [rows, inner] b [inner, d_head]
    const auto add_product = [&](HeadMatrix<T> to, int64_t rows, int64_t inner, bool transpose, double alpha,
                                 T* a, const HeadMatrix<T>& b) {
      if (to.data)
        cpu::product({rows, d_head, inner, transpose, false}, alpha, a, pitch, b.data, b.pitch, 1, to.data,
                     to.pitch);
    };
    add_product(d.v, m, n, true, 1, weights, dy);
    if (d.q.data) add_product(d.q.from(first), n, m, false, head.scale, scores, k);
    add_product(d.k, m, n, true, head.scale, scores, q);
  });
}

// Calls fn(head, scratch) for each head of the batch, with room for `matrices` times [kQueries, keys].
template <class T, class Fn>
void for_heads(const Qkv& x, const AttentionSpec& spec, int64_t matrices, const Fn& fn) {
  const int64_t each = matrices * kQueries * x.k.tensor.shape()[1];
  const int slots = num_threads();
  const Tensor scratch({slots, each}, dtype_of<T>);
  const auto task = [&](int64_t i, int slot) { fn(Head(i, x, spec), scratch.data<T>() + slot * each); };
  cpu::parallel_products(x.q.tensor.shape()[0] * spec.heads, task, slots);
}

}  // namespace

void CpuBackend::attention(const Qkv& x, const AttentionSpec& spec, Out y, Out statistics) {
  visit_real(y.dtype(), [&]<class T>(T) {
    for_heads<T>(x, spec, 2, [&](const Head& head, T* scratch) {
      attend(head, x, head.of<T>({y}), statistics.data<T>() + head.index * head.queries * 2, scratch);
    });
  });
}

void CpuBackend::attention_backward(const Qkv& x, const AttentionSpec& spec, In y, In statistics, In dy,
                                    bool add, Out dq, Out dk, Out dv) {
  visit_real(y.dtype(), [&]<class T>(T) {
    for_heads<T>(x, spec, 3, [&](const Head& head, T* scratch) {
      const auto part = [&](const Tensor& to, int64_t first) {
        return to ? head.of<T>({to, first}) : HeadMatrix<T>{nullptr, 0};
      };
      const HeadGradients<T> d{part(dq, x.q.first), part(dk, x.k.first), part(dv, x.v.first)};
      attend_backward(head, x, head.of<T>({y}), head.of<T>({dy}),
                      statistics.data<T>() + head.index * head.queries * 2, add, d, scratch);
    });
  });
}

}  // namespace gradus
