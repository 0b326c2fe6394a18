// Each fused kernel, and its gradient, against the plain body that defines it (tensor/definitions.cpp), on
// any device, in f32 and f64, at sizes where kernels cut their work into blocks.
#pragma once

#include "tests/op_run.h"

namespace gradus::tests {

struct DefinitionCheck {
  Device device;
  DType dtype;
  Backend& kernels = backend(device);
  Generator generator{11};

  Tensor normal(Shape shape, double deviation = 1) {
    return generator.normal(shape, deviation).to(DType::f32).to(dtype).to(device);
  }
  Out empty(Shape shape) { return Out(Tensor(shape, dtype, device)); }
  // Something to be added to.
  Out filled(Shape shape) { return Out(Tensor::full(shape, 0.25, dtype, device)); }
  Tensor ids(const std::vector<int32_t>& values) {
    return Tensor::from(values, {static_cast<int64_t>(values.size())}, device);
  }

  void same(const char* what, const Tensor& kernel, const Tensor& definition) {
    INFO(what, " ", kernel.shape(), " ", dtype, " on ", device);
    CHECK(error_of(kernel, definition.to(DType::f64)) <= (dtype == DType::f32 ? 64 * kEps : 1e-12));
  }

  void softmax(Shape shape) {
    const Tensor x = normal(shape, 3), dy = normal(shape);
    for (bool log : {false, true}) {
      const Out y = empty(shape), y2 = empty(shape), dx = empty(shape), dx2 = empty(shape);
      kernels.softmax(x, log, y);
      kernels.Backend::softmax(x, log, y2);
      same("softmax", y, y2);
      kernels.softmax_backward(y2, dy, log, dx);
      kernels.Backend::softmax_backward(y2, dy, log, dx2);
      same("softmax backward", dx, dx2);
    }
  }

  void layer_norm(Shape shape) {
    const Shape d{shape[-1]}, kept{shape.before(-1), 3};
    const Tensor x = normal(shape), gain = normal(d), bias = normal(d), dy = normal(shape);
    const Out y = empty(shape), y2 = empty(shape), statistics = empty(kept), statistics2 = empty(kept);
    kernels.layer_norm(x, gain, bias, 1e-5, y, statistics);
    kernels.Backend::layer_norm(x, gain, bias, 1e-5, y2, statistics2);
    same("layer_norm", y, y2);
    const Out dx = empty(shape), dx2 = empty(shape), dgain = filled(d), dgain2 = filled(d), dbias = filled(d),
              dbias2 = filled(d);
    kernels.layer_norm_backward(dy, x, gain, statistics, /*add=*/false, dx, dgain, dbias);
    kernels.Backend::layer_norm_backward(dy, x, gain, statistics2, /*add=*/false, dx2, dgain2, dbias2);
    same("layer_norm dx", dx, dx2);
    kernels.layer_norm_backward(dy, x, gain, statistics, /*add=*/true, dx, {}, {});
    kernels.Backend::layer_norm_backward(dy, x, gain, statistics2, /*add=*/true, dx2, {}, {});
    same("layer_norm dx, added", dx, dx2);
    same("layer_norm dgain", dgain, dgain2);
    same("layer_norm dbias", dbias, dbias2);
  }

  void cross_entropy(int64_t n, int64_t vocab, const CrossEntropySpec& spec) {
    const Tensor z = normal({n, vocab}, 2);
    std::vector<int32_t> targets;
    for (int64_t r = 0; r < n; ++r) targets.push_back(static_cast<int32_t>(r * r % vocab));
    const IdColumns target = ids(targets);
    const Shape shape = spec.reduction == Reduction::none ? Shape{n} : Shape{};
    const Out loss = empty(shape), loss2 = empty(shape), kept = empty({n, 2}), kept2 = empty({n, 2});
    const Out sums(Tensor({kLossSums}, DType::f64, device)), sums2(Tensor({kLossSums}, DType::f64, device));
    kernels.cross_entropy(z, target, spec, kept, loss, sums);
    kernels.Backend::cross_entropy(z, target, spec, kept2, loss2, sums2);
    same("cross_entropy", loss, loss2);
    same("cross_entropy sums", sums, sums2);
    const Tensor dy = normal(shape);
    const Out dz = empty({n, vocab}), dz2 = empty({n, vocab});
    kernels.cross_entropy_backward(z, target, spec, kept, sums, dy, dz);
    kernels.Backend::cross_entropy_backward(z, target, spec, kept2, sums2, dy, dz2);
    same("cross_entropy dlogits", dz, dz2);
  }

  void prior_cross_entropy(int64_t n, int64_t vocab) {
    const Tensor z = normal({n, vocab}, 2), prior = unary(Unary::exp, normal({vocab}));
    std::vector<int32_t> targets;
    for (int64_t r = 0; r < n; ++r) targets.push_back(static_cast<int32_t>(r % vocab));
    const IdColumns target = ids(targets);
    const Out loss = empty({n}), loss2 = empty({n}), kept = empty({n, 2}), kept2 = empty({n, 2});
    kernels.prior_cross_entropy(z, prior, target, 1, kept, loss);
    kernels.Backend::prior_cross_entropy(z, prior, target, 1, kept2, loss2);
    same("prior_cross_entropy", loss, loss2);
    const Tensor dy = normal({n});
    const Out dz = empty({n, vocab}), dz2 = empty({n, vocab});
    kernels.prior_cross_entropy_backward(z, prior, target, 1, kept, dy, dz);
    kernels.Backend::prior_cross_entropy_backward(z, prior, target, 1, kept2, dy, dz2);
    same("prior_cross_entropy dlogits", dz, dz2);
  }

  void attention(int64_t queries, int64_t keys, int64_t d, AttentionSpec spec) {
    constexpr int64_t kBatch = 2;
    const int64_t d_model = spec.d_model = d * spec.heads;
    if (spec.key_lengths) spec.key_lengths = spec.key_lengths.to(device);
    // Queries stand alone, keys and values are columns of one tensor with a column more.
    const Tensor q = normal({kBatch, queries, d_model}), kv = normal({kBatch, keys, 2 * d_model + 1});
    const Qkv x{{q}, {kv, 1}, {kv, d_model + 1}};
    const Shape shape = q.shape(), kept{kBatch, spec.heads, queries, 2};
    const Out y = empty(shape), y2 = empty(shape), statistics = empty(kept), statistics2 = empty(kept);
    kernels.attention(x, spec, y, statistics);
    kernels.Backend::attention(x, spec, y2, statistics2);
    same("attention", y, y2);
    const Tensor dy = normal(shape);
    const Out dq = filled(shape), dq2 = filled(shape), dkv = filled(kv.shape()), dkv2 = filled(kv.shape());
    kernels.attention_backward(x, spec, y, statistics, dy, /*add=*/true, dq, dkv, dkv);
    kernels.Backend::attention_backward(x, spec, y2, statistics2, dy, /*add=*/true, dq2, dkv2, dkv2);
    same("attention dq", dq, dq2);
    same("attention dk and dv", dkv, dkv2);
    const Out dk = filled(kv.shape());  // alone
    kernels.attention_backward(x, spec, y, statistics, dy, /*add=*/true, Out(), dk, Out());
    const Out dk2 = filled(kv.shape());
    kernels.Backend::attention_backward(x, spec, y2, statistics2, dy, /*add=*/true, Out(), dk2, Out());
    same("attention dk", dk, dk2);
    written_attention(q, normal({kBatch, keys, 2 * d_model}), spec);
  }

  // Gradients that are written over whatever was there. Queries stand alone; kv: keys and values side by
  // side.
  void written_attention(const Tensor& q, const Tensor& kv, const AttentionSpec& spec) {
    const Qkv x{{q}, {kv, 0}, {kv, spec.d_model}};
    const Out y = empty(q.shape()), statistics = empty({q.shape()[0], spec.heads, q.shape()[1], 2});
    kernels.attention(x, spec, y, statistics);
    const Tensor dy = normal(q.shape());
    const auto no_numbers = [&](In like) { return Out(Tensor::full(like.shape(), NAN, dtype, device)); };
    const Out dq = no_numbers(q), dq2 = no_numbers(q), dkv = no_numbers(kv), dkv2 = no_numbers(kv);
    kernels.attention_backward(x, spec, y, statistics, dy, /*add=*/false, dq, dkv, dkv);
    kernels.Backend::attention_backward(x, spec, y, statistics, dy, /*add=*/false, dq2, dkv2, dkv2);
    same("attention dq, written", dq, dq2);
    same("attention dk and dv, written", dkv, dkv2);
  }
};

inline void check_definitions(Device device) {
  for (DType dtype : {DType::f32, DType::f64}) {
    DefinitionCheck check{device, dtype};
    for (const Shape& shape : {Shape{1, 1}, Shape{5, 7}, Shape{3, 2, 40}, Shape{70, 300}}) {
      check.softmax(shape);
      if (shape[-1] > 1) check.layer_norm(shape);
    }
    for (Smoothing convention :
         {Smoothing::uniform, Smoothing::as_printed, Smoothing::others, Smoothing::others_not_pad})
      for (Reduction reduction : {Reduction::mean, Reduction::sum, Reduction::none})
        for (bool kl : {false, true})
          check.cross_entropy(40, 300,
                              {.convention = convention,
                               .smoothing = 0.1,
                               .reduction = reduction,
                               .pad_id = 1,
                               .subtract_entropy = kl});
    check.cross_entropy(7, 5, {.smoothing = 0.2, .class_weight = unary(Unary::exp, check.normal({5}))});
    check.prior_cross_entropy(7, 5);
    check.prior_cross_entropy(40, 300);
    const Draw draw{5, 1, 2};
    check.attention(5, 5, 3, {.d_model = 0, .heads = 2});
    check.attention(1, 9, 8, {.d_model = 0, .heads = 1});
    check.attention(70, 150, 8, {.d_model = 0, .heads = 2, .dropout = 0.2, .draw = draw});
    check.attention(150, 150, 4,
                    {.d_model = 0,
                     .heads = 2,
                     .causal = true,
                     .key_lengths = Tensor::from(std::vector<int32_t>{150, 90}, {2}),
                     .dropout = 0.2,
                     .draw = draw});
    check.attention(90, 20, 4, {.d_model = 0, .heads = 1, .causal = true});  // the first 70 see nothing
    check.attention(3, 4, 2,
                    {.d_model = 0, .heads = 1, .key_lengths = Tensor::from(std::vector<int32_t>{0, 4}, {2})});
  }
}

}  // namespace gradus::tests
