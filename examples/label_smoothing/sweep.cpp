#include "examples/label_smoothing/sweep.h"

#include <algorithm>
#include <cmath>
#include <exception>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iomanip>
#include <iostream>
#include <optional>
#include <sstream>
#include <utility>

#include "examples/support/program.h"
#include "tensor/safetensors.h"

namespace gradus::examples::lab {
namespace {

// What makes a run, column by column; written and compared as text.
std::vector<std::pair<std::string, std::string>> fields(const Run& r) {
  return {{"data", r.data},
          {"regime", r.regime},
          {"method", r.method},
          {"strength", shortest(r.strength)},
          {"seed", message(r.seed)},
          {"steps", message(r.steps)},
          {"pairs", message(r.pairs)},
          {"width", message(r.width)},
          {"layers", message(r.layers)},
          {"schedule", r.schedule},
          {"warmup", shortest(r.warmup)},
          {"peak", shortest(r.peak)},
          {"norm", r.norm_first ? "pre" : "post"},
          {"beams", r.beams ? "yes" : "no"}};
}
const size_t kFields = fields({}).size();

std::vector<std::string> header() {
  std::vector<std::string> columns;
  for (const auto& [name, value] : fields({})) columns.push_back(name);
  columns.insert(columns.end(), kValues.begin(), kValues.end());
  columns.insert(columns.end(), kSeries.begin(), kSeries.end());
  return columns;
}

std::vector<std::string> split(const std::string& text, char at) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, at);) parts.push_back(part);
  if (text.ends_with(at)) parts.emplace_back();
  return parts;
}

double number(const std::string& text, const std::string& where) {
  char* end = nullptr;
  const double x = std::strtod(text.c_str(), &end);
  check_world(!text.empty() && *end == 0 && std::isfinite(x), where, "expected a number, got '", text, "'");
  return x;
}

std::string key(const std::vector<std::string>& row) {
  std::string text;
  for (size_t i = 0; i < kFields; ++i) text += (i ? " " : "") + row[i];
  return text;
}
std::vector<std::string> cells(const Run& run) {
  std::vector<std::string> all;
  for (const auto& [name, value] : fields(run)) all.push_back(value);
  return all;
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

Run optimum_run(const Lesson& lesson, double eps, int64_t seed) {
  Run run = base_run(lesson, "fresh");
  run.strength = eps, run.seed = seed, run.steps = 2500, run.width = 64, run.peak = 5e-3;
  return run;
}

std::string seeds_text(const Settings& settings) { return message("1 to ", settings.seeds()); }

std::string to_csv(const std::vector<Finished>& rows) {
  html::Table table{header()};
  for (const auto& [run, outcome] : rows) {
    std::vector<std::string> row = cells(run);
    for (const std::string& name : kValues)
      row.push_back(message(std::setprecision(5), outcome.values.at(name)));
    for (const std::string& name : kSeries) {
      std::string& cell = row.emplace_back();
      if (!outcome.series.contains(name)) continue;
      for (const auto& [a, b, c] : outcome.series.at(name))
        cell += (cell.empty() ? "" : " ") + message(std::setprecision(5), a, ":", b, ":", c);
    }
    table.add_row(row);
  }
  return table.csv();
}

std::vector<Finished> from_csv(const std::string& text, const std::string& file,
                               const std::vector<Run>& runs) {
  std::map<std::string, const Run*> wanted;
  for (const Run& run : runs) wanted[key(cells(run))] = &run;
  std::vector<Finished> rows;
  const std::vector<std::string> lines = split(text, '\n');
  check_world(!lines.empty() && split(lines[0], ',') == header(), file,
              ", line 1: these are not the columns of a sweep of this version; move the file away");
  for (size_t i = 1; i < lines.size() && !(lines[i].empty() && i + 1 == lines.size()); ++i) {
    const std::string where = message(file, ", line ", i + 1, ": ");
    const std::vector<std::string> row = split(lines[i], ',');
    check_world(row.size() == header().size(), where, "expected ", header().size(), " columns, got ",
                row.size());
    const auto run = wanted.find(key(row));
    check_world(run != wanted.end(), where, "the run `", key(row),
                "` is none of this sweep: it was made with other options");
    check_world(run->second, where, "the run `", key(row), "` is there twice");
    Finished& finished = rows.emplace_back(Finished{*std::exchange(run->second, nullptr), {}});
    auto cell = row.begin() + static_cast<std::ptrdiff_t>(kFields);
    for (const std::string& name : kValues) finished.outcome.values[name] = number(*cell++, where);
    for (const std::string& name : kSeries)
      for (const std::string& one : split(*cell++, ' ')) {
        const std::vector<std::string> parts = split(one, ':');
        check_world(parts.size() == 3, where, "expected three numbers a:b:c, got '", one, "'");
        finished.outcome.series[name].push_back(
            {number(parts[0], where), number(parts[1], where), number(parts[2], where)});
      }
  }
  return rows;
}

std::vector<Finished> sweep(const Settings& settings, const std::string& name, const Lesson& lesson,
                            const std::vector<Run>& runs) {
  const std::filesystem::path folder = settings.runs,
                              file =
                                  folder / (name + (lesson.truth.empty() ? "-" + lesson.name : "") + ".csv");
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  check_world(!error, "label_smoothing: cannot make the folder ", folder, ": ", error.message());
  std::vector<Finished> done;
  if (std::filesystem::exists(file)) {
    std::ifstream in(file);
    done = from_csv({std::istreambuf_iterator<char>(in), {}}, file.string(), runs);
  }
  std::vector<Run> missing;
  for (const Run& run : runs)
    if (std::ranges::find(done, run, &Finished::run) == done.end()) missing.push_back(run);
  Progress progress(std::cerr, {.total = std::ssize(runs), .start = std::ssize(done)});
  std::exception_ptr failure;
  // Within this region every kernel runs on the thread that calls it.
#pragma omp parallel for schedule(dynamic, 1)
  for (size_t i = 0; i < missing.size(); ++i) {
    if (interrupted()) continue;
    try {
      Outcome outcome = train_and_measure(lesson, missing[i]);
      if (outcome.values.empty()) continue;
#pragma omp critical
      {
        done.push_back({missing[i], std::move(outcome)});
        atomic_write_file(file.string(), to_csv(done));
        progress.update(std::ssize(done), name + ": runs finished");
      }
    } catch (...) {
#pragma omp critical
      failure = std::current_exception();
    }
  }
  if (failure) std::rethrow_exception(failure);
  check_world(!interrupted(), "label_smoothing: stopped; finished runs are kept in ", file);
  std::vector<Finished> ordered;
  for (const Run& run : runs) ordered.push_back(*std::ranges::find(done, run, &Finished::run));
  return ordered;
}

// Student's t from tables up to 30, from there by its expansion about the normal quantile.
double t_quantile(int64_t degrees_of_freedom) {
  constexpr double kTable[] = {12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
                               2.201,  2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
                               2.080,  2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042};
  check(degrees_of_freedom >= 1, "t quantile: expected at least 1 degree of freedom, got ",
        degrees_of_freedom);
  if (degrees_of_freedom <= 30) return kTable[degrees_of_freedom - 1];
  const double z = 1.959964, n = static_cast<double>(degrees_of_freedom);
  return z + (z * z * z + z) / (4 * n);
}

Interval interval(const std::vector<double>& x) {
  const auto n = std::ssize(x);
  if (n == 0) return {};
  double mean = 0, squares = 0;
  for (double v : x) mean += v;
  mean /= static_cast<double>(n);
  for (double v : x) squares += (v - mean) * (v - mean);
  const double half =
      n > 1 ? t_quantile(n - 1) * std::sqrt(squares / static_cast<double>((n - 1) * n)) : INFINITY;
  return {mean, mean - half, mean + half, n};
}

std::vector<const Outcome*> select(const std::vector<Finished>& rows, const Kind& kind) {
  std::vector<const Outcome*> found;
  for (const auto& [run, outcome] : rows)
    if (run.regime == kind.regime && run.method == kind.method && run.strength == kind.strength)
      found.push_back(&outcome);
  return found;
}

Interval mean_of(const std::vector<Finished>& rows, const Kind& kind, const Measure& measure) {
  std::vector<double> x;
  for (const Outcome* o : select(rows, kind)) x.push_back(measure(*o));
  return interval(x);
}

Interval difference(const std::vector<Finished>& rows, const Kind& a, const Kind& b, const Measure& measure,
                    const Measure& measure_a) {
  const auto from = select(rows, a), to = select(rows, b);
  check(from.size() == to.size(), "difference: ", from.size(), " runs beside ", to.size());
  std::vector<double> x;
  for (size_t i = 0; i < from.size(); ++i)
    x.push_back(measure(*to[i]) - (measure_a ? measure_a : measure)(*from[i]));
  return interval(x);
}

std::string text(const Interval& i) {
  const int digits = std::abs(i.mean) >= 10 ? 1 : std::abs(i.mean) >= 1 ? 2 : 3;
  const auto shown = [&](double x) { return message(std::fixed, std::setprecision(digits), x); };
  return shown(i.mean) + (i.n > 1 ? " [" + shown(i.low) + ", " + shown(i.high) + "]" : "");
}

std::string verdict(const std::string& what, const Interval& d) {
  if (!d.excludes_0() || d.n < 2) return what + " does not change for certain (" + text(d) + ")";
  const Interval size = d.mean > 0 ? d : Interval{-d.mean, -d.high, -d.low, d.n};
  return what + (d.mean > 0 ? " rises by " : " falls by ") + text(size);
}

std::string cell(const Interval& i) { return text(i) + (i.excludes_0() ? "" : " ~"); }

void add_curve(html::Table& table, const std::vector<std::string>& first,
               const std::vector<const Outcome*>& outcomes, const std::string& name, size_t y, size_t x) {
  for (size_t i = 0; !outcomes.empty() && i < outcomes[0]->series.at(name).size(); ++i) {
    std::vector<double> at, values;
    for (const Outcome* o : outcomes)
      at.push_back(o->series.at(name).at(i)[x]), values.push_back(o->series.at(name)[i][y]);
    const Interval mean = interval(values);
    std::vector<std::string> row = first;
    for (double cell : {interval(at).mean, mean.mean, mean.low, mean.high}) row.push_back(shortest(cell));
    table.add_row(row);
  }
}

}  // namespace gradus::examples::lab
