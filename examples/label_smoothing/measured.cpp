// Demos 1, 6, 7, 8 and 13, which all read one sweep: seven smoothings in two regimes.
#include <algorithm>
#include <cmath>
#include <iomanip>

#include "examples/data/numbers.h"
#include "examples/label_smoothing/sweep.h"
#include "examples/measure/calibration.h"
#include "examples/page/reliability.h"
#include "tensor/error.h"

namespace gradus::examples::lab {
namespace {

const std::vector<std::string> kRegimes{"overfit", "fresh"};

std::vector<double> eps_of(const Settings& settings) {  // a text takes longer
  if (settings.full || settings.source.empty()) return {0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5};
  return {0, 0.1, 0.3};
}

std::string kind(const std::string& regime, double eps) { return message(regime, " ", eps); }

Results eps_sweep(const Settings& settings) {
  Kinds kinds;
  for (const std::string& regime : kRegimes)
    for (double eps : eps_of(settings)) {
      Run run = base_run(lesson_of(settings), regime);
      run.strength = eps, run.beams = eps == 0 || eps == 0.1;
      kinds.emplace_back(kind(regime, eps), run);
    }
  return sweep(settings, "eps", kinds, settings.seeds());
}

// The pooled bins of several runs. Each series holds tokens, mean confidence, accuracy of each bin.
std::vector<ReliabilityBin> pooled(const Outcomes& outcomes, const std::string& name) {
  std::vector<ReliabilityBin> bins(15);
  for (size_t b = 0; b < bins.size(); ++b) {
    double all = 0;
    for (const Outcome& o : outcomes) {
      const auto& [tokens, confidence, accuracy] = o.series.at(name).at(b);
      bins[b].confidence += tokens * confidence, bins[b].accuracy += tokens * accuracy, all += tokens;
    }
    bins[b].confidence /= std::max(all, 1.), bins[b].accuracy /= std::max(all, 1.);
    bins[b].count = static_cast<int64_t>(all);
  }
  return bins;
}

std::string regime_text(const Settings& settings, const std::string& regime) {
  if (settings.source.empty() || regime == "overfit") return text("page", regime);
  const Lesson& lesson = lesson_of(settings);
  const double passes = 32. * base_run(lesson, regime).steps / std::ssize(lesson.train);
  return filled({text("page", "all")}, {{"passes", message(std::setprecision(2), passes)}})[0];
}

}  // namespace

Demo overconfidence(const Settings& settings) {
  const Results results = eps_sweep(settings);
  Demo demo{"overconfidence", {{"fresh", regime_text(settings, "fresh")}}};
  auto& table = demo.table("overconfidence", {"smoothing", "confidence", "share of tokens"});
  auto& curves = demo.table("overconfidence_curves", {"model", "step", "nll per token", "low", "high"});
  for (const auto& [model, eps] : {std::pair<std::string, double>("hard", 0), {"0.1", 0.1}}) {
    const Outcomes& outcomes = results.at(kind("overfit", eps));
    add_curve(curves, {model + ", training"}, outcomes, "curve", 1);
    add_curve(curves, {model + ", held out"}, outcomes, "curve", 2);
    const std::vector<ReliabilityBin> bins = pooled(outcomes, "reliability");
    double all = 0;
    for (const ReliabilityBin& bin : bins) all += static_cast<double>(bin.count);
    for (size_t b = 0; b < bins.size(); ++b)
      table.add(model, message("to ", std::round(100 * (b + 1) / 15.) / 100), bins[b].count / all);
  }
  const Outcomes& fresh = results.at(kind("fresh", 0));
  if (difference(fresh, fresh, "top", "accuracy").low <= 0) demo.says.push_back("fails");
  demo.draw("nll", curves, {"model", "step", "nll per token"},
            {{"pairs", message(base_run(lesson_of(settings), "overfit").pairs)}});
  demo.draw("confidence", table, {"smoothing", "confidence", "share of tokens", svg::Mark::bars});
  return answered(demo, results);
}

Demo smoothing_sweep(const Settings& settings) {
  const Results results = eps_sweep(settings);
  Demo demo{"smoothing_sweep"};
  for (double eps : eps_of(settings)) demo.words["strengths"] += (eps > 0 ? ", " : "") + shortest(eps);
  for (const std::string& regime : kRegimes) demo.words[regime] = regime_text(settings, regime);
  auto& all = demo.table("smoothing_sweep", {"regime", "smoothing", "measure", "mean", "low", "high", "runs",
                                             "minus hard", "minus low", "minus high"});
  auto& paired =
      demo.table("smoothing_paired", {"0.1 minus hard", demo.words["overfit"], demo.words["fresh"]});
  constexpr const char* kMeasures[][2] = {
      {"bleu", "BLEU"},         {"nll", "unsmoothed nll"},         {"ece", "ECE"},
      {"accuracy", "accuracy"}, {"entropy", "mean entropy"},       {"top", "mean confidence"},
      {"brier", "Brier score"}, {"free_ece", "ECE, free-running"}, {"eos_ece", "ECE at end of sentence"}};
  for (const auto& [measure, name] : kMeasures) {
    std::vector<std::string> row{name};
    for (const std::string& regime : kRegimes)
      for (double eps : eps_of(settings)) {
        const Outcomes &hard = results.at(kind(regime, 0)), &outcomes = results.at(kind(regime, eps));
        const Interval mean = mean_of(outcomes, measure), minus = difference(hard, outcomes, measure);
        all.add(demo.words[regime], eps, name, mean.mean, mean.low, mean.high, mean.n, minus.mean, minus.low,
                minus.high);
        if (eps == 0.1) row.push_back(cell(minus));
      }
    paired.add_row(row);
    demo.draw("measure", all.where("measure", {name}), {"regime", "smoothing", "mean"}, {{"measure", name}});
  }
  const auto ece = [&](const std::string& regime) {
    return difference(results.at(kind(regime, 0)), results.at(kind(regime, 0.1)), "ece");
  };
  if (ece("overfit").high < 0 && ece("fresh").low > 0) demo.says.push_back("depends");
  demo.says.push_back(settings.full ? "bleu" : "few");
  return answered(demo, results);
}

Demo reliability_diagrams(const Settings& settings) {
  const Results results = eps_sweep(settings);
  Demo demo{"reliability", {{"fresh", regime_text(settings, "fresh")}}};
  auto& table = demo.table("reliability", {"regime", "model", "bin", "tokens", "confidence", "accuracy"});
  const auto draw = [&](const std::string& regime, double eps, const std::string& model,
                        const std::string& series, const std::string& ece) {
    const Outcomes& outcomes = results.at(kind(regime, eps));
    const std::vector<ReliabilityBin> bins = pooled(outcomes, series);
    for (size_t b = 0; b < bins.size(); ++b)
      table.add(regime, model, b, bins[b].count, bins[b].confidence, bins[b].accuracy);
    demo.draw(
        "diagram", [&](const svg::Chart& chart) { return svg::draw(chart, diagram(bins)); },
        {{"model", model}, {"ece", text(mean_of(outcomes, ece))}, {"regime", regime_text(settings, regime)}});
  };
  for (const std::string& regime : kRegimes) {
    for (double eps : {0., 0.1, 0.3})
      draw(regime, eps, eps == 0 ? "hard" : message("smoothing ", eps), "reliability", "ece");
    draw(regime, 0, "hard, temperature-scaled", "scaled", "scaled_ece");
  }
  return answered(demo, results);
}

Demo population_optimum(const Settings& settings) {
  constexpr double kOf[] = {0, 0.1, 0.3};
  check(settings.source.empty(), "population_optimum: of a text the truth is not known");
  const Lesson& lesson = lesson_of(settings);
  Kinds kinds;
  for (double eps : kOf) kinds.emplace_back(kind("fresh", eps), optimum_run(lesson, eps));
  const Results results = sweep(settings, "optimum", kinds, /*seeds=*/settings.full ? 3 : 1);
  Demo demo{"population_optimum"};
  auto& table = demo.table("population_optimum", {"smoothing", "q", "mean p", "the line", "rectified"});
  std::vector<svg::Series> theory;
  double worst = 0;
  const double vocab = lesson.target.size();
  for (double eps : kOf) {
    std::map<double, std::array<double, 2>> by_q;  // words, and the sum of their p
    for (const Outcome& o : results.at(kind("fresh", eps)))
      for (const auto& [q, words, p] : o.series.at("optimum")) by_q[q][0] += words, by_q[q][1] += words * p;
    for (const auto& [q, n] : by_q) {
      const double p = n[1] / n[0], line = (1 - eps) * q + eps / vocab;
      if (n[0] < 30) continue;  // too few to say anything
      table.add(eps, q, p, line, (p - eps / vocab) / (1 - eps));
      worst = std::max(worst, std::abs(p - line));
    }
    theory.push_back({"", {0, 1}, {eps / vocab, 1 - eps + eps / vocab}, {}, {}, svg::Mark::reference});
  }
  demo.words["worst"] = message(std::round(1000 * worst) / 1000);
  demo.draw("line", table, {"smoothing", "q", "mean p", svg::Mark::points, false, theory});
  return answered(demo, results);
}

Demo beam_and_length(const Settings& settings) {
  const Results results = eps_sweep(settings);
  Demo demo{"beam_and_length"};
  auto& all = demo.table("beam_and_length", {"regime", "measure", "model", "beam", "mean", "low", "high"});
  for (const std::string& regime : kRegimes) {
    const std::string words = demo.words[regime] = regime_text(settings, regime);
    const Outcomes &hard = results.at(kind(regime, 0)), &soft = results.at(kind(regime, 0.1));
    for (const auto& [column, measure] : {std::pair(1, "length of output / of reference"), {2, "BLEU"}}) {
      add_curve(all, {words, measure, "hard"}, hard, "beams", column);
      add_curve(all, {words, measure, "smoothing 0.1"}, soft, "beams", column);
      add_curve(all, {words, measure, "0.1, rectified"}, soft, "rectified", column);
      demo.draw("beam", all.where("regime", {words}).where("measure", {measure}),
                {.by = "model", .x = "beam", .y = "mean", .log = true},
                {{"measure", measure}, {"regime", words}});
    }
  }
  demo.says.push_back(settings.source.empty() ? "toy" : "text");
  return answered(demo, results);
}

}  // namespace gradus::examples::lab
