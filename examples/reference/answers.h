// Answers to cases of the conformance kit (tests/conformance/README.md): a file holds inputs and options, and
// what gradus computes of them in f64 comes back by name. One case stands under plain names: the tensors
// `logits` and `target`, the options `family`, `eps` and so on as metadata. Many cases stand under names of
// their own: `first.logits`, `first.eps`.
#pragma once

#include "tensor/safetensors.h"

namespace gradus::reference {

// The outputs of all cases, f64, named as their inputs are: `loss`, or `first.loss`. `expected.` tensors are
// passed over. std::invalid_argument names the case and the field that is missing, unknown or wrong.
std::map<std::string, Tensor> answers(const SafetensorsFile& file);

}  // namespace gradus::reference
