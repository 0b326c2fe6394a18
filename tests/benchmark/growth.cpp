// How time and memory grow with the size of the work: the toy model with batch, length, vocabulary and depth
// doubled, one at a time. Each model has a process of its own, so that its peak of memory is its own too.
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>

#include "tests/benchmark/benchmark.h"

namespace gradus::benchmark {
namespace {

void measure(const char* what, int factor, const Config& config, int64_t steps) {
  Trainer trainer(config);
  for (int i = 0; i < 3; ++i) trainer.step();
  std::vector<double> times;
  for (int64_t i = 0; i < steps; ++i) times.push_back(milliseconds([&] { trainer.step(); }));
  const double ms = median(times), tokens = static_cast<double>(config.tokens());
  const double peak = static_cast<double>(memory_use(Device::cpu).peak);
  const double state = 16 * static_cast<double>(trainer.parameters());  // weight, gradient, Adam's two means
  std::printf("%-10s x%d %6ld %10.2f %10.2f %10.1f %12.1f %16.1f\n", what, factor, config.tokens(), ms,
              ms * 1000 / tokens, peak / (1 << 20), state / (1 << 20), (peak - state) / tokens / 1024);
}

}  // namespace

void growth(const Options& options) {
  Options of_toy = options;
  of_toy.config = "toy";
  const Config toy = of_toy.model();
  const std::pair<const char*, int64_t Config::*> axes[] = {{"batch", &Config::batch},
                                                            {"length", &Config::length},
                                                            {"vocabulary", &Config::vocab},
                                                            {"depth", &Config::layers}};
  std::printf("%-13s %6s %10s %10s %10s %12s %16s\n", "toy, with", "tokens", "step ms", "us/token",
              "peak MiB", "weights MiB", "rest KiB/token");
  for (const auto& [what, axis] : axes)
    for (const int factor : {1, 2, 4, 8}) {
      if (factor == 1 && axis != &Config::batch) continue;  // the toy model itself, once
      Config config = toy;
      config.*axis *= factor;
      config.parameters = 0;
      std::fflush(stdout);
      if (const pid_t child = fork(); child == 0) {
        measure(factor == 1 ? "itself" : what, factor, config, options.steps);
        std::fflush(stdout);
        _exit(0);
      } else {
        int status = 0;
        check_world(child > 0 && waitpid(child, &status, 0) == child && status == 0, "growth: ", what, " x",
                    factor, " failed");
      }
    }
}

}  // namespace gradus::benchmark
