#include <cmath>
#include <vector>

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
};

// What forward and backward share about one (batch, head): its sizes, which keys a query sees, and dropout.
struct Head {
  const AttentionSpec& spec;
  int64_t index, b, queries, keys, d_head, seen_keys;  // seen_keys: those before key_lengths[b]
  double scale;

  Head(int64_t i, const Qkv& x, const AttentionSpec& s)
      : spec(s), index(i), b(i / s.heads), queries(x.q.tensor.shape()[1]), keys(x.k.tensor.shape()[1]),
        d_head(s.d_model / s.heads), seen_keys(keys), scale(1 / std::sqrt(d_head)) {
    if (s.key_lengths) seen_keys = std::clamp<int64_t>(s.key_lengths.data<int32_t>()[b], 0, keys);
  }

  template <class T> HeadMatrix<T> of(const PackedHeads& x) const {
    const int64_t rows = x.tensor.shape()[1], width = x.tensor.shape()[2];
    return {x.tensor.data<T>() + b * rows * width + x.first + index % spec.heads * d_head, width};
  }

  int64_t seen_by(int64_t query) const {
    return spec.causal ? std::clamp<int64_t>(query + keys - queries + 1, 0, seen_keys) : seen_keys;
  }

  // scores [queries, keys] = scale q k^T over the seen keys
  template <class T> void scores(const HeadMatrix<T>& q, const HeadMatrix<T>& k, T* out) const {
    cpu::product({queries, seen_keys, d_head, false, true}, scale, q.data, q.pitch, k.data, k.pitch, 0, out,
                 keys);
  }

  // keep [queries, keys]: 1 / (1 - p) for a kept weight, 0 for a dropped one. Each head starts a group of its
  // own.
  template <class T> void fill_keep(T* keep) const {
    const uint32_t threshold = dropout_threshold(spec.dropout);
    const int64_t n = queries * keys, groups = cpu::blocks_of(n, kDropoutGroup);
    if (threshold == 0) return std::fill(keep, keep + n, T(1));
    const uint32_t step = *spec.draw.step.data<int32_t>();
    const T factor = dropout_scale(threshold);
    uint16_t bits[kDropoutGroup];
    for (int64_t group = 0; group < groups; ++group) {
      cpu::dropout_bits(index * groups + group, spec.draw, step, bits);
      const int64_t begin = group * kDropoutGroup;
      cpu::lanes(begin, std::min(n, begin + kDropoutGroup),
                 [=, b = bits](int64_t i) { keep[i] = b[i - begin] >= threshold ? factor : T(0); });
    }
  }
};

template <class T> T* scratch(int64_t size) {  // kept per thread, so that a head costs no allocation
  thread_local std::vector<T> buffer;
  if (int64_t(buffer.size()) < size) buffer.resize(size);
  return buffer.data();
}

template <class T>
void attend(const Head& head, const HeadMatrix<T>& q, const HeadMatrix<T>& k, const HeadMatrix<T>& v,
            const HeadMatrix<T>& y, T* log_sum_exp) {
  const int64_t n = head.queries, m = head.seen_keys, pitch = head.keys;
  T *weights = scratch<T>(2 * n * pitch), *keep = weights + n * pitch;  // both [queries, keys]
  std::fill_n(log_sum_exp, n, T(0));
  for (int64_t i = 0; m == 0 && i < n; ++i) std::fill_n(y.row(i), head.d_head, T(0));
  if (m == 0) return;
  head.scores(q, k, weights);
  head.fill_keep(keep);
  for (int64_t i = 0; i < n; ++i) {
    T *w = weights + i * pitch, *kept = keep + i * pitch;
    const int64_t seen = head.seen_by(i);
    std::fill(w + seen, w + m, T(0));
    if (seen == 0) continue;
    const T max = cpu::max(seen, w);
    const T sum = cpu::sum<T>(seen, [=](int64_t j) { return w[j] = math::exp(w[j] - max); });
    cpu::lanes(0, seen, [=, scale = 1 / sum](int64_t j) { w[j] *= scale * kept[j]; });
    log_sum_exp[i] = max + std::log(sum);
  }
  cpu::product({n, head.d_head, m}, 1, weights, pitch, v.data, v.pitch, 0, y.data, y.pitch);
}

// With w = keep p the dropped weights and y = w v:  dv += w^T dy, dw = dy v^T, dp = keep dw,
// ds = p (dp - sum_j p_j dp_j), and sum_j p_j dp_j = dy . y; then dq += scale ds k, dk += scale ds^T q.
template <class T>
void attend_backward(const Head& head, const HeadMatrix<T>& q, const HeadMatrix<T>& k, const HeadMatrix<T>& v,
                     const HeadMatrix<T>& y, const HeadMatrix<T>& dy, const T* log_sum_exp,
                     const HeadMatrix<T>& dq, const HeadMatrix<T>& dk, const HeadMatrix<T>& dv) {
  const int64_t n = head.queries, m = head.seen_keys, d = head.d_head, pitch = head.keys;
  if (m == 0) return;
  T *weights = scratch<T>(3 * n * pitch), *scores = weights + n * pitch, *keep = scores + n * pitch;
  head.scores(q, k, weights);
  cpu::product({n, m, d, false, true}, 1, dy.data, dy.pitch, v.data, v.pitch, 0, scores, pitch);
  head.fill_keep(keep);
  for (int64_t i = 0; i < n; ++i) {
    T *w = weights + i * pitch, *ds = scores + i * pitch, *kept = keep + i * pitch;
    const int64_t seen = head.seen_by(i);
    const T dot = cpu::sum<T>(d, [a = y.row(i), b = dy.row(i)](int64_t j) { return a[j] * b[j]; });
    cpu::lanes(0, seen, [=, log_sum = log_sum_exp[i]](int64_t j) {
      const T p = math::exp(w[j] - log_sum);
      ds[j] = p * (kept[j] * ds[j] - dot);
      w[j] = p * kept[j];
    });
    std::fill(w + seen, w + m, T(0));
    std::fill(ds + seen, ds + m, T(0));
  }
  cpu::product({m, d, n, true, false}, 1, weights, pitch, dy.data, dy.pitch, 1, dv.data, dv.pitch);
  cpu::product({n, d, m}, head.scale, scores, pitch, k.data, k.pitch, 1, dq.data, dq.pitch);
  cpu::product({m, d, n, true, false}, head.scale, scores, pitch, q.data, q.pitch, 1, dk.data, dk.pitch);
}

}  // namespace

void CpuBackend::attention(const Qkv& x, const AttentionSpec& spec, Out y, Out log_sum_exp) {
  visit_real(y.dtype(), [&]<class T>(T) {
    cpu::parallel_products(y.shape()[0] * spec.heads, [&](int64_t i) {
      const Head head(i, x, spec);
      attend(head, head.of<T>(x.q), head.of<T>(x.k), head.of<T>(x.v), head.of<T>({y}),
             log_sum_exp.data<T>() + i * head.queries);
    });
  });
}

void CpuBackend::attention_backward(const Qkv& x, const AttentionSpec& spec, In y, In log_sum_exp, In dy,
                                    const Qkv& dx) {
  visit_real(y.dtype(), [&]<class T>(T) {
    cpu::parallel_products(y.shape()[0] * spec.heads, [&](int64_t i) {
      const Head head(i, x, spec);
      attend_backward(head, head.of<T>(x.q), head.of<T>(x.k), head.of<T>(x.v), head.of<T>({y}),
                      head.of<T>({dy}), log_sum_exp.data<T>() + i * head.queries, head.of<T>(dx.q),
                      head.of<T>(dx.k), head.of<T>(dx.v));
    });
  });
}

}  // namespace gradus
