#include "examples/measure/attention_weights.h"

#include <algorithm>
#include <set>

namespace gradus::examples {

std::vector<Node*> operations(const Variable& root) {
  check(root.requires_grad(), "tape: nothing was recorded behind this Variable");
  std::set<Node*> seen{root.node().get()};
  std::vector<Node*> all{root.node().get()};
  for (size_t i = 0; i < all.size(); ++i)
    for (const auto& input : all[i]->inputs)
      if (input && !input->leaf() && seen.insert(input.get()).second) all.push_back(input.get());
  std::sort(all.begin(), all.end(), [](const Node* a, const Node* b) { return a->order < b->order; });
  return all;
}

std::vector<Tensor> attention_weights(const Variable& root, int64_t heads) {
  std::vector<Tensor> all;
  for (const Node* node : operations(root)) {
    if (std::string_view(node->op) != "attention") continue;
    check(node->backward && node->inputs[2], "tape: attention was walked already, or needs no gradient");
    const Shape& values = node->inputs[2]->shape;  // [B, S, .. + D]: the values are the last D columns
    const int64_t B = node->shape[0], T = node->shape[1], D = node->shape[2], S = values[1], W = values[2];
    const Tensor weights({B, heads, T, S}, DType::f64);
    for (int64_t t = 0; t < T; ++t) {
      std::vector<double> seed(B * T * D, 0);  // 1 on the first column of each head, at position t
      for (int64_t b = 0; b < B; ++b)
        for (int64_t h = 0; h < heads; ++h) seed[(b * T + t) * D + h * (D / heads)] = 1;
      const Tensor dy = Tensor::from(seed, node->shape, node->device).to(node->dtype);
      Node sink("attention weights", 0, Tensor(values, node->dtype, node->device));
      Gradient d[]{Gradient(nullptr), Gradient(nullptr), Gradient(&sink)};
      node->backward(dy, d);
      const std::vector<double> dv = sink.grad.to(DType::f64).to_vector<double>();
      for (int64_t b = 0; b < B; ++b)
        for (int64_t h = 0; h < heads; ++h)
          for (int64_t s = 0; s < S; ++s)
            weights.data<double>()[((b * heads + h) * T + t) * S + s] =
                dv[(b * S + s) * W + W - D + h * (D / heads)];
    }
    all.push_back(weights);
  }
  return all;
}

}  // namespace gradus::examples
