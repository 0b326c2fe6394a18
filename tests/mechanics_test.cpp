// The demos that train nothing: the numbers on the page, which come from the losses and the tape, against
// formulas typed here.
#include <doctest/doctest.h>

#include <cmath>

#include "examples/data/json.h"
#include "examples/label_smoothing/demo.h"
#include "examples/measure/attention_weights.h"
#include "examples/page/tape.h"
#include "nn/attention.h"
#include "tests/markup.h"

using namespace gradus;
using namespace gradus::examples;
using doctest::Approx;
using std::string;

namespace {

using Demo = lab::Demo (*)(const lab::Settings&);
constexpr Demo kUntrained[] = {lab::soft_targets, lab::sparse_or_dense, lab::loss_and_confidence,
                               lab::kl_and_ce, lab::attention_and_tape};

std::vector<std::vector<string>> rows(const lab::Demo& demo, const string& name) {
  for (const lab::Data& data : demo.data)
    if (data.name == name) return data.table.rows;
  throw std::invalid_argument("no data " + name);
}

double number(const string& cell) { return std::stod(cell); }

}  // namespace

TEST_CASE("every demo has all its parts, is well-formed, and is the same each time") {
  for (const Demo make : kUntrained) {
    const lab::Demo demo = make({});
    CAPTURE(demo.name);
    const html::Section section = lab::section(7, demo);
    CHECK(ill_formed(html::page("t", "", {section})) == "");
    CHECK(lab::section(7, make({})).body == section.body);
    const string code = lab::shown(lab::text(demo.name, "code"));
    CHECK(!demo.figures.empty());
    const string table = lab::text(demo.name, "table", /*may_be_empty=*/true);
    CHECK((table.empty() || rows(demo, table).size() > 0));  // else it would stand nowhere
    REQUIRE(!demo.data.empty());
    for (const lab::Data& data : demo.data) {
      CHECK(!data.table.rows.empty());
      CHECK(section.body.find("<a href=\"" + data.name + ".csv\">") != string::npos);
    }
    CHECK(code.find("shown:") == string::npos);
    CHECK(code.find_first_not_of(' ') == 0);
  }
  CHECK(lab::shown("kl_and_ce").find("{\n  const Variable logits") !=
        string::npos);  // indented as in the source
  CHECK_THROWS_WITH(lab::shown("nothing"), "lab: no source says `// shown: nothing`");
}

TEST_CASE("texts: what is not there, what nothing stands for, and what no text uses are errors") {
  CHECK(lab::filled({"{a} and {b}", "{a}"}, {{"a", "1"}, {"b", "{a}"}}) ==
        std::vector<string>{"1 and {a}", "1"});
  CHECK_THROWS_WITH(lab::filled({"x {missing} y"}, {}), "demos.txt: nothing stands for `{missing}`");
  CHECK_THROWS_WITH(lab::filled({"an open {brace"}, {{"brace", ""}}),
                    "demos.txt: nothing stands for `{brace`");
  CHECK_THROWS_WITH(lab::filled({"x"}, {{"unused", "1"}}), "demos.txt: no text uses `{unused}`");
  CHECK_THROWS_WITH(lab::text("soft_targets", "moral"), "demos.txt: there is no `moral` in [soft_targets]");
  CHECK_THROWS_WITH(lab::text("nowhere", "title"), "demos.txt: there is no `title` in [nowhere]");
  CHECK(lab::text("soft_targets", "moral", /*may_be_empty=*/true) == "");
  lab::Demo demo{"soft_targets", {{"unused", "1"}}};
  CHECK_THROWS_WITH(lab::section(1, demo), "demos.txt: no text uses `{unused}`");
  CHECK_THROWS_WITH(demo.draw("nothing", [](const svg::Chart&) { return string(); }),
                    "demos.txt: there is no `nothing` in [soft_targets]");
}

TEST_CASE("soft targets: the four conventions") {
  const double eps = 0.1, v = 6;
  for (const auto& row : rows(lab::soft_targets({}), "soft_targets")) {
    const bool target = row[1] == "y", pad = row[1] == "pad";
    const double expected = row[0] == "hard"         ? (target ? 1 : 0)
                            : row[0] == "uniform"    ? (target ? 1 - eps : 0) + eps / v
                            : row[0] == "as_printed" ? (target ? 1 - eps : eps / v)
                            : row[0] == "others"     ? (target ? 1 - eps : eps / (v - 1))
                            : pad                    ? 0
                                                     : (target ? 1 - eps : eps / (v - 2));
    CHECK(number(row[2]) == Approx(expected).epsilon(1e-12));
    if (pad && row[0] == "others_not_pad") CHECK(number(row[2]) == 0);
  }
}

TEST_CASE("demos 9 and 10: what a loss pulls to, and how hard, against formulas typed here") {
  lab::Demo penalty{"confidence_penalty"}, weights{"weights_and_priors"};
  lab::draw_wrong_word(penalty), lab::draw_targets(weights);
  for (const auto& row : rows(penalty, "penalty_pull")) {
    const double p = number(row[1]), target = 0.9 * (1 - p), other = 0.1 * (1 - p) / 8;
    const double entropy = -p * std::log(p) - target * std::log(target) - 8 * other * std::log(other);
    const double expected = row[0] == "hard"            ? p
                            : row[0] == "smoothing 0.1" ? p - 0.1 / 10
                                                        : p + p * (std::log(p) + entropy);
    CHECK(std::abs(number(row[2]) - expected) < 1e-12);
  }
  const std::map<string, double> counts{{"pad", 0}, {"1", 15}, {"2", 8}, {"y", 3}, {"4", 3}, {"5", 1}};
  for (const auto& row : rows(weights, "targets_of_variants")) {
    const double on = row[1] == "y" ? 0.7 : 0, count = counts.at(row[1]), q = on + 0.3 / 6;
    const double expected = row[0] == "uniform"          ? q
                            : row[0] == "others_not_pad" ? (row[1] == "pad" ? 0
                                                            : on > 0        ? on
                                                                            : 0.3 / 4)
                            : row[0] == "unigram"        ? on + 0.3 * count / 30
                            : row[0] == "per_target"     ? q / 2
                                                         : q / std::sqrt(count + 1);
    CHECK(std::abs(number(row[2]) - expected) < 1e-12);
  }
}

TEST_CASE("fact 4: sparse with respect to log-probabilities, dense with respect to logits") {
  for (const auto& row : rows(lab::sparse_or_dense({}), "sparse_or_dense")) {
    const double p = number(row[0]), eps = number(row[1]), v = 10;
    const bool target = row[2] == "0";
    const double q = (target ? 1 - eps : 0) + eps / v, pj = target ? p : (1 - p) / (v - 1);
    CHECK(std::abs(number(row[3]) + q) < 1e-12);
    CHECK(std::abs(number(row[4]) - (pj - q)) < 1e-12);
  }
  for (const auto& row : rows(lab::sparse_or_dense({}), "sparse_or_dense_counts")) {
    CHECK(row[2] == (row[1] == "0" ? "1" : "10"));
    CHECK(row[3] == "10");
    const double p = number(row[0]), eps = number(row[1]), v = 10, on = 1 - eps + eps / v, off = eps / v;
    CHECK(number(row[5]) == Approx(std::hypot(on, std::sqrt(v - 1) * off)).epsilon(1e-9));
    CHECK(number(row[6]) == Approx(std::sqrt(v / (v - 1)) * std::abs(p - on)).epsilon(1e-9));
  }
}

TEST_CASE("fact 1 and 3: floors, where they are reached, and the gap there") {
  const std::vector<std::vector<double>> known{{5, 0.389673, 0},     {10, 0.500288, 4.5109},
                                               {100, 0.777797, 0},   {1000, 1.014848, 0},
                                               {10000, 1.245993, 0}, {32000, 1.362390, 12.5707}};
  const lab::Demo demo = lab::loss_and_confidence({});
  const auto floors = rows(demo, "loss_floors");
  REQUIRE(floors.size() == known.size());
  for (size_t i = 0; i < known.size(); ++i) {
    const double v = known[i][0];
    CHECK(number(floors[i][0]) == v);
    CHECK(std::abs(number(floors[i][2]) - known[i][1]) < 1e-5);
    CHECK(std::abs(number(floors[i][3]) - (0.9 + 0.1 / v)) < 1e-6);
    CHECK(std::abs(number(floors[i][4]) - std::log(v * 0.9 / 0.1 + 1)) < 1e-4);
    if (known[i][2] > 0) CHECK(std::abs(number(floors[i][4]) - known[i][2]) < 1e-4);
  }
  for (const auto& row : rows(demo, "loss_and_confidence")) {
    const double eps = number(row[0]), p = number(row[1]), v = 10, q = 1 - eps + eps / v;
    CHECK(number(row[2]) ==
          Approx(-q * std::log(p) - (v - 1) * eps / v * std::log((1 - p) / (v - 1))).epsilon(1e-12));
  }
}

TEST_CASE("fact 2: equivalent within a convention; as printed not") {
  const double eps = 0.1, v = 10, h = 0.500288, on = 1 - eps, off = eps / v;
  const double s = -on * std::log(on) - (v - 1) * off * std::log(off);
  for (const auto& row : rows(lab::kl_and_ce({}), "kl_and_ce")) {
    const double nll = number(row[1]), gap = number(row[4]);
    CHECK(std::abs(number(row[2]) - number(row[3]) - gap) < 1e-12);
    if (row[0] == "KL, uniform") CHECK(std::abs(gap - h) < 1e-6);
    else CHECK(std::abs(gap - s - eps / v * nll) < 1e-12);
  }
}

TEST_CASE("attention: masked cells are exactly 0, rows sum to 1, and padding changes nothing") {
  const lab::Demo demo = lab::attention_and_tape({});
  std::map<string, double> sums;
  size_t zeros = 0;
  for (const auto& row : rows(demo, "attention_weights")) {
    sums[row[0] + row[1]] += number(row[3]);
    const auto position = [](const string& word) { return string("BOS x EOSpad").find(word); };
    const bool later = row[0].starts_with("Decoder: ") && position(row[2]) > position(row[1]);
    const bool masked = row[2].starts_with("pad") || later;
    CHECK((number(row[3]) == 0) == masked);
    zeros += masked;
  }
  CHECK(zeros == 5 * 2 + (6 + 1) + 4 * 2);
  for (const auto& [row, sum] : sums) CHECK(sum == Approx(1).epsilon(1e-12));
  for (const auto& row : rows(demo, "padding_changes")) CHECK((row[1] == "0" || row[1] == "0, 0"));
}

TEST_CASE("attention_weights are softmax(q k / sqrt(d)), by hand") {
  constexpr int64_t D = 6, H = 2, T = 4;
  nn::MultiHeadAttention layer(D, H);
  layer.to(DType::f64);
  layer.init(3);
  const Tensor x = Generator(5).normal({1, T, D}, 1), lengths = Tensor::from(std::vector<int32_t>{3}, {1});
  const std::vector<Tensor> found =
      attention_weights(layer.self_attention(Variable(x), lengths, /*causal=*/true), H);
  REQUIRE(found.size() == 1);
  CHECK(found[0].shape() == Shape{1, H, T, T});
  const std::vector<double> w =
      layer.parameters()[0].variable.value().to_vector<double>();  // [3D, D]; biases are 0
  const auto projected = [&](int64_t row, int64_t t) {
    double sum = 0;
    for (int64_t i = 0; i < D; ++i) sum += w[row * D + i] * x.data<double>()[t * D + i];
    return sum;
  };
  for (int64_t h = 0; h < H; ++h)
    for (int64_t t = 0; t < T; ++t) {
      std::vector<double> e(T, 0);
      double all = 0;
      for (int64_t s = 0; s <= std::min<int64_t>(t, 2); ++s) {
        double score = 0;
        for (int64_t i = h * D / H; i < (h + 1) * D / H; ++i) score += projected(i, t) * projected(D + i, s);
        all += e[s] = std::exp(score / std::sqrt(D / H));
      }
      for (int64_t s = 0; s < T; ++s)
        CHECK(found[0].data<double>()[(h * T + t) * T + s] == Approx(e[s] / all).epsilon(1e-12));
    }
}

TEST_CASE("the tape's steps are its operations, in order, each after its inputs") {
  const Variable w(Tensor::full({2, 3}, 1), true), x(Tensor::full({4, 3}, 1));
  const std::vector<svg::Step> steps =
      steps_of(sum(relu(linear(x, w, {})) * 2), {{"net.layers.0.weight", w}});
  REQUIRE(steps.size() == 4);
  CHECK(steps[0].text == "linear net.0 [4, 2]");
  CHECK(steps[0].inputs.empty());
  for (size_t i = 1; i < steps.size(); ++i) CHECK(steps[i].inputs == std::vector<size_t>{i - 1});
  CHECK_THROWS_WITH(steps_of(x, {}), "tape: nothing was recorded behind this Variable");
}

TEST_CASE("JsonLine: what was written is read again, and a cut line is none") {
  const string text = "a \"b\\\", \"step\": 9, caf\u00e9\n";
  const string line =
      JsonLine().add("kind", "x").add("text", text).add("step", 7).add("loss", 0.125).add("bad", NAN).str();
  const JsonFields fields = JsonFields::parse(line).value();
  CHECK(fields.text("text") == text);
  CHECK(fields.number("step") == 7);
  CHECK(fields.number("loss") == 0.125);
  CHECK(!fields.number("bad"));
  CHECK(!fields.number("absent"));
  CHECK(!fields.number("kind"));
  CHECK(fields.text("absent") == "");
  for (size_t cut = 0; cut < line.size(); ++cut) CHECK(!JsonFields::parse(line.substr(0, cut)));
}

TEST_CASE("JsonFields: any spacing, and the escapes of other programs") {
  const JsonFields compact =
      JsonFields::parse(R"({"kind":"valid","step":40,"nll":1.5e-1,"ok":true})").value();
  CHECK(compact.text("kind") == "valid");
  CHECK(compact.number("step") == 40);
  CHECK(compact.number("nll") == 0.15);
  const JsonFields escaped = JsonFields::parse("\t{ \"t\" : \"\\u00e9 \\ud83d\\ude00 \\/\\t\" } ").value();
  CHECK(escaped.text("t") == "\u00e9 \U0001F600 /\t");
  for (const char* bad : {"", "{", "[1]", "{\"a\":}", "{\"a\" 1}", "{\"a\":1,}", "{\"a\":1} x",
                          "{\"a\":\"\\ud83d\"}", "{\"a\":\"\\x\"}", "{\"a\":{}}"})
    CHECK_MESSAGE(!JsonFields::parse(bad), bad);
}
