#include "examples/translate/checkpoint.h"

#include <sstream>

#include "examples/data/numbers.h"
#include "tensor/safetensors.h"

namespace gradus::examples {
namespace {

constexpr const char* kFormat = "gradus translate 2";
constexpr const char* kOptimizer = "optimizer.";  // before the names of what it remembers

// A small file must not become a large model: what its options take at least.
double least_weights(const TrainOptions& o, double source, double target) {
  const double d = o.d_model;
  return 2. * o.layers * (4 * d * d + 2 * d * o.ff) + d * (o.tie == "all" ? target : source + target);
}

}  // namespace

void save_checkpoint(const std::string& path, const Checkpoint& c) {
  std::map<std::string, Tensor> tensors = c.weights;
  for (const auto& [name, tensor] : c.optimizer) tensors[kOptimizer + name] = tensor;
  write_safetensors(path, tensors,
                    {{"format", kFormat},
                     {"gradus", version()},
                     {"options", c.options.dump()},
                     {"data_hash", c.data_hash},
                     {"source_tokenizer", c.tokenizers.source.to_string()},
                     {"target_tokenizer", c.tokenizers.target.to_string()},
                     {"step", std::to_string(c.step)},
                     {"best_nll", shortest(c.best_nll)},
                     {"seconds", shortest(c.seconds)}});
}

Checkpoint load_checkpoint(const std::string& path) {
  const SafetensorsFile file = read_safetensors_file(path);
  const auto text = [&](const std::string& key) {
    const auto found = file.metadata.find(key);
    check_world(found != file.metadata.end(), path, ": not a model of this program: its metadata has no `",
                key, "`");
    return found->second;
  };
  check_world(text("format") == kFormat, path, ": expected format `", kFormat, "`, got `", text("format"),
              "`");
  const auto number = [&]<class T>(const std::string& key, T max) {
    const auto value = number_in<T>(text(key));
    check(value && *value >= 0 && *value <= max, key, ": expected a number from 0 to ", max, ", got `",
          text(key), "`");
    return *value;
  };
  try {
    TrainOptions options;
    Options declared("", "");
    options.declare(declared);
    std::istringstream lines(text("options"));
    declared.read(lines, path);
    const Tokenizers tokenizers{Tokenizer::parse(text("source_tokenizer")),
                                Tokenizer::parse(text("target_tokenizer"))};
    Checkpoint c{options, tokenizers, text("data_hash")};
    c.step = number("step", int64_t{1'000'000'000});
    c.best_nll = number("best_nll", double{INFINITY});  // which it is before there is any
    c.seconds = number("seconds", 1e9);
    for (const auto& [name, tensor] : file.tensors) {
      if (name.starts_with(kOptimizer)) c.optimizer[name.substr(std::string(kOptimizer).size())] = tensor;
      else c.weights[name] = tensor;
    }
    double held = 0;
    for (const auto& [name, tensor] : c.weights) held += tensor.size();
    const double least = least_weights(options, tokenizers.source.size(), tokenizers.target.size());
    check(held >= least, "its options make a model of at least ", least, " weights; it holds ", held);
    return c;
  } catch (const std::invalid_argument& error) {  // here the fault is the file's
    throw std::runtime_error(path + ": " + error.what());
  }
}

}  // namespace gradus::examples
