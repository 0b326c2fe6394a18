// One optimiser step of the benchmark model, and its floor: every product of forward, input gradient and
// weight gradient, attention's left out, run alone at the same shapes. It is the time that no engine on this
// BLAS can go below, so the ratio step / floor says what everything else costs, on any machine.
//
// The floor is OpenBLAS at its best: it is measured both cut into serial tiles, as the engine does
// (tensor/cpu/gemm.cpp), and with OpenBLAS's own threads, and the lower counts. Each tensor of the step has
// its own block (x, w, y, dx, dw of each layer; dy stands in y), in one allocation on huge pages, and the
// products run in the order of a step: the pattern in memory is the step's. Steps and floors alternate, a few
// at a time, so that a busy minute falls on both. Peak memory is read before the floor is made.
#include <sys/resource.h>

#include <cstdio>
#include <iostream>
#include <map>
#include <unordered_set>

#include "examples/support/json_line.h"
#include "tensor/cpu/gemm.h"
#include "tests/benchmark/benchmark.h"

namespace gradus::benchmark {

Config Options::model() const {
  const Config configs[] = {{"toy", 128, 4, 2, 512, 1000, 64, 16, 1182208},
                            {"small", 256, 4, 3, 1024, 8000, 64, 32, 9626624}};
  for (Config c : configs)
    if (c.name == config) return c.batch = size > 0 ? size : c.batch, c;
  throw std::invalid_argument("--config: expected toy or small, got '" + config + "'");
}

namespace {

nn::TranslationModelConfig model_config(const Config& c) {
  return {
      .source_vocab = c.vocab,
      .target_vocab = c.vocab,
      .tie = nn::Tie::output,
      .transformer = {.d_model = c.d, .heads = c.heads, .layers = c.layers, .ff = c.ff, .norm_first = true}};
}

Tensor random_ids(int64_t rows, int64_t columns, int64_t vocab, uint64_t seed) {
  const Tensor uniform = Generator(seed).uniform({rows, columns}, 4, static_cast<double>(vocab));
  std::vector<int32_t> ids;
  for (const double u : uniform.to_vector<double>()) ids.push_back(static_cast<int32_t>(u));
  return Tensor::from(ids, {rows, columns});
}

}  // namespace

Trainer::Trainer(const Config& c)
    : model_(model_config(c)), criterion_(c.vocab),
      adam_(model_.parameters(), {.lr = 1e-4, .beta1 = 0.9, .beta2 = 0.98, .eps = 1e-9}),
      source_(random_ids(c.batch, c.length, c.vocab, 2)),
      source_lengths_(Tensor::full({c.batch}, static_cast<double>(c.length), DType::i32)),
      target_(random_ids(c.batch, c.length + 1, c.vocab, 3)),
      target_lengths_(Tensor::full({c.batch}, static_cast<double>(c.length + 1), DType::i32)) {
  check(c.parameters == 0 || c.parameters == parameters(), "benchmark ", c.name, ": expected ", c.parameters,
        " parameters, got ", parameters());
  model_.init(/*seed=*/1);
}

int64_t Trainer::parameters() {
  int64_t count = 0;
  for (const NamedParameter& p : model_.parameters()) count += p.variable.shape().numel();
  return count;
}

Variable Trainer::forward() {
  model_.generator().next_step();
  return criterion_(model_(source_, source_lengths_, target_, target_lengths_), target_).loss;
}

void Trainer::step() {
  adam_.zero_grad();
  forward().backward();
  adam_.step();
}

std::vector<LinearLayer> linear_layers(const Config& c) {
  const int64_t l = c.layers;
  return {{"self in_proj", 2 * l, c.d, 3 * c.d},   {"out_proj, cross query", 4 * l, c.d, c.d},
          {"cross keys, values", l, c.d, 2 * c.d}, {"linear1 + relu", 2 * l, c.d, c.ff, Unary::relu},
          {"linear2", 2 * l, c.ff, c.d},           {"output", 1, c.d, c.vocab, {}, false}};
}

namespace {

class Floor {
 public:
  explicit Floor(const Config& config) {
    const int64_t n = config.tokens();
    int64_t total = 0, used = 0;
    for (const LinearLayer& l : linear_layers(config))
      total += l.calls * (2 * n * l.inputs + n * l.outputs + 2 * l.inputs * l.outputs);
    const Tensor memory = Tensor::full({total}, 0.01);
    const auto take = [&](int64_t size) { return used += size, memory.rows(used - size, used); };
    for (const LinearLayer& l : linear_layers(config))
      for (int64_t call = 0; call < l.calls; ++call) {
        const int64_t k = l.inputs, m = l.outputs;
        const Tensor x = take(n * k), dx = take(n * k), w = take(m * k), dw = take(m * k), y = take(n * m);
        forward_.push_back({{n, m, k, false, true}, x, w, y});
        backward_.push_back({{m, k, n, true, false}, y, x, dw});
        backward_.push_back({{n, k, m, false, false}, y, w, dx});
      }
    std::reverse(backward_.begin(), backward_.end());
  }

  void in_tiles() const {
    for_products([](const Product& p) { backend(Device::cpu).gemm(p.shape, 1, p.a, p.b, 0, p.c); });
  }

  void by_openblas() const {
    openblas_set_num_threads(num_threads());
    for_products([](const Product& p) {
      const GemmShape& s = p.shape;
      cpu::product(s, 1, p.a.data<float>(), s.transpose_a ? s.m : s.k, p.b.data<float>(),
                   s.transpose_b ? s.k : s.n, 0, p.c.data<float>(), s.n);
    });
    constexpr int kThreads = 1;  // the pthread build, whose threads the engine turns off
    if (openblas_get_parallel() == kThreads) openblas_set_num_threads(1);
  }

 private:
  struct Product {
    GemmShape shape;
    Tensor a, b, c;
  };
  template <class Fn> void for_products(const Fn& fn) const {
    for (const auto* products : {&forward_, &backward_})
      for (const Product& p : *products) fn(p);
  }
  std::vector<Product> forward_, backward_;
};

constexpr int kWarmup = 5;
constexpr int64_t kRound = 5;  // steps, then as many floors

double rounded(double x) { return std::round(x * 1000) / 1000; }

// As much memory as the process ever had, in MiB.
double peak_memory() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

}  // namespace

void train_step(const Options& options) {
  const Config config = options.model();
  Trainer trainer(config);
  for (int i = 0; i < kWarmup; ++i) trainer.step();
  const double peak = peak_memory();

  const Floor floor(config);
  std::vector<double> steps, tiles, openblas;
  const auto run = [&](std::vector<double>& times, const auto& fn) {
    const size_t end = std::min(times.size() + kRound, static_cast<size_t>(options.steps));
    while (times.size() < end) times.push_back(milliseconds(fn));
  };
  floor.in_tiles();
  floor.by_openblas();
  while (steps.size() < static_cast<size_t>(options.steps)) {
    run(steps, [&] { trainer.step(); });
    run(tiles, [&] { floor.in_tiles(); });
    run(openblas, [&] { floor.by_openblas(); });
  }
  const double step = median(steps), in_tiles = median(tiles), by_openblas = median(openblas);
  const double lowest = std::min(in_tiles, by_openblas);
  std::cout << examples::JsonLine()
                   .add("who", "gradus")
                   .add("config", config.name)
                   .add("parameters", trainer.parameters())
                   .add("step_ms", rounded(step))
                   .add("min_ms", rounded(*std::min_element(steps.begin(), steps.end())))
                   .add("gemm_floor_ms", rounded(lowest))
                   .add("ratio", rounded(step / lowest))
                   .add("gemm_in_tiles_ms", rounded(in_tiles))
                   .add("gemm_by_openblas_ms", rounded(by_openblas))
                   .add("tokens_per_second", std::round(static_cast<double>(config.tokens()) / step * 1000))
                   .add("peak_memory_mb", std::round(peak * 10) / 10)
                   .add("blas", describe(Device::cpu))
                   .add("threads", num_threads())
                   .add("steps", options.steps)
                   .str()
            << "\n";
}

namespace {

struct OpTime {
  int64_t calls = 0;
  double forward = 0, backward = 0;  // ms
};

// Puts a stopwatch around each rule on the tape behind `root`.
void watch_rules(const Variable& root, std::map<std::string, OpTime>& times) {
  std::vector<Node*> pending{root.node().get()};
  std::unordered_set<Node*> seen{pending[0]};
  while (!pending.empty()) {
    Node* node = pending.back();
    pending.pop_back();
    for (const auto& input : node->inputs)
      if (input && seen.insert(input.get()).second) pending.push_back(input.get());
    if (node->leaf()) continue;
    OpTime& time = times[node->op];
    ++time.calls;
    node->backward = [rule = std::move(node->backward), &time](const Tensor& dy, std::span<Gradient> d) {
      time.backward += milliseconds([&] { rule(dy, d); });
    };
  }
}

}  // namespace

// Backward times come from the tape of real steps. Forward leaves no such trace: those of single operations
// are measured alone at the same shapes, and need not add up to the whole.
void profile(const Options& options) {
  const Config config = options.model();
  Trainer trainer(config);
  for (int i = 0; i < kWarmup; ++i) trainer.step();
  std::map<std::string, OpTime> times;
  double zero = 0, forward = 0, backward = 0, adam = 0;
  for (int64_t i = 0; i < options.steps; ++i) {
    zero += milliseconds([&] { trainer.adam().zero_grad(); });
    Variable loss;
    forward += milliseconds([&] { loss = trainer.forward(); });
    watch_rules(loss, times);
    backward += milliseconds([&] { loss.backward(); });
    adam += milliseconds([&] { trainer.adam().step(); });
  }
  const double steps = static_cast<double>(options.steps), whole = zero + forward + backward + adam;
  const auto line = [&](const char* name, int64_t calls, double ms_forward, double ms_backward) {
    std::printf("%-16s %5lld %11.2f %12.2f %7.1f%%\n", name, static_cast<long long>(calls), ms_forward,
                ms_backward, (ms_forward + ms_backward) * steps / whole * 100);
  };
  std::printf("%s: %s\n%-16s %5s %11s %12s %8s\n", config.name.c_str(), describe(Device::cpu).c_str(), "",
              "calls", "ms forward", "ms backward", "share");
  for (const auto& [op, time] : times)
    line(op.c_str(), time.calls / options.steps, forward_alone(config, op), time.backward / steps);
  line("the whole tape", 1, forward / steps, backward / steps);
  line("zero_grad", 1, zero / steps, 0);
  line("adam", 1, adam / steps, 0);
  line("the whole step", 1, whole / steps, 0);
}

}  // namespace gradus::benchmark
