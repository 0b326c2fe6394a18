// Demos 1, 6, 7, 8 and 13, which all read one sweep: seven smoothings in two regimes.
#include <cmath>

#include "examples/label_smoothing/sweep.h"
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
std::vector<svg::Bin> pooled(const std::vector<const Outcome*>& outcomes, const std::string& name) {
  std::vector<svg::Bin> bins(15, svg::Bin{});
  for (const Outcome* o : outcomes)
    for (size_t b = 0; b < bins.size(); ++b) {
      const auto& [tokens, confidence, accuracy] = o->series.at(name).at(b);
      bins[b].confidence += tokens * confidence, bins[b].accuracy += tokens * accuracy;
      bins[b].count += static_cast<int64_t>(tokens);
    }
  for (svg::Bin& bin : bins)
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
  const Kind hard = smoothed("overfit", 0), soft = smoothed("overfit", 0.1);
  std::vector<svg::Series> curves;
  std::vector<svg::Bars> histogram;
  std::vector<std::string> bins;
  html::Table table{{"smoothing", "confidence from", "share of tokens"}};
  for (int b = 0; b < 15; ++b) bins.push_back(message("to ", std::round(100 * (b + 1) / 15.) / 100));
  for (const auto& [kind, name] : {std::pair{hard, "hard"}, {soft, "0.1"}}) {
    const auto outcomes = select(rows, kind);
    curves.push_back(band(message(name, ", training"), outcomes, "curve", 1));
    curves.push_back(band(message(name, ", held out"), outcomes, "curve", 2));
    svg::Bars& bar = histogram.emplace_back(svg::Bars{name, {}});
    const std::vector<svg::Bin> pool = pooled(outcomes, "reliability");
    double all = 0;
    for (const svg::Bin& bin : pool) all += static_cast<double>(bin.count);
    for (size_t b = 0; b < pool.size(); ++b) {
      bar.values.push_back(static_cast<double>(pool[b].count) / std::max(all, 1.));
      table.add(name, static_cast<double>(b) / 15, bar.values.back());
    }
  }
  const auto turn = [&](const Kind& kind) {  // how far the held-out nll ends above its lowest
    return mean_of(rows, kind, [](const Outcome& o) {
      const Triples& curve = o.series.at("curve");
      double least = INFINITY;
      for (const auto& point : curve) least = std::min(least, point[2]);
      return curve.back()[2] - least;
    });
  };
  Demo demo{.name = "overconfidence", .title = "Overconfidence, where there is too little to learn from"};
  demo.claim = "With hard labels the model becomes sure of itself beyond what it knows, and memorises.";
  demo.formula = "confidence = max<sub>j</sub> p<sub>j</sub>; nll = - ln p<sub>y</sub>, never smoothed";
  demo.code = shown("train_step");
  demo.figures = {lines("Training and held-out nll", {"step"}, {"nll per token"}, curves,
                        message(base_run(lesson_of(settings), "overfit").pairs,
                                " pairs, many times over. The bands hold the mean with 95 %.")),
                  html::figure(svg::bars({"Confidence on held-out tokens",
                                          "A bar for each fifteenth of the confidence.",
                                          {"share of tokens"},
                                          {}},
                                         bins, histogram),
                               "How sure the models are of what they predict on unseen sentences.")};
  demo.data = {{"overconfidence", table}};
  demo.seeds = seeds_text(settings);
  demo.honest = message(
      "At the end the hard model's mean confidence on unseen tokens is ", text(mean_of(rows, hard, "top")),
      " at an accuracy of ", text(mean_of(rows, hard, "accuracy")), "; with smoothing 0.1 it is ",
      text(mean_of(rows, soft, "top")), " at ", text(mean_of(rows, soft, "accuracy")),
      ". Above its own lowest point the held-out nll ends by ", text(turn(hard)), ", with smoothing by ",
      text(turn(soft)), ". Where the claim fails: with ", regime_text(settings, "fresh"),
      " the hard model's confidence is ", text(mean_of(rows, smoothed("fresh", 0), "top")),
      " at an accuracy of ", text(mean_of(rows, smoothed("fresh", 0), "accuracy")),
      ", and its held-out nll ends above its lowest point by ", text(turn(smoothed("fresh", 0))), ".");
  return demo;
}

Demo smoothing_sweep(const Settings& settings) {
  const std::vector<Finished> rows = eps_sweep(settings);
  const std::vector<std::pair<std::string, std::string>> metrics{
      {"bleu", "BLEU"},         {"nll", "unsmoothed nll"},         {"ece", "ECE"},
      {"accuracy", "accuracy"}, {"entropy", "mean entropy"},       {"top", "mean confidence"},
      {"brier", "Brier score"}, {"free_ece", "ECE, free-running"}, {"eos_ece", "ECE at end of sentence"}};
  Demo demo{.name = "smoothing_sweep", .title = "Which smoothing? A sweep in two regimes"};
  html::Table means{{"regime", "smoothing", "measure", "mean", "low", "high", "runs"}},
      differences{{"regime", "smoothing", "measure", "minus hard", "low", "high", "runs"}},
      paired{{"0.1 minus hard", regime_text(settings, kRegimes[0]), regime_text(settings, kRegimes[1])}};
  for (const auto& [value, name] : metrics) {
    std::vector<svg::Series> series;
    std::vector<std::string> row{name};
    for (const std::string& regime : kRegimes) {
      svg::Series s{regime_text(settings, regime), {}, {}};
      for (double eps : eps_of(settings)) {
        const Interval mean = mean_of(rows, smoothed(regime, eps), value),
                       minus = difference(rows, smoothed(regime, 0), smoothed(regime, eps), value);
        s.x.push_back(eps), s.y.push_back(mean.mean), s.low.push_back(mean.low), s.high.push_back(mean.high);
        means.add(regime, eps, value, mean.mean, mean.low, mean.high, mean.n);
        if (eps > 0) differences.add(regime, eps, value, minus.mean, minus.low, minus.high, minus.n);
        if (eps == 0.1) row.push_back(text(minus) + (minus.excludes_0() ? "" : " ~"));
      }
      series.push_back(std::move(s));
    }
    paired.add_row(row);
    demo.figures.push_back(lines(name, {"smoothing"}, {name}, series,
                                 name + " on held-out sentences; the bands hold the mean with 95 %."));
  }
  demo.claim = "0 overfits, 0.1 is a good start, 0.2 is for small data, and above 0.3 is too much.";
  demo.formula = "q<sub>j</sub> = (1 - &#949;) [j = y] + &#949;/V, &#949; = 0, .05, .1, .15, .2, .3, .5";
  demo.code = shown("train_step");
  demo.data = {
      {"smoothing_sweep", means}, {"smoothing_differences", differences}, {"smoothing_paired", paired, true}};
  demo.seeds =
      seeds_text(settings) + "; differences are between runs of one seed; ~ marks those that may be 0";
  for (const std::string& regime : kRegimes) {
    const auto d = [&](const char* value) {
      return difference(rows, smoothed(regime, 0), smoothed(regime, 0.1), value);
    };
    demo.honest += message("With ", regime_text(settings, regime), ", from hard labels to smoothing 0.1 ",
                           verdict("the ECE", d("ece")), ", ", verdict("the unsmoothed nll", d("nll")), ", ",
                           verdict("the accuracy", d("accuracy")),
                           settings.full ? ", " + verdict("BLEU", d("bleu")) : "", ". ");
  }
  const auto ece = [&](const std::string& regime) {
    return difference(rows, smoothed(regime, 0), smoothed(regime, 0.1), "ece");
  };
  if (ece("overfit").high < 0 && ece("fresh").low > 0)
    demo.honest += "So it depends on whether the hard model overfits, which the chapter's list leaves out. ";
  demo.honest +=
      settings.full
          ? "From hard labels to 0.5, with few pairs, " +
                verdict("BLEU", difference(rows, smoothed("overfit", 0), smoothed("overfit", 0.5), "bleu")) +
                ", whatever the ECE: the measure decides what is too much."
          : "So few seeds say nothing of BLEU; --full does.";
  return demo;
}

Demo reliability_diagrams(const Settings& settings) {
  const std::vector<Finished> rows = eps_sweep(settings);
  Demo demo{.name = "reliability", .title = "Reliability diagrams"};
  html::Table table{{"regime", "model", "bin", "tokens", "confidence", "accuracy"}};
  const auto diagram = [&](const std::string& regime, double eps, const std::string& series,
                           const std::string& ece, const std::string& model) {
    const std::vector<svg::Bin> bins = pooled(select(rows, smoothed(regime, eps)), series);
    for (size_t b = 0; b < bins.size(); ++b)
      table.add(regime, model, b, bins[b].count, bins[b].confidence, bins[b].accuracy);
    const std::string title = message(model, ": ECE ", text(mean_of(rows, smoothed(regime, eps), ece)));
    demo.figures.push_back(html::figure(
        svg::reliability({title, "Accuracy against confidence in 15 bins.", {"confidence"}, {"accuracy"}},
                         bins),
        message("<b>", title, "</b>; ", regime_text(settings, regime), ".")));
  };
  for (const std::string& regime : kRegimes) {
    for (double eps : {0., 0.1, 0.3})
      diagram(regime, eps, "reliability", "ece", eps == 0 ? "hard" : message("smoothing ", eps));
    diagram(regime, 0, "scaled", "scaled_ece", "hard, temperature-scaled");
  }
  const auto scaled_minus = [&](const std::string& regime) {
    return difference(rows, smoothed(regime, 0.1), smoothed(regime, 0), "scaled_ece", "ece");
  };
  demo.claim = "Smoothed models are calibrated; hard ones are not.";
  demo.formula =
      "ECE = &#931;<sub>b</sub> n<sub>b</sub>/N |accuracy<sub>b</sub> - confidence<sub>b</sub>|; "
      "temperature: p = softmax(z/T), T fitted on other sentences";
  demo.code = shown("reliability");
  demo.data = {{"reliability", table}};
  demo.seeds = seeds_text(settings) + "; the tokens of all are pooled";
  demo.honest = message(
      "Below the diagonal a model is too sure, above it not sure enough; hollow bins have fewer than 30 "
      "tokens, too few to say anything. One temperature does for the hard model what smoothing does, "
      "afterwards and without another training: with few pairs, from smoothing 0.1 to the scaled hard model ",
      verdict("the ECE", scaled_minus("overfit")), ", with ", regime_text(settings, "fresh"), " ",
      verdict("it", scaled_minus("fresh")), ". From hard labels to smoothing 0.1, with ",
      regime_text(settings, "fresh"), ", ",
      verdict("the ECE", difference(rows, smoothed("fresh", 0), smoothed("fresh", 0.1), "ece")), ".");
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
  Demo demo{.name = "population_optimum", .title = "What a smoothed model learns, given enough"};
  html::Table table{{"smoothing", "q", "mean p", "the line", "rectified"}};
  std::vector<svg::Series> series, theory;
  double worst = 0;
  const double vocab = lesson.target.size();
  for (double eps : kOf) {
    std::map<double, std::array<double, 2>> by_q;
    for (const Outcome* o : select(rows, smoothed("fresh", eps)))
      for (const auto& [q, words, p] : o->series.at("optimum")) by_q[q][0] += words, by_q[q][1] += words * p;
    series.push_back({eps == 0 ? "hard" : message("smoothing ", eps), {}, {}});
    series.back().mark = svg::Mark::points;
    for (const auto& [q, n] : by_q) {
      const double p = n[1] / n[0], line = (1 - eps) * q + eps / vocab;
      if (n[0] < 30) continue;  // too few to say anything
      table.add(eps, q, p, line, (p - eps / vocab) / (1 - eps));
      series.back().x.push_back(q), series.back().y.push_back(p);
      worst = std::max(worst, std::abs(p - line));
    }
    theory.push_back({"", {0, 1}, {eps / vocab, 1 - eps + eps / vocab}, {}, {}, svg::Mark::reference});
  }
  series.insert(series.end(), theory.begin(), theory.end());
  demo.claim = "A smoothed model does not learn the truth q, but the smoothed truth.";
  demo.formula = "p = (1 - &#949;) q + &#949;/V, hence q = (p - &#949;/V)/(1 - &#949;)";
  demo.code = shown("population_optimum");
  demo.figures = {lines("The model's p against the truth's q", {"q of the toy language"},
                        {"mean p of the model"}, series,
                        "Next words of unseen sentences, fresh pairs in training; at least 30 words a point. "
                        "The lines are theory.")};
  demo.data = {{"population_optimum", table, true}};
  demo.seeds = message("1 to ", seeds);
  demo.honest = message("With fresh pairs without end the mean p lies on the line to within ",
                        std::round(1000 * worst) / 1000,
                        ": what smoothing does there is to make true probabilities wrong by a known amount, "
                        "which the last column takes back. The mean hides the scatter of single words.");
  return demo;
}

Demo beam_and_length(const Settings& settings) {
  const std::vector<Finished> rows = eps_sweep(settings);
  Demo demo{.name = "beam_and_length", .title = "Beam size and length"};
  html::Table table{{"regime", "smoothing", "search", "beam", "length ratio", "BLEU"}};
  for (const std::string& regime : kRegimes)
    for (size_t column : {1, 2}) {
      std::vector<svg::Series> series{
          band("hard", select(rows, smoothed(regime, 0)), "beams", column),
          band("smoothing 0.1", select(rows, smoothed(regime, 0.1)), "beams", column),
          band("0.1, rectified", select(rows, smoothed(regime, 0.1)), "rectified", column)};
      const char* what = column == 1 ? "length of output / of reference" : "BLEU";
      demo.figures.push_back(lines(what, {"beam", /*log=*/true}, {what}, series,
                                   message(regime_text(settings, regime), "; no length penalty.")));
    }
  for (const std::string& regime : kRegimes)
    for (double eps : {0., 0.1})
      for (const Outcome* o : select(rows, smoothed(regime, eps)))
        for (const char* name : {"beams", "rectified"})
          for (const auto& [beam, ratio, bleu] : o->series.at(name))
            table.add(regime, eps, name, beam, ratio, bleu);
  const auto shrinks = [&](const std::string& regime, double eps) {
    return mean_of(rows, smoothed(regime, eps), [](const Outcome& o) {
      return o.series.at("beams").back()[1] - o.series.at("beams").front()[1];
    });
  };
  demo.claim = "The chapter does not say it: smoothed probabilities make wide beams prefer short outputs.";
  demo.formula = "rectified: p' = max(0, p - &#949;/V)/(1 - &#949;); the search adds up ln p";
  demo.code = shown("beams");
  for (const std::string& regime : kRegimes)
    demo.honest += message("With ", regime_text(settings, regime), ", from beam 1 to the widest ",
                           verdict("the hard model's length ratio", shrinks(regime, 0)), ", ",
                           verdict("the smoothed one's", shrinks(regime, 0.1)), ". ");
  demo.honest +=
      settings.source.empty()
          ? "Sentences here have 6 words at most; the effect that is published for long ones need not show."
          : "The search adds no reward for length.";
  demo.data = {{"beam_and_length", table}};
  demo.seeds = seeds_text(settings) + "; the first 100 test sentences";
  return demo;
}

}  // namespace gradus::examples::lab
