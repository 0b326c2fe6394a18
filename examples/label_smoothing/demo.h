// A demo: one claim of the chapter on label smoothing, made to run. A demo is a function from Settings to
// what a reader sees: figures and the numbers themselves. The words around them (the claim, the formula, one
// honest sentence on what is shown and where the claim fails) are a part of demos.txt. No effect is claimed
// whose 95 % interval holds 0. A demo prints nothing and writes nothing (but for what a long sweep keeps of
// its finished runs, under settings.out); main.cpp puts all demos onto one page.
//
// To add one: write `Demo name(const Settings&)` in a file of this folder, declare it below, give it its row
// in kDemos (main.cpp) and its part [name] in demos.txt.
#pragma once

#include <functional>
#include <list>
#include <map>

#include "examples/page/html.h"

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
};

// What a figure shows of a table: y against x, a series for each value of `by`; and what else it shows.
struct View {
  std::string by, x, y;
  svg::Mark mark = svg::Mark::line;
  bool log = false;  // x
  std::vector<svg::Series> more = {};
};

using Placeholders = std::map<std::string, std::string>;  // name: what stands for {name}

// What a demo measured and drew. What it says of that is its part of demos.txt.
struct Demo {
  std::string name;  // letters, digits and _: of its part, and of its place on the page
  Placeholders words = {};
  std::vector<std::string> figures = {};
  std::list<Data> data = {};                   // whose tables stay in their places while others are added
  std::vector<std::string> says = {"honest"};  // the texts that say what it shows, by their keys

  // A new table of `data`, to be filled.
  html::Table& table(const std::string& csv, std::vector<std::string> columns) {
    return data.emplace_back(Data{csv, {std::move(columns)}}).table;
  }
  std::string honest() const;  // these texts, one after the other
  // Adds a figure with the texts `key`, key.shows and key.caption, and key.x and key.y on its axes, or the
  // names of the columns. Its placeholders are its own.
  void draw(const std::string& key, const html::Table& table, const View& view, const Placeholders& own = {});
  void draw(const std::string& key, const std::function<std::string(svg::Chart)>& figure,
            const Placeholders& own = {});
};

// A text of demos.txt; what is not there is an error, or empty if it may be.
std::string text(const std::string& part, const std::string& key, bool may_be_empty = false);
// With each {name} replaced. A name that nothing stands for is an error, and so is one that no text uses.
std::vector<std::string> filled(std::vector<std::string> texts, const Placeholders& words);

// The lines between `// shown: NAME` and `// end shown` in this folder's sources, as they were compiled.
std::string shown(const std::string& name);

// The section of the page for demo number `number` of the course's list.
html::Section section(int number, const Demo& demo);

// What demos 9 and 10 show without training: how losses pull on a wrong word, and what they pull to.
void draw_wrong_word(Demo& demo);
void draw_targets(Demo& demo);

// Their numbers are in kDemos.
using MakeDemo = Demo(const Settings& settings);
MakeDemo overconfidence, soft_targets, sparse_or_dense, loss_and_confidence, kl_and_ce, smoothing_sweep,
    reliability_diagrams, population_optimum, confidence_penalty, weights_and_priors, adaptive_smoothing,
    learning_rates, beam_and_length, attention_and_tape;

}  // namespace gradus::examples::lab
