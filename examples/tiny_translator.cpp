// The complete training of a translator in one file: a toy language, a Transformer, the smoothed loss, Adam
// with warmup, and greedy translation of sentences that were not in the training. Copy this file to start
// your own program.
#include <iostream>

#include "examples/data/batch.h"
#include "examples/data/toy_language.h"
#include "examples/data/words.h"
#include "examples/training_step.h"
#include "losses/translation_loss.h"
#include "nn/search.h"
#include "optim/adam.h"
#include "optim/schedule.h"

using namespace gradus;
using namespace gradus::examples;

// Draws B sentence pairs and turns their words into ids. Shorter sentences are padded to the longest one, so
// a batch is two rectangles: source i32 [B, S], and target i32 [B, T] with BOS (beginning) and EOS (end).
Batch draw_batch(toy::Rng& rng, size_t rows, const Vocabulary& english, const Vocabulary& french) {
  std::vector<IdPair> pairs;
  while (pairs.size() < rows) {
    const Words source = toy::sample_source(rng, toy::Split::train);
    pairs.push_back({english.encode(source), french.encode(toy::sample_translation(rng, source))});
  }
  return make_batch(pairs);
}

int main(int argc, char** argv) try {
  const Device device = named_device(argc > 1 ? argv[1] : "cpu");  // `tiny_translator cuda` uses a GPU
  const Vocabulary english(toy::source_words()), french(toy::target_words());
  nn::TranslationModel model(
      {.source_vocab = english.size(),
       .target_vocab = french.size(),
       .tie = nn::Tie::output,
       .transformer = {.d_model = 64, .heads = 4, .layers = 2, .ff = 256, .dropout = 0, .norm_first = true}});
  model.init(/*seed=*/1);
  model.to(device);
  const losses::TranslationLoss criterion(french.size(), Vocabulary::pad, /*smoothing=*/0.1);
  optim::Adam adam(model.parameters(), {.beta2 = 0.98, .eps = 1e-9});
  std::cout << describe(device) << "\n" << model.parameter_count() << " parameters\n";

  toy::Rng rng(1);
  constexpr int kSteps = 1000, kWarmup = 200;
  losses::LossSums since;
  for (int step = 1; step <= kSteps; ++step) {
    const std::vector<Batch> batches{draw_batch(rng, 64, english, french)};
    adam.set_lr(optim::inverse_square_root(step, /*peak=*/2e-3, kWarmup));
    since += training_step(model, criterion, adam, batches, step, /*clip=*/1).sums;
    if (step % 100 == 0) {
      std::cout << "step " << step << "  loss " << since.mean_smoothed() << "  nll " << since.mean_nll()
                << "  accuracy " << since.accuracy() << std::endl;
      since = {};
    }
  }

  std::cout << "\nSentences it has never seen:\n";
  toy::Rng unseen(7);
  for (int i = 0; i < 5; ++i) {
    const Words source = toy::sample_source(unseen, toy::Split::test);
    const Batch one = make_batch({{english.encode(source), {}}});
    const auto found =
        nn::greedy_decode(model, one.source, one.source_lengths, 40, Vocabulary::bos, Vocabulary::eos);
    const Words translated = french.decode(found[0]);
    const bool right = translated == toy::translations(source)[0].words;
    std::cout << "  " << join_words(source) << "\n  " << join_words(translated)
              << (right ? "\n" : "   <- not the most probable\n");
  }
} catch (const std::exception& error) {
  std::cerr << error.what() << "\n";
  return 1;
}
