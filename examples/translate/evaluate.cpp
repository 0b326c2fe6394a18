#include <iomanip>
#include <iostream>

#include "examples/support/bleu.h"
#include "examples/support/text.h"
#include "examples/translate/commands.h"

namespace gradus::examples {

losses::LossSums loss_of(nn::TranslationModel& model, const losses::TranslationLoss& criterion,
                         const std::vector<IdPair>& pairs, int64_t batch_tokens) {
  const nn::Evaluating evaluating(model);
  losses::LossSums sums;
  for (const BatchPlan& plan : bucketed_batches(pairs, batch_tokens, 0, 0)) {
    const Batch b = make_batch(pairs, plan);
    sums += criterion(model(b.source, b.source_lengths, b.target, b.target_lengths), b.target).sums;
  }
  return sums;
}

namespace {

struct Test {
  HeldOut held_out;
  std::vector<Ids> inputs;
  std::vector<std::string> sources, references;  // as text
};

Test toy_test(const TrainedModel& trained, int64_t count) {
  Test test{toy_held_out(true, count, trained.options, trained.source, trained.target), {}, {}, {}};
  for (const IdPair& pair : test.held_out.pairs) {
    test.inputs.push_back(pair.source);
    test.sources.push_back(trained.source.decode(pair.source));
  }
  for (const Words& best : test.held_out.best) test.references.push_back(join_words(best));
  return test;
}

Test text_test(const TrainedModel& trained, const std::string& source, const std::string& target) {
  const ParallelText text = read_pairs(source, target, std::cerr);
  Test test{{}, {}, text.source, text.target};
  for (size_t i = 0; i < text.source.size(); ++i) {
    test.inputs.push_back(encoded(trained, text.source[i], text.lines[i]));
    IdPair pair{trained.source.encode(text.source[i]), trained.target.encode(text.target[i]), text.lines[i]};
    if (positions(pair) <= trained.options.longest) test.held_out.pairs.push_back(std::move(pair));
  }
  const size_t left_out = text.source.size() - test.held_out.pairs.size();
  if (left_out > 0)
    std::cerr << left_out << " pairs longer than " << trained.options.longest
              << " tokens count for BLEU, not for the nll\n";
  check_world(!test.held_out.pairs.empty(), "evaluate: no pair fits the model's ", trained.options.longest,
              " positions");
  return test;
}

}  // namespace

int evaluate_command(std::span<const std::string> arguments) {
  std::string device = "cpu", path, source, target;
  int64_t count = 1000, show = 5, threads = 0;
  Search search;
  Options options("translate evaluate --model FILE [--source FILE --target FILE]",
                  "Measures a model on sentences it has never seen: those of the toy language's test split "
                  "for a model that\n"
                  "was trained on it, else two text files.");
  options.add("--model", &path, "FILE", "what `translate train` made");
  options.add("--source", &source, "FILE", "sentences to translate, one a line");
  options.add("--target", &target, "FILE", "their reference translations");
  options.add("--count", &count, "N", "how many toy sentences", {1, 1e6});
  options.add("--show", &show, "N", "how many translations to print", {0, 1e6});
  options.add("--threads", &threads, "N", "CPU threads; 0: all cores", {0, 1024});
  options.add("--device", &device, "cpu|cuda", "where to compute");
  search.declare(options);
  if (answered(options, options.parse(arguments))) return 0;
  check(!path.empty(), "evaluate: name a model: --model FILE");
  check(source.empty() == target.empty(), "evaluate: --source and --target go together");
  if (threads > 0) set_num_threads(threads);

  TrainedModel trained = load_model(path, named_device(device));
  check(trained.options.toy || !source.empty(),
        "evaluate: name the test sentences: --source FILE --target FILE");
  const bool toy = source.empty();
  const Test test = toy ? toy_test(trained, count) : text_test(trained, source, target);
  const losses::TranslationLoss criterion(trained.target.size(), Vocabulary::pad, trained.options.smoothing,
                                          trained.options.convention());
  const losses::LossSums sums = loss_of(trained.model, criterion, test.held_out.pairs, 4096);
  size_t exact = 0;
  const std::vector<std::string> found = translate_all(trained.model, trained.target, test.inputs, search);
  for (size_t i = 0; i < found.size(); ++i) {
    const std::string& text = found[i];
    exact += text == test.references[i];
    if (std::cmp_less(i, show))
      std::cout << "source      " << test.sources[i] << "\ntranslated  " << text
                << (text == test.references[i] ? "\n" : "\nreference   " + test.references[i] + "\n") << "\n";
  }
  const double n = found.size();
  std::cout << std::fixed << std::setprecision(2) << found.size() << " sentences, "
            << static_cast<int64_t>(sums.tokens()) << (toy ? " words" : " tokens") << " to predict\n"
            << "BLEU " << corpus_bleu(tokenized(found), tokenized(test.references)).score << " ("
            << bleu_signature << ")" << (toy ? ", against the most probable translation\n" : "\n")
            << "exact match " << 100 * exact / n << " %\n"
            << std::setprecision(4) << "nll " << sums.mean_nll();
  if (toy)
    std::cout << "  (floor " << test.held_out.floor << ", optimum for smoothing " << trained.options.smoothing
              << ": " << test.held_out.smoothed_floor << ")";
  std::cout << "\nperplexity " << sums.perplexity() << "\naccuracy " << std::setprecision(2)
            << 100 * sums.accuracy() << " %\n";
  return 0;
}

}  // namespace gradus::examples
