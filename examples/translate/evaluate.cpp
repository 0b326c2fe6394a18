// The commands that measure: `evaluate` a model, `score` translations whoever made them.
#include <iomanip>
#include <iostream>

#include "examples/data/lines.h"
#include "examples/measure/bleu.h"
#include "examples/translate/commands.h"
#include "examples/translate/model_use.h"

namespace gradus::examples {

int evaluate_command(std::span<const std::string> arguments) {
  std::string source, target;
  int64_t count = 1000, show = 5;
  UseOptions use;
  Options options("translate evaluate --model FILE [--source FILE --target FILE]",
                  "Measures a model on sentences it has never seen: those of the toy language's test split "
                  "for a model that\nwas trained on it, else two text files.");
  options.add("--source", &source, "FILE", "sentences to translate, one a line");
  options.add("--target", &target, "FILE", "their reference translations");
  options.add("--count", &count, "N", "how many toy sentences", {1, 1e6});
  options.add("--show", &show, "N", "how many translations to print", {0, 1e6});
  use.declare(options);
  if (answered(options, options.parse(arguments))) return 0;
  check(source.empty() == target.empty(), "evaluate: --source and --target go together");
  const bool toy = source.empty();
  auto [settings, tokenizers, model] = use.load("evaluate");
  check(settings.toy || !toy, "evaluate: name the test sentences: --source FILE --target FILE");

  HeldOut test;
  if (toy) test = toy_held_out(/*test=*/true, count, settings, tokenizers);
  else test.text = read_parallel(source, target, EmptySides::keep);
  const auto& [sources, references, lines, dropped] = test.text;
  for (size_t i = 0; !toy && i < lines.size(); ++i)
    test.pairs.push_back({encoded(tokenizers.source, sources[i], lines[i]),
                          tokenizers.target.encode(references[i]), lines[i]});
  std::vector<IdPair> fitting = test.pairs;
  const int64_t longest = settings.longest;
  std::erase_if(fitting, [](const IdPair& pair) { return pair.source.empty() || pair.target.empty(); });
  const size_t with_empty_side = test.pairs.size() - fitting.size();
  if (with_empty_side > 0)
    std::cerr << with_empty_side << " pairs with an empty side count for BLEU, not for the nll\n";
  const size_t long_ones =
      std::erase_if(fitting, [&](const IdPair& pair) { return positions(pair) > longest; });
  if (long_ones > 0)
    std::cerr << long_ones << " pairs longer than " << longest << " tokens count for BLEU, not for the nll\n";
  check_world(!fitting.empty(), "evaluate: no pair fits the model's ", longest, " positions");

  const losses::TranslationLoss criterion(tokenizers.target.size(), Vocabulary::pad, settings.smoothing,
                                          settings.convention());
  const losses::LossSums sums = loss_of(model, criterion, fitting, 4096);
  const auto found = translate_all(model, tokenizers.target, test.pairs, use.decoding);
  double exact = 0;
  for (size_t i = 0; i < found.size(); ++i) {
    const bool same = found[i] == references[i];
    exact += same;
    if (std::cmp_less(i, show))
      std::cout << "source      " << sources[i] << "\ntranslated  " << found[i]
                << (same ? "\n\n" : "\nreference   " + references[i] + "\n\n");
  }
  std::cout << std::fixed << std::setprecision(2) << found.size() << " sentences, "
            << static_cast<int64_t>(sums.tokens()) << (toy ? " words" : " tokens") << " to predict\n"
            << "BLEU " << corpus_bleu(tokenized(found), tokenized(references)).score << " (" << bleu_signature
            << ")" << (toy ? ", against the most probable translation\n" : "\n") << "exact match "
            << 100 * exact / found.size() << " %\n"
            << std::setprecision(4) << "nll " << sums.mean_nll();
  if (toy)
    std::cout << "  (floor " << test.floor << ", optimum for smoothing " << settings.smoothing << ": "
              << test.smoothed_floor << ")";
  std::cout << "\nperplexity " << sums.perplexity() << "\naccuracy " << std::setprecision(2)
            << 100 * sums.accuracy() << " %\n";
  return 0;
}

int score_command(std::span<const std::string> arguments) {
  std::string hypothesis, reference;
  Options options("translate score --hypothesis FILE --reference FILE",
                  "Corpus BLEU of translations, whoever made them, as sacreBLEU computes it: plain text,\n"
                  "one sentence a line, cut into 13a tokens here.");
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
