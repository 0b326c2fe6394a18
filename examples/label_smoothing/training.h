// The lab's small models: one function trains and measures any of them, as its Run says. A run uses one
// thread and draws everything from its seed, so runs of one seed are pairs: the same sentences in the same
// order, the same first weights, and only what the runs differ in differs.
#pragma once

#include <array>
#include <map>

#include "examples/data/batch.h"
#include "examples/data/words.h"

namespace gradus::examples::lab {

// A language as the lab uses it: words as ids, what to train on, and sentences to measure on.
struct Lesson {
  std::string name;  // of the data: "toy", or a hash of its content
  Vocabulary source, target;
  std::vector<IdPair> train = {};  // none: pairs are drawn from the toy language
  std::vector<IdPair> valid = {}, test = {};
  // For BLEU, one for each test sentence: the toy language's most probable translation, or what is in the
  // file.
  std::vector<Words> best = {};
  // The truth, where it is known: q(next word | words before, source) for each token of the test targets, the
  // ends of sentence among them.
  std::vector<std::map<int32_t, double>> truth = {};
};
Lesson toy_lesson();  // sentences of at most 6 words
Lesson text_lesson(const std::string& source_path, const std::string& target_path);

struct Run {
  std::string data = "toy";          // Lesson::name
  std::string regime = "overfit";    // `pairs` pairs, again and again; or "fresh": drawn without end, or all
  std::string method = "smoothing";  // what `strength` is told to: training.cpp has the list
  double strength = 0;               // eps, or beta of the confidence penalty
  int64_t seed = 1, steps = 1000, pairs = 400, width = 32, layers = 1;
  std::string schedule = "cosine";        // noam, inverse_sqrt
  double warmup = 0.1, peak = 3e-3;       // warmup: a share of the steps
  bool norm_first = true, beams = false;  // beams: measure beam search, too
  bool operator==(const Run&) const = default;
};

using Triples = std::vector<std::array<double, 3>>;
struct Outcome {
  std::map<std::string, double> values;
  std::map<std::string, Triples> series;
};
// What every outcome has, in the order of the CSV files; training.cpp says what they are.
extern const std::vector<std::string> kValues, kSeries;

Outcome train_and_measure(const Lesson& lesson, const Run& run);  // an empty one if interrupted
double learning_rate(const Run& run, int64_t step);

}  // namespace gradus::examples::lab
