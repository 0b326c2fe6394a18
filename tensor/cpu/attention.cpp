#include <cmath>
#include <vector>

#include "tensor/cpu/cpu_backend.h"
#include "tensor/cpu/dropout_bits.h"
#include "tensor/cpu/gemm.h"
#include "tensor/cpu/sums.h"

namespace gradus {
namespace {

// One head of one packed tensor: a matrix [T, d_head] whose rows stand `pitch` elements apart.
template <class T>
struct HeadMatrix {
  T* data;
  int64_t pitch;

  HeadMatrix(const PackedHeads& heads, int64_t b, int64_t first)
      : data(heads.tensor.data<T>() + b * heads.tensor.shape()[1] * heads.tensor.shape()[2] + heads.first + first),
        pitch(heads.tensor.shape()[2]) {}
};

// What forward and backward share about one (batch, head): its sizes, which keys a query sees, and dropout.
struct Head {
  int64_t b, h, queries, keys, d_head, seen_keys;  // keys: Tk; seen_keys: those before key_lengths[b]
  double scale;
  const AttentionSpec& spec;

  Head(int64_t index, const PackedHeads& q, const PackedHeads& k, const AttentionSpec& s)
      : b(index / s.heads), h(index % s.heads), queries(q.tensor.shape()[1]), keys(k.tensor.shape()[1]),
        d_head(s.d_model / s.heads), seen_keys(keys), scale(1 / std::sqrt(static_cast<double>(d_head))), spec(s) {
    if (s.key_lengths) seen_keys = std::clamp<int64_t>(s.key_lengths.data<int32_t>()[b], 0, keys);
  }

  int64_t column() const { return h * d_head; }
  int64_t index() const { return b * spec.heads + h; }
  int64_t seen_by(int64_t query) const {
    return spec.causal ? std::clamp<int64_t>(query + keys - queries + 1, 0, seen_keys) : seen_keys;
  }

  // keep [queries, keys]: 1 / (1 - p) for a kept weight, 0 for a dropped one. Each head starts a group of its own.
  template <class T>
  void fill_keep(T* keep) const {
    const uint32_t threshold = dropout_threshold(spec.dropout);
    const uint32_t step = static_cast<uint32_t>(*spec.draw.step.data<int32_t>());
    const T factor = static_cast<T>(dropout_scale(threshold));
    const int64_t n = queries * keys, groups = (n + kDropoutGroup - 1) / kDropoutGroup;
    uint16_t bits[kDropoutGroup];
    for (int64_t group = 0; group < groups; ++group) {
      cpu::dropout_bits(static_cast<uint64_t>(index() * groups + group), spec.draw, step, bits);
      const int64_t begin = group * kDropoutGroup, size = std::min(kDropoutGroup, n - begin);
#pragma omp simd
      for (int64_t i = 0; i < size; ++i) keep[begin + i] = bits[i] >= threshold ? factor : T(0);
    }
  }
};

// scores [queries, keys] = scale q k^T over the seen keys
template <class T>
void scores_of(const Head& head, const HeadMatrix<T>& q, const HeadMatrix<T>& k, T* scores) {
  cpu::product({head.queries, head.seen_keys, head.d_head, false, true}, head.scale, q.data, q.pitch, k.data, k.pitch,
               0, scores, head.keys);
}

template <class T>
T* scratch(int64_t size) {  // kept per thread, so that a head costs no allocation
  thread_local std::vector<T> buffer;
  if (static_cast<int64_t>(buffer.size()) < size) buffer.resize(static_cast<size_t>(size));
  return buffer.data();
}

template <class T>
void attend(const Head& head, const HeadMatrix<T>& q, const HeadMatrix<T>& k, const HeadMatrix<T>& v,
            const HeadMatrix<T>& y, T* log_sum_exp) {
  const int64_t tile = head.queries * head.keys;
  T *p = scratch<T>(2 * tile), *keep = p + tile;  // p [queries, keys]
  if (head.seen_keys > 0) scores_of(head, q, k, p);
  if (head.spec.dropout > 0) head.fill_keep(keep);
  for (int64_t i = 0; i < head.queries; ++i) {
    T* row = p + i * head.keys;
    const int64_t seen = head.seen_by(i);
    const T max = seen > 0 ? cpu::max(seen, row) : T(0);
    const T sum = static_cast<T>(cpu::sum<T>(seen, [=](int64_t j) { return row[j] = math::exp(row[j] - max); }));
    const T scale = seen > 0 ? 1 / sum : T(0);
    const T* kept = keep + i * head.keys;
    if (head.spec.dropout > 0) {
#pragma omp simd
      for (int64_t j = 0; j < seen; ++j) row[j] *= scale * kept[j];
    } else {
#pragma omp simd
      for (int64_t j = 0; j < seen; ++j) row[j] *= scale;
    }
    std::fill(row + seen, row + head.seen_keys, T(0));
    log_sum_exp[i] = seen > 0 ? max + std::log(sum) : T(0);
  }
  if (head.seen_keys > 0)
    return cpu::product({head.queries, head.d_head, head.seen_keys}, 1, p, head.keys, v.data, v.pitch, 0, y.data,
                        y.pitch);
  for (int64_t i = 0; i < head.queries; ++i) std::fill_n(y.data + i * y.pitch, head.d_head, T(0));
}

// With w = keep p the dropped weights and y = w v:  dv += w^T dy, dw = dy v^T, dp = keep dw,
// ds = p (dp - sum_j p_j dp_j), and sum_j p_j dp_j = dy . y; then dq += scale ds k, dk += scale ds^T q.
template <class T>
void attend_backward(const Head& head, const HeadMatrix<T>& q, const HeadMatrix<T>& k, const HeadMatrix<T>& v,
                     const HeadMatrix<T>& y, const HeadMatrix<T>& dy, const T* log_sum_exp, const HeadMatrix<T>& dq,
                     const HeadMatrix<T>& dk, const HeadMatrix<T>& dv) {
  if (head.seen_keys == 0) return;
  const int64_t tile = head.queries * head.keys, n = head.queries, m = head.seen_keys, pitch = head.keys;
  T *w = scratch<T>(3 * tile), *ds = w + tile, *keep = ds + tile;
  scores_of(head, q, k, w);
  cpu::product({n, m, head.d_head, false, true}, 1, dy.data, dy.pitch, v.data, v.pitch, 0, ds, pitch);
  if (head.spec.dropout > 0)
    head.fill_keep(keep);
  else
    std::fill(keep, keep + tile, T(1));
  for (int64_t i = 0; i < n; ++i) {
    T *w_row = w + i * pitch, *ds_row = ds + i * pitch;
    const T *kept = keep + i * pitch, *out = y.data + i * y.pitch, *dout = dy.data + i * dy.pitch;
    const int64_t seen = head.seen_by(i);
    const T log_sum = log_sum_exp[i];
    const T dot = static_cast<T>(cpu::sum<T>(head.d_head, [=](int64_t j) { return out[j] * dout[j]; }));
#pragma omp simd
    for (int64_t j = 0; j < seen; ++j) {
      const T p = math::exp(w_row[j] - log_sum);
      ds_row[j] = p * (kept[j] * ds_row[j] - dot);
      w_row[j] = p * kept[j];
    }
    std::fill(w_row + seen, w_row + m, T(0));
    std::fill(ds_row + seen, ds_row + m, T(0));
  }
  cpu::product({m, head.d_head, n, true, false}, 1, w, pitch, dy.data, dy.pitch, 1, dv.data, dv.pitch);
  cpu::product({n, head.d_head, m}, head.scale, ds, pitch, k.data, k.pitch, 1, dq.data, dq.pitch);
  cpu::product({m, head.d_head, n, true, false}, head.scale, ds, pitch, q.data, q.pitch, 1, dk.data, dk.pitch);
}

}  // namespace

void CpuBackend::attention(const PackedHeads& q, const PackedHeads& k, const PackedHeads& v, const AttentionSpec& spec,
                           Out y, Out log_sum_exp) {
  visit_real(y.dtype(), [&](auto t) {
    using T = decltype(t);
    cpu::parallel_products(q.tensor.shape()[0] * spec.heads, [&](int64_t i) {
      const Head head(i, q, k, spec);
      const auto part = [&](const PackedHeads& x) { return HeadMatrix<T>(x, head.b, head.column()); };
      attend(head, part(q), part(k), part(v), part({y}), log_sum_exp.data<T>() + i * head.queries);
    });
  });
}

void CpuBackend::attention_backward(const PackedHeads& q, const PackedHeads& k, const PackedHeads& v,
                                    const AttentionSpec& spec, const Tensor& y, const Tensor& log_sum_exp,
                                    const Tensor& dy, const PackedHeads& dq, const PackedHeads& dk,
                                    const PackedHeads& dv) {
  visit_real(y.dtype(), [&](auto t) {
    using T = decltype(t);
    cpu::parallel_products(q.tensor.shape()[0] * spec.heads, [&](int64_t i) {
      const Head head(i, q, k, spec);
      const auto part = [&](const PackedHeads& x) { return HeadMatrix<T>(x, head.b, head.column()); };
      attend_backward(head, part(q), part(k), part(v), part({y}), part({dy}), log_sum_exp.data<T>() + i * head.queries,
                      part(dq), part(dk), part(dv));
    });
  });
}

}  // namespace gradus
