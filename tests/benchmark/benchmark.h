// What the commands of the benchmark share: its models, one training step of one of them, a stopwatch, and
// the options. The models and what is timed are those of torch_train_step.py, so that a ratio of two times is
// a ratio on the same work.
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "losses/translation_loss.h"
#include "nn/translation_model.h"
#include "optim/adam.h"

namespace gradus::benchmark {

struct Config {
  std::string name;
  int64_t d, heads, layers, ff, vocab, batch, length;  // as many encoder as decoder layers
  int64_t parameters = 0;                              // what they must come to; 0: not known

  int64_t tokens() const { return batch * length; }
};

// One optimiser step after the other on one batch of random ids without padding.
class Trainer {
 public:
  Trainer(const Config& config, Device device);
  void step();

  // The parts of a step.
  Variable forward();
  optim::Adam& adam() { return adam_; }
  int64_t parameters();

 private:
  nn::TranslationModel model_;
  losses::TranslationLoss criterion_;
  optim::Adam adam_;
  Tensor source_, source_lengths_, target_, target_lengths_;
};

// The linear layers of a step: where its products are, attention's left out. Each takes [batch x length,
// inputs].
struct LinearLayer {
  std::string name;
  int64_t calls, inputs, outputs;
  std::optional<Unary> activation = {};
  bool bias = true;
};
std::vector<LinearLayer> linear_layers(const Config& config);

template <class Fn> double milliseconds(Device device, const Fn& fn) {
  synchronise(device);
  const auto begin = std::chrono::steady_clock::now();
  fn();
  synchronise(device);
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
}

inline double median(std::vector<double> times) {
  std::sort(times.begin(), times.end());
  const size_t half = times.size() / 2;
  return times.size() % 2 == 1 ? times[half] : (times[half - 1] + times[half]) / 2;
}

struct Options {
  std::string config = "small", filter, device_name = "cpu", precision = "f32";
  int64_t threads = num_threads(), steps = 20, size = 0;
  bool quick = false;

  Config model() const;
  Device device() const { return named_device(device_name); }
};

// The milliseconds of all operations of a step that are called `op`, forward, each alone.
double forward_alone(const Config& config, Device device, const std::string& op);

void train_step(const Options& options);
void profile(const Options& options);
void ops(const Options& options);
void growth(const Options& options);

}  // namespace gradus::benchmark
