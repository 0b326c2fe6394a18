#include <iomanip>
#include <iostream>

#include "examples/support/bleu.h"
#include "examples/translate/commands.h"

namespace gradus::examples {

int score_command(std::span<const std::string> arguments) {
  std::string hypothesis, reference;
  Options options(
      "translate score --hypothesis FILE --reference FILE",
      "Corpus BLEU of translations, whoever made them, as sacreBLEU computes it: plain text, one\n"
      "sentence a line, cut into 13a tokens here.");
  options.add("--hypothesis", &hypothesis, "FILE", "the translations");
  options.add("--reference", &reference, "FILE", "what they should say, line by line");
  if (answered(options, options.parse(arguments))) return 0;
  check(!hypothesis.empty() && !reference.empty(), "score: name both --hypothesis FILE and --reference FILE");
  const std::vector<std::string> found = read_lines(hypothesis), wanted = read_lines(reference);
  check_world(found.size() == wanted.size(), "score: ", hypothesis, " has ", found.size(), " lines, ",
              reference, " has ", wanted.size());
  const Bleu bleu = corpus_bleu(tokenized(found), tokenized(wanted));
  std::cout << std::fixed << std::setprecision(2) << "BLEU " << bleu.score << "  (" << bleu_signature << ")\n"
            << "precisions ";
  for (const double precision : bleu.precisions) std::cout << precision << " ";
  std::cout << " brevity penalty " << std::setprecision(3) << bleu.brevity_penalty << "  lengths "
            << bleu.hypothesis_length << " and " << bleu.reference_length << "\n";
  return 0;
}

}  // namespace gradus::examples
