#include "autograd/graph.h"

#include <iomanip>
#include <map>
#include <set>

namespace gradus {

void write_dot(std::ostream& out, const Variable& root, const std::vector<NamedParameter>& names) {
  check(root.requires_grad(), "write_dot: nothing was recorded behind this Variable");
  std::map<const Node*, std::string> name_of_leaf;
  for (const auto& [name, variable] : names) name_of_leaf[variable.node().get()] = name;
  out << "digraph tape {\n  rankdir=LR;\n  node [fontname=\"sans-serif\"];\n";
  std::vector<const Node*> pending{root.node().get()};
  std::set<const Node*> seen{pending.begin(), pending.end()};
  while (!pending.empty()) {
    const Node* node = pending.back();
    pending.pop_back();
    const auto name = name_of_leaf.find(node);
    const std::string label = name != name_of_leaf.end() ? name->second : node->leaf() ? "leaf" : node->op;
    out << "  n" << node->order << " [label=" << std::quoted(message(label, " ", node->shape))
        << (node->leaf() ? ", shape=box" : "") << "];\n";
    for (const auto& input : node->inputs) {
      if (!input) continue;
      out << "  n" << input->order << " -> n" << node->order << ";\n";
      if (seen.insert(input.get()).second) pending.push_back(input.get());
    }
  }
  out << "}\n";
}

}  // namespace gradus
