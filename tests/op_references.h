// What every operation should compute, written the slow and obvious way: loops in double over small arrays,
// one formula at a time, sharing no code with the kernels. Not fast, not general, not part of the library:
// op_cases.h holds each operation against its function here.
#pragma once

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include "tensor/random.h"
#include "tensor/shape.h"
#include "tensor/target_distribution.h"

namespace gradus::reference {

struct Array {
  Shape shape;
  std::vector<double> v;

  explicit Array(Shape s) : shape(s), v(static_cast<size_t>(s.numel())) {}
  Array(Shape s, std::vector<double> values) : shape(s), v(std::move(values)) {}

  template <class... Index>  // one index per axis
  double& at(Index... index) {
    int64_t offset = 0;
    int axis = 0;
    ((offset = offset * shape[axis++] + index), ...);
    return v[static_cast<size_t>(offset)];
  }
  template <class... Index> double at(Index... index) const { return const_cast<Array&>(*this).at(index...); }
  std::vector<int64_t> index(int64_t element) const {  // where in the shape an element stands
    std::vector<int64_t> place(static_cast<size_t>(shape.rank()));
    for (int axis = shape.rank() - 1; axis >= 0; element /= shape[axis], --axis)
      place[static_cast<size_t>(axis)] = element % shape[axis];
    return place;
  }
  // The element at `place`, axes matched from the right; along an axis of size 1 the only one.
  double& stretched(const std::vector<int64_t>& place) {
    int64_t offset = 0;
    for (int axis = 0; axis < shape.rank(); ++axis) {
      const size_t from = place.size() - static_cast<size_t>(shape.rank() - axis);
      offset = offset * shape[axis] + (shape[axis] == 1 ? 0 : place[from]);
    }
    return v[static_cast<size_t>(offset)];
  }
};

template <class Fn> Array elementwise(Array x, Fn fn) {
  for (double& a : x.v) a = fn(a);
  return x;
}

template <class Fn> Array broadcasted(Array a, Array b, Fn fn) {
  std::vector<int64_t> sizes;
  for (int i = std::max(a.shape.rank(), b.shape.rank()); i >= 1; --i) {
    const int64_t m = i <= a.shape.rank() ? a.shape[-i] : 1, n = i <= b.shape.rank() ? b.shape[-i] : 1;
    sizes.push_back(std::max(m, n));
  }
  Array y{Shape(sizes)};
  for (size_t i = 0; i < y.v.size(); ++i) {
    const std::vector<int64_t> place = y.index(static_cast<int64_t>(i));
    y.v[i] = fn(a.stretched(place), b.stretched(place));
  }
  return y;
}

// axes >= 0; `shape` is what should come out.
inline Array sum(const Array& x, const std::vector<int>& axes, Shape shape) {
  Shape kept = x.shape;
  for (int axis : axes) kept = kept.with(axis, 1);
  Array y(kept);
  for (size_t i = 0; i < x.v.size(); ++i) y.stretched(x.index(static_cast<int64_t>(i))) += x.v[i];
  return {shape, y.v};
}

inline Array slice(Array x, int axis, int64_t from, int64_t to) {
  const int at = x.shape.axis_index(axis);
  Array y(x.shape.with(axis, to - from));
  for (size_t i = 0; i < y.v.size(); ++i) {
    std::vector<int64_t> place = y.index(static_cast<int64_t>(i));
    place[static_cast<size_t>(at)] += from;
    y.v[i] = x.stretched(place);
  }
  return y;
}

// No axes: all.
inline Array max(const Array& x, const std::vector<int>& axes, Shape shape) {
  Shape kept = x.shape;
  for (int axis = 0; axis < x.shape.rank() && axes.empty(); ++axis) kept = kept.with(axis, 1);
  for (int axis : axes) kept = kept.with(axis, 1);
  Array y(kept);
  for (double& largest : y.v) largest = -INFINITY;
  for (size_t i = 0; i < x.v.size(); ++i) {
    double& largest = y.stretched(x.index(static_cast<int64_t>(i)));
    largest = std::max(largest, x.v[i]);
  }
  return {shape, y.v};
}

// y's axis i is x's axis axes[i].
inline Array permute(Array x, const std::vector<int>& axes) {
  std::vector<int64_t> sizes;
  for (int axis : axes) sizes.push_back(x.shape[axis]);
  Array y{Shape(sizes)};
  for (size_t i = 0; i < y.v.size(); ++i) {
    const std::vector<int64_t> place = y.index(static_cast<int64_t>(i));
    std::vector<int64_t> from(place.size());
    for (size_t axis = 0; axis < axes.size(); ++axis) from[static_cast<size_t>(axes[axis])] = place[axis];
    y.v[i] = x.stretched(from);
  }
  return y;
}

inline Array concat(std::span<const Array> parts, int axis) {
  const size_t at = static_cast<size_t>(parts[0].shape.axis_index(axis));
  int64_t total = 0, start = 0;
  for (const Array& part : parts) total += part.shape[axis];
  Array y(parts[0].shape.with(axis, total));
  for (const Array& part : parts) {
    for (size_t i = 0; i < part.v.size(); ++i) {
      std::vector<int64_t> place = part.index(static_cast<int64_t>(i));
      place[at] += start;
      y.stretched(place) = part.v[i];
    }
    start += part.shape[axis];
  }
  return y;
}

// a [.., m, k] or, transposed, [.., k, m]; b alike, or one matrix for the whole batch.
inline Array matmul(Array a, Array b, bool transpose_a, bool transpose_b) {
  const int64_t m = a.shape[transpose_a ? -1 : -2], k = a.shape[transpose_a ? -2 : -1];
  const int64_t n = b.shape[transpose_b ? -2 : -1];
  Array y(a.shape.with(-2, m).with(-1, n));
  for (size_t i = 0; i < y.v.size(); ++i) {
    std::vector<int64_t> place = y.index(static_cast<int64_t>(i)), left = place, right = place;
    const size_t row = place.size() - 2, column = place.size() - 1;
    for (int64_t j = 0; j < k; ++j) {
      left[row] = transpose_a ? j : place[row], left[column] = transpose_a ? place[row] : j;
      right[row] = transpose_b ? place[column] : j, right[column] = transpose_b ? j : place[column];
      y.v[i] += a.stretched(left) * b.stretched(right);
    }
  }
  return y;
}

inline std::vector<double> softmax(const double* x, int64_t n) {
  double sum = 0;
  const double max = *std::max_element(x, x + n);
  std::vector<double> p;
  for (int64_t j = 0; j < n; ++j) sum += p.emplace_back(std::exp(x[j] - max));
  for (double& value : p) value /= sum;
  return p;
}

inline Array softmax(const Array& x, bool log) {  // along the last axis
  Array y = x;
  const int64_t n = x.shape[-1];
  for (int64_t r = 0; r < x.shape.before(-1); ++r) {
    const std::vector<double> p = softmax(&x.v[static_cast<size_t>(r * n)], n);
    for (int64_t j = 0; j < n; ++j)
      y.v[static_cast<size_t>(r * n + j)] =
          log ? std::log(p[static_cast<size_t>(j)]) : p[static_cast<size_t>(j)];
  }
  return y;
}

inline Array layer_norm(const Array& x, const Array& gain, const Array& bias, double eps) {
  Array y = x;
  const int64_t d = x.shape[-1];
  for (int64_t r = 0; r < x.shape.before(-1); ++r) {
    const double* in = &x.v[static_cast<size_t>(r * d)];
    double mean = 0, variance = 0;
    for (int64_t j = 0; j < d; ++j) mean += in[j] / static_cast<double>(d);
    for (int64_t j = 0; j < d; ++j) variance += (in[j] - mean) * (in[j] - mean) / static_cast<double>(d);
    for (int64_t j = 0; j < d; ++j)
      y.v[static_cast<size_t>(r * d + j)] =
          (in[j] - mean) / std::sqrt(variance + eps) * gain.at(j) + bias.at(j);
  }
  return y;
}

// ids [B, width], read in columns [first, first + count).
inline Array embedding(const Array& table, const std::vector<int32_t>& ids, int64_t width, int64_t first,
                       int64_t count, double scale, const Array* positions) {
  const int64_t batch = static_cast<int64_t>(ids.size()) / width, d = table.shape[1];
  Array y({batch, count, d});
  for (int64_t b = 0; b < batch; ++b)
    for (int64_t t = 0; t < count; ++t)
      for (int64_t j = 0; j < d; ++j) {
        const int64_t id = ids[static_cast<size_t>(b * width + first + t)];
        y.at(b, t, j) = scale * table.at(id, j) + (positions ? positions->at(t, j) : 0);
      }
  return y;
}

// The name of a dropout decision, as tensor/random.h states it, one Philox call per element.
struct Keep {
  uint64_t seed;
  uint32_t number, step;
  double p;

  double factor(int64_t element) const {  // 1 / (1 - p) where it is kept, else 0
    const int64_t group = element / 128, half = element % 128 / 16, lane = element % 16;
    const uint64_t block = static_cast<uint64_t>(group * 16 + lane);
    const PhiloxBlock words =
        philox({static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32), number, step}, seed);
    const uint32_t bits = words[static_cast<size_t>(half / 2)] >> (half % 2 * 16) & 0xffff;
    const double rounded = std::round(p * 65536);
    return bits >= rounded ? 65536 / (65536 - rounded) : 0;
  }
};

inline Array dropout(const Array& x, const Keep& keep) {
  Array y = x;
  for (size_t i = 0; i < x.v.size(); ++i) y.v[i] = x.v[i] * keep.factor(static_cast<int64_t>(i));
  return y;
}

struct Attention {
  int64_t d_model, heads;
  bool causal;
  std::vector<int64_t> lengths;  // of the keys, per batch entry
  Keep keep;
};

// q, k, v [B, T, *]: columns [first, first + d_model) of each.
inline Array attention(const Array& q, int64_t q_first, const Array& k, int64_t k_first, const Array& v,
                       int64_t v_first, const Attention& spec) {
  const int64_t batch = q.shape[0], queries = q.shape[1], keys = k.shape[1], d = spec.d_model / spec.heads;
  const int64_t head_elements =
      (queries * keys + 127) / 128 * 128;  // each head starts a dropout group of its own
  Array y({batch, queries, spec.d_model});
  for (int64_t b = 0; b < batch; ++b)
    for (int64_t h = 0; h < spec.heads; ++h)
      for (int64_t i = 0; i < queries; ++i) {
        std::vector<double> scores;
        for (int64_t j = 0; j < keys; ++j) {
          if (j >= spec.lengths[static_cast<size_t>(b)] || (spec.causal && j > i + keys - queries)) break;
          double dot = 0;
          for (int64_t c = 0; c < d; ++c)
            dot += q.at(b, i, q_first + h * d + c) * k.at(b, j, k_first + h * d + c);
          scores.push_back(dot / std::sqrt(static_cast<double>(d)));
        }
        if (scores.empty()) continue;  // sees no key: 0
        const std::vector<double> p = softmax(scores.data(), static_cast<int64_t>(scores.size()));
        for (int64_t j = 0; j < static_cast<int64_t>(p.size()); ++j) {
          const int64_t element = (b * spec.heads + h) * head_elements + i * keys + j;
          const double weight = p[static_cast<size_t>(j)] * spec.keep.factor(element);
          for (int64_t c = 0; c < d; ++c) y.at(b, i, h * d + c) += weight * v.at(b, j, v_first + h * d + c);
        }
      }
  return y;
}

struct CrossEntropy {
  Smoothing convention;
  Reduction reduction;
  bool subtract_entropy;
  double smoothing;
  int32_t pad_id;              // -1: none
  std::vector<double> weight;  // per class, or none
};

// The whole target distribution of one row, from the table in LOSSES.md.
inline std::vector<double> target_distribution(const CrossEntropy& spec, size_t vocab, int32_t target) {
  const double eps = spec.smoothing, v = static_cast<double>(vocab);
  const size_t y = static_cast<size_t>(target);
  switch (spec.convention) {
    case Smoothing::uniform: {
      std::vector<double> q(vocab, eps / v);
      q[y] += 1 - eps;
      return q;
    }
    case Smoothing::as_printed: {
      std::vector<double> q(vocab, eps / v);
      q[y] = 1 - eps;
      return q;
    }
    default: {
      const bool no_pad = spec.convention == Smoothing::others_not_pad && spec.pad_id >= 0;
      std::vector<double> q(vocab, eps / (v - (no_pad ? 2 : 1)));
      if (no_pad) q[static_cast<size_t>(spec.pad_id)] = 0;
      q[y] = 1 - eps;
      return q;
    }
  }
}

inline Array cross_entropy(const Array& logits, const std::vector<int32_t>& targets,
                           const CrossEntropy& spec) {
  const size_t vocab = static_cast<size_t>(logits.shape[-1]);
  Array rows(logits.shape.without_last());
  double total = 0, weights = 0;
  for (size_t r = 0; r < targets.size(); ++r) {
    if (targets[r] == spec.pad_id) continue;
    const std::vector<double> q = target_distribution(spec, vocab, targets[r]);
    const std::vector<double> p = softmax(&logits.v[r * vocab], static_cast<int64_t>(vocab));
    double loss = 0;
    for (size_t j = 0; j < vocab; ++j)
      if (q[j] > 0) loss += q[j] * ((spec.subtract_entropy ? std::log(q[j]) : 0) - std::log(p[j]));
    const double w = spec.weight.empty() ? 1 : spec.weight[static_cast<size_t>(targets[r])];
    rows.v[r] = w * loss;
    total += rows.v[r];
    weights += w;
  }
  if (spec.reduction == Reduction::none) return rows;
  return {Shape{}, {spec.reduction == Reduction::sum ? total : weights > 0 ? total / weights : 0}};
}

// -sum prior ln p of each row whose target is not pad, and 0 of the others.
inline Array prior_cross_entropy(const Array& logits, const std::vector<int32_t>& targets,
                                 const std::vector<double>& prior, int32_t pad_id) {
  Array rows(logits.shape.without_last());
  for (size_t r = 0; r < targets.size(); ++r) {
    if (targets[r] == pad_id) continue;
    const std::vector<double> p = softmax(&logits.v[r * prior.size()], static_cast<int64_t>(prior.size()));
    for (size_t j = 0; j < prior.size(); ++j)
      if (prior[j] > 0) rows.v[r] -= prior[j] * std::log(p[j]);
  }
  return rows;
}

}  // namespace gradus::reference
