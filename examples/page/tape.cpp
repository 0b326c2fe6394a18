#include "examples/page/tape.h"

#include <algorithm>

#include "examples/measure/attention_weights.h"

namespace gradus::examples {

namespace {

// transformer.decoder.layers.0.multihead_attn.in_proj_weight: decoder.0.cross.in_proj
std::string shortened(std::string name) {
  for (const auto& [part, replacement] :
       {std::pair("transformer.", ""), {"layers.", ""}, {"multihead_attn", "cross"}, {"self_attn", "self"}})
    if (const size_t at = name.find(part); at != name.npos)
      name.replace(at, std::string_view(part).size(), replacement);
  return name.substr(0, name.size() - std::string_view(".weight").size());
}

}  // namespace

std::vector<svg::Step> steps_of(const Variable& root, const std::vector<NamedParameter>& names) {
  const std::vector<Node*> all = operations(root);
  std::vector<svg::Step> steps;
  for (const Node* node : all) {
    svg::Step& step = steps.emplace_back(svg::Step{node->op, {}});
    for (const auto& input : node->inputs) {
      const auto earlier = std::ranges::find(all, input.get());
      if (earlier != all.end()) step.inputs.push_back(earlier - all.begin());
      const auto named = std::ranges::find(names, input, [](const auto& p) { return p.variable.node(); });
      if (named != names.end() && named->name.ends_with("weight")) step.text += " " + shortened(named->name);
    }
    step.text += message(" ", node->shape);
  }
  return steps;
}

}  // namespace gradus::examples
