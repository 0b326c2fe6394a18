// Demos 1, 6, 7, 8 and 13, which all read one sweep: seven smoothings in two regimes.
#include <algorithm>
#include <cmath>

#include "examples/label_smoothing/sweep.h"
#include "examples/support/calibration.h"
#include "tensor/error.h"

namespace gradus::examples::lab {
namespace {

const std::vector<std::string> kRegimes{"overfit", "fresh"};

std::vector<double> eps_of(const Settings& settings) {  // a text takes longer
  if (settings.full || settings.source.empty()) return {0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5};
  return {0, 0.1, 0.3};
}

Kind smoothed(const std::string& regime, double eps) { return {regime, "smoothing", eps}; }

std::vector<Finished> eps_sweep(const Settings& settings) {
  const Lesson& lesson = lesson_of(settings);
  std::vector<Run> runs;
  for (int64_t seed = 1; seed <= settings.seeds(); ++seed)
    for (const std::string& regime : kRegimes)
      for (double eps : eps_of(settings)) {
        Run run = base_run(lesson, regime);
        run.strength = eps, run.seed = seed, run.beams = eps == 0 || eps == 0.1;
        runs.push_back(run);
      }
  return sweep(settings, "eps", lesson, runs);
}

// The pooled bins of several runs. Each series holds tokens, mean confidence, accuracy of each bin.
std::vector<ReliabilityBin> pooled(const std::vector<const Outcome*>& outcomes, const std::string& name) {
  std::vector<ReliabilityBin> bins(15);
  for (const Outcome* o : outcomes)
    for (size_t b = 0; b < bins.size(); ++b) {
      const auto& [tokens, confidence, accuracy] = o->series.at(name).at(b);
      bins[b].confidence += tokens * confidence, bins[b].accuracy += tokens * accuracy;
      bins[b].count += static_cast<int64_t>(tokens);
    }
  for (ReliabilityBin& bin : bins)
    if (bin.count > 0)
      bin.confidence /= static_cast<double>(bin.count), bin.accuracy /= static_cast<double>(bin.count);
  return bins;
}

std::string regime_text(const Settings& settings, const std::string& regime) {
  if (regime == "overfit") return "few pairs, many times";
  return settings.source.empty() ? "fresh pairs without end" : "all pairs";
}

}  // namespace

Demo overconfidence(const Settings& settings) {
  const std::vector<Finished> rows = eps_sweep(settings);
  Demo demo{"overconfidence", {{"seeds", seeds_text(settings)}, {"fresh", regime_text(settings, "fresh")}}};
  html::Table curves{{"model", "step", "nll per token", "low", "high"}},
      table{{"smoothing", "confidence", "share of tokens"}};
  const auto turn = [](const Outcome& o) {  // how far the held-out nll ends above its lowest
    const Triples& curve = o.series.at("curve");
    return curve.back()[2] - std::ranges::min(curve, {}, [](const auto& point) { return point[2]; })[2];
  };
  for (const auto& [name, kind] : {std::pair<std::string, Kind>("hard", smoothed("overfit", 0)),
                                   {"soft", smoothed("overfit", 0.1)},
                                   {"fresh", smoothed("fresh", 0)}}) {
    demo.words[name + ".confidence"] = text(mean_of(rows, kind, "top"));
    demo.words[name + ".accuracy"] = text(mean_of(rows, kind, "accuracy"));
    demo.words[name + ".turn"] = text(mean_of(rows, kind, turn));
    if (name == "fresh") continue;
    const auto outcomes = select(rows, kind);
    const std::string model = name == "hard" ? name : "0.1";
    add_curve(curves, {model + ", training"}, outcomes, "curve", 1);
    add_curve(curves, {model + ", held out"}, outcomes, "curve", 2);
    const std::vector<ReliabilityBin> bins = pooled(outcomes, "reliability");
    double all = 0;
    for (const ReliabilityBin& bin : bins) all += static_cast<double>(bin.count);
    for (size_t b = 0; b < bins.size(); ++b)
      table.add(model, message("to ", std::round(100 * (b + 1) / 15.) / 100),
                bins[b].count / std::max(all, 1.));
  }
  demo.draw("nll", curves, {"model", "step", "nll per token"},
            {{"pairs", message(base_run(lesson_of(settings), "overfit").pairs)}});
  demo.draw("confidence", table, {"smoothing", "confidence", "share of tokens", svg::Mark::bars});
  demo.data = {{"overconfidence", table}, {"overconfidence_curves", curves}};
  return demo;
}

Demo smoothing_sweep(const Settings& settings) {
  const std::vector<Finished> rows = eps_sweep(settings);
  const std::vector<std::pair<std::string, std::string>> measures{
      {"bleu", "BLEU"},         {"nll", "unsmoothed nll"},         {"ece", "ECE"},
      {"accuracy", "accuracy"}, {"entropy", "mean entropy"},       {"top", "mean confidence"},
      {"brier", "Brier score"}, {"free_ece", "ECE, free-running"}, {"eos_ece", "ECE at end of sentence"}};
  Demo demo{"smoothing_sweep", {{"seeds", seeds_text(settings)}}};
  html::Table means{{"regime", "smoothing", "measure", "mean", "low", "high", "runs"}},
      differences{{"regime", "smoothing", "measure", "minus hard", "low", "high", "runs"}},
      paired{{"0.1 minus hard", regime_text(settings, kRegimes[0]), regime_text(settings, kRegimes[1])}};
  for (const auto& [value, name] : measures) {
    std::vector<std::string> row{name};
    for (const std::string& regime : kRegimes) {
      const std::string words = regime_text(settings, regime);
      for (double eps : eps_of(settings)) {
        const Interval mean = mean_of(rows, smoothed(regime, eps), value),
                       minus = difference(rows, smoothed(regime, 0), smoothed(regime, eps), value);
        means.add(words, eps, name, mean.mean, mean.low, mean.high, mean.n);
        if (eps > 0) differences.add(words, eps, name, minus.mean, minus.low, minus.high, minus.n);
        if (eps == 0.1) row.push_back(cell(minus));
      }
    }
    paired.add_row(row);
    demo.draw("measure", means.where("measure", {name}), {"regime", "smoothing", "mean"},
              {{"measure", name}});
  }
  demo.data = {
      {"smoothing_sweep", means}, {"smoothing_differences", differences}, {"smoothing_paired", paired, true}};
  const auto change = [&](const std::string& regime, const std::string& value, double eps = 0.1) {
    return difference(rows, smoothed(regime, 0), smoothed(regime, eps), value);
  };
  Placeholders bleu;
  for (const std::string& regime : kRegimes) {
    demo.words[regime] = bleu[regime] = regime_text(settings, regime);
    for (const auto& [value, name] :
         {std::pair("ece", "the ECE"), {"nll", "the unsmoothed nll"}, {"accuracy", "the accuracy"}})
      demo.words[regime + "." + value] = verdict(name, change(regime, value));
    bleu[regime + ".bleu"] = verdict("BLEU", change(regime, "bleu"));
  }
  const bool depends = change("overfit", "ece").high < 0 && change("fresh", "ece").low > 0;
  demo.words["depends"] = depends ? text(demo.name, "depends") + " " : "";
  if (settings.full) bleu["most.bleu"] = verdict("BLEU", change("overfit", "bleu", 0.5));
  demo.words["bleu"] = settings.full ? filled({text(demo.name, "bleu")}, bleu)[0] : text(demo.name, "few");
  return demo;
}

Demo reliability_diagrams(const Settings& settings) {
  const std::vector<Finished> rows = eps_sweep(settings);
  Demo demo{"reliability", {{"seeds", seeds_text(settings)}, {"fresh", regime_text(settings, "fresh")}}};
  html::Table table{{"regime", "model", "bin", "tokens", "confidence", "accuracy"}};
  const auto draw = [&](const std::string& regime, double eps, const std::string& series,
                        const std::string& ece, const std::string& model) {
    const std::vector<ReliabilityBin> bins = pooled(select(rows, smoothed(regime, eps)), series);
    for (size_t b = 0; b < bins.size(); ++b)
      table.add(regime, model, b, bins[b].count, bins[b].confidence, bins[b].accuracy);
    demo.draw("diagram", [&](const svg::Chart& chart) { return svg::draw(chart, diagram(bins)); },
              {{"model", model},
               {"ece", text(mean_of(rows, smoothed(regime, eps), ece))},
               {"regime", regime_text(settings, regime)}});
  };
  for (const std::string& regime : kRegimes) {
    for (double eps : {0., 0.1, 0.3})
      draw(regime, eps, "reliability", "ece", eps == 0 ? "hard" : message("smoothing ", eps));
    draw(regime, 0, "scaled", "scaled_ece", "hard, temperature-scaled");
    demo.words[regime + ".scaled"] =
        verdict(regime == "overfit" ? "the ECE" : "it",
                difference(rows, smoothed(regime, 0.1), smoothed(regime, 0), "scaled_ece", "ece"));
  }
  demo.words["fresh.ece"] =
      verdict("the ECE", difference(rows, smoothed("fresh", 0), smoothed("fresh", 0.1), "ece"));
  demo.data = {{"reliability", table}};
  return demo;
}

Demo population_optimum(const Settings& settings) {
  constexpr double kOf[] = {0, 0.1, 0.3};
  check(settings.source.empty(), "population_optimum: of a text the truth is not known");
  const Lesson& lesson = lesson_of(settings);
  const int64_t seeds = settings.full ? 3 : 1;
  std::vector<Run> runs;
  for (int64_t seed = 1; seed <= seeds; ++seed)
    for (double eps : kOf) runs.push_back(optimum_run(lesson, eps, seed));
  const std::vector<Finished> rows = sweep(settings, "optimum", lesson, runs);
  html::Table table{{"smoothing", "q", "mean p", "the line", "rectified"}};
  std::vector<svg::Series> theory;
  double worst = 0;
  const double vocab = lesson.target.size();
  for (double eps : kOf) {
    std::map<double, std::array<double, 2>> by_q;
    for (const Outcome* o : select(rows, smoothed("fresh", eps)))
      for (const auto& [q, words, p] : o->series.at("optimum")) by_q[q][0] += words, by_q[q][1] += words * p;
    for (const auto& [q, n] : by_q) {
      const double p = n[1] / n[0], line = (1 - eps) * q + eps / vocab;
      if (n[0] < 30) continue;  // too few to say anything
      table.add(eps, q, p, line, (p - eps / vocab) / (1 - eps));
      worst = std::max(worst, std::abs(p - line));
    }
    theory.push_back({"", {0, 1}, {eps / vocab, 1 - eps + eps / vocab}, {}, {}, svg::Mark::reference});
  }
  Demo demo{"population_optimum",
            {{"seeds", message("1 to ", seeds)}, {"worst", message(std::round(1000 * worst) / 1000)}}};
  demo.draw("line", table, {"smoothing", "q", "mean p", svg::Mark::points, false, theory});
  demo.data = {{"population_optimum", table, true}};
  return demo;
}

Demo beam_and_length(const Settings& settings) {
  const std::vector<Finished> rows = eps_sweep(settings);
  Demo demo{"beam_and_length",
            {{"seeds", seeds_text(settings)},
             {"limit", text("beam_and_length", settings.source.empty() ? "limit.toy" : "limit.text")}}};
  html::Table all{{"regime", "measure", "model", "beam", "mean", "low", "high"}};
  const auto longer = [](const Outcome& o) {
    return o.series.at("beams").back()[1] - o.series.at("beams").front()[1];
  };
  for (const std::string& regime : kRegimes) {
    const std::string words = demo.words[regime] = regime_text(settings, regime);
    const auto hard = select(rows, smoothed(regime, 0)), soft = select(rows, smoothed(regime, 0.1));
    for (const auto& [column, measure] : {std::pair(1, "length of output / of reference"), {2, "BLEU"}}) {
      add_curve(all, {words, measure, "hard"}, hard, "beams", column);
      add_curve(all, {words, measure, "smoothing 0.1"}, soft, "beams", column);
      add_curve(all, {words, measure, "0.1, rectified"}, soft, "rectified", column);
      demo.draw("beam", all.where("regime", {words}).where("measure", {measure}),
                {.by = "model", .x = "beam", .y = "mean", .log = true},
                {{"measure", measure}, {"regime", words}});
    }
    demo.words[regime + ".hard"] =
        verdict("the hard model's length ratio", mean_of(rows, smoothed(regime, 0), longer));
    demo.words[regime + ".soft"] =
        verdict("the smoothed one's", mean_of(rows, smoothed(regime, 0.1), longer));
  }
  demo.data = {{"beam_and_length", all}};
  return demo;
}

}  // namespace gradus::examples::lab
