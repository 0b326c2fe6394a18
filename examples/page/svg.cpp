#include "examples/page/svg.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <iomanip>
#include <ranges>
#include <sstream>

#include "examples/data/utf8.h"
#include "tensor/error.h"

namespace gradus::examples::svg {
namespace {

constexpr double kWidth = 350, kRow = 18, kDigit = 7.7;
// Of the series, in order; the markers lie around the origin.
constexpr struct {
  const char *colour, *dash, *marker;
} kStyles[] = {
    {"#0072B2", "none", "M-3 0a3 3 0 1 0 6 0a3 3 0 1 0-6 0z"},
    {"#D55E00", "7 3", "M-3-3h6v6h-6z"},
    {"#009E73", "2 3", "M0-4l4 7h-8z"},
    {"#CC79A7", "9 3 2 3", "M0-4l4 4-4 4-4-4z"},
    {"#E69F00", "4 2", "M-3-3l6 6M-3 3l6-6"},
    {"#56B4E9", "12 4", "M0-4v8M-4 0h8"},
    {"currentColor", "2 2 6 2", "M0 4l4-7h-8z"},
};
constexpr const char* kGrid = "stroke='currentColor' stroke-opacity='.25'";
constexpr const char* kInk = "fill='none' stroke='currentColor'";

using Values = std::vector<double>;

// Of a text in type of 12, in the widest of the usual fonts.
double width(std::string_view text) {
  double sum = 0;
  for (const char c : text) {
    if ((c & 0xC0) == 0x80) continue;  // within a character
    if (std::strchr(" .,:;'|![]()ijltfr-", c)) sum += 5;
    else sum += std::strchr("mwMW", c) ? 12 : c >= 'A' && c <= 'Z' ? 9.4 : kDigit;
  }
  return sum;
}

std::string number(double value, int digits = 6) { return message(std::setprecision(digits), value + 0.); }

// A length is rounded on the page, and all else stands as it is.
std::string on_page(double at) { return number(std::round(at * 100) / 100, 7); }
template <class Part> const Part& on_page(const Part& part) { return part; }

class Canvas {
 public:
  template <class... Parts> void put(const Parts&... parts) { (body_ << ... << on_page(parts)) << '\n'; }
  void text(double x, double y, const std::string& text, const char* anchor, const std::string& more = "") {
    put("<text x='", x, "' y='", y, "' text-anchor='", anchor, "' ", more, ">", escape(text), "</text>");
  }
  void path(const std::vector<std::array<double, 2>>& points, const std::string& style) {
    std::string d;
    for (const auto& [x, y] : points) d += (d.empty() ? "M" : "L") + on_page(x) + " " + on_page(y);
    if (!d.empty()) put("<path d='", d, "' ", style, "/>");
  }
  void line(double x1, double y1, double x2, double y2, const std::string& style) {
    path({{x1, y1}, {x2, y2}}, style);
  }
  void rect(double x, double y, double w, double h, const std::string& style) {
    put("<rect x='", x, "' y='", y, "' width='", w, "' height='", h, "' ", style, "/>");
  }
  void marker(double x, double y, size_t i) {
    put("<path transform='translate(", x, " ", y, ")' d='", kStyles[i].marker, "' fill='", kStyles[i].colour,
        "' stroke='", kStyles[i].colour, "'/>");
  }

  std::string finish(const Chart& chart, double height) const {
    return message("<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 ", kWidth, " ", on_page(height),
                   "' role='img' font-size='12' font-family='system-ui, sans-serif' fill='currentColor'>\n",
                   "<title>", escape(chart.title), "</title>\n<desc>", escape(chart.description), "</desc>\n",
                   body_.str(), "</svg>\n");
  }

 private:
  std::ostringstream body_;
};

// The place on the page of data, with a tick at 1, 2 or 5 times a power of ten, or at each name.
struct Scale {
  Scale(const Axis& a, const Values& data) : axis(a), low(-0.5), high(std::ssize(a.names) - 0.5) {
    for (double i = 0; i < std::ssize(axis.names); ++i) ticks.push_back(i);
    if (!ticks.empty()) return;
    constexpr int kMost = 6;
    low = axis.from.value_or(INFINITY), high = axis.to.value_or(-INFINITY);
    for (double v : data) low = std::min(low, v), high = std::max(high, v);
    check(!axis.log || low > 0, "svg: axis `", axis.label, "` is logarithmic, got ", low);
    check(low > -1e100 && high < 1e100, "svg: axis `", axis.label, "` from ", low, " to ", high);
    if (axis.log) low = std::log10(low), high = std::log10(high);
    if (high - low <= 1e-9 * std::abs(high)) low -= 0.5, high += 0.5;
    double step = std::pow(10, std::floor(std::log10((high - low) / kMost)));
    if (axis.log) step = std::max(step, 1.);
    const auto first = [&] { return std::floor(low / step + 1e-9); };
    const auto last = [&] { return std::ceil(high / step - 1e-9); };
    for (int i = 0; last() - first() + 1 > kMost; ++i) step *= i % 3 == 1 ? 2.5 : 2;
    for (double i = first(); i <= last(); ++i) ticks.push_back(i * step);
    low = ticks[0], high = ticks.back();
  }
  double operator()(double value) const { return at(axis.log ? std::log10(value) : value); }
  double at(double tick) const { return begin + (tick - low) / (high - low) * (end - begin); }
  std::string label(double tick) const {
    if (!axis.names.empty()) return axis.names[static_cast<size_t>(tick)];
    return !axis.log ? number(tick) : std::abs(tick) > 3 ? "1e" + number(tick) : number(std::pow(10, tick));
  }
  double widest() const {
    double widest = 0;
    for (const double tick : ticks) widest = std::max(widest, width(label(tick)));
    return widest;
  }

  Axis axis;
  double low, high, begin = 0, end = 1;
  Values ticks;  // of a logarithmic axis: the exponents
};

// Axes below `top`; sets where both scales begin and end, and returns where all this ends.
double frame(Canvas& canvas, Scale& x, Scale& y, double top) {
  canvas.text(0, top + kRow, y.axis.label, "start");
  x.begin = y.widest() + 8,
  x.end = kWidth - (x.axis.names.empty() ? width(x.label(x.ticks.back())) / 2 + 4 : 2);
  const double slot = (x.end - x.begin) / std::ssize(x.ticks);
  check(x.axis.names.empty() || slot >= 13, "svg: no room for ", x.ticks.size(),
        " columns beside these names");
  const bool upright = !x.axis.names.empty() && x.widest() > slot;
  y.end = top + kRow + 16, y.begin = y.end + 200;
  if (!y.axis.names.empty()) {  // the first at the top
    x.end = std::min(x.end, x.begin + 48. * std::ssize(x.ticks));
    y.begin = y.end - 8, y.end = y.begin + std::min(slot, 24.) * std::ssize(y.ticks);
  }
  const double bottom = std::max(y.begin, y.end), below = bottom + (upright ? x.widest() + 8 : kRow);
  for (double tick : y.ticks) {
    if (y.axis.names.empty()) canvas.line(x.begin, y.at(tick), x.end, y.at(tick), kGrid);
    canvas.text(x.begin - 6, y.at(tick) + 4, y.label(tick), "end");
  }
  for (double tick : x.ticks) {
    if (upright)
      canvas.text(0, 0, x.label(tick), "end",
                  message("transform='translate(", x.at(tick) + 4, " ", bottom + 6, ") rotate(-90)'"));
    else canvas.text(x.at(tick), bottom + kRow, x.label(tick), "middle");
    if (x.axis.names.empty()) canvas.line(x.at(tick), bottom, x.at(tick), bottom + 4, kInk);
  }
  canvas.text((x.begin + x.end) / 2, below + kRow, x.axis.label, "middle");
  return below + kRow + 8;
}

std::string fill(size_t i, const std::string& ink) {
  return message("fill='", kStyles[i].colour, "' fill-opacity='", ink, "' ");
}
std::string stroke(size_t i) {
  return message("stroke='", kStyles[i].colour, "' stroke-dasharray='", kStyles[i].dash, "' ");
}
std::string line_style(Mark mark, size_t i) {
  return mark == Mark::reference ? message(kInk, " stroke-opacity='.6'")
                                 : "fill='none' stroke-width='2' " + stroke(i);
}
std::string bar_style(size_t i) { return fill(i, std::array{".8", ".35", "0"}[i % 3]) + stroke(i); }

void draw_line(Canvas& canvas, const Series& s, size_t i, const Scale& x, const Scale& y) {
  std::vector<std::array<double, 2>> line, band;  // the band: along `low`, and back along `high`
  for (size_t n = 0; n < s.y.size(); ++n) line.push_back({x(s.x[n]), y(s.y[n])});
  for (size_t n = 0; n < s.low.size(); ++n) band.push_back({line[n][0], y(s.low[n])});
  for (size_t n = s.high.size(); n-- > 0;) band.push_back({line[n][0], y(s.high[n])});
  canvas.path(band, fill(i, ".2"));
  if (s.mark != Mark::points) canvas.path(line, line_style(s.mark, i));
  const size_t every = s.mark == Mark::points ? 1 : (line.size() + 7) / 8;
  for (size_t n = 0; n < line.size() && s.mark != Mark::reference; n += every)
    canvas.marker(line[n][0], line[n][1], i);
}

void draw_bars(Canvas& canvas, const Series& s, size_t i, size_t abreast, const Scale& x, const Scale& y) {
  const double wide = s.wide / abreast, first = (i % abreast + 0.5) * wide - s.wide / 2;
  for (size_t n = 0; n < s.y.size(); ++n) {
    const double left = x(s.x[n] + first - wide / 2), right = x(s.x[n] + first + wide / 2),
                 from = y(s.low.empty() ? 0 : s.low[n]), to = y(s.low.empty() ? s.y[n] : s.high[n]);
    canvas.rect(left + 1, std::min(from, to), right - left - 2, std::abs(from - to), bar_style(i));
  }
}

void draw_cells(Canvas& canvas, const Series& s, size_t row, double largest, const Scale& x, const Scale& y) {
  const double wide = x(1) - x(0), high = y(1) - y(0);
  for (size_t n = 0; n < s.y.size(); ++n) {
    const double v = s.y[n], ink = v / std::max(largest, 1e-300), cx = x(s.x[n]), cy = y(row);
    check(v >= 0, "svg: `", s.name, "` has a value below 0: ", v);
    canvas.rect(cx - wide / 2, cy - high / 2, wide - 1, high - 1, fill(0, number(ink, 3)) + kGrid);
    std::string says = number(v, 2);
    if (says.starts_with("0.")) says.erase(0, 1);
    if (v == 0) canvas.put("<circle cx='", cx, "' cy='", cy, "' r='1.2'/>");
    else if (wide >= 4 * kDigit) canvas.text(cx, cy + 4, says, "middle", ink > 0.6 ? "fill='#fff'" : "");
  }
}

// Samples with the names of what has one, row after row from the top; returns where the last one ends.
double draw_legend(Canvas& canvas, const std::vector<Series>& series) {
  double x = 0, y = 0;
  for (size_t i = 0; i < series.size(); ++i) {
    const Series& s = series[i];
    if (s.name.empty() || s.mark == Mark::cells) continue;
    check(width(s.name) <= kWidth - 32, "svg: `", s.name, "` is too long for a legend");
    if (y == 0 || x + 32 + width(s.name) > kWidth) x = 0, y += kRow;
    if (s.mark == Mark::bars) canvas.rect(x, y - 9, 24, 10, bar_style(i));
    if (s.mark == Mark::line || s.mark == Mark::reference)
      canvas.line(x, y - 4, x + 26, y - 4, line_style(s.mark, i));
    if (s.mark == Mark::line || s.mark == Mark::points) canvas.marker(x + 13, y - 4, i);
    canvas.text(x + 32, y, s.name, "start");
    x += 42 + width(s.name);
  }
  return y;
}

}  // namespace

// The characters that XML 1.0 allows.
bool is_xml(char32_t c) {
  if (c < 0x20) return c == '\t' || c == '\n';
  return c != 0xFFFE && c != 0xFFFF;
}

std::string escape(std::string_view text) {
  constexpr std::array kNames{"&lt;", "&gt;", "&amp;", "&quot;", "&#39;"};
  std::string out;
  for (const auto& [c, bytes, valid] : CodePoints{text}) {
    const size_t special = std::string_view("<>&\"'").find(bytes);
    if (special < kNames.size()) out += kNames[special];
    else out += valid && is_xml(c) ? bytes : "\uFFFD";
  }
  return out;
}

std::string draw(Chart chart, const std::vector<Series>& series) {
  const auto marked = [&](Mark mark) { return std::ranges::count(series, mark, &Series::mark); };
  const bool map = marked(Mark::cells) > 0;
  check(!series.empty() && (map || series.size() <= std::size(kStyles)), "svg: expected 1 to ",
        std::size(kStyles), " series, got ", series.size());
  Values all_x, all_y;
  for (const Series& s : series) {
    check((s.mark == Mark::bars || !s.y.empty()) && s.x.size() == s.y.size() &&
              (s.low.empty() || s.low.size() == s.y.size()) && s.high.size() == s.low.size(),
          "svg: `", s.name, "`: expected ", s.x.size(), " numbers, and as many low and high or none; got ",
          s.y.size(), ", ", s.low.size(), " and ", s.high.size());
    const size_t n = chart.x.names.size();
    check(n == 0 || n == s.y.size(), "svg: `", s.name, "`: ", s.y.size(), " values for ", n, " names");
    if (map) chart.y.names.push_back(s.name);
    for (const auto& [values, all] :
         {std::pair(&s.x, &all_x), {&s.y, &all_y}, {&s.low, &all_y}, {&s.high, &all_y}})
      for (size_t i = 0; i < values->size(); ++i) {
        check(std::isfinite((*values)[i]), "svg: `", s.name, "`: number ", i, " is ", (*values)[i]);
        all->push_back((*values)[i]);
      }
  }
  if (marked(Mark::bars)) all_y.push_back(0);
  Canvas canvas;
  Scale x(chart.x, all_x), y(chart.y, all_y);
  const double bottom = frame(canvas, x, y, draw_legend(canvas, series));
  for (size_t i = 0; i < series.size(); ++i)
    if (map) draw_cells(canvas, series[i], i, *std::ranges::max_element(all_y), x, y);
    else if (series[i].mark != Mark::bars) draw_line(canvas, series[i], i, x, y);
    else draw_bars(canvas, series[i], i, chart.x.names.empty() ? 1 : marked(Mark::bars), x, y);
  return canvas.finish(chart, bottom);
}

// A value that is used on the next line only goes straight down; one that is needed later keeps a lane of its
// own, from its line to its last use.
std::string tape(const Chart& chart, const std::vector<Step>& steps) {
  check(!steps.empty(), "svg: a tape without steps");
  std::vector<size_t> last(steps.size()), lane(steps.size());
  std::vector<size_t> busy;  // until which line lanes 1, 2, ... are taken
  for (size_t i = 0; i < steps.size(); ++i)
    for (size_t input : steps[i].inputs)
      check(input < i, "svg: step ", i, " takes ", input, ", which is not earlier"), last[input] = i;
  for (size_t i = 0; i < steps.size(); ++i) {
    if (last[i] <= i + 1) continue;
    auto free = std::ranges::find_if(busy, [&](size_t until) { return until <= i; });
    if (free == busy.end()) free = busy.insert(free, 0);
    *free = last[i];
    lane[i] = free - busy.begin() + 1;
  }
  const double left = 10 * busy.size() + 8, high = 20;
  Canvas canvas;
  for (size_t i = 0; i < steps.size(); ++i) {
    const double y = high * i + 12;
    check(left + 12 + width(steps[i].text) <= kWidth, "svg: `", steps[i].text, "` is too long beside ",
          busy.size(), " lanes");
    for (size_t input : steps[i].inputs) {
      const double from = high * input + 12, x = left - 10 * lane[input];
      const char* colour = kStyles[lane[input] % std::size(kStyles)].colour;
      const std::string style = message("fill='none' stroke-width='2' stroke='", colour, "'");
      if (input + 1 == i) canvas.line(left, from, left, y, kInk);
      else canvas.path({{left, from}, {x, from + 8}, {x, y - 8}, {left, y}}, style);
    }
    canvas.put("<circle cx='", left, "' cy='", y, "' r='4'/>");
    canvas.text(left + 12, y + 4, steps[i].text, "start");
  }
  return canvas.finish(chart, high * steps.size() + 8);
}

}  // namespace gradus::examples::svg
