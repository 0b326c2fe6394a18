#include "examples/label_smoothing/sweep.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <iomanip>
#include <iostream>
#include <mutex>
#include <numeric>
#include <regex>

#include "examples/data/lines.h"
#include "examples/data/numbers.h"
#include "examples/data/words.h"
#include "examples/program/program.h"
#include "tensor/cpu/thread_pool.h"
#include "tensor/device.h"
#include "tensor/safetensors.h"

namespace gradus::examples::lab {
namespace {

// What makes a run, column by column; written and compared as text.
const std::vector<std::string> kFields =
    split("data regime method strength seed steps pairs width layers schedule warmup peak norm beams", ' ');
std::string key(const Run& r) {
  const std::string strength = shortest(r.strength), warmup = shortest(r.warmup), peak = shortest(r.peak);
  const char *norm = r.norm_first ? "pre" : "post", *beams = r.beams ? "yes" : "no";
  return message(r.data, ' ', r.regime, ' ', r.method, ' ', strength, ' ', r.seed, ' ', r.steps, ' ', r.pairs,
                 ' ', r.width, ' ', r.layers, ' ', r.schedule, ' ', warmup, ' ', peak, ' ', norm, ' ', beams);
}

std::vector<std::string> header() {
  std::vector<std::string> columns = kFields;
  columns.insert(columns.end(), kValues.begin(), kValues.end());
  columns.insert(columns.end(), kSeries.begin(), kSeries.end());
  return columns;
}

double number(const std::string& text, const std::string& where) {
  const auto x = number_in<double>(text);
  check_world(x && std::isfinite(*x), where, "expected a number, got '", text, "'");
  return *x;
}

bool finished(const Outcome& outcome) { return !outcome.values.empty(); }

std::string to_csv(const std::vector<Run>& runs, const Outcomes& outcomes) {
  html::Table table{header()};
  for (size_t i = 0; i < runs.size(); ++i) {
    if (!finished(outcomes[i])) continue;
    std::vector<std::string> row = split(key(runs[i]), ' ');
    for (const std::string& name : kValues)
      row.push_back(message(std::setprecision(5), outcomes[i].values.at(name)));
    for (const std::string& name : kSeries) {
      std::string& cell = row.emplace_back();
      for (const auto& [a, b, c] : outcomes[i].series.at(name))
        cell += (cell.empty() ? "" : " ") + message(std::setprecision(5), a, ":", b, ":", c);
    }
    table.add_row(row);
  }
  return table.csv();
}

// What a file has of these runs; those that it has not stay unfinished.
Outcomes from_csv(const std::string& file, const std::vector<Run>& runs) {
  Outcomes outcomes(runs.size());
  std::map<std::string, size_t> wanted;
  for (size_t i = 0; i < runs.size(); ++i) wanted[key(runs[i])] = i;
  const std::vector<std::string> lines = read_lines(file), names = header();
  check_world(split(lines[0], ',') == names, file,
              ", line 1: these are not the columns of a sweep of this version; move the file away");
  for (size_t i = 1; i < lines.size(); ++i) {
    const std::string where = message(file, ", line ", i + 1, ": ");
    const std::vector<std::string> row = split(lines[i], ',');
    check_world(row.size() == names.size(), where, "expected ", names.size(), " columns, got ", row.size());
    auto cell = row.begin();
    std::string made = *cell++;
    while (cell < row.begin() + std::ssize(kFields)) made += " " + *cell++;
    const auto run = wanted.find(made);
    check_world(run != wanted.end(), where, "the run `", made,
                "` is none of this sweep: it was made with other options");
    auto& [values, series] = outcomes[run->second];
    check_world(values.empty(), where, "the run `", made, "` is there twice");
    for (const std::string& name : kValues) values[name] = number(*cell++, where);
    for (const std::string& name : kSeries) {
      Triples& points = series[name];
      const Words texts = cell->empty() ? Words() : split(*cell, ' ');
      for (const std::string& point : texts) {
        const Words abc = split(point, ':');
        check_world(abc.size() == 3, where, "expected three numbers a:b:c, got '", point, "'");
        points.push_back({number(abc[0], where), number(abc[1], where), number(abc[2], where)});
      }
      ++cell;
    }
    const Run& r = runs[run->second];
    const size_t points = r.steps / std::max<int64_t>(1, r.steps / 20), bins = 15;
    for (const auto& [name, size] : {std::pair("curve", points),
                                     {"eps", points},
                                     {"reliability", bins},
                                     {"scaled", bins},
                                     {"free", bins},
                                     {"recall", size_t{4}}})
      check_world(series[name].size() == size, where, "expected ", size, " points of `", name, "`, got ",
                  series[name].size());
    for (const auto& [name, there] :
         {std::pair("beams", r.beams), {"rectified", r.beams}, {"optimum", r.data == "toy"}})
      check_world(series[name].empty() != there, where, "`", name, "` has ", series[name].size(), " points");
  }
  return outcomes;
}

}  // namespace

const Lesson& lesson_of(const Settings& settings) {
  static std::map<std::string, Lesson> lessons;
  const std::string& source = settings.source;
  if (!lessons.contains(source))
    lessons.emplace(source, source.empty() ? toy_lesson() : text_lesson(source, settings.target));
  return lessons.at(source);
}

Run base_run(const Lesson& lesson, const std::string& regime) {
  Run run{.data = lesson.name, .regime = regime, .steps = 800, .pairs = 400, .width = 32, .peak = 4e-3};
  if (regime == "fresh") run.steps = 1200, run.pairs = 0, run.width = 48;
  if (!lesson.train.empty()) run.steps = 1000, run.pairs = regime == "overfit" ? 1000 : 0, run.width = 64;
  return run;
}

Run optimum_run(const Lesson& lesson, double eps) {
  Run run = base_run(lesson, "fresh");
  run.strength = eps, run.steps = 2500, run.width = 64, run.peak = 5e-3;
  return run;
}

Results sweep(const Settings& settings, const std::string& name, const Kinds& kinds, int64_t seeds) {
  const Lesson& lesson = lesson_of(settings);
  const std::filesystem::path folder = settings.runs;
  const std::string file = folder / (name + (lesson.truth.empty() ? "-" + lesson.name : "") + ".csv");
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  check_world(!error, "label_smoothing: cannot make the folder --runs ", folder, ": ", error.message());
  std::vector<Run> runs;
  for (int64_t seed = 1; seed <= seeds; ++seed)
    for (const auto& [kind, run] : kinds) runs.emplace_back(run).seed = seed;
  Outcomes outcomes = std::filesystem::exists(file) ? from_csv(file, runs) : Outcomes(runs.size());
  int64_t done = std::ranges::count_if(outcomes, finished);
  Progress progress(std::cerr, {.total = std::ssize(runs), .start = done});
  std::mutex mutex;
  // Within this loop every kernel runs on the thread that calls it.
  cpu::run(std::ssize(runs), num_threads(), [&](int64_t i, int) {
    if (interrupted() || finished(outcomes[i])) return;
    Outcome outcome = train_and_measure(lesson, runs[i]);
    const std::lock_guard lock(mutex);
    if (!finished(outcome)) return;
    outcomes[i] = std::move(outcome);
    atomic_write_file(file, to_csv(runs, outcomes));
    progress.update(++done, name + ": runs finished");
  });
  check_world(!interrupted(), "label_smoothing: stopped; finished runs are kept in ", file);
  Results results;
  for (size_t i = 0; i < runs.size(); ++i) results[kinds[i % kinds.size()].first].push_back(outcomes[i]);
  return results;
}

// Student's t from tables up to 30, from there by its expansion about the normal quantile.
double t_quantile(int64_t n) {
  constexpr double kTable[] = {12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
                               2.201,  2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
                               2.080,  2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042};
  check(n >= 1, "t quantile: expected at least 1 degree of freedom, got ", n);
  if (n <= 30) return kTable[n - 1];
  const double z = 1.959964;
  return z + (z * z * z + z) / (4 * static_cast<double>(n));
}

Interval interval(const std::vector<double>& x) {
  const auto n = std::ssize(x);
  const double mean = std::accumulate(x.begin(), x.end(), 0.) / static_cast<double>(n);
  double squares = 0;
  for (double v : x) squares += (v - mean) * (v - mean);
  const double deviation = std::sqrt(squares / static_cast<double>((n - 1) * n));
  const double half = n > 1 ? t_quantile(n - 1) * deviation : INFINITY;
  return {mean, mean - half, mean + half, n};
}

double measured(const Outcome& outcome, const std::string& measure) {
  const auto& [values, series] = outcome;
  const auto &curve = series.at("curve"), &beams = series.at("beams");
  check(curve.size() >= 4 && (!measure.ends_with("longer") || !beams.empty()), "lab: `", measure,
        "` is not measured of this kind of run");
  if (measure == "early_nll") return curve[curve.size() / 4 - 1][2];
  if (measure == "final_nll") return curve.back()[2];
  if (measure == "turn") {
    const auto held_out = [](const auto& point) { return point[2]; };
    return curve.back()[2] - held_out(std::ranges::min(curve, {}, held_out));
  }
  if (measure == "longer") return beams.back()[1] - beams.front()[1];
  if (measure == "rectified_longer") return series.at("rectified").back()[1] - beams.front()[1];
  if (measure == "rare_recall") return series.at("recall")[0][2];
  check(values.contains(measure), "lab: nobody measures `", measure, "`");
  return values.at(measure);
}

Interval mean_of(const Outcomes& outcomes, const std::string& measure) {
  std::vector<double> x;
  for (const Outcome& o : outcomes) x.push_back(measured(o, measure));
  return interval(x);
}

Interval difference(const Outcomes& a, const Outcomes& b, const std::string& of_b, const std::string& of_a) {
  check(a.size() == b.size(), "difference: ", a.size(), " runs beside ", b.size());
  std::vector<double> x;
  for (size_t i = 0; i < a.size(); ++i)
    x.push_back(measured(b[i], of_b) - measured(a[i], of_a.empty() ? of_b : of_a));
  return interval(x);
}

std::string text(const Interval& i) {
  const int digits = std::abs(i.mean) >= 10 ? 1 : std::abs(i.mean) >= 1 ? 2 : 3;
  const double unit = std::pow(10, digits);
  const auto shown = [&](double x) {  // not -0.000
    return message(std::fixed, std::setprecision(digits), std::round(x * unit) / unit + 0.);
  };
  return shown(i.mean) + (i.n > 1 ? " [" + shown(i.low) + ", " + shown(i.high) + "]" : "");
}

std::string cell(const Interval& i) { return text(i) + (i.excludes_0() ? "" : " ~"); }

std::string verdict(const std::string& what, const Interval& d) {
  if (!d.excludes_0() || d.n < 2) return what + " shows no clear change (" + text(d) + ")";
  const Interval size = d.mean > 0 ? d : Interval{-d.mean, -d.high, -d.low, d.n};
  return what + (d.mean > 0 ? " rises by " : " falls by ") + text(size);
}

Demo answered(Demo demo, const Results& results) {
  demo.words["seeds"] = message("1 to ", results.begin()->second.size());
  const auto of = [&](const std::string& kind) -> const Outcomes& {
    check(results.contains(kind), "demos.txt: [", demo.name, "] asks for `", kind, "`, which was not run");
    return results.at(kind);
  };
  // the whole, what is said to change, measure and kind of before, measure and kind
  static const std::regex kQuestion(R"(\{((?:([^{}]+): )?(?:(\w+) of ([^{}>]+) > )?(\w+) of ([^{}>]+))\})");
  const std::string honest = demo.honest();
  for (std::sregex_iterator q(honest.begin(), honest.end(), kQuestion), end; q != end; ++q) {
    const std::string whole = (*q)[1], what = (*q)[2], measure_before = (*q)[3], before = (*q)[4];
    const std::string measure = (*q)[5], kind = (*q)[6];
    const Interval i = before.empty() ? mean_of(of(kind), measure)
                                      : difference(of(before), of(kind), measure, measure_before);
    demo.words[whole] = what.empty() ? text(i) : verdict(what, i);
  }
  return demo;
}

void add_curve(html::Table& table, const std::vector<std::string>& first, const Outcomes& outcomes,
               const std::string& name, size_t y, size_t x) {
  for (size_t i = 0; i < outcomes.at(0).series.at(name).size(); ++i) {
    std::vector<double> at, values;
    for (const Outcome& o : outcomes)
      at.push_back(o.series.at(name).at(i)[x]), values.push_back(o.series.at(name)[i][y]);
    const Interval mean = interval(values);
    std::vector<std::string> row = first;
    for (double cell : {interval(at).mean, mean.mean, mean.low, mean.high}) row.push_back(shortest(cell));
    table.add_row(row);
  }
}

}  // namespace gradus::examples::lab
