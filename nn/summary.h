// summary: the parameters of a module as a table to read.
#pragma once

#include <algorithm>
#include <iomanip>
#include <sstream>
#include <string>

#include "nn/module.h"

namespace gradus::nn {

// A line for each parameter: its name, shape and number of elements, and `frozen` where it does not learn.
// The last line sums them.
inline std::string summary(const Module& module) {
  const std::vector<NamedParameter> parameters = module.parameters();
  const std::string total = std::to_string(module.parameter_count());
  size_t names = 5, shapes = 5;  // widths of the columns
  for (const auto& [name, variable] : parameters) {
    names = std::max(names, name.size());
    shapes = std::max(shapes, message(variable.shape()).size());
  }
  std::ostringstream out;
  out.exceptions(std::ios::badbit);
  const auto line = [&](const std::string& name, const std::string& shape, const std::string& count) {
    out << std::left << std::setw(static_cast<int>(names) + 2) << name
        << std::setw(static_cast<int>(shapes) + 2) << shape << std::right
        << std::setw(static_cast<int>(total.size())) << count;
  };
  for (const auto& [name, variable] : parameters) {
    line(name, message(variable.shape()), std::to_string(variable.size()));
    out << (variable.requires_grad() ? "\n" : "  frozen\n");
  }
  line("total", "", total);
  out << "\n";
  return out.str();
}

}  // namespace gradus::nn
