// Demos that train: 1 and 6 to 13. They all read the rows of a sweep.
#include "examples/label_smoothing/sweep.h"
#include "tensor/error.h"

namespace gradus::examples::lab {
namespace {

constexpr double kEps[] = {0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5};

// How the two regimes train. The hard model overfits in the first: 400 pairs, 64 times over.
Run base(const Settings& settings, const Lesson& lesson, const std::string& regime) {
  const bool toy = settings.source.empty();
  Run run{.data = lesson.name, .regime = regime, .steps = 800, .pairs = 400, .width = 32, .peak = 4e-3};
  if (regime == "fresh") run.steps = 1200, run.pairs = 0, run.width = 48;
  if (!toy) run.steps = 2000, run.pairs = regime == "overfit" ? 1000 : 0;
  return run;
}

const Lesson& lesson_of(const Settings& settings) {
  static std::map<std::string, Lesson> lessons;
  const auto found = lessons.find(settings.source);
  if (found != lessons.end()) return found->second;
  return lessons
      .emplace(settings.source,
               settings.source.empty() ? toy_lesson() : text_lesson(settings.source, settings.target))
      .first->second;
}

std::vector<Finished> eps_sweep(const Settings& settings) {
  const Lesson& lesson = lesson_of(settings);
  std::vector<Run> runs;
  for (int64_t seed = 1; seed <= settings.seeds(); ++seed)
    for (const char* regime : {"overfit", "fresh"})
      for (double eps : kEps) {
        Run run = base(settings, lesson, regime);
        run.strength = eps, run.seed = seed, run.beams = eps == 0 || eps == 0.1;
        runs.push_back(run);
      }
  return sweep(settings, "eps", lesson, runs);
}

}  // namespace

Demo eps_sweep_demo(const Settings& settings) {
  eps_sweep(settings);
  return {.name = "eps_sweep", .title = "eps sweep"};
}

}  // namespace gradus::examples::lab
