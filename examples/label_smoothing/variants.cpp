// Demos 9 to 12: what else can be done to the loss, and the schedule of the learning rate.
#include <algorithm>

#include "examples/label_smoothing/sweep.h"
#include "tensor/error.h"

namespace gradus::examples::lab {
namespace {

struct Variant {
  const char* method;
  double strength;
  const char* name;
};
constexpr Variant kVariants[] = {{"smoothing", 0, "hard"},
                                 {"smoothing", 0.1, "smoothing 0.1"},
                                 {"smoothing", 0.2, "smoothing 0.2"},
                                 {"penalty", 0.1, "penalty 0.1"},
                                 {"penalty", 0.3, "penalty 0.3"},
                                 {"penalty", 0.5, "penalty 0.5"},
                                 {"penalty", 1, "penalty 1"},
                                 {"unigram", 0.1, "unigram 0.1"},
                                 {"per_target", 0.1, "per_target 0.1"},
                                 {"per_class", 0.1, "per_class 0.1"},
                                 {"linear", 0.2, "linear, 0 to 0.2"},
                                 {"cosine", 0.2, "cosine, 0 to 0.2"},
                                 {"triggered", 0.2, "triggered, to 0.2"}};

Kind kind(const Variant& v) { return {"overfit", v.method, v.strength}; }
// Hard labels, smoothing 0.1, and all variants of these methods.
std::vector<Variant> variants(std::initializer_list<std::string_view> methods) {
  std::vector<Variant> some(kVariants, kVariants + 2);
  std::copy_if(kVariants + 2, std::end(kVariants), std::back_inserter(some),
               [&](const Variant& v) { return std::ranges::count(methods, v.method) > 0; });
  return some;
}

std::vector<Finished> variant_sweep(const Settings& settings) {
  const Lesson& lesson = lesson_of(settings);
  std::vector<Run> runs;
  for (int64_t seed = 1; seed <= settings.seeds(); ++seed)
    for (const Variant& v : kVariants) {
      Run run = base_run(lesson, "overfit");
      run.method = v.method, run.strength = v.strength, run.seed = seed;
      runs.push_back(run);
    }
  return sweep(settings, "variants", lesson, runs);
}

// What differs from the hard model, on the page; and all measures, in a file.
std::vector<Data> comparison(const Settings& settings, const std::vector<Finished>& rows,
                             const std::string& name, const std::vector<Variant>& some) {
  const std::string third = settings.full ? "bleu" : "accuracy";  // few seeds say nothing of BLEU
  html::Table minus{{"minus hard", "ECE", "nll", settings.full ? "BLEU" : "accuracy"}},
      all{{"loss", "measure", "mean", "low", "high", "minus hard", "low", "high"}};
  for (const Variant& v : some) {
    const auto change = [&](const std::string& value) {
      return difference(rows, kind(some[0]), kind(v), value);
    };
    if (v.strength > 0) minus.add(v.name, cell(change("ece")), cell(change("nll")), cell(change(third)));
    for (const std::string& value : kValues) {
      const Interval mean = mean_of(rows, kind(v), value), d = change(value);
      all.add(v.name, value, mean.mean, mean.low, mean.high, d.mean, d.low, d.high);
    }
  }
  return {{name + "_minus_hard", minus, /*on_the_page=*/true}, {name, all}};
}

}  // namespace

Demo confidence_penalty(const Settings& settings) {
  const std::vector<Finished> rows = variant_sweep(settings);
  const std::vector<Variant> some = variants({"smoothing", "penalty"});
  Demo demo{"confidence_penalty", {{"seeds", seeds_text(settings)}}};
  html::Table table{{"strengths", "mean entropy of p", "ECE", "low", "high"}};
  for (const Variant& v : some) {
    const Interval entropy = mean_of(rows, kind(v), "entropy"), ece = mean_of(rows, kind(v), "ece");
    for (const auto& [method, name] :
         {std::pair("smoothing", "smoothing 0, 0.1, 0.2"), {"penalty", "penalty 0, 0.1, 0.3, 0.5, 1"}})
      if (v.method == std::string(method) || v.strength == 0)
        table.add(name, entropy.mean, ece.mean, ece.low, ece.high);
  }
  for (double strength : {0.1, 0.3})
    for (const auto& [value, name] : {std::pair("ece", "the ECE"), {"nll", "the nll"}})
      demo.words[message(strength, ".", value)] =
          verdict(name, difference(rows, kind(some[0]), {"overfit", "penalty", strength}, value));
  demo.draw("entropy", table, {"strengths", "mean entropy of p", "ECE"});
  demo.data = comparison(settings, rows, demo.name, some);
  return demo;
}

Demo weights_and_priors(const Settings& settings) {
  const std::vector<Finished> rows = variant_sweep(settings);
  const std::vector<Variant> some = variants({"unigram", "per_target", "per_class"});
  Demo demo{"weights_and_priors", {{"seeds", seeds_text(settings)}}};
  html::Table table{{"loss", "mean count in training", "recall", "low", "high"}};
  const auto of_rare = [](const Outcome& o) { return o.series.at("recall").at(0)[2]; };
  for (const Variant& v : some) {
    add_curve(table, {v.name}, select(rows, kind(v)), "recall", 2, /*x=*/1);
    if (v.method == std::string("smoothing")) continue;
    demo.words[v.method] = verdict(v.method == std::string("per_target") ? "the recall" : "it",
                                   difference(rows, kind(some[1]), kind(v), of_rare));
  }
  demo.draw("recall", table, {.by = "loss", .x = "mean count in training", .y = "recall", .log = true});
  demo.data = comparison(settings, rows, demo.name, some);
  demo.data.push_back({"recall_by_frequency", table});
  return demo;
}

Demo adaptive_smoothing(const Settings& settings) {
  const std::vector<Finished> rows = variant_sweep(settings);
  const std::vector<Variant> some = variants({"smoothing", "linear", "cosine", "triggered"});
  Demo demo{"adaptive_smoothing", {{"seeds", seeds_text(settings)}}};
  html::Table curves{{"curve", "loss", "step", "mean", "low", "high"}};
  for (const Variant& v : some) {
    add_curve(curves, {"eps", v.name}, select(rows, kind(v)), "eps", 1);
    add_curve(curves, {"nll", v.name}, select(rows, kind(v)), "curve", 2);
  }
  for (const char* curve : {"eps", "nll"})
    demo.draw(curve, curves.where("curve", {curve}), {"loss", "step", "mean"});
  for (const auto& [value, name] : {std::pair("ece", "the ECE"), {"nll", "the nll"}})
    demo.words[value] = verdict(name, difference(rows, kind(some[1]), {"overfit", "linear", 0.2}, value));
  demo.data = comparison(settings, rows, demo.name, some);
  demo.data.push_back({"adaptive_curves", curves});
  return demo;
}

Demo learning_rates(const Settings& settings) {
  const Lesson& lesson = lesson_of(settings);
  const int64_t seeds = settings.full ? 5 : 1;
  std::vector<Run> runs;
  std::vector<std::string> names;
  const auto add = [&](const std::string& name, const auto& change) {
    names.push_back(name);
    for (int64_t seed = 1; seed <= seeds; ++seed) {
      Run run = base_run(lesson, "fresh");
      run.seed = seed, run.strength = 0.1, run.steps = 400, run.width = 32;
      change(run);
      runs.push_back(run);
    }
  };
  for (const char* schedule : {"noam", "inverse_sqrt", "linear", "cosine"})
    add(schedule, [&](Run& run) { run.schedule = schedule; });
  for (const bool pre : {true, false})
    for (const double warmup : {0.1, 0.})
      add(message(pre ? "pre-norm" : "post-norm", warmup > 0 ? ", warmup" : ", none"),
          [&](Run& run) { run.norm_first = pre, run.warmup = warmup, run.layers = 4, run.peak = 8e-3; });
  const std::vector<Finished> rows = sweep(settings, "schedules", lesson, runs);
  html::Table rates{{"run", "step", "learning rate"}}, nll{{"run", "step", "held-out nll", "low", "high"}};
  std::string ends;
  for (size_t i = 0; i < names.size(); ++i) {
    std::vector<const Outcome*> outcomes;
    std::vector<double> last;
    for (size_t r = i * seeds; r < (i + 1) * seeds; ++r) {
      outcomes.push_back(&rows[r].outcome);
      last.push_back(outcomes.back()->series.at("curve").back()[2]);
    }
    add_curve(nll, {names[i]}, outcomes, "curve", 2);
    for (const auto& point : outcomes[0]->series.at("curve"))
      rates.add(names[i], point[0], learning_rate(rows[i * seeds].run, static_cast<int64_t>(point[0])));
    if (i >= 4) ends += (i > 4 ? ", " : "") + names[i] + " " + text(interval(last));
  }
  Demo demo{"learning_rates", {{"seeds", message("1 to ", seeds)}, {"ends", ends}}};
  const std::vector<std::string> schedules(names.begin(), names.begin() + 4),
      norms(names.begin() + 4, names.end());
  demo.draw("rates", rates.where("run", schedules), {"run", "step", "learning rate"});
  demo.draw("schedules", nll.where("run", schedules), {"run", "step", "held-out nll"});
  demo.draw("norms", nll.where("run", norms), {"run", "step", "held-out nll"});
  demo.data = {{"learning_rates", rates}, {"learning_rates_nll", nll}};
  return demo;
}

}  // namespace gradus::examples::lab
