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
bool is(const Variant& v, std::initializer_list<std::string_view> methods) {
  return std::ranges::find(methods, std::string_view(v.method)) != methods.end();
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

// Data for variants of these methods: what differs from the hard model, on the page; and all measures, in a
// file.
std::vector<Data> comparison(const Settings& settings, const std::vector<Finished>& rows,
                             const std::string& name, std::initializer_list<std::string_view> methods) {
  const std::string third = settings.full ? "bleu" : "accuracy";  // few seeds say nothing of BLEU
  html::Table minus{{"minus hard", "ECE", "nll", settings.full ? "BLEU" : "accuracy"}},
      all{{"loss", "measure", "mean", "low", "high", "minus hard", "low", "high"}};
  for (const Variant& v : kVariants) {
    if (!is(v, methods)) continue;
    const auto difference_of = [&](const std::string& value) {
      return difference(rows, kind(kVariants[0]), kind(v), value);
    };
    const auto cell = [&](const std::string& value) {
      return text(difference_of(value)) + (difference_of(value).excludes_0() ? "" : " ~");
    };
    if (v.strength > 0) minus.add(std::string(v.name), cell("ece"), cell("nll"), cell(third));
    for (const std::string& value : kValues) {
      const Interval mean = mean_of(rows, kind(v), value), d = difference_of(value);
      all.add(std::string(v.name), value, mean.mean, mean.low, mean.high, d.mean, d.low, d.high);
    }
  }
  return {{name + "_minus_hard", minus, /*on_the_page=*/true}, {name, all}};
}

Interval to_hard(const std::vector<Finished>& rows, size_t variant, const char* value) {
  return difference(rows, kind(kVariants[0]), kind(kVariants[variant]), value);
}

}  // namespace

Demo confidence_penalty(const Settings& settings) {
  const std::vector<Finished> rows = variant_sweep(settings);
  std::vector<svg::Series> series{{"smoothing 0, 0.1, 0.2", {}, {}}, {"penalty 0, 0.1, 0.3, 0.5, 1", {}, {}}};
  for (const Variant& v : kVariants)
    for (size_t s : {0, 1}) {
      if (!is(v, {s == 0 ? "smoothing" : "penalty"}) && v.strength != 0) continue;
      const Interval ece = mean_of(rows, kind(v), "ece");
      series[s].x.push_back(mean_of(rows, kind(v), "entropy").mean), series[s].y.push_back(ece.mean);
      series[s].low.push_back(ece.low), series[s].high.push_back(ece.high);
    }
  Demo demo{.name = "confidence_penalty", .title = "The confidence penalty"};
  demo.claim = "Exercise 1: instead of smoothing the label, punish a distribution of low entropy.";
  demo.formula =
      "L = - ln p<sub>y</sub> - &#946; H(p); its gradient on z<sub>j</sub> is p<sub>j</sub> - [j = y] + "
      "&#946; p<sub>j</sub> (ln p<sub>j</sub> + H)";
  demo.code = shown("methods");
  demo.figures = {lines("ECE against entropy", {"mean entropy of p"}, {"ECE"}, series,
                        "Few pairs, many times. The points are joined in the order of strength.")};
  demo.data = comparison(settings, rows, "confidence_penalty", {"smoothing", "penalty"});
  demo.seeds = seeds_text(settings) + "; ~ marks differences that may be 0";
  demo.honest = message("From hard labels to a penalty of 0.1 ", verdict("the ECE", to_hard(rows, 3, "ece")),
                        " and ", verdict("the nll", to_hard(rows, 3, "nll")), "; to one of 0.3 ",
                        verdict("the ECE", to_hard(rows, 4, "ece")), " and ",
                        verdict("the nll", to_hard(rows, 4, "nll")),
                        ". It sets no floor under wrong words, as smoothing does, since its gradient "
                        "vanishes with p<sub>j</sub>; which strength is best depends on the data.");
  return demo;
}

Demo weights_and_priors(const Settings& settings) {
  const std::vector<Finished> rows = variant_sweep(settings);
  std::vector<svg::Series> series;
  html::Table table{{"loss", "quarter", "mean count in training", "recall", "low", "high"}};
  for (const Variant& v : kVariants) {
    if (!is(v, {"unigram", "per_target", "per_class"}) && v.strength != 0 &&
        (!is(v, {"smoothing"}) || v.strength != 0.1))
      continue;
    const auto outcomes = select(rows, kind(v));
    svg::Series s = band(v.name, outcomes, "recall", 2);
    s.x = band("", outcomes, "recall", 1).y;
    for (size_t i = 0; i < s.x.size(); ++i)
      table.add(std::string(v.name), i + 1, s.x[i], s.y[i], s.low.empty() ? s.y[i] : s.low[i],
                s.high.empty() ? s.y[i] : s.high[i]);
    series.push_back(std::move(s));
  }
  const Measure of_rare = [](const Outcome& o) { return o.series.at("recall").at(0)[2]; };
  const auto rare = [&](size_t variant) {
    return difference(rows, kind(kVariants[1]), kind(kVariants[variant]), of_rare);
  };
  std::vector<Data> data =
      comparison(settings, rows, "weights_and_priors", {"unigram", "per_target", "per_class"});
  data.push_back({"recall_by_frequency", table});
  Demo demo{.name = "weights_and_priors", .title = "Class weights, in two meanings, and the unigram prior"};
  demo.claim = "Exercise 2: smoothing with class weights. It has two meanings, and they differ.";
  demo.formula =
      "per_target: w<sub>y</sub> (- &#931; q<sub>j</sub> ln p<sub>j</sub>); per_class: - &#931; "
      "w<sub>j</sub> q<sub>j</sub> ln p<sub>j</sub>; unigram: q<sub>j</sub> = (1 - &#949;) [j = y] + &#949; "
      "n<sub>j</sub>/N";
  demo.code = shown("methods");
  demo.figures = {lines("Recall of rare and of frequent words",
                        {"mean count of the word in training", /*log=*/true}, {"recall"}, series,
                        "Weights are 1/&#8730;(count + 1). Few pairs, many times.")};
  demo.data = std::move(data);
  demo.seeds = seeds_text(settings) + "; ~ marks differences that may be 0";
  demo.honest =
      message("On the rarest quarter, from smoothing 0.1 with per_target weights ",
              verdict("the recall", rare(8)), ", with per_class weights ", verdict("it", rare(9)),
              ", and with the unigram prior ", verdict("it", rare(7)),
              ". With heavier weights per_class lets a wrong class j win, once w<sub>j</sub>/w<sub>y</sub> "
              "exceeds 1 + V (1 - &#949;)/&#949;: 46 at V = 5, 1,810 here.");
  return demo;
}

Demo adaptive_smoothing(const Settings& settings) {
  const std::vector<Finished> rows = variant_sweep(settings);
  std::vector<svg::Series> eps, nll;
  for (const Variant& v : kVariants) {
    if (!is(v, {"linear", "cosine", "triggered"}) && v.strength != 0 &&
        (!is(v, {"smoothing"}) || v.strength != 0.1))
      continue;
    const auto outcomes = select(rows, kind(v));
    eps.push_back(band(v.name, outcomes, "eps", 1));
    nll.push_back(band(v.name, outcomes, "curve", 2));
  }
  Demo demo{.name = "adaptive_smoothing", .title = "Smoothing that grows while the model learns"};
  demo.claim = "Exercise 3: as fast as hard labels at first, as calm as smoothed ones in the end.";
  demo.formula =
      "linear: &#949; = &#949;<sub>1</sub> t; cosine: &#949;<sub>1</sub> (1 - cos &#960;t)/2; triggered: "
      "&#949;<sub>1</sub> max(0, (c - 1/2)/(1 - 1/2)), c the running exp(- nll)";
  demo.code = shown("adaptive");
  demo.figures = {
      lines("Smoothing over time", {"step"}, {"smoothing"}, eps,
            "The trigger follows the model, the others the clock."),
      lines("Held-out nll over time", {"step"}, {"nll per token"}, nll, "Unsmoothed, on unseen sentences.")};
  demo.data =
      comparison(settings, rows, "adaptive_smoothing", {"smoothing", "linear", "cosine", "triggered"});
  demo.seeds = seeds_text(settings) + "; ~ marks differences that may be 0";
  demo.honest = message(
      "From fixed 0.1 to linear growth ",
      verdict("the ECE", difference(rows, kind(kVariants[1]), kind(kVariants[10]), "ece")), " and ",
      verdict("the nll", difference(rows, kind(kVariants[1]), kind(kVariants[10]), "nll")),
      "; the two end at different smoothings, so this compares recipes, not rules of equal strength.");
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
  std::vector<svg::Series> rates, by_schedule, by_norm;
  html::Table table{{"run", "step", "learning rate", "held-out nll"}};
  std::map<std::string, Interval> last;
  for (size_t i = 0; i < names.size(); ++i) {
    std::vector<const Outcome*> outcomes;
    std::vector<double> ends;
    for (size_t s = 0; s < static_cast<size_t>(seeds); ++s) {
      outcomes.push_back(&rows[i * static_cast<size_t>(seeds) + s].outcome);
      ends.push_back(outcomes.back()->series.at("curve").back()[2]);
    }
    last[names[i]] = interval(ends);
    const svg::Series curve = band(names[i], outcomes, "curve", 2);
    svg::Series rate{names[i], {}, {}};
    for (size_t k = 0; k < curve.x.size(); ++k) {
      rate.x.push_back(curve.x[k]);
      rate.y.push_back(learning_rate(runs[i * static_cast<size_t>(seeds)], static_cast<int64_t>(curve.x[k])));
      table.add(names[i], curve.x[k], rate.y.back(), curve.y[k]);
    }
    (i < 4 ? by_schedule : by_norm).push_back(curve);
    if (i < 4) rates.push_back(rate);
  }
  std::string ends;
  for (size_t i = 4; i < names.size(); ++i)
    ends += (i > 4 ? ", " : "") + names[i] + " " + text(last[names[i]]);
  Demo demo{.name = "learning_rates", .title = "Learning rates, warmup, and where the norm stands"};
  demo.claim = "The chapter's next section: warmup is said to be crucial. It depends on the norm's place.";
  demo.formula =
      "noam: d<sup>-1/2</sup> min(t<sup>-1/2</sup>, t w<sup>-3/2</sup>); the others rise to a peak, and fall "
      "as t<sup>-1/2</sup>, in a line, or as half a cosine";
  demo.code = shown("train_step");
  demo.figures = {lines("Four schedules", {"step"}, {"learning rate"}, rates,
                        "The rate, at the steps where the model was measured."),
                  lines("What they do", {"step"}, {"held-out nll"}, by_schedule,
                        "One layer, pre-norm. Unsmoothed nll on unseen sentences."),
                  lines("Pre- and post-norm", {"step"}, {"held-out nll"}, by_norm,
                        "Four layers, cosine, a high peak of 0.008, with warmup and with none.")};
  demo.data = {{"learning_rates", table}};
  demo.seeds = message("1 to ", seeds);
  demo.honest = "At the end the held-out nll is: " + ends +
                ". Four layers of width 32 are no deep network: published failures of post-norm without "
                "warmup are those of six layers and more, and a schedule that wins here need not elsewhere.";
  return demo;
}

}  // namespace gradus::examples::lab
