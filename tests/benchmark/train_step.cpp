// One optimiser step of the benchmark model, and its floor: every product of forward, input gradient and
// weight gradient, attention's left out, run alone at the same shapes. It is the time that no engine on this
// BLAS can go below, so the ratio step / floor says what everything else costs, on any machine.
//
// The floor is OpenBLAS at its best: it is measured both cut into serial tiles, as the engine does
// (tensor/cpu/gemm.cpp), and with OpenBLAS's own threads, and the lower counts; on a GPU it is cuBLAS. Each
// tensor of the step has its own block (x, w, y, dx, dw of each layer; dy stands in y), in one allocation on
// huge pages, and the products run in the order of a step: the pattern in memory is the step's. Steps and
// floors alternate, a few at a time, so that a busy minute falls on both. Peak memory is read before the
// floor is made.
#include <sys/resource.h>

#include <iostream>

#include "examples/data/json.h"
#include "tensor/cpu/gemm.h"
#include "tests/benchmark/benchmark.h"

namespace gradus::benchmark {
namespace {

class Floor {
 public:
  Floor(const Config& config, Device device) : device_(device) {
    const int64_t n = config.tokens();
    int64_t total = 0, used = 0;
    for (const LinearLayer& l : linear_layers(config))
      total += l.calls * (2 * n * l.inputs + n * l.outputs + 2 * l.inputs * l.outputs);
    const Tensor memory = Tensor::full({total}, 0.01, DType::f32, device);
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

  void by_engine() const {
    for_products([&](const Product& p) { backend(device_).gemm(p.shape, p.a, p.b, 0, Out(p.c)); });
  }

  void by_openblas() const {
    const cpu::BlasThreads all(num_threads());
    openblas_set_num_threads(num_threads());
    for_products([](const Product& p) {
      const GemmShape& s = p.shape;
      cpu::product(s, 1, p.a.data<float>(), s.transpose_a ? s.m : s.k, p.b.data<float>(),
                   s.transpose_b ? s.k : s.n, 0, p.c.data<float>(), s.n);
    });
    if (openblas_get_parallel() == cpu::kThreads) openblas_set_num_threads(1);  // as the engine has it
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
  Device device_;
  std::vector<Product> forward_, backward_;
};

constexpr int kWarmup = 5;
constexpr int64_t kRound = 5;  // steps, then as many floors

double rounded(double x) { return std::round(x * 1000) / 1000; }

// The most that the process ever had resident, or on a GPU that tensors held at once; in MiB.
double peak_memory(Device device) {
  if (device != Device::cpu) return static_cast<double>(memory_use(device).peak) / (1 << 20);
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

}  // namespace

void train_step(const Options& options) {
  const Config config = options.model();
  const Device device = options.device();
  const bool cpu = device == Device::cpu;
  Trainer trainer(config, device);
  for (int i = 0; i < kWarmup; ++i) trainer.step();
  const double peak = peak_memory(device);

  const Floor floor(config, device);
  std::vector<double> steps, engine, openblas;
  const auto run = [&](std::vector<double>& times, const auto& fn) {
    const size_t end = std::min(times.size() + kRound, static_cast<size_t>(options.steps));
    while (times.size() < end) times.push_back(milliseconds(device, fn));
  };
  floor.by_engine();
  if (cpu) floor.by_openblas();
  while (steps.size() < static_cast<size_t>(options.steps)) {
    run(steps, [&] { trainer.step(); });
    run(engine, [&] { floor.by_engine(); });
    if (cpu) run(openblas, [&] { floor.by_openblas(); });
  }
  const double step = median(steps), by_engine = median(engine);
  const double lowest = cpu ? std::min(by_engine, median(openblas)) : by_engine;
  examples::JsonLine line;
  line.add("who", "gradus")
      .add("config", config.name)
      .add("parameters", trainer.parameters())
      .add("step_ms", rounded(step))
      .add("min_ms", rounded(*std::min_element(steps.begin(), steps.end())))
      .add("gemm_floor_ms", rounded(lowest))
      .add("ratio", rounded(step / lowest))
      .add("gemm_by_engine_ms", rounded(by_engine));
  if (cpu) line.add("gemm_by_openblas_ms", rounded(median(openblas)));
  line.add("tokens_per_second", std::round(static_cast<double>(config.tokens()) / step * 1000))
      .add("peak_memory_mb", std::round(peak * 10) / 10)
      .add("device", describe(device))
      .add("threads", num_threads())
      .add("steps", options.steps);
  std::cout << line.str() << "\n";
}

}  // namespace gradus::benchmark
