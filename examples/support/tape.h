// What can be read off a recorded tape from outside: which operations ran, and how attention was distributed.
// The attention kernel keeps no weights; but its output is weights times values, so its own rule, asked for
// the gradient of one output with respect to the values, answers with the weights: exactly those that were
// used, masks and all.
#pragma once

#include "autograd/variable.h"
#include "examples/support/svg.h"

namespace gradus::examples {

// The operations behind `root`, oldest first, for svg::tape: name, parameter where it has one, and shape.
std::vector<svg::Step> steps_of(const Variable& root, const std::vector<NamedParameter>& names);

// Of each attention behind `root`, oldest first: weights f64 [B, heads, T, S]. For a TranslationModel:
// self-attention of each encoder layer, then self- and cross-attention of each decoder layer. The tape must
// not be walked yet, and dropout off.
std::vector<Tensor> attention_weights(const Variable& root, int64_t heads);

}  // namespace gradus::examples
