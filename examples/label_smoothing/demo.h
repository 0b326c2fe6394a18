// A demo: one claim of the chapter on label smoothing, made to run. A demo is a function from Settings to
// what a reader sees: the formula, the lines of code that made the numbers, figures, the numbers themselves,
// and one honest sentence on what they show and where the claim fails. It prints nothing and writes nothing
// (but for what a long sweep keeps of its finished runs, under settings.out); main.cpp puts all demos onto
// one page.
//
// To add one: write `Demo name(const Settings&)` in a file of this folder, declare it below, and give it its
// row in kDemos (main.cpp).
#pragma once

#include "examples/support/html.h"

namespace gradus::examples::lab {

struct Settings {
  std::string out = "lab";
  bool quick = false, full = false;  // mechanics in minutes, or the paired seeds; quick unless full
  std::string source, target;        // a real corpus for the sweep and for calibration, or nothing
  std::string runs;                  // where finished runs are kept and looked for
  int64_t threads = 0;               // CPU threads; 0: all cores

  int64_t seeds() const { return full ? 20 : 3; }
};

struct Data {  // NAME.csv beside the page
  std::string name;
  html::Table table;
  bool on_the_page = false;  // a short one is shown, too
};

struct Demo {
  std::string name, title;                // name: letters, digits and _; it names the place on the page
  std::string claim = {};                 // what the chapter says, in our words: HTML
  std::string formula = {};               // HTML, such as <i>q<sub>y</sub></i>
  std::string code = {};                  // plain text: shown("name")
  std::vector<std::string> figures = {};  // from html::figure
  std::vector<Data> data = {};
  std::string seeds = "none: nothing here is random";
  // HTML: one sentence on what this shows and where the claim fails. No effect is claimed whose 95 % interval
  // holds 0.
  std::string honest = {};
  bool collapsed = false;  // long and not on the main way: folded until it is opened
};

// The lines between `// shown: NAME` and `// end shown` in this folder's sources, as they were compiled.
std::string shown(const std::string& name);

// The section of the page for demo number `number` of the course's list.
html::Section section(int number, const Demo& demo);

Demo soft_targets(const Settings& settings);          // 2
Demo sparse_or_dense(const Settings& settings);       // 3
Demo loss_and_confidence(const Settings& settings);   // 4
Demo kl_and_ce(const Settings& settings);             // 5
Demo overconfidence(const Settings& settings);        // 1
Demo smoothing_sweep(const Settings& settings);       // 6
Demo reliability_diagrams(const Settings& settings);  // 7
Demo population_optimum(const Settings& settings);    // 8
Demo confidence_penalty(const Settings& settings);    // 9
Demo weights_and_priors(const Settings& settings);    // 10
Demo adaptive_smoothing(const Settings& settings);    // 11
Demo learning_rates(const Settings& settings);        // 12
Demo beam_and_length(const Settings& settings);       // 13
Demo attention_and_tape(const Settings& settings);    // 15

}  // namespace gradus::examples::lab
