// The lab at reduced size (ctest -L lab): what it asserts of label smoothing, with its intervals printed; and
// how it keeps its runs.
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>

#include "compare.h"
#include "examples/label_smoothing/sweep.h"
#include "tests/markup.h"

using namespace gradus;
using namespace gradus::compare;
using namespace gradus::examples;
using namespace gradus::examples::lab;

namespace {

std::string world_error_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "";
}

struct Folder {  // goes when it is left
  Folder() { std::filesystem::remove_all(path); }
  ~Folder() { std::filesystem::remove_all(path); }
  std::filesystem::path path =
      std::filesystem::temp_directory_path() / ("gradus_lab_" + std::to_string(getpid()));
  Settings settings() const {
    Settings s;
    s.runs = path.string();
    return s;
  }
};

Run tiny(int64_t seed) { return {.seed = seed, .steps = 3, .pairs = 40, .width = 8}; }

}  // namespace

TEST_CASE("what the lab says of smoothing, at reduced size") {
  const Folder folder;
  const Lesson lesson = toy_lesson();
  // The longest first. Few fresh ones: their sign is plain.
  Results of_optimum = sweep(folder.settings(), "optimum", {{"0.1", optimum_run(lesson, 0.1)}}, /*seeds=*/3);
  std::map<std::string, Results> of;
  for (const std::string regime : {"overfit", "fresh"}) {
    Kinds kinds;
    for (double eps : {0., 0.1, 0.3}) {
      Run& run = kinds.emplace_back(message(eps), base_run(lesson, regime)).second;
      run.strength = eps;
      if (regime == "fresh") run.width = 32, run.steps = 700;
    }
    of[regime] = sweep(folder.settings(), regime, kinds, /*seeds=*/regime == "fresh" ? 2 : 5);
  }
  const auto say = [&](const std::string& what, const Interval& i) { MESSAGE(what << ": " << text(i)); };
  for (const std::string regime : {"overfit", "fresh"}) {
    MESSAGE(regime);
    const Outcomes &hard = of[regime]["0"], &soft = of[regime]["0.1"], &softer = of[regime]["0.3"];
    const Interval falls = difference(hard, soft, "top"), further = difference(soft, softer, "top"),
                   ece = difference(hard, soft, "ece");
    say("mean top probability, 0.1 minus 0", falls), say("0.3 minus 0.1", further);
    say("ECE, 0.1 minus 0", ece);
    CHECK(falls.mean < 0);
    CHECK(further.mean < 0);
    CHECK((regime == "overfit" ? ece.high < 0 : ece.low > 0));
  }
  // As the page has it: the mean p, over the models, of all words that have the same true q lies on the line.
  // (That of one model alone strays from it by up to 0.03.)
  std::map<double, std::array<double, 2>> by_q;  // words, sum of their p
  for (const Outcome& o : of_optimum["0.1"])
    for (const auto& [q, words, p] : o.series.at("optimum")) by_q[q][0] += words, by_q[q][1] += words * p;
  for (const auto& [q, n] : by_q) {
    if (n[0] < 30) continue;
    const double p = n[1] / n[0], line = 0.9 * q + 0.1 / lesson.target.size();
    MESSAGE("q " << q << ": p " << p << ", line " << line);
    CHECK(std::fabs(p - line) < 0.02);
  }
}

TEST_CASE("a run is told by its seed, whatever the thread; a sweep goes on where it was interrupted") {
  const Folder folder;
  const Lesson lesson = toy_lesson();
  const auto swept = [&](int64_t seeds) {
    return sweep(folder.settings(), "s", {{"tiny", tiny(0)}}, seeds).at("tiny");
  };
  const Outcomes both = swept(2);
  CHECK(both[0].values == train_and_measure(lesson, tiny(1)).values);
  CHECK(both[0].values != both[1].values);
  const auto file = folder.path / "s.csv";
  const auto text_of = [&] {
    std::ifstream in(file);
    return std::string{std::istreambuf_iterator<char>(in), {}};
  };
  const std::string before = text_of();
  std::string edited = before;  // a row that is there is used, not made again
  const size_t second = edited.find('\n') + 1, value = edited.find(",no,", second) + 4;
  edited.replace(value, edited.find(',', value) - value, "77");
  std::ofstream(file) << edited;
  const Outcomes three = swept(3);
  CHECK(three[0].values.at("bleu") == 77);
  CHECK(three[2].values == train_and_measure(lesson, tiny(3)).values);

  const auto refused = [&](const std::string& text, const std::string& part) {
    std::ofstream(file) << text;
    CHECK(contains(world_error_of([&] { swept(2); }), part));
  };
  refused(text_of(),
          "s.csv, line 4: the run `toy overfit smoothing 0 3 3 40 8 1 cosine 0.1 0.003 pre no` is none");
  const std::string row = before.substr(second, before.find('\n', second) + 1 - second);
  refused("a,b\n", "s.csv, line 1");
  refused(before + row, "line 4: the run");
  refused(before + row, "is there twice");
  refused(before + "toy,overfit\n", "line 4: expected");
  refused(before.substr(0, before.size() - 40), "line 3");
  std::string words = before;
  words.replace(value, words.find(',', value) - value, "many");
  refused(words, "line 2: expected a number, got 'many'");
  // Of the first row's series one is cut short, and one is there that was not measured.
  const auto with = [&](size_t column, const std::string& cell) {
    size_t begin = second;
    for (size_t i = 0; i < column; ++i) begin = before.find(',', begin) + 1;
    return std::string(before).replace(begin, before.find_first_of(",\n", begin) - begin, cell);
  };
  const size_t curve = 14 + kValues.size();  // the first series
  refused(with(curve, "1:2:3"), "line 2: expected 3 points of `curve`, got 1");
  refused(with(curve + 2, ""), "line 2: expected 15 points of `reliability`, got 0");
  refused(with(curve + 5, ""), "line 2: `optimum` has 0 points");
  refused(with(curve + 7, "1:1:1"), "line 2: `beams` has 1 points");
}

TEST_CASE("the page of --full is made of the committed runs, and none is trained again") {
  const Folder folder;
  std::filesystem::copy(GRADUS_SOURCE_DIR "/examples/label_smoothing/full", folder.path);
  const std::map<std::string, std::ptrdiff_t> runs{
      {"eps", 20 * 2 * 7}, {"variants", 20 * 17}, {"optimum", 3 * 3}, {"schedules", 5 * 8}};
  const auto text_of = [&](const std::string& name) {
    std::ifstream in(folder.path / (name + ".csv"));
    return std::string{std::istreambuf_iterator<char>(in), {}};
  };
  for (const auto& sweep : runs) {  // else making the page would train them
    const std::string text = text_of(sweep.first);
    REQUIRE_MESSAGE(std::ranges::count(text, '\n') == sweep.second + 1, sweep.first);
  }
  const auto before = std::filesystem::last_write_time(folder.path / "eps.csv");
  Settings settings = folder.settings();
  settings.full = true;
  for (auto demo :
       {overconfidence, smoothing_sweep, reliability_diagrams, population_optimum, confidence_penalty,
        weights_and_priors, adaptive_smoothing, learning_rates, beam_and_length})
    CHECK(ill_formed(html::page("t", "", {section(1, demo(settings))})) == "");
  CHECK(std::filesystem::last_write_time(folder.path / "eps.csv") == before);
}

TEST_CASE("every method trains; hard labels are its neutral setting") {
  const Lesson lesson = toy_lesson();
  const auto values = train_and_measure(lesson, tiny(1)).values;
  for (const char* method : {"penalty", "hinge", "annealed", "unigram", "linear", "cosine", "triggered"}) {
    Run run = tiny(1);
    run.method = method;
    CHECK(train_and_measure(lesson, run).values == values);
    run.strength = 0.3;
    // Three steps make no model so sure that these two begin to do something.
    const bool waits = method == std::string("triggered") || method == std::string("hinge");
    if (!waits) CHECK(train_and_measure(lesson, run).values != values);
  }
  Run unknown = tiny(1);
  unknown.method = "hinje";
  CHECK_THROWS_WITH_AS(train_and_measure(lesson, unknown), "lab: there is no method hinje",
                       std::invalid_argument);
}

TEST_CASE("the hinge and the trigger act on a model that is sure") {
  const Lesson lesson = toy_lesson();
  Run hard{.steps = 150, .pairs = 8, .width = 8, .peak = 2e-2};
  const auto values = train_and_measure(lesson, hard).values;
  for (const char* method : {"hinge", "triggered"}) {
    Run run = hard;
    run.method = method, run.strength = 1;
    CHECK(train_and_measure(lesson, run).values != values);
  }
}

TEST_CASE("a sweep that cannot keep what is finished says so, from within its threads") {
  const Folder folder;
  CHECK_THROWS_AS(sweep(folder.settings(), "no folder/s", {{"tiny", tiny(0)}}, 2), std::runtime_error);
}

TEST_CASE("what is not measured of a kind of run is an error") {
  Outcome outcome = train_and_measure(toy_lesson(), tiny(1));
  CHECK_THROWS_WITH_AS(measured(outcome, "longer"), "lab: `longer` is not measured of this kind of run",
                       std::invalid_argument);
  CHECK_THROWS_AS(measured(outcome, "early_nll"), std::invalid_argument);
  CHECK_THROWS_AS(measured(outcome, "luck"), std::invalid_argument);
}

TEST_CASE("intervals: Student's t on paired differences") {
  CHECK(t_quantile(19) == near(2.093));
  CHECK(t_quantile(60) == near(2.000, 2e-3));
  const Interval i = interval({1, 2, 3, 4, 5});  // mean 3, deviation sqrt 2.5: half = 2.776 sqrt(2.5 / 5)
  CHECK(i.mean == 3);
  CHECK(i.high == near(3 + 2.776 * std::sqrt(0.5)));
  CHECK(i.excludes_0());
  CHECK(!interval({-1, 2, 3, -4, 5}).excludes_0());
  CHECK(!interval({5}).excludes_0());
  CHECK(text(Interval{0.1234, 0.1, 0.15, 3}) == "0.123 [0.100, 0.150]");
  CHECK(verdict("ECE", {-0.2, -0.3, -0.1, 3}) == "ECE falls by 0.200 [0.100, 0.300]");
  CHECK(verdict("ECE", {0.2, 0.1, 0.3, 3}) == "ECE rises by 0.200 [0.100, 0.300]");
  CHECK(verdict("ECE", {-0.2, -0.5, 0.1, 3}) == "ECE shows no clear change (-0.200 [-0.500, 0.100])");
  CHECK(contains(verdict("ECE", interval({3})), "no clear change"));
}
