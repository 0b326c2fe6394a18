// reference: what gradus answers to a case of a loss, attention, layer norm, a Transformer or Adam, from one
// safetensors file into another. It is for programs in other languages that want to be compared.
#include <iostream>

#include "examples/program/program.h"
#include "examples/reference/answers.h"

using namespace gradus;

namespace {

constexpr const char* kHelp = R"(Usage: reference CASES.safetensors ANSWERS.safetensors

Computes in f64 what CASES asks for and writes it to ANSWERS. A file of one case holds its inputs as tensors
and its options as metadata, which are texts. In Python:

  save_file({"logits": logits, "target": target}, "case.safetensors",
            metadata={"family": "loss", "convention": "uniform", "eps": "0.1", "pad": "0"})

A file of many cases has a name in front of each: `first.logits`, `first.family`, `second.logits`. The answers
have the same names. Numbers are f32 or f64, ids and lengths i32. [..] marks what may be left out.

family = loss
  logits [N, V] or [B, T, V], target i32 [N] or [B, T], [class_weight V], [prior V],
  [dy: the gradient of the loss, 1 where it is left out]
  form ce|kl (ce), convention uniform|as_printed|others|others_not_pad (uniform), eps (0), pad: an id or none (none),
  reduction mean|sum|none (mean), weighting per_target|per_class (per_target)
  -> loss, nll: the loss at eps 0 in form ce, gradient.logits,
     sums [5]: of the rows' losses, of their nll, rows whose argmax is right, rows that count, their weights
family = attention
  q [B, Tq, D], k and v [B, Tk, D], dy as q, [key_lengths i32 B]; heads (1), causal true|false (false)
  -> y, gradient.q, gradient.k, gradient.v
family = layer_norm
  x [.., D], weight and bias [D], dy as x; eps (1e-5)
  -> y, gradient.x, gradient.weight, gradient.bias
family = transformer
  src [B, S, D], tgt [B, T, D], dy as tgt, [src_lengths and tgt_lengths i32 B], and torch.nn.Transformer's
  state_dict under `parameter.`; heads, layers, ff, norm_first true|false (false), activation relu|gelu (relu)
  -> y, gradient.src, gradient.tgt, and `gradient.` with the name of each parameter
family = optimizer
  parameter, gradients [steps, ..]; method adam|adamw, lr (1e-3), beta1 (0.9), beta2 (0.999), eps (1e-8),
  weight_decay (0), which spares parameters of one axis
  -> trajectory [steps, ..]: the parameter after each step

A large input may be a formula instead: `logits.seed`, `logits.shape` ("2 50000"), `logits.scale`,
`logits.offset` in the metadata. tests/conformance/README.md gives the formula and 250 cases to try.
)";

int run(std::span<const std::string> arguments) {
  if (arguments.size() == 1 && (arguments[0] == "--help" || arguments[0] == "-h")) {
    std::cout << kHelp;
    return 0;
  }
  check(arguments.size() == 2, "reference: expected two files, got ", arguments.size(),
        " arguments; reference --help explains");
  const SafetensorsFile cases = read_safetensors_file(arguments[0]);
  std::map<std::string, Tensor> answers;
  try {
    answers = reference::answers(cases);
  } catch (const std::invalid_argument& error) {
    throw std::invalid_argument(arguments[0] + ": " + error.what());
  }
  write_safetensors(arguments[1], answers, {{"written by", "gradus reference"}});
  return 0;
}

}  // namespace

int main(int argc, char** argv) { return examples::run_program(argc, argv, run); }
