// benchmark: how fast gradus is, on the model and the steps that torch_train_step.py times in PyTorch.
#include <charconv>
#include <iostream>
#include <map>
#include <span>
#include <variant>

#include "examples/program/options.h"
#include "examples/program/program.h"
#include "tests/benchmark/benchmark.h"

namespace gradus::benchmark {
namespace {

constexpr const char* kHelp = R"(benchmark: how long things take, and how much memory

  benchmark train_step [--config toy|small|base] [--device cpu|cuda] [--size N] [--steps N]
      One optimiser step of a translation model, as one line of JSON: the step (median and fastest), the
      products in it alone (the floor), the ratio of the two, target tokens a second, peak memory.
  benchmark profile [--config toy|small|base] [--device cpu|cuda] [--size N] [--steps N]
      Where the time of that step goes, by operation.
  benchmark ops [--config toy|small|base] [--device cpu|cuda] [--size N] [--filter NAME] [--quick]
      Each operation alone: at the shapes of such a step, with the rate that it reaches, and at the small
      shapes of the gradient checks (tests/op_cases.h), where the time is what a call costs.
  benchmark growth [--steps N]
      Time and memory as batch, length, vocabulary and depth of the toy model grow.

  --config NAME       the model: toy, 2+2 layers of width 128; small, 3+3 of width 256 (default); base, 6+6
                      of width 512
  --device cpu|cuda   where it runs (default cpu)
  --precision P       of products on a GPU: f32 (default) or tf32
  --steps N           how many steps are timed (default 20)
  --size N            sentences in a batch, in place of the model's 64
  --filter NAME       only operations whose name contains NAME
  --quick             time every operation once: says that they run, not how fast
  --threads N         CPU threads (default OMP_NUM_THREADS, else all cores)
  --help              this text

Times vary: measure on an idle machine, and compare what was measured in one sitting. compare.sh, beside the
source, puts PyTorch in the same table.
)";

using Target = std::variant<std::string*, int64_t*, bool*>;

// What a command takes, by name.
std::map<std::string, Target> targets(const std::string& command, Options& o) {
  std::map<std::string, Target> all{{"--threads", &o.threads}};
  if (command != "growth")
    all["--config"] = &o.config, all["--size"] = &o.size, all["--device"] = &o.device_name,
    all["--precision"] = &o.precision;
  if (command != "ops") all["--steps"] = &o.steps;
  if (command == "ops") all["--filter"] = &o.filter, all["--quick"] = &o.quick;
  return all;
}

void set(const Target& target, const std::string& name, const std::string& text) {
  if (auto* const* string = std::get_if<std::string*>(&target)) **string = text;
  if (auto* const* number = std::get_if<int64_t*>(&target)) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), **number);
    check(error == std::errc() && end == text.data() + text.size() && **number >= 1 && **number <= 100000,
          name, ": expected a whole number from 1 to 100000, got '", text, "'");
  }
}

int run(std::span<const std::string> arguments) {
  const std::map<std::string, void (*)(const Options&)> commands{
      {"train_step", train_step}, {"profile", profile}, {"ops", ops}, {"growth", growth}};
  const bool help = arguments.empty() || std::count(arguments.begin(), arguments.end(), "--help") > 0;
  if (help) return std::cout << kHelp, 0;
  const auto command = commands.find(arguments[0]);
  check(command != commands.end(), "benchmark: no command `", arguments[0], "`",
        examples::did_you_mean(arguments[0], {"train_step", "profile", "ops", "growth"}), "; see --help");

  Options options;
  const auto known = targets(command->first, options);
  for (size_t i = 1; i < arguments.size(); ++i) {
    const std::string& name = arguments[i];
    const auto target = known.find(name);
    check(target != known.end(), "benchmark ", command->first, ": unknown option ", name, "; see --help");
    if (auto* const* flag = std::get_if<bool*>(&target->second)) {
      **flag = true;
    } else {
      check(i + 1 < arguments.size(), name, ": expected a value; see --help");
      set(target->second, name, arguments[++i]);
    }
  }
  set_num_threads(static_cast<int>(options.threads));
  set_matmul_precision(named_matmul_precision(options.precision));
  command->second(options);
  return 0;
}

}  // namespace
}  // namespace gradus::benchmark

int main(int argc, char** argv) { return gradus::examples::run_program(argc, argv, gradus::benchmark::run); }
