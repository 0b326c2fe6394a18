#include "examples/translate/checkpoint.h"

#include <sstream>

#include "tensor/safetensors.h"

namespace gradus::examples {
namespace {

constexpr const char* kFormat = "gradus translate 1";

}  // namespace

void save_checkpoint(const std::string& path, nn::TranslationModel& model, const std::string& options_text,
                     const Tokenizer& source, const Tokenizer& target, int64_t step) {
  write_safetensors(path, model.state(),
                    {{"format", kFormat},
                     {"options", options_text},
                     {"source_vocabulary", source.to_string()},
                     {"target_vocabulary", target.to_string()},
                     {"step", std::to_string(step)}});
}

TrainedModel load_checkpoint(const std::string& path) {
  const SafetensorsFile file = read_safetensors_file(path);
  const auto text = [&](const std::string& key) {
    const auto found = file.metadata.find(key);
    check_world(found != file.metadata.end(), path, ": not a model of this program: its metadata has no `",
                key, "`");
    return found->second;
  };
  check_world(text("format") == kFormat, path, ": expected format `", kFormat, "`, got `", text("format"),
              "`");
  try {
    TrainOptions options;
    Options declared("", "");
    options.declare(declared);
    std::istringstream lines(text("options"));
    declared.read(lines, path);
    Tokenizer source = Tokenizer::parse(text("source_vocabulary")),
              target = Tokenizer::parse(text("target_vocabulary"));
    nn::TranslationModel model(options.model(source.size(), target.size()));
    model.load(file.tensors);
    return {options, std::move(source), std::move(target), std::move(model)};
  } catch (const std::invalid_argument& error) {  // here the fault is the file's
    throw std::runtime_error(path + ": " + error.what());
  }
}

}  // namespace gradus::examples
