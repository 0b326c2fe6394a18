// label_smoothing: the chapter on label smoothing as one page, made by running it.
#include <algorithm>
#include <filesystem>
#include <iostream>
#include <set>

#include "examples/data/numbers.h"
#include "examples/data/words.h"
#include "examples/label_smoothing/demo.h"
#include "examples/program/options.h"
#include "examples/program/program.h"
#include "tensor/safetensors.h"

namespace gradus::examples {

extern const char* const kLabHelp;  // help.txt, by the build

namespace lab {
namespace {

struct Entry {
  int number;  // in the course's list
  Demo (*make)(const Settings& settings);
  bool of_a_text = false;  // made with --data, too
};
constexpr Entry kDemos[] = {
    {1, overconfidence, true},       {2, soft_targets},        {3, sparse_or_dense},
    {4, loss_and_confidence},        {5, kl_and_ce},           {6, smoothing_sweep, true},
    {7, reliability_diagrams, true}, {8, population_optimum},  {9, confidence_penalty},
    {10, weights_and_priors},        {11, adaptive_smoothing}, {12, learning_rates},
    {13, beam_and_length, true},     {15, attention_and_tape},
};

int run(std::span<const std::string> arguments) {
  std::cout << std::unitbuf;
  Settings settings;
  std::string only;
  std::string about = kLabHelp;
  about.pop_back();  // the file's last newline
  Options options("label_smoothing [--out DIR] [options]", about);
  options.add("--out", &settings.out, "DIR", "where index.html and the CSV files go");
  options.add("--quick", &settings.quick, "", "3 seeds, at most 10 minutes on 2 cores: the default");
  options.add("--full", &settings.full, "", "20 paired seeds in two regimes: half an hour");
  options.add("--only", &only, "N,M,...", "these demos alone, by their numbers, on a page demos.html");
  options.add("--source", &settings.source, "FILE", "sweep and calibrate on this text, a sentence a line");
  options.add("--target", &settings.target, "FILE", "and its translation, line by line");
  options.add("--runs", &settings.runs, "DIR", "of finished runs; else quick-runs or full-runs in --out");
  options.add("--threads", &settings.threads, "N", "CPU threads; 0: all cores", {0, 1024});
  std::vector<std::string> words(arguments.begin(), arguments.end());
  if (const auto at = std::find(words.begin(), words.end(), "--data"); at != words.end()) {
    const auto is_file = [](const std::string& word) { return !word.starts_with("--"); };
    check(words.end() - at > 2 && std::all_of(at + 1, at + 3, is_file),
          "--data: expected two files, SOURCE and TARGET");
    *at = "--source";
    words.insert(at + 2, "--target");
  }
  const Options::Action action = options.parse(words);
  if (action == Options::Action::help) return std::cout << options.help(), 0;
  if (action == Options::Action::dump_config) return std::cout << options.dump(), 0;
  check(!settings.quick || !settings.full, "label_smoothing: --quick and --full exclude each other");
  check(settings.source.empty() == settings.target.empty(),
        "label_smoothing: --source and --target go together");
  std::set<int> chosen;
  for (const std::string& part : only.empty() ? Words() : split(only, ',')) {
    const auto found = std::ranges::find(kDemos, number_in<int>(part).value_or(0), &Entry::number);
    check(found != std::end(kDemos), "label_smoothing: there is no demo `", part, "`; see --help");
    check(settings.source.empty() || found->of_a_text, "label_smoothing: demo ", part,
          " is not made of a text; without --data it is");
    chosen.insert(found->number);
  }
  settings.quick = !settings.full;
  if (settings.runs.empty()) settings.runs = settings.out + (settings.full ? "/full-runs" : "/quick-runs");
  if (settings.threads > 0) set_num_threads(settings.threads);

  std::error_code error;
  std::filesystem::create_directories(settings.out, error);
  check_world(!error, "label_smoothing: cannot make the folder --out ", settings.out, ": ", error.message());
  watch_interrupts();
  std::vector<html::Section> sections;
  for (const auto& [number, make, of_a_text] : kDemos) {
    if (!settings.source.empty() && !of_a_text) continue;
    if (!only.empty() && !chosen.contains(number)) continue;
    std::cout << "demo " << number << " ... ";
    const double begun = seconds_now();
    const Demo demo = make(settings);
    for (const Data& d : demo.data) atomic_write_file(settings.out + "/" + d.name + ".csv", d.table.csv());
    sections.push_back(section(number, demo));
    std::cout << text(demo.name, "title") << " (" << int(seconds_now() - begun + 0.5) << " s)\n";
    check_world(!interrupted(), "label_smoothing: stopped; the page is not written, finished runs are kept");
  }
  const std::string page = settings.out + (only.empty() ? "/index.html" : "/demos.html");
  atomic_write_file(page, html::page(text("page", "title"), text("page", "lead"), sections));
  std::cout << "The page: " << page << "\n";
  return 0;
}

}  // namespace
}  // namespace lab
}  // namespace gradus::examples

int main(int argc, char** argv) {
  return gradus::examples::run_program(argc, argv, gradus::examples::lab::run);
}
