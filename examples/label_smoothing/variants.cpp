// Demos 9 to 12: what else can be done to the loss, and the schedule of the learning rate.
#include <sstream>

#include "examples/label_smoothing/sweep.h"
#include "tensor/error.h"

namespace gradus::examples::lab {
namespace {

using Names = std::vector<std::string>;

// The kinds whose names begin so.
Names kinds_of(const Results& results, const Names& methods) {
  Names some;
  for (const std::string& method : methods)
    for (const auto& [name, outcomes] : results)
      if (name.starts_with(method)) some.push_back(name);
  return some;
}

Results variant_sweep(const Settings& settings) {
  const Run hard = base_run(lesson_of(settings), "overfit");
  Kinds kinds{{"hard", hard}};
  for (const char* name : {"smoothing 0.1", "smoothing 0.2", "penalty 0.1", "penalty 0.3", "penalty 0.5",
                           "penalty 1", "hinge 0.3", "hinge 1", "annealed 0.3", "annealed 1", "unigram 0.1",
                           "per_target 0.1", "per_class 0.1", "linear 0.2", "cosine 0.2", "triggered 0.2"}) {
    Run& run = kinds.emplace_back(name, hard).second;
    std::istringstream(name) >> run.method >> run.strength;
  }
  return sweep(settings, "variants", kinds, settings.seeds());
}

std::pair<std::string, std::string> quality(const Settings& settings) {  // few seeds say nothing of BLEU
  return settings.full ? std::pair("bleu", "BLEU") : std::pair("accuracy", "accuracy");
}

// What differs from the hard model, on the page; and all measures, in a file.
void compare(Demo& demo, const Settings& settings, const Results& results, Names methods) {
  const auto& [measure, name] = quality(settings);
  auto& minus = demo.table(demo.name + "_minus_hard", {"minus hard", "ECE", "nll", name});
  auto& all = demo.table(demo.name,
                         {"loss", "measure", "mean", "low", "high", "minus hard", "minus low", "minus high"});
  methods.insert(methods.begin(), "hard");
  for (const std::string& kind : kinds_of(results, methods)) {
    const auto change = [&](const std::string& value) {
      return difference(results.at("hard"), results.at(kind), value);
    };
    if (kind != "hard") minus.add(kind, cell(change("ece")), cell(change("nll")), cell(change(measure)));
    for (const std::string& value : kValues) {
      const Interval mean = mean_of(results.at(kind), value), d = change(value);
      all.add(kind, value, mean.mean, mean.low, mean.high, d.mean, d.low, d.high);
    }
  }
}

}  // namespace

Demo confidence_penalty(const Settings& settings) {
  const Results results = variant_sweep(settings);
  const auto& [value, name] = quality(settings);
  Demo demo{"confidence_penalty"};
  auto& table =
      demo.table("penalty_entropy", {"loss", "measure", "mean entropy of p", "mean", "low", "high"});
  for (const auto& [measure, title] : {std::pair<std::string, std::string>("ece", "ECE"), {value, name}}) {
    for (const char* method : {"smoothing", "penalty", "hinge", "annealed"})
      for (const std::string& kind : kinds_of(results, {"hard", method})) {
        const Interval y = mean_of(results.at(kind), measure);
        table.add(method, title, mean_of(results.at(kind), "entropy").mean, y.mean, y.low, y.high);
      }
    demo.draw("entropy", table.where("measure", {title}), {"loss", "mean entropy of p", "mean"},
              {{"measure", title}});
  }
  draw_wrong_word(demo);
  demo.says.insert(demo.says.end(), {"hinge", "annealed"});
  compare(demo, settings, results, {"smoothing", "penalty", "hinge", "annealed"});
  return answered(demo, results);
}

Demo weights_and_priors(const Settings& settings) {
  const Results results = variant_sweep(settings);
  Demo demo{"weights_and_priors"};
  draw_targets(demo);
  auto& table =
      demo.table("recall_by_frequency", {"loss", "mean count in training", "recall", "low", "high"});
  for (const std::string& kind :
       kinds_of(results, {"hard", "smoothing 0.1", "unigram", "per_target", "per_class"}))
    add_curve(table, {kind}, results.at(kind), "recall", 2, /*x=*/1);
  demo.draw("recall", table, {.by = "loss", .x = "mean count in training", .y = "recall", .log = true});
  compare(demo, settings, results, {"smoothing 0.1", "unigram", "per_target", "per_class"});
  return answered(demo, results);
}

Demo adaptive_smoothing(const Settings& settings) {
  const Results results = variant_sweep(settings);
  Demo demo{"adaptive_smoothing"};
  auto& curves = demo.table("adaptive_curves", {"curve", "loss", "step", "mean", "low", "high"});
  for (const std::string& kind : kinds_of(results, {"hard", "smoothing", "linear", "cosine", "triggered"})) {
    add_curve(curves, {"eps", kind}, results.at(kind), "eps", 1);
    add_curve(curves, {"nll", kind}, results.at(kind), "curve", 2);
  }
  for (const char* curve : {"eps", "nll"})
    demo.draw(curve, curves.where("curve", {curve}), {"loss", "step", "mean"});
  compare(demo, settings, results, {"smoothing", "linear", "cosine", "triggered"});
  return answered(demo, results);
}

Demo learning_rates(const Settings& settings) {
  const Names schedules{"noam", "inverse_sqrt", "linear", "cosine"};
  Names norms;
  Kinds kinds;
  const auto add = [&](const std::string& name) -> Run& {
    Run& run = kinds.emplace_back(name, base_run(lesson_of(settings), "fresh")).second;
    run.strength = 0.1, run.steps = 400, run.width = 32;
    return run;
  };
  for (const std::string& schedule : schedules) add(schedule).schedule = schedule;
  for (const bool pre : {true, false})
    for (const double warmup : {0.1, 0.}) {
      norms.push_back(message(pre ? "pre-norm" : "post-norm", warmup > 0 ? ", warmup" : ", none"));
      Run& run = add(norms.back());
      run.norm_first = pre, run.warmup = warmup, run.layers = 4, run.peak = 8e-3;
    }
  const Results results = sweep(settings, "schedules", kinds, /*seeds=*/settings.full ? 5 : 1);
  Demo demo{"learning_rates"};
  auto& rates = demo.table("learning_rates", {"run", "step", "learning rate"});
  auto& nll = demo.table("learning_rates_nll", {"run", "step", "held-out nll", "low", "high"});
  for (const auto& [name, run] : kinds) {
    add_curve(nll, {name}, results.at(name), "curve", 2);
    for (const auto& [step, training, held_out] : results.at(name)[0].series.at("curve"))
      rates.add(name, step, learning_rate(run, static_cast<int64_t>(step)));
  }
  if (!settings.full) demo.says.push_back("few");
  demo.draw("rates", rates.where("run", schedules), {"run", "step", "learning rate"});
  demo.draw("schedules", nll.where("run", schedules), {"run", "step", "held-out nll"});
  demo.draw("norms", nll.where("run", norms), {"run", "step", "held-out nll"});
  return answered(demo, results);
}

}  // namespace gradus::examples::lab
