// How attention was distributed, read off a recorded tape from outside. The attention kernel keeps no
// weights. Its output is weights times values, so its own gradient rule, asked for the gradient of one output
// with respect to the values, answers with the weights: exactly those that were used, masks and all.
#pragma once

#include "autograd/variable.h"

namespace gradus::examples {

// The operations behind `root`, oldest first.
std::vector<Node*> operations(const Variable& root);

// Of each attention behind `root`, oldest first: weights f64 [B, heads, T, S]. For a TranslationModel:
// self-attention of each encoder layer, then self- and cross-attention of each decoder layer. The tape must
// not be walked yet, and dropout off.
std::vector<Tensor> attention_weights(const Variable& root, int64_t heads);

}  // namespace gradus::examples
