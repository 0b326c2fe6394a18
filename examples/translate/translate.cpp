#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <numeric>

#include "examples/support/text.h"
#include "examples/translate/commands.h"
#include "nn/search.h"

namespace gradus::examples {

void Search::declare(Options& o) {
  o.group("Search");
  o.add("--beam", &beam, "N",
        "how many beginnings of a translation are kept; 1: the likeliest word each time", {1, 1000});
  o.add("--length-penalty", &length_penalty, "X",
        "scores are divided by ((5 + length) / 6)^X: larger ones favour longer sentences", {0, 10});
}

std::vector<std::string> translate_all(nn::TranslationModel& model, const Tokenizer& target,
                                       const std::vector<Ids>& sources, const Search& search) {
  const size_t together = std::max<int64_t>(1, 256 / search.beam);
  std::vector<size_t> by_length(sources.size());
  std::iota(by_length.begin(), by_length.end(), size_t{0});
  std::erase_if(by_length, [&](size_t i) { return sources[i].empty(); });
  std::ranges::stable_sort(by_length, {}, [&](size_t i) { return sources[i].size(); });
  std::vector<std::string> translated(sources.size());
  for (size_t begin = 0; begin < by_length.size();) {
    // Of one length: so nothing is padding, and a translation does not depend on its neighbours.
    std::vector<IdPair> pairs;
    size_t end = begin;
    for (; end < by_length.size() && pairs.size() < together; ++end) {
      const Ids& source = sources[by_length[end]];
      if (!pairs.empty() && source.size() != pairs[0].source.size()) break;
      pairs.push_back({source, {}});
    }
    const Batch b = make_batch(pairs);
    const int64_t longest = std::min(model.config().longest, 2 * b.source.shape()[1] + 10);
    const std::vector<nn::Hypothesis> found = nn::beam_search(model, b.source, b.source_lengths,
                                                              {.beam = search.beam,
                                                               .length_penalty = search.length_penalty,
                                                               .longest = longest,
                                                               .bos = Vocabulary::bos,
                                                               .eos = Vocabulary::eos,
                                                               .never = {Vocabulary::pad, Vocabulary::bos}});
    for (size_t i = begin; i < end; ++i) translated[by_length[i]] = target.decode(found[i - begin].ids);
    begin = end;
  }
  return translated;
}

Ids encoded(const TrainedModel& trained, const std::string& line, int64_t number) {
  const Words words = split_words(line);
  if (words.empty()) return {};
  Ids ids = trained.source.encode(line);
  for (size_t i = 0; i < ids.size(); ++i)  // only a word can be unknown, and words are one id each
    if (ids[i] == Vocabulary::unk)
      std::cerr << "line " << number << ": the model does not know `" << words[i] << "`\n";
  const size_t longest = trained.options.longest;
  if (ids.size() > longest) {
    std::cerr << "line " << number << ": " << ids.size() << " tokens, cut to the model's " << longest << "\n";
    ids.resize(longest);
  }
  return ids;
}

int translate_command(std::span<const std::string> arguments) {
  std::ios::sync_with_stdio(false);  // so that in_avail() knows what is there
  std::string device = "cpu", path;
  int64_t threads = 0;
  Search search;
  Options options(
      "translate translate --model FILE < sentences",
      "Translates standard input, line by line; at a terminal it asks for sentences until Ctrl-D.");
  options.add("--model", &path, "FILE", "what `translate train` made");
  options.add("--threads", &threads, "N", "CPU threads; 0: all cores", {0, 1024});
  options.add("--device", &device, "cpu|cuda", "where to compute");
  search.declare(options);
  if (answered(options, options.parse(arguments))) return 0;
  check(!path.empty(), "translate: name a model: --model FILE");
  if (threads > 0) set_num_threads(threads);
  TrainedModel trained = load_model(path, named_device(device));
  const bool terminal = isatty(STDIN_FILENO) != 0;
  if (terminal)
    std::cout << (trained.options.toy
                      ? "The toy language knows sentences such as `the small dogs see a garden`."
                      : "Type a sentence.")
              << " Ctrl-D ends.\n";
  constexpr size_t kTogether = 256;  // lines of a file; what comes slowly is answered line by line
  int64_t number = 0;
  for (bool more = true; more;) {
    if (terminal) std::cout << "> " << std::flush;
    std::vector<Ids> sources;
    std::string bad;
    do try {
        std::string line;
        more = next_line(std::cin, "standard input", number + 1, line);
        if (more) sources.push_back(encoded(trained, line, ++number));
      } catch (const std::runtime_error& error) {  // first the lines before it
        bad = error.what(), ++number, more = terminal && std::cin.good();
      }
    while (more && sources.size() < kTogether && !terminal && std::cin.rdbuf()->in_avail() > 0);
    for (const std::string& text : translate_all(trained.model, trained.target, sources, search))
      std::cout << text << "\n";
    check_world(std::cout.flush().good(), "translate: cannot write to standard output");
    check_world(bad.empty() || terminal, bad);
    if (!bad.empty()) std::cerr << bad << "\n";
  }
  if (terminal) std::cout << "\n";
  return 0;
}

}  // namespace gradus::examples
