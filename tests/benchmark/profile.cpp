// Where the time of a training step goes, by operation. Backward times come from the tape of real steps, with
// a stopwatch around each rule. Forward leaves no such trace: single operations are measured alone at the
// same shapes, and need not add up to the whole.
#include <cstdio>
#include <map>
#include <unordered_set>

#include "tests/benchmark/benchmark.h"

namespace gradus::benchmark {
namespace {

struct OpTime {
  int64_t calls = 0;
  double forward = 0, backward = 0;  // ms
};

// Puts a stopwatch around each rule on the tape behind `root`.
void watch_rules(const Variable& root, Device device, std::map<std::string, OpTime>& times) {
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
    node->backward = [rule = std::move(node->backward), device, &time](const Tensor& dy,
                                                                       std::span<Gradient> d) {
      time.backward += milliseconds(device, [&] { rule(dy, d); });
    };
  }
}

}  // namespace

void profile(const Options& options) {
  const Config config = options.model();
  const Device device = options.device();
  Trainer trainer(config, device);
  for (int i = 0; i < 5; ++i) trainer.step();
  std::map<std::string, OpTime> times;
  double zero = 0, forward = 0, backward = 0, adam = 0;
  for (int64_t i = 0; i < options.steps; ++i) {
    zero += milliseconds(device, [&] { trainer.adam().zero_grad(); });
    Variable loss;
    forward += milliseconds(device, [&] { loss = trainer.forward(); });
    watch_rules(loss, device, times);
    backward += milliseconds(device, [&] { loss.backward(); });
    adam += milliseconds(device, [&] { trainer.adam().step(); });
  }
  const double steps = static_cast<double>(options.steps), whole = zero + forward + backward + adam;
  const auto line = [&](const char* name, int64_t calls, double ms_forward, double ms_backward) {
    std::printf("%-16s %5ld %11.2f %12.2f %7.1f%%\n", name, calls, ms_forward, ms_backward,
                (ms_forward + ms_backward) * steps / whole * 100);
  };
  std::printf("%s: %s\n%-16s %5s %11s %12s %8s\n", config.name.c_str(), describe(device).c_str(), "", "calls",
              "ms forward", "ms backward", "share");
  for (const auto& [op, time] : times)
    line(op.c_str(), time.calls / options.steps, forward_alone(config, device, op), time.backward / steps);
  line("the whole tape", 1, forward / steps, backward / steps);
  line("zero_grad", 1, zero / steps, 0);
  line("adam", 1, adam / steps, 0);
  line("the whole step", 1, whole / steps, 0);
}

}  // namespace gradus::benchmark
