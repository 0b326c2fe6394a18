#include <unistd.h>

#include <algorithm>
#include <iostream>

#include "examples/data/lines.h"
#include "examples/data/words.h"
#include "examples/translate/commands.h"
#include "examples/translate/model_use.h"

namespace gradus::examples {

void UseOptions::declare(Options& o) {
  o.add("--model", &path, "FILE", "what `translate train` made");
  o.add("--threads", &threads, "N", "CPU threads; 0: all cores", {0, 1024});
  o.add("--device", &device, "cpu|cuda", "where to compute");
  o.group("Search");
  o.add("--beam", &decoding.beam, "N", "beginnings of a translation kept; 1: the likeliest word each time",
        {1, 1000});
  o.add("--length-penalty", &decoding.length_penalty, "X",
        "scores are divided by ((5 + length) / 6)^X: larger ones favour longer sentences", {0, 10});
  o.add("--longest", &decoding.longest, "N",
        "tokens of a translation at most; 0: as many as the model has positions", {0, 4096});
}

TrainedModel UseOptions::load(const char* command) const {
  check(!path.empty(), command, ": name a model: --model FILE");
  if (threads > 0) set_num_threads(threads);
  const Device where = named_device(device);
  Checkpoint c = load_checkpoint(path);
  try {
    nn::TranslationModel model(c.options.model(c.tokenizers.source.size(), c.tokenizers.target.size()));
    model.load(c.weights);
    model.to(where);
    return {c.options, std::move(c.tokenizers), std::move(model)};
  } catch (const std::invalid_argument& error) {
    throw std::runtime_error(path + ": " + error.what());
  }
}

int translate_command(std::span<const std::string> arguments) {
  std::ios::sync_with_stdio(false);  // so that in_avail() knows what is there
  UseOptions use;
  Options options("translate translate --model FILE < sentences",
                  "Translates standard input, line by line; at a terminal it asks, until Ctrl-D.");
  use.declare(options);
  const auto names_a_file = [](const std::string& a) { return a.starts_with("--source"); };
  check(std::ranges::none_of(arguments, names_a_file),
        "--source: unknown option; translate reads standard input: translate --model FILE < sentences");
  if (answered(options, options.parse(arguments))) return 0;
  auto [settings, tokenizers, model] = use.load("translate");
  const bool terminal = isatty(STDIN_FILENO) != 0;
  if (terminal)
    std::cout << (settings.toy ? "The toy language knows sentences such as `the small dogs see a garden`."
                               : "Type a sentence.")
              << " Ctrl-D ends.\n";
  constexpr size_t kTogether = 256;  // lines of a file; what comes slowly is answered line by line
  int64_t number = 0;
  for (bool more = true; more;) {
    if (terminal) std::cout << "> " << std::flush;
    std::vector<IdPair> pairs;
    std::string bad;
    do {
      try {
        std::string line;
        more = next_line(std::cin, "standard input", ++number, line);
        if (more) pairs.push_back({encoded(tokenizers.source, line, number), {}, number});
      } catch (const std::runtime_error& error) {  // first the lines before it
        bad = error.what();
        more = terminal && std::cin.good();
      }
    } while (more && pairs.size() < kTogether && !terminal && std::cin.rdbuf()->in_avail() > 0);
    for (const auto& text : translate_all(model, tokenizers.target, pairs, use.decoding))
      std::cout << text << "\n";
    check_world(std::cout.flush().good(), "translate: cannot write to standard output");
    check_world(bad.empty() || terminal, bad);
    if (!bad.empty()) std::cerr << bad << "\n";
  }
  if (terminal) std::cout << "\n";
  return 0;
}

}  // namespace gradus::examples
