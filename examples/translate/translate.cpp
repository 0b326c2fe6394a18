#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <numeric>

#include "examples/support/text.h"
#include "examples/translate/commands.h"
#include "nn/search.h"

namespace gradus::examples {

std::vector<std::string> translate_all(nn::TranslationModel& model, const Tokenizer& target,
                                       const std::vector<Ids>& sources) {
  constexpr size_t kBatch = 64;
  std::vector<size_t> by_length(sources.size());
  std::iota(by_length.begin(), by_length.end(), size_t{0});
  std::stable_sort(by_length.begin(), by_length.end(),
                   [&](size_t a, size_t b) { return sources[a].size() < sources[b].size(); });
  std::vector<std::string> translated(sources.size());
  for (size_t begin = 0; begin < sources.size(); begin += kBatch) {
    const size_t end = std::min(sources.size(), begin + kBatch);
    std::vector<IdPair> pairs;
    for (size_t i = begin; i < end; ++i) pairs.push_back({sources[by_length[i]], {}});
    const TensorBatch b(make_batch(pairs));
    const int64_t longest = std::min(model.config().longest, 2 * b.source.shape()[1] + 10);
    const auto found =
        nn::greedy_decode(model, b.source, b.source_lengths, longest, Vocabulary::bos, Vocabulary::eos);
    for (size_t i = begin; i < end; ++i) translated[by_length[i]] = target.decode(found[i - begin]);
  }
  return translated;
}

namespace {

// One line to its translation. Words the model does not know are told, as is a line too long for it, which is
// cut.
std::string translate_line(TrainedModel& trained, const std::string& line, int64_t number) {
  if (split_words(line).empty()) return "";
  for (const std::string& word : split_words(line))
    if (trained.source.encode(word) == Ids{Vocabulary::unk})
      std::cerr << "line " << number << ": the model does not know `" << word << "`\n";
  Ids ids = trained.source.encode(line);
  const size_t longest = static_cast<size_t>(trained.options.longest);
  if (ids.size() > longest) {
    std::cerr << "line " << number << ": " << ids.size() << " tokens, cut to the model's " << longest << "\n";
    ids.resize(longest);
  }
  return translate_all(trained.model, trained.target, {ids})[0];
}

}  // namespace

int translate_command(std::span<const std::string> arguments) {
  std::string path;
  int64_t threads = 0;
  Options options(
      "translate translate --model FILE < sentences",
      "Translates standard input, line by line; at a terminal it asks for sentences until Ctrl-D.");
  options.add("--model", &path, "FILE", "what `translate train` made");
  options.add("--threads", &threads, "N", "CPU threads; 0: all cores", {0, 1024});
  if (answered(options, options.parse(arguments))) return 0;
  check(!path.empty(), "translate: name a model: --model FILE");
  if (threads > 0) set_num_threads(static_cast<int>(threads));
  TrainedModel trained = load_model(path);
  const bool terminal = isatty(STDIN_FILENO) != 0;
  if (terminal && trained.options.toy)
    std::cout << "The toy language knows sentences such as `the small dogs see a garden`. Ctrl-D ends.\n";
  std::string line;
  for (int64_t number = 1;; ++number) {
    if (terminal) std::cout << "> " << std::flush;
    if (!next_line(std::cin, "standard input", number, line)) break;
    std::cout << translate_line(trained, line, number) << std::endl;
  }
  if (terminal) std::cout << "\n";
  return 0;
}

}  // namespace gradus::examples
