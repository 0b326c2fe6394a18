// A small GPT. It reads a text, learns to predict the next character, and then writes more text of that kind.
// This file contains the model, the training loop, and the sampling, which draws one character at a time.
#include <algorithm>
#include <cmath>
#include <iostream>
#include <map>
#include <random>

#include "examples/data/lines.h"
#include "examples/data/utf8.h"
#include "examples/program/options.h"
#include "examples/program/program.h"
#include "losses/cross_entropy.h"
#include "nn/transformer.h"
#include "optim/adam.h"
#include "optim/schedule.h"

using namespace gradus;
using namespace gradus::examples;

namespace {

struct Settings {
  std::string text, prompt;
  int64_t steps = 1000, batch = 16, context = 64, width = 128, heads = 4, layers = 3, seed = 1;
  double lr = 3e-3, dropout = 0.1;
  int64_t length = 400, top_k = 0;
  double temperature = 0.8;
};

using Caches = std::vector<Tensor>;  // one per layer: the keys and values of earlier characters

class Gpt : public nn::Module {
 public:
  Gpt(int64_t vocab, const Settings& s)
      : context_(s.context), tokens_(vocab, s.width), positions_(s.context, s.width),
        blocks_({.d_model = s.width,
                 .heads = s.heads,
                 .layers = s.layers,
                 .ff = 4 * s.width,
                 .dropout = s.dropout,
                 .norm_first = true,
                 .activation = Unary::gelu}),
        output_(s.width, vocab) {
    init(static_cast<uint64_t>(s.seed));
  }

  void members(nn::Visitor& visit) override {
    visit("tokens", tokens_);
    visit("positions", positions_);
    visit("blocks", blocks_);
    visit("output", output_);
  }

  // ids i32 [B, T] -> logits [B, T, V] of the character that follows each id
  Variable operator()(const Tensor& ids) {
    const Variable x = tokens_(ids) + positions_(Tensor::arange(ids.shape()[1]));
    return output_(blocks_(x, /*lengths=*/Tensor(), /*causal=*/true));
  }

  Caches empty_caches() const {
    Caches caches;
    for (size_t i = 0; i < blocks_.layers().size(); ++i)
      caches.push_back(Tensor::zeros({1, context_, 2 * tokens_.weight().shape()[1]}));
    return caches;
  }

  // The logits [V] of the character after `id`, which stands at `position`. Earlier ones are in the caches.
  Tensor step(int32_t id, int64_t position, Caches& caches) {
    const NoGrad no_grad;
    Variable x = tokens_(Tensor::from({id}, {1, 1})) +
                 positions_(Tensor::from({static_cast<int32_t>(position)}, {1, 1}));
    for (size_t i = 0; i < caches.size(); ++i) x = blocks_.layers()[i].step(x, caches[i], position);
    return output_(blocks_.norm()(x)).value().reshape({-1});
  }

 private:
  int64_t context_;
  nn::Embedding tokens_, positions_;
  nn::Stack<nn::EncoderLayer> blocks_;
  nn::Linear output_;
};

// Numbers the characters of the text, in the order of their code points.
struct Alphabet {
  std::map<std::string, int32_t, std::less<>> ids;
  std::vector<std::string> characters;

  explicit Alphabet(const std::string& text) {
    for (const CodePoint& point : CodePoints{text}) ids.emplace(point.bytes, 0);
    for (auto& [character, id] : ids) {
      id = static_cast<int32_t>(characters.size());
      characters.push_back(character);
    }
  }

  std::vector<int32_t> encode(const std::string& text) const {
    std::vector<int32_t> result;
    for (const CodePoint& point : CodePoints{text}) {
      const auto found = ids.find(point.bytes);
      check(found != ids.end(), "--prompt: '", point.bytes,
            "' does not occur in the text, so the model does not know it; take characters of the text");
      result.push_back(found->second);
    }
    return result;
  }
};

// Pieces of the text from random places, ids [B, T], and the character after each of theirs, also [B, T].
std::pair<Tensor, Tensor> draw_batch(const std::vector<int32_t>& text, const Settings& s,
                                     std::mt19937_64& random) {
  std::vector<int32_t> ids, next;
  for (int64_t row = 0; row < s.batch; ++row) {
    const auto first =
        text.begin() + static_cast<int64_t>(random() % (text.size() - static_cast<size_t>(s.context)));
    ids.insert(ids.end(), first, first + s.context);
    next.insert(next.end(), first + 1, first + s.context + 1);
  }
  return {Tensor::from(ids, {s.batch, s.context}), Tensor::from(next, {s.batch, s.context})};
}

void train(Gpt& model, const std::vector<int32_t>& text, const Settings& s) {
  const losses::CrossEntropy criterion;
  optim::AdamW adam(model.parameters(), {.lr = s.lr, .weight_decay = 0.1});
  std::mt19937_64 random(static_cast<uint64_t>(s.seed));
  Progress progress(std::cout, {.total = s.steps, .columns = terminal_columns(1)});
  double average = 0;
  for (int64_t step = 1; step <= s.steps; ++step) {
    const auto [ids, next] = draw_batch(text, s, random);
    model.generator().next_step();  // new random numbers for dropout, in each step
    adam.set_lr(optim::cosine(static_cast<double>(step), s.lr, /*warmup=*/std::min<double>(50, s.steps / 2.),
                              static_cast<double>(s.steps)));
    adam.zero_grad();
    const Variable loss = criterion(model(ids), next);
    loss.backward();
    adam.clip_gradients(1);
    adam.step();
    average = step == 1 ? loss.item() : 0.95 * average + 0.05 * loss.item();
    progress.update(step, message("loss ", average));
  }
}

// Draws one of the `top_k` most probable characters (0: all), with its probability at this temperature.
int32_t sample(const Tensor& logits, const Settings& s, std::mt19937_64& random) {
  const auto [scores, ids] = topk(logits, s.top_k > 0 ? s.top_k : logits.size());
  std::vector<double> p = softmax(scores.to(DType::f64) / s.temperature).to_vector<double>();
  double rest = static_cast<double>(random() >> 11) * 0x1p-53;  // uniform in [0, 1)
  int64_t chosen = 0;
  while (chosen + 1 < ids.size() && (rest -= p[static_cast<size_t>(chosen)]) >= 0) ++chosen;
  return static_cast<int32_t>(ids.at({chosen}));
}

std::string write(Gpt& model, const Alphabet& alphabet, const Settings& s) {
  model.eval();
  std::mt19937_64 random(static_cast<uint64_t>(s.seed));
  std::vector<int32_t> text = alphabet.encode(s.prompt);
  const size_t end = text.size() + static_cast<size_t>(s.length);
  Caches caches = model.empty_caches();
  for (int64_t position = 0, at = 0; text.size() < end; ++position, ++at) {
    if (position == s.context) {  // the caches are full: start again from the later half of the context
      at -= s.context / 2;
      position = 0;
    }
    const Tensor logits = model.step(text[static_cast<size_t>(at)], position, caches);
    if (static_cast<size_t>(at) + 1 == text.size()) text.push_back(sample(logits, s, random));
  }
  std::string written;
  for (const int32_t id : text) written += alphabet.characters[static_cast<size_t>(id)];
  return written;
}

int run(std::span<const std::string> arguments) {
  Settings s;
  Options options("tiny_gpt --text FILE [options]",
                  "Trains a small GPT on the characters of a text, and lets it write more of the kind.");
  options.add("--text", &s.text, "FILE",
              "the text, UTF-8; a hundred thousand characters are enough to see something");
  options.add("--steps", &s.steps, "N", "updates of the weights", {1});
  options.add("--batch", &s.batch, "N", "pieces of the text in one update", {1, 4096});
  options.add("--context", &s.context, "N", "characters in a piece, and how far back the model sees",
              {2, 4096});
  options.add("--width", &s.width, "N", "numbers that stand for a character within the model", {1, 4096});
  options.add("--heads", &s.heads, "N", "heads of attention; they divide the width", {1, 64});
  options.add("--layers", &s.layers, "N", "layers", {1, 64});
  options.add("--dropout", &s.dropout, "P", "share of numbers that are dropped in training", {0, 0.9});
  options.add("--lr", &s.lr, "X", "largest learning rate, after warmup", {0, 1});
  options.add("--seed", &s.seed, "N", "names all random numbers: the same seed gives the same run", {0});
  options.add("--prompt", &s.prompt, "TEXT",
              "what the writing goes on from; a new line where it is left out");
  options.add("--length", &s.length, "N", "characters to write", {0, 1e6});
  options.add("--temperature", &s.temperature, "X", "below 1 it dares less, above 1 more", {1e-3, 100});
  options.add("--top-k", &s.top_k, "K", "choose among the K likeliest characters; 0: among all", {0});
  const Options::Action action = options.parse(arguments);
  if (action == Options::Action::help) std::cout << options.help();
  if (action == Options::Action::dump_config) std::cout << options.dump();
  if (action != Options::Action::run) return 0;
  check(!s.text.empty(), "tiny_gpt: say which text to read: --text FILE");
  check(s.width % s.heads == 0, "--heads: expected a divisor of --width ", s.width, ", got ", s.heads);
  if (s.prompt.empty()) s.prompt = "\n";

  std::string text;
  for (const std::string& line : read_lines(s.text)) text += line + "\n";
  const Alphabet alphabet(text);
  const std::vector<int32_t> ids = alphabet.encode(text);
  const auto characters = static_cast<int64_t>(alphabet.characters.size());
  check(std::ssize(ids) > s.context, "tiny_gpt: ", s.text, " has ", ids.size(),
        " characters, and a piece has ", s.context, ": take a longer text or a smaller --context");
  check(s.top_k <= characters, "--top-k: expected at most ", characters,
        ", the number of different characters in the text, got ", s.top_k);
  alphabet.encode(s.prompt);  // so an unknown character is an error now, not after training

  Gpt model(characters, s);
  std::cout << ids.size() << " characters, " << characters << " different; " << model.parameter_count()
            << " parameters\n";
  train(model, ids, s);
  std::cout << write(model, alphabet, s) << "\n";
  return 0;
}

}  // namespace

int main(int argc, char** argv) { return run_program(argc, argv, run); }
