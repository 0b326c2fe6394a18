// Figures and pages: well-formed, the same each time, each point where its axes say it is, and errors for
// what cannot be drawn.
#include <doctest/doctest.h>

#include <cmath>
#include <map>

#include "examples/measure/calibration.h"
#include "examples/page/html.h"
#include "examples/page/reliability.h"
#include "tests/markup.h"

using namespace gradus::examples;
using doctest::Approx;
using std::string;

namespace {

template <class Action> string refusal(Action action) {
  try {
    action();
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "no error";
}

// Where an axis has put its numbers, read off its labels: value -> place. x: the labels below; y: those at
// the left.
std::map<double, double> ticks(const string& svg, bool x) {
  std::map<double, double> found;
  for (const auto& t :
       numbers(svg, x ? "<text x='([0-9.]+)' y='[0-9.]+' text-anchor='middle' >([0-9.e-]+)</text>"
                      : "<text x='[0-9.]+' y='([0-9.]+)' text-anchor='end' >([0-9.e-]+)</text>"))
    found[t[1]] = x ? t[0] : t[0] - 4;  // a label's base line is 4 below its tick
  return found;
}

// The place of a value on an axis, from its first and its last label alone.
double place(const std::map<double, double>& axis, double value, bool log = false) {
  const auto map = [&](double v) { return log ? std::log10(v) : v; };
  const auto [v0, p0] = *axis.begin();
  const auto [v1, p1] = *axis.rbegin();
  return p0 + (map(value) - map(v0)) / (map(v1) - map(v0)) * (p1 - p0);
}

const svg::Chart kChart{"A <title> & more", "What \"it\" shows", {"steps"}, {"loss"}};
const std::vector<svg::Series> kTwo{{"a < b", {0, 3, 10}, {-1, 2, 0.5}, {-2, 1, 0}, {0, 3, 1}},
                                    {"points", {1, 2, 9}, {0.25, 0.5, 1.75}, {}, {}, svg::Mark::points}};

// With names along x.
svg::Chart named(const std::vector<string>& names) {
  svg::Chart chart = kChart;
  chart.x.names = names;
  return chart;
}
svg::Series with_names(svg::Mark mark, const string& name, const std::vector<double>& values) {
  svg::Series series{.name = name, .x = {}, .y = values, .mark = mark};
  for (size_t i = 0; i < values.size(); ++i) series.x.push_back(double(i));
  return series;
}
svg::Series bars(const string& name, const std::vector<double>& values) {
  return with_names(svg::Mark::bars, name, values);
}
svg::Series cells(const string& name, const std::vector<double>& values) {
  return with_names(svg::Mark::cells, name, values);
}

}  // namespace

TEST_CASE("the checker of markup notices what is wrong") {
  CHECK(ill_formed("<a b='1'>x &lt; y<c/></a>\n") == "");
  for (const char* wrong : {"", "x", "<a>", "<a></b>", "<a></a><b></b>", "<a b=1></a>", "<a b='1' b='2'></a>",
                            "<a>&</a>", "<a>x < y</a>", "<a>\x01</a>", "<a b='<'></a>"})
    CHECK_MESSAGE(ill_formed(wrong) != "", wrong);
}

TEST_CASE("every figure is well-formed, has a title and a description, and is the same each time") {
  const auto all = [] {
    return std::vector<string>{
        svg::draw(kChart, kTwo),
        svg::draw(named({"one", "two"}), {bars("a & b", {1, 2}), bars("c", {0, -3})}),
        svg::draw(named({"c1", "c2", "c3"}), {cells("r'1", {0, 1, 2}), cells("r2", {0.5, 0, 0})}),
        svg::draw(kChart, diagram({{100, 0.1, 0.2}, {5, 0.7, 0.6}, {}})),
        svg::tape(kChart, {{"first", {}}, {"<second>", {0}}, {"third", {0, 1}}}),
    };
  };
  const std::vector<string> once = all();
  CHECK(once == all());
  for (const string& figure : once) {
    CHECK(ill_formed(figure) == "");
    CHECK(figure.find("<title>A &lt;title&gt; &amp; more</title>\n<desc>What &quot;it&quot; shows</desc>") !=
          string::npos);
    CHECK(figure.find("viewBox='0 0 350 ") != string::npos);
    CHECK(figure.find("nan") == string::npos);
    CHECK(figure.find("inf") == string::npos);
  }
}

TEST_CASE("plot: points stand where the labels of the axes say") {
  const auto check = [](const svg::Chart& chart, const svg::Series& series, bool log) {
    const string figure = svg::draw(chart, {series});
    const auto markers = numbers(figure, "<path transform='translate\\(([0-9.]+) ([0-9.]+)\\)'");
    const auto x = ticks(figure, true), y = ticks(figure, false);
    REQUIRE(markers.size() == series.x.size());  // without a name there is no legend
    REQUIRE(x.size() >= 2);
    REQUIRE(y.size() >= 2);
    for (size_t i = 0; i < markers.size(); ++i) {
      CHECK(markers[i][0] == Approx(place(x, series.x[i])).epsilon(1e-4));
      CHECK(markers[i][1] == Approx(place(y, series.y[i], log)).epsilon(1e-4));
      CHECK(markers[i][0] >= 0);
      CHECK(markers[i][0] <= 350);
    }
    for (const auto& [value, at] : y)
      CHECK(at == Approx(place(y, value, log)).epsilon(1e-4));  // evenly, or by decades
  };
  check({"t", "d", {"x"}, {"y"}}, {"", {0, 3, 10, 4.5}, {0, 2, 0.5, 1.25}, {}, {}, svg::Mark::points}, false);
  check({"t", "d", {"x"}, {"y"}}, {"", {1000, 1010, 1003}, {0.001, 0.0015, 0.002}, {}, {}, svg::Mark::points},
        false);
  check({"t", "d", {"x"}, {"y", /*log=*/true}}, {"", {1, 2, 3}, {0.004, 20, 900}, {}, {}, svg::Mark::points},
        true);
  check({"t", "d", {"x", false, 0., 50.}, {"y", false, 0.}},
        {"", {20, 40}, {5, 5}, {}, {}, svg::Mark::points}, false);
}

TEST_CASE("plot: few, round ticks that hold the data; constant data") {
  for (const auto& [low, high] :
       {std::pair(0., 1.), {0., 7.}, {-3e-5, 8e-5}, {1e6, 9.9e6}, {0.97, 1.013}, {5., 5.}}) {
    const string figure = svg::draw({"t", "d", {"x"}, {"y"}}, {{"", {low, high}, {0, 1}}});
    std::vector<double> at;
    for (const auto& t :
         numbers(figure, "y='[0-9.]+' text-anchor='middle' >(-?[0-9.]+(?:e[-+]?[0-9]+)?)</text>"))
      at.push_back(t[0]);
    CHECK(at.size() >= 2);
    CHECK(at.size() <= 6);
    CHECK(at.front() <= low + 1e-9);
    CHECK(at.back() >= high - 1e-9 * std::abs(high));
  }
}

TEST_CASE("plot: a band lies where low and high are") {
  const string figure = svg::draw(kChart, kTwo);
  const auto y = ticks(figure, false);
  const auto band = numbers(
      figure, "<path d='M([0-9.]+) ([0-9.]+)L([0-9.]+) ([0-9.]+)L([0-9.]+) ([0-9.]+)L([0-9.]+) ([0-9.]+)L");
  REQUIRE(band.size() == 1);
  const auto x = ticks(figure, true);
  for (const auto& [i, value] : {std::pair(0, 0.), {2, 3.}, {4, 10.}, {6, 10.}})  // there, and back
    CHECK(band[0][static_cast<size_t>(i)] == Approx(place(x, value)).epsilon(1e-3));
  for (const auto& [i, value] :
       {std::pair(1, -2.), {3, 1.}, {5, 0.}, {7, 1.}}) {  // low, low, low, and back from high
    // The labels hold no minus sign in ticks(): 0 and above are enough for a line.
    CHECK(band[0][static_cast<size_t>(i)] == Approx(place(y, value)).epsilon(1e-3));
  }
}

TEST_CASE("bars: heights are values, from 0; those of several series stand side by side") {
  const string figure = svg::draw(named({"g1", "g2"}), {bars("", {1, 3}), bars("", {2, 0.5})});
  const auto y = ticks(figure, false);
  const auto rects =
      numbers(figure, "<rect x='([0-9.]+)' y='([0-9.]+)' width='([0-9.]+)' height='([0-9.]+)'");
  REQUIRE(rects.size() == 4);
  const std::vector<double> expected{1, 3, 2, 0.5};
  for (size_t i = 0; i < 4; ++i) {
    CHECK(rects[i][1] == Approx(place(y, expected[i])).epsilon(1e-4));
    CHECK(rects[i][1] + rects[i][3] == Approx(place(y, 0)).epsilon(1e-4));
  }
  for (const auto& [left, right] : {std::pair(0, 2), {2, 1}, {1, 3}})
    CHECK(rects[static_cast<size_t>(left)][0] + rects[static_cast<size_t>(left)][2] <
          rects[static_cast<size_t>(right)][0]);
}

TEST_CASE("cells: ink is the share of the largest; an exact 0 is a dot") {
  const string figure = svg::draw(named({"c1", "c2"}), {cells("r1", {0, 4}), cells("r2", {1, 1e-9})});
  std::vector<double> ink;
  for (const auto& one : numbers(figure, "fill-opacity='([0-9.e-]+)'")) ink.push_back(one[0]);
  CHECK(ink == std::vector<double>{0, 1, 0.25, 2.5e-10});
  CHECK(numbers(figure, "<circle cx='([0-9.]+)'").size() == 1);
}

TEST_CASE("reliability: heights are accuracies, gaps reach to the confidence; thin bins say so") {
  const svg::Chart chart{"t", "d", {"confidence"}, {"accuracy"}};
  const string figure = svg::draw(chart, diagram({{30, 0.2, 0.1}, {29, 0.9, 0.6}, {}, {1000, 0.95, 0.95}}));
  const auto x = ticks(figure, true), y = ticks(figure, false);
  const auto rects =
      numbers(figure, "<rect x='([0-9.]+)' y='([0-9.]+)' width='([0-9.]+)' height='([0-9.]+)'");
  REQUIRE(rects.size() == 3 + 5);  // the legend's; of the thin bin no gap is drawn
  const auto holds = [&](const std::vector<double>& rect, double from, double to, double low, double high) {
    CHECK(rect[0] == Approx(place(x, from) + 1).epsilon(1e-3));
    CHECK(rect[0] + rect[2] == Approx(place(x, to) - 1).epsilon(1e-3));
    CHECK(rect[1] == Approx(place(y, high)).epsilon(1e-3));
    CHECK(rect[1] + rect[3] == Approx(place(y, low)).epsilon(1e-3));
  };
  holds(rects[3], 0, 0.25, 0, 0.1);
  holds(rects[4], 0.75, 1, 0, 0.95);
  holds(rects[5], 0, 0.25, 0.1, 0.2);
  holds(rects[7], 0.25, 0.5, 0, 0.6);
  const auto ink = numbers(figure, "<rect [^>]*fill-opacity='([0-9.]+)'");
  CHECK(ink[3][0] == 0.8);
  CHECK(ink[7][0] == 0);
  CHECK(figure.find("fewer than 30 tokens") != string::npos);
  CHECK(svg::draw(chart, diagram({{30, 0.5, 0.5}})).find("fewer") == string::npos);
}

TEST_CASE("tape: as many ways as inputs; late uses have lanes that do not meet") {
  const string figure =
      svg::tape({"t", "d", {}, {}}, {{"a", {}}, {"b", {0}}, {"c", {0, 1}}, {"d", {2, 0}}, {"e", {1, 3}}});
  CHECK(numbers(figure, "<path d='M([0-9.]+) ").size() == 7);
  std::vector<std::vector<double>> lanes =
      numbers(figure, "L([0-9.]+) ([0-9.]+)L[0-9.]+ ([0-9.]+)L");  // x, from, to
  std::map<double, std::vector<std::pair<double, double>>> by_x;
  for (const auto& lane : lanes) by_x[lane[0]].push_back({lane[1], lane[2]});
  CHECK(by_x.size() == 2);  // of a (to d) and of b (to e)
}

TEST_CASE("what cannot be drawn is refused with its name") {
  const double nan = NAN;
  CHECK(refusal([&] { svg::draw(kChart, {{"loss", {0, 1}, {1, nan}}}); }) == "svg: `loss`: number 1 is nan");
  CHECK(refusal([&] {
          svg::draw(kChart, {{"loss", {0, INFINITY}, {1, 1}}});
        }) == "svg: `loss`: number 1 is inf");
  CHECK(refusal([&] {
          svg::draw(kChart, {{"loss", {0}, {1}, {nan}, {1}}});
        }) == "svg: `loss`: number 0 is nan");
  CHECK(refusal([] {
          svg::draw(kChart, {{"loss", {0, 1}, {1}}});
        }) == "svg: `loss`: expected 2 numbers, and as many low and high or none; got 1, 0 and 0");
  CHECK(refusal([] { svg::draw(kChart, {{"loss", {}, {}}}); }).find("got 0, 0 and 0") != string::npos);
  CHECK(refusal([] { svg::draw(kChart, {}); }) == "svg: expected 1 to 7 series, got 0");
  CHECK(refusal([] {
          svg::draw(kChart, std::vector<svg::Series>(8, {"s", {0}, {0}}));
        }) == "svg: expected 1 to 7 series, got 8");
  CHECK(refusal([] {
          svg::draw({"t", "d", {"x", true}, {"y"}}, {{"s", {0, 1}, {1, 1}}});
        }) == "svg: axis `x` is logarithmic, got 0");
  CHECK(refusal([] {
          svg::draw(kChart, {{string(45, 'n'), {0}, {1}}});
        }).find("too long for a legend") != string::npos);
  CHECK(refusal([&] { svg::draw(named({"a"}), {bars("b", {nan})}); }) == "svg: `b`: number 0 is nan");
  CHECK(refusal([&] { svg::draw(named({"c"}), {cells("r", {nan})}); }) == "svg: `r`: number 0 is nan");
  CHECK(refusal([] { svg::draw(named({"c"}), {cells("r", {-1})}); }) == "svg: `r` has a value below 0: -1");
  for (const auto& series : {bars("r", {1, 2}), cells("r", {1, 2}), bars("r", {1})})
    CHECK(refusal([&] {
            svg::draw(named({"c", "d", "e"}), {series});
          }).find(" values for 3 names") != string::npos);
  CHECK(refusal([] {
          svg::draw(named(std::vector<string>(40, "c")), {cells("r", std::vector<double>(40))});
        }).find("no room") != string::npos);
  CHECK(refusal([&] { svg::draw(kChart, diagram({{99, nan, 0.5}})); }).find("is nan") != string::npos);
  CHECK(refusal([] { diagram({}); }).find("without bins") != string::npos);
  CHECK(refusal([] { svg::tape(kChart, {{"a", {0}}}); }) == "svg: step 0 takes 0, which is not earlier");
}

TEST_CASE("numbers too large for an axis are refused, too") {
  CHECK(refusal([] {
          svg::draw(kChart, {{"s", {0, 1}, {-1e308, 1e308}}});
        }) == "svg: axis `loss` from -1e+308 to 1e+308");
}

TEST_CASE("escape: characters beyond U+FFFF stay, those that XML forbids go") {
  CHECK(svg::escape("\U0001F600 \U00010000 \U0010FFFF \uFFFD") == "\U0001F600 \U00010000 \U0010FFFF \uFFFD");
  CHECK(svg::escape("\uFFFE\uFFFF") == "\uFFFD\uFFFD");
}

TEST_CASE("html: numbers are rounded on the page, texts that look like numbers are not") {
  html::Table table{{"step", "said"}, {}, {"said"}};
  table.add(1234567.0, "1234567").add(2, "infinity").add(3, "20170706");
  const std::string page = html::table(table);
  CHECK(page.find(">1.2346e+06<") != page.npos);
  for (const char* text : {">1234567<", ">infinity<", ">20170706<"}) CHECK(page.find(text) != page.npos);
}

TEST_CASE("escape: markup, controls and broken UTF-8") {
  CHECK(svg::escape("a<b>&\"'\u00e9") == "a&lt;b&gt;&amp;&quot;&#39;\u00e9");
  CHECK(svg::escape("\x01\xff\n") == "\uFFFD\uFFFD\n");
}

TEST_CASE("a table's rows are series: numbers as they lie, with low and high; names as they come") {
  html::Table t{{"eps", "x", "mean", "low", "high"}};
  t.add(0.1, 2, 5., 4., 6.).add(0., 1, 7., -INFINITY, INFINITY).add(0.1, 3, 8., 7., 9.5);
  const auto series = t.series("eps", "x", "mean");
  REQUIRE(series.size() == 2);
  CHECK(series[0].name == "eps 0.1");
  CHECK(series[0].x == std::vector<double>{2, 3});
  CHECK(series[0].y == std::vector<double>{5, 8});
  CHECK(series[0].high == std::vector<double>{6, 9.5});
  CHECK(series[1].low.empty());  // of one number there is no interval
  CHECK(t.series("eps", "x", "low")[0].low.empty());
  CHECK(t.where("x", {"3", "1"}).rows.size() == 2);
  CHECK(t.series("x", "eps", "mean", svg::Mark::bars)[1].x == std::vector<double>{1});
  html::Table words{{"by", "x", "y"}};
  CHECK_THROWS_WITH(words.add("a", "b", "c").series("by", "x", "y"), "table: `b` is no number");
}

TEST_CASE("html: tables, their CSV, and a page that loads nothing") {
  html::Table table{{"name", "value"}};
  table.add(string("a, \"b\""), 0.1).add(string("<c>"), 7);
  CHECK(table.csv() == "name,value\n\"a, \"\"b\"\"\",0.1\n<c>,7\n");
  CHECK_THROWS_WITH(table.add(string("alone")), "table: 1 cells for 2 columns");
  CHECK_THROWS_WITH(table.column("nothing"), "table: there is no column `nothing`");
  const string page = html::page(
      "A & B", "<p>lead</p>",
      {{"one", "First",
        html::table(table) + html::code("if (a < b && c) {}") +
            html::details("more", html::figures({html::figure(svg::draw(kChart, kTwo), "caption")}))},
       {"two", "Second", ""}});
  CHECK_MESSAGE(ill_formed(page).starts_with("no entity: & B"), "the title is HTML already");
  const string right =
      html::page("A &amp; B", "",
                 {{"one", "First",
                   html::table(table) + html::figures({html::figure(svg::draw(kChart, kTwo), "caption")})}});
  CHECK(ill_formed(right) == "");
  CHECK(right.find("href=\"#one\"") != string::npos);
  CHECK(right.find("&lt;c&gt;") != string::npos);
  for (const char* outside : {"<script", "<link", "<img", "@import", "url(", "src="})
    CHECK(right.find(outside) == string::npos);
  CHECK(right.find("prefers-color-scheme: dark") != string::npos);
}
