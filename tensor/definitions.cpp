// What the fused kernels compute, as plainly as it can be written: row after row, head after head, one
// element at a time, in double on the host. These bodies are slow and right. They define the kernels, the
// tests hold every backend against them, and a backend that has no kernel of its own runs them.
#include <algorithm>
#include <cmath>

#include "tensor/backend.h"

namespace gradus {
namespace {

// The numbers of a tensor as rows of its last axis; of none where there is no tensor.
struct Rows {
  int64_t count, length;
  std::vector<double> values;

  Rows(int64_t n, int64_t each) : count(n), length(each), values(n * each) {}
  explicit Rows(In x) : Rows(x ? x.shape().before(-1) : 0, x ? x.shape()[-1] : 0) {
    if (x) values = x.to(Device::cpu).to(DType::f64).to_vector<double>();
  }
  double* operator[](int64_t r) { return values.data() + r * length; }
  const double* operator[](int64_t r) const { return values.data() + r * length; }

  void write_to(Out y) const { y.assign(Tensor::from(values, y.shape()).to(y.dtype()).to(y.device())); }
  void add_to(Out y) const {
    Rows sum{In(y)};
    for (size_t i = 0; i < values.size(); ++i) sum.values[i] += values[i];
    sum.write_to(y);
  }
};

double dot(const double* a, const double* b, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

double mean(const double* x, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += x[i];
  return sum / static_cast<double>(n);
}

// max z and ln sum exp(z - max). The sum leaves out one largest element, whose exp is 1, so that ln(1 + rest)
// keeps the digits of a small rest.
struct LogSumExp {
  double max, log_sum;

  LogSumExp(const double* z, int64_t n) {
    const double* largest = std::max_element(z, z + n);
    double rest = 0;
    for (const double* x = z; x < z + n; ++x) rest += x == largest ? 0 : std::exp(*x - *largest);
    max = *largest;
    log_sum = std::log1p(rest);
  }
};

IdColumns on_host(const IdColumns& c) { return {c.ids.to(Device::cpu), c.first, c.count}; }

}  // namespace

// softmax: y_j = exp(x_j) / sum_k exp(x_k); log_softmax: the logarithm of it.
void Backend::softmax(In x, bool log, Out y) {
  Rows rows(x);
  for (int64_t r = 0; r < rows.count; ++r) {
    double* v = rows[r];
    const LogSumExp sum(v, rows.length);
    for (int64_t j = 0; j < rows.length; ++j) {
      const double log_y = v[j] - sum.max - sum.log_sum;
      v[j] = log ? log_y : std::exp(log_y);
    }
  }
  rows.write_to(y);
}

// softmax: dx_j = y_j (dy_j - sum_k y_k dy_k); log_softmax: dx_j = dy_j - exp(y_j) sum_k dy_k.
void Backend::softmax_backward(In y, In dy, bool log, Out dx) {
  const Rows out(y), dout(dy);
  Rows din(out.count, out.length);
  for (int64_t r = 0; r < out.count; ++r) {
    const double sum = log ? mean(dout[r], out.length) * out.length : dot(out[r], dout[r], out.length);
    for (int64_t j = 0; j < out.length; ++j)
      din[r][j] = log ? dout[r][j] - std::exp(out[r][j]) * sum : out[r][j] * (dout[r][j] - sum);
  }
  din.write_to(dx);
}

// y = gain h + bias with h = (x - mean) rstd, the mean and the variance those of the row.
void Backend::layer_norm(In x, In gain, In bias, double eps, Out y, Out statistics) {
  const Rows in(x), g(gain), b(bias);
  const int64_t d = in.length;
  Rows out(in.count, d), kept(in.count, 3);
  for (int64_t r = 0; r < in.count; ++r) {
    const double m = mean(in[r], d);
    double variance = 0;
    for (int64_t j = 0; j < d; ++j) variance += (in[r][j] - m) * (in[r][j] - m) / static_cast<double>(d);
    const double rstd = 1 / std::sqrt(variance + eps);
    for (int64_t j = 0; j < d; ++j) out[r][j] = (in[r][j] - m) * rstd * g[0][j] + b[0][j];
    kept[r][0] = x.dtype() == DType::f32 ? static_cast<float>(m) : m;
    kept[r][1] = m - kept[r][0];
    kept[r][2] = rstd;
  }
  out.write_to(y);
  kept.write_to(statistics);
}

// With u = gain dy:  dx = rstd (u - mean(u) - h mean(u h)), dgain += sum over rows of dy h, dbias += sum of
// dy.
void Backend::layer_norm_backward(In dy, In x, In gain, In statistics, bool add, Out dx, Out dgain,
                                  Out dbias) {
  const Rows in(x), dout(dy), g(gain), kept(statistics);
  const int64_t d = in.length;
  Rows din(in.count, d), dg(1, d), db(1, d), h(1, d), u(1, d);
  for (int64_t r = 0; r < in.count; ++r) {
    const double rstd = kept[r][2];
    for (int64_t j = 0; j < d; ++j) {
      h[0][j] = (in[r][j] - kept[r][0] - kept[r][1]) * rstd;
      dg[0][j] += dout[r][j] * h[0][j];
      db[0][j] += dout[r][j];
    }
    if (!dx) continue;
    for (int64_t j = 0; j < d; ++j) u[0][j] = g[0][j] * dout[r][j];
    const double mean_u = mean(u[0], d), mean_uh = dot(u[0], h[0], d) / static_cast<double>(d);
    for (int64_t j = 0; j < d; ++j) din[r][j] = rstd * (u[0][j] - mean_u - h[0][j] * mean_uh);
  }
  if (dx) add ? din.add_to(dx) : din.write_to(dx);
  if (dgain) dg.add_to(dgain);
  if (dbias) db.add_to(dbias);
}

// For a row with target y: loss = -sum_j q_j ln p_j with ln p_j = z_j - max - log_sum. A term whose q_j is 0
// is left out, so that 0 ln 0 = 0 even where ln p_j = -infinity.
void Backend::cross_entropy(In logits, const IdColumns& target, const CrossEntropySpec& spec, Out log_sum_exp,
                            Out loss, Out sums) {
  const Rows z(logits), weight(spec.class_weight);
  const IdColumns targets = on_host(target);
  const auto q = TargetDistribution::of(spec.convention, spec.smoothing, z.length, spec.pad_id);
  Rows kept(z.count, 2), losses(z.count, 1), total(1, kLossSums);
  for (int64_t r = 0; r < z.count; ++r) {
    const int32_t y = targets.at(r);
    if (y == spec.pad_id) continue;
    const LogSumExp sum(z[r], z.length);
    double smoothed = spec.subtract_entropy ? q.negative_entropy() : 0;
    for (int64_t j = 0; j < z.length; ++j)
      if (const double q_j = j == y ? q.on : j == q.excluded ? 0 : q.off; q_j > 0)
        smoothed -= q_j * (z[r][j] - sum.max - sum.log_sum);
    const double nll = sum.log_sum - (z[r][y] - sum.max), w = spec.class_weight ? weight[0][y] : 1;
    const bool correct = std::max_element(z[r], z[r] + z.length) == z[r] + y;  // ties go to the lowest index
    losses[r][0] = w > 0 ? w * smoothed : 0;
    const double row[kLossSums] = {losses[r][0], w > 0 ? w * nll : 0, static_cast<double>(correct), 1, w};
    for (int i = 0; i < kLossSums; ++i) total[0][i] += row[i];
    kept[r][0] = sum.max;
    kept[r][1] = sum.log_sum;
  }
  kept.write_to(log_sum_exp);
  total.write_to(sums);
  if (spec.reduction == Reduction::none) return losses.write_to(loss);
  Rows one(1, 1);
  one[0][0] = total[0][kSmoothed] / loss_divisor(spec.reduction, total[0][kWeights]);
  one.write_to(loss);
}

// dz_j = dy w / divisor ((sum q) p_j - q_j). On the target (sum q) p_y and q_y may be nearly equal; written
// as (sum q) (p_y - 1) + off off_count, their difference loses no digits.
void Backend::cross_entropy_backward(In logits, const IdColumns& target, const CrossEntropySpec& spec,
                                     In log_sum_exp, In sums, In dy, Out dlogits) {
  const Rows z(logits), weight(spec.class_weight), kept(log_sum_exp), total(sums);
  const Rows dout(dy.reshape({dy.size(), 1}));
  const IdColumns targets = on_host(target);
  const auto q = TargetDistribution::of(spec.convention, spec.smoothing, z.length, spec.pad_id);
  Rows dz(z.count, z.length);
  for (int64_t r = 0; r < z.count; ++r) {
    const int32_t y = targets.at(r);
    const double w = y == spec.pad_id ? 0 : spec.class_weight ? weight[0][y] : 1;
    if (!(w > 0)) continue;  // the row may hold anything
    const double scale = dout[spec.reduction == Reduction::none ? r : 0][0] * w /
                         loss_divisor(spec.reduction, total[0][kWeights]);
    for (int64_t j = 0; j < z.length; ++j) {
      const double log_p = z[r][j] - kept[r][0] - kept[r][1], q_j = j == q.excluded ? 0 : q.off;
      dz[r][j] = scale * (j == y ? q.sum() * std::expm1(log_p) + q.off * q.off_count
                                 : q.sum() * std::exp(log_p) - q_j);
    }
  }
  dz.write_to(dlogits);
}

namespace {

// The heads of all sentences: which keys each query sees, and with what weight.
struct Heads {
  const AttentionSpec& spec;
  int64_t batch, queries, keys, d_head;
  std::vector<int32_t> lengths;
  double scale;

  Heads(const Qkv& x, const AttentionSpec& s)
      : spec(s), batch(x.q.tensor.shape()[0]), queries(x.q.tensor.shape()[1]), keys(x.k.tensor.shape()[1]),
        d_head(s.d_model / s.heads), lengths(batch, static_cast<int32_t>(keys)),
        scale(1 / std::sqrt(static_cast<double>(d_head))) {
    if (s.key_lengths) lengths = s.key_lengths.to_vector<int32_t>();
  }

  int64_t seen_by(int64_t b, int64_t query) const {
    const int64_t seen = lengths[b];
    return spec.causal ? std::clamp<int64_t>(query + keys - queries + 1, 0, seen) : seen;
  }

  // What dropout multiplies the weight of (query, key) by. Each head starts a group of random bits of its
  // own.
  double kept(int64_t b, int64_t head, int64_t query, int64_t key) const {
    const uint32_t threshold = dropout_threshold(spec.dropout);
    if (threshold == 0) return 1;
    const int64_t groups = (queries * keys + kDropoutGroup - 1) / kDropoutGroup;
    const int64_t element = (b * spec.heads + head) * groups * kDropoutGroup + query * keys + key;
    return dropout_keeps(*spec.draw, threshold, element) ? dropout_scale(threshold) : 0;
  }

  // Calls fn(b, head, query, row): for each query of each head, and its number among all of them.
  template <class Fn> void each(const Fn& fn) const {
    int64_t row = 0;
    for (int64_t b = 0; b < batch; ++b)
      for (int64_t head = 0; head < spec.heads; ++head)
        for (int64_t query = 0; query < queries; ++query) fn(b, head, query, row++);
  }
};

}  // namespace

// Query i scores key j by s_j = q_i . k_j / sqrt(d_head). Its weights are p = softmax(s) over the keys that
// it sees, of which dropout keeps some, and y_i = sum_j kept_j p_j v_j.
void Backend::attention(const Qkv& x, const AttentionSpec& spec, Out y, Out statistics) {
  const Rows q(x.q.tensor), k(x.k.tensor), v(x.v.tensor);
  const Heads h(x, spec);
  Rows out(h.batch * h.queries, spec.d_model), kept(h.batch * spec.heads * h.queries, 2);
  h.each([&](int64_t b, int64_t head, int64_t i, int64_t row) {
    const int64_t seen = h.seen_by(b, i), column = head * h.d_head;
    if (seen == 0) return;  // y = 0
    std::vector<double> weights(seen);
    for (int64_t j = 0; j < seen; ++j)
      weights[j] = h.scale * dot(q[b * h.queries + i] + x.q.first + column,
                                 k[b * h.keys + j] + x.k.first + column, h.d_head);
    const double max = *std::max_element(weights.begin(), weights.end());
    double sum = 0;
    for (double& w : weights) sum += w = std::exp(w - max);
    for (int64_t j = 0; j < seen; ++j)
      for (int64_t c = 0; c < h.d_head; ++c)
        out[b * h.queries + i][column + c] +=
            h.kept(b, head, i, j) * weights[j] / sum * v[b * h.keys + j][x.v.first + column + c];
    kept[row][0] = max;
    kept[row][1] = 1 / sum;
  });
  out.write_to(y);
  kept.write_to(statistics);
}

// With w_j = kept_j p_j:  dv_j += w_j dy_i,  dw_j = dy_i . v_j,  ds_j = p_j (kept_j dw_j - sum_k w_k dw_k),
// where sum_k w_k dw_k = dy_i . y_i;  dq_i += sum_j ds_j k_j / sqrt(d_head),  dk_j += ds_j q_i /
// sqrt(d_head).
void Backend::attention_backward(const Qkv& x, const AttentionSpec& spec, In y, In statistics, In dy,
                                 bool add, Out dq, Out dk, Out dv) {
  const Rows q(x.q.tensor), k(x.k.tensor), v(x.v.tensor), out(y), dout(dy), kept(statistics);
  const Heads h(x, spec);
  Rows gq(q.count, q.length), gk(k.count, k.length), gv(v.count, v.length);
  h.each([&](int64_t b, int64_t head, int64_t i, int64_t row) {
    const int64_t column = head * h.d_head, query = b * h.queries + i;
    const double *q_i = q[query] + x.q.first + column, *dy_i = dout[query] + column;
    const double dot_y = dot(dy_i, out[query] + column, h.d_head);
    for (int64_t j = 0; j < h.seen_by(b, i); ++j) {
      const int64_t key = b * h.keys + j;
      const double *k_j = k[key] + x.k.first + column, *v_j = v[key] + x.v.first + column;
      const double p = std::exp(h.scale * dot(q_i, k_j, h.d_head) - kept[row][0]) * kept[row][1];
      const double keep = h.kept(b, head, i, j), ds = p * (keep * dot(dy_i, v_j, h.d_head) - dot_y);
      for (int64_t c = 0; c < h.d_head; ++c) {
        gv[key][x.v.first + column + c] += keep * p * dy_i[c];
        gq[query][x.q.first + column + c] += h.scale * ds * k_j[c];
        gk[key][x.k.first + column + c] += h.scale * ds * q_i[c];
      }
    }
  });
  for (const Out& block : {dq, dk, dv})
    if (block && !add) fill(0, block);
  if (dq) gq.add_to(dq);
  if (dk) gk.add_to(dk);
  if (dv) gv.add_to(dv);
}

// Towards one distribution for all rows; losses/cross_entropy.h says what for.
void Backend::prior_cross_entropy(In logits, In prior, const IdColumns& target, int32_t pad_id,
                                  Out log_sum_exp, Out loss) {
  const Rows z(logits), q(prior);
  const IdColumns targets = on_host(target);
  Rows kept(z.count, 2), losses(z.count, 1);
  for (int64_t r = 0; r < z.count; ++r) {
    if (targets.at(r) == pad_id) continue;
    const LogSumExp sum(z[r], z.length);
    for (int64_t j = 0; j < z.length; ++j)
      if (q[0][j] > 0) losses[r][0] -= q[0][j] * (z[r][j] - sum.max - sum.log_sum);
    kept[r][0] = sum.max;
    kept[r][1] = sum.log_sum;
  }
  kept.write_to(log_sum_exp);
  losses.write_to(loss);
}

void Backend::prior_cross_entropy_backward(In logits, In prior, const IdColumns& target, int32_t pad_id,
                                           In log_sum_exp, In dy, Out dlogits) {
  const Rows z(logits), q(prior), kept(log_sum_exp), dout(dy.reshape({dy.size(), 1}));
  const IdColumns targets = on_host(target);
  const double sum_q = mean(q[0], q.length) * q.length;
  Rows dz(z.count, z.length);
  for (int64_t r = 0; r < z.count; ++r) {
    if (targets.at(r) == pad_id) continue;
    for (int64_t j = 0; j < z.length; ++j)
      dz[r][j] = dout[r][0] * (sum_q * std::exp(z[r][j] - kept[r][0] - kept[r][1]) - q[0][j]);
  }
  dz.write_to(dlogits);
}

}  // namespace gradus
