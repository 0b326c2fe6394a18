// How time and memory grow with the size of the work: the toy model with batch, length, vocabulary and depth
// doubled, one at a time. The sizes of one row of models take turns, step by step, so that a busy minute of
// the machine falls on all of them. Each row has a process of its own, so that its peak of memory is its own.
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <memory>

#include "tests/benchmark/benchmark.h"

namespace gradus::benchmark {
namespace {

struct Size {
  int factor;
  Config config;
  double peak = 0;  // bytes
  std::unique_ptr<Trainer> trainer = {};
  std::vector<double> times = {};
};

void measure(const char* what, std::vector<Size> sizes, int64_t steps) {
  for (Size& size : sizes) {  // the peak of this size, as all before it were smaller
    Trainer trainer(size.config, Device::cpu);
    for (int i = 0; i < 2; ++i) trainer.step();
    size.peak = static_cast<double>(memory_use(Device::cpu).peak);
  }
  for (Size& size : sizes) size.trainer = std::make_unique<Trainer>(size.config, Device::cpu);
  for (int64_t i = 0; i <= steps; ++i)
    for (Size& size : sizes) {
      const double ms = milliseconds(Device::cpu, [&] { size.trainer->step(); });
      if (i > 0) size.times.push_back(ms);  // the first warms up
    }
  for (const Size& size : sizes) {
    const double ms = median(size.times), tokens = static_cast<double>(size.config.tokens());
    const double state =
        16 * static_cast<double>(size.trainer->parameters());  // weight, gradient, Adam's two
    std::printf("%-10s x%d %6ld %10.2f %10.2f %10.1f %12.1f %16.1f\n", what, size.factor,
                size.config.tokens(), ms, ms * 1000 / tokens, size.peak / (1 << 20), state / (1 << 20),
                (size.peak - state) / tokens / 1024);
  }
  std::fflush(stdout);
}

}  // namespace

void growth(const Options& options) {
  Options of_toy = options;
  of_toy.config = "toy";
  const std::pair<const char*, int64_t Config::*> axes[] = {{"batch", &Config::batch},
                                                            {"length", &Config::length},
                                                            {"vocabulary", &Config::vocab},
                                                            {"depth", &Config::layers}};
  std::printf("%-13s %6s %10s %10s %10s %12s %16s\n", "toy, with", "tokens", "step ms", "us/token",
              "peak MiB", "weights MiB", "rest KiB/token");
  std::fflush(stdout);
  for (const auto& [what, axis] : axes) {
    std::vector<Size> sizes;
    for (const int factor : {1, 2, 4, 8}) {
      sizes.push_back({factor, of_toy.model()});
      sizes.back().config.*axis *= factor;
      sizes.back().config.parameters = 0;
    }
    const pid_t child = fork();
    if (child == 0) {
      measure(what, std::move(sizes), options.steps);
      _exit(0);
    }
    int status = 0;
    check_world(child > 0 && waitpid(child, &status, 0) == child && status == 0, "growth: ", what, " failed");
  }
}

}  // namespace gradus::benchmark
