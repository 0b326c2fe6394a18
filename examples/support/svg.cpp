#include "examples/support/svg.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <functional>
#include <sstream>

#include "examples/support/text.h"
#include "tensor/error.h"

namespace gradus::examples::svg {
namespace {

constexpr double kWidth = 360, kRow = 18, kLetter = 7.2;  // a letter of type 12 is rarely wider
constexpr size_t kStyles = 7;
constexpr std::array<const char*, kStyles> kColours{"#0072B2", "#D55E00", "#009E73",     "#CC79A7",
                                                    "#E69F00", "#56B4E9", "currentColor"};
constexpr std::array<const char*, kStyles> kDashes{"none", "7 3", "2 3", "9 3 2 3", "4 2", "12 4", "2 2 6 2"};
constexpr std::array<const char*, kStyles> kMarkers{// around the origin
                                                    "M-3 0a3 3 0 1 0 6 0a3 3 0 1 0-6 0z",
                                                    "M-3-3h6v6h-6z",
                                                    "M0-4l4 7h-8z",
                                                    "M0-4l4 4-4 4-4-4z",
                                                    "M-3-3l6 6M-3 3l6-6",
                                                    "M0-4v8M-4 0h8",
                                                    "M0 4l4-7h-8z"};

double width(std::string_view text) {
  return kLetter * static_cast<double>(
                       std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

std::string number(double value, std::chars_format format = std::chars_format::general, int digits = 6) {
  char text[64];
  return {text, std::to_chars(text, text + sizeof text, value == 0 ? 0 : value, format, digits).ptr};
}

// Up to three digits: what a cell or a tick says.
std::string rounded(double value) { return number(value, std::chars_format::general, 3); }

struct At {  // a position on the page, to a hundredth
  double value;
};
std::ostream& operator<<(std::ostream& out, At at) { return out << std::round(at.value * 100) / 100 + 0.0; }

class Canvas {
 public:
  template <class... Parts> void put(const Parts&... parts) { (body_ << ... << parts) << '\n'; }

  void text(double x, double y, std::string_view text, const char* anchor = "start", const char* more = "") {
    put("<text x=\"", At{x}, "\" y=\"", At{y}, "\" text-anchor=\"", anchor, "\"", more, ">", escape(text),
        "</text>");
  }
  void rule(double x1, double y1, double x2, double y2, const char* style = "stroke-opacity=\".25\"") {
    put("<path d=\"M", At{x1}, " ", At{y1}, "L", At{x2}, " ", At{y2}, "\" stroke=\"currentColor\" ", style,
        "/>");
  }
  void rect(double x, double y, double w, double h, size_t style, double ink, const char* more = "") {
    put("<rect x=\"", At{x}, "\" y=\"", At{y}, "\" width=\"", At{w}, "\" height=\"", At{h}, "\" fill=\"",
        kColours[style], "\" fill-opacity=\"", number(ink, std::chars_format::fixed, 2), "\"", more, "/>");
  }
  void marker(double x, double y, size_t style) {
    put("<path transform=\"translate(", At{x}, " ", At{y}, ")\" d=\"", kMarkers[style], "\" fill=\"",
        kColours[style], "\" stroke=\"", kColours[style], "\"/>");
  }

  // Samples with their names, row after row from the top; returns where the last one ends.
  double legend(const std::vector<std::string>& names,
                const std::function<void(size_t, double, double)>& sample) {
    double x = 0, y = 0;
    for (size_t i = 0; i < names.size(); ++i) {
      if (names[i].empty()) continue;
      const double wide = 32 + width(names[i]) + 10;
      check(width(names[i]) <= 44 * kLetter, "svg: `", names[i],
            "` is too long for the legend: 44 characters");
      if (y == 0 || x + wide > kWidth) x = 0, y += kRow;
      sample(i, x, y - 4);
      text(x + 32, y, names[i]);
      x += wide;
    }
    return y;
  }

  std::string finish(const Chart& chart, double height) const {
    return message(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 ", kWidth, " ", At{height},
        "\" role=\"img\" font-family=\"system-ui, sans-serif\" font-size=\"12\" fill=\"currentColor\" "
        "stroke-width=\"1\">\n<title>",
        escape(chart.title), "</title>\n<desc>", escape(chart.description), "</desc>\n", body_.str(),
        "</svg>\n");
  }

 private:
  std::ostringstream body_;
};

// From data to places on the page, and the numbers at its ticks.
struct Scale {
  Scale(const Axis& axis, double low, double high, int most_ticks) : log(axis.log) {
    low = std::min(low, axis.from.value_or(low)), high = std::max(high, axis.to.value_or(high));
    check(!log || low > 0, "svg: axis `", axis.label, "` is logarithmic, got ", low);
    if (log) low = std::log10(low), high = std::log10(high);
    if (high - low <= 1e-9 * std::max(std::abs(low), std::abs(high)) || high == low) low -= 0.5, high += 0.5;
    double step = std::pow(10, std::floor(std::log10((high - low) / most_ticks)));
    if (log) step = std::max(step, 1.);
    for (int i = 0; std::floor(high / step + 1 - 1e-9) - std::floor(low / step + 1e-9) > most_ticks; ++i)
      step *= i % 3 == 1 ? 2.5 : 2;  // 1, 2, 5, 10
    from = std::floor(low / step + 1e-9), to = std::ceil(high / step - 1e-9);
    for (double tick = from; tick <= to; ++tick)
      ticks.push_back(log ? std::pow(10, tick * step) : tick * step);
    from *= step, to *= step;
  }
  double operator()(double value) const {
    return begin + ((log ? std::log10(value) : value) - from) / (to - from) * (end - begin);
  }
  std::string label(double tick) const {
    return log && (tick < 1e-3 || tick > 1e4) ? "1e" + number(std::log10(tick)) : number(tick);
  }
  double widest() const {
    double most = 0;
    for (double tick : ticks) most = std::max(most, width(label(tick)));
    return most;
  }

  bool log;
  double from, to, begin = 0, end = 1;  // data (their logarithms), and places
  std::vector<double> ticks;
};

void check_finite(const std::string& name, const char* part, const std::vector<double>& values) {
  for (size_t i = 0; i < values.size(); ++i)
    check(std::isfinite(values[i]), "svg: `", name, "`: ", part, "[", i, "] is ", values[i]);
}

void check_series(const std::vector<Series>& series, bool with_x) {
  size_t styled = 0;
  for (const Series& s : series) {
    const size_t n = s.y.size();
    check(n > 0 && (!with_x || s.x.size() == n) && (s.low.empty() || s.low.size() == n) &&
              s.high.size() == s.low.size(),
          "svg: `", s.name, "`: expected as many x, low and high as y, and at least one; got ", s.x.size(),
          ", ", s.low.size(), ", ", s.high.size(), " and ", n);
    check_finite(s.name, "x", s.x), check_finite(s.name, "y", s.y);
    check_finite(s.name, "low", s.low), check_finite(s.name, "high", s.high);
    styled += s.mark != Mark::reference;
  }
  check(!series.empty() && styled <= kStyles, "svg: expected 1 to ", kStyles, " series, got ", series.size());
}

Scale scale_of(const Axis& axis, const std::vector<const std::vector<double>*>& data, int most_ticks) {
  double low = INFINITY, high = -INFINITY;
  for (const auto* values : data)
    for (double v : *values) low = std::min(low, v), high = std::max(high, v);
  return Scale(axis, low, high, most_ticks);
}

// Frame, ticks and labels of an area that begins below `top`; sets where both scales begin and end.
void frame(Canvas& canvas, const Chart& chart, Scale& x, Scale& y, double top, double height) {
  canvas.text(0, top + kRow, chart.y.label);
  x.begin = y.widest() + 8, x.end = kWidth - std::max(8., width(x.label(x.ticks.back())) / 2);
  y.begin = top + kRow + 12 + height, y.end = top + kRow + 12;
  for (double tick : y.ticks) {
    canvas.rule(x.begin, y(tick), x.end, y(tick));
    canvas.text(x.begin - 6, y(tick) + 4, y.label(tick), "end");
  }
  for (double tick : x.ticks) {
    canvas.rule(x(tick), y.begin, x(tick), y.begin + 4, "");
    canvas.text(x(tick), y.begin + kRow, x.label(tick), "middle");
  }
  canvas.text((x.begin + x.end) / 2, y.begin + 2 * kRow, chart.x.label, "middle");
}

}  // namespace

std::string escape(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const auto [c, length, valid] = decode_utf8(text, at);
    if (c == '<') out += "&lt;";
    else if (c == '>') out += "&gt;";
    else if (c == '&') out += "&amp;";
    else if (c == '"') out += "&quot;";
    else
      out +=
          valid && (c >= 0x20 || c == '\n' || c == '\t') && c < 0xFFFE ? text.substr(at, length) : "\uFFFD";
    at += length;
  }
  return out;
}

std::string plot(const Chart& chart, const std::vector<Series>& series) {
  check_series(series, /*with_x=*/true);
  Canvas canvas;
  std::vector<const std::vector<double>*> xs, ys;
  std::vector<std::string> names;
  std::vector<size_t> style(series.size());
  for (size_t i = 0, next = 0; i < series.size(); ++i) {
    const Series& s = series[i];
    xs.push_back(&s.x), ys.insert(ys.end(), {&s.y, &s.low, &s.high});
    names.push_back(s.name);
    style[i] = s.mark == Mark::reference ? 0 : next++;
  }
  const auto stroke = [&](size_t i) {
    return series[i].mark == Mark::reference
               ? std::string("fill=\"none\" stroke=\"currentColor\" stroke-opacity=\".6\"")
               : message("fill=\"none\" stroke-width=\"2\" stroke=\"", kColours[style[i]],
                         "\" stroke-dasharray=\"", kDashes[style[i]], "\"");
  };
  const double top = canvas.legend(names, [&](size_t i, double x, double y) {
    if (series[i].mark != Mark::points)
      canvas.put("<path d=\"M", At{x}, " ", At{y}, "h26\" ", stroke(i), "/>");
    if (series[i].mark != Mark::reference) canvas.marker(x + 13, y, style[i]);
  });
  Scale x = scale_of(chart.x, xs, 6), y = scale_of(chart.y, ys, 6);
  frame(canvas, chart, x, y, top, 200);
  for (size_t i = 0; i < series.size(); ++i) {
    const Series& s = series[i];
    std::ostringstream line, band;
    for (size_t n = 0; n < s.y.size(); ++n) line << (n ? 'L' : 'M') << At{x(s.x[n])} << ' ' << At{y(s.y[n])};
    for (size_t n = 0; n < s.low.size(); ++n) {
      band << (n ? 'L' : 'M') << At{x(s.x[n])} << ' ' << At{y(s.low[n])};
      if (s.mark == Mark::points) canvas.rule(x(s.x[n]), y(s.low[n]), x(s.x[n]), y(s.high[n]), "");
    }
    for (size_t n = s.high.size(); n-- > 0;) band << 'L' << At{x(s.x[n])} << ' ' << At{y(s.high[n])};
    if (!s.low.empty() && s.mark != Mark::points)
      canvas.put("<path d=\"", band.str(), "z\" fill-opacity=\".2\" fill=\"", kColours[style[i]], "\"/>");
    if (s.mark != Mark::points) canvas.put("<path d=\"", line.str(), "\" ", stroke(i), "/>");
    const size_t every = s.mark == Mark::points ? 1 : (s.y.size() + 7) / 8;
    for (size_t n = 0; n < s.y.size() && s.mark != Mark::reference; n += every)
      canvas.marker(x(s.x[n]), y(s.y[n]), style[i]);
  }
  return canvas.finish(chart, y.begin + 2 * kRow + 8);
}

std::string bars(const Chart& chart, const std::vector<std::string>& groups,
                 const std::vector<Series>& series) {
  check_series(series, /*with_x=*/false);
  Canvas canvas;
  std::vector<const std::vector<double>*> values;
  std::vector<std::string> names;
  for (const Series& s : series) {
    check(s.y.size() == groups.size(), "svg: `", s.name, "`: ", s.y.size(), " bars for ", groups.size(),
          " groups");
    values.insert(values.end(), {&s.y, &s.low, &s.high});
    names.push_back(s.name);
  }
  // Ink tells series apart where colour does not.
  const auto bar = [&](size_t i, double x, double y, double w, double h) {
    const double ink = std::array{0.9, 0.45, 0.1}[i % 3];
    canvas.rect(x, y, w, h, i, ink,
                message(" stroke=\"", kColours[i], "\" stroke-dasharray=\"", kDashes[i], "\"").c_str());
  };
  double top = canvas.legend(names, [&](size_t i, double x, double y) { bar(i, x, y - 5, 24, 10); }) + 8;
  Axis axis = chart.x;
  if (!axis.log) axis.from = std::min(axis.from.value_or(0), 0.);
  Scale x = scale_of(axis, values, 5);
  for (const std::string& group : groups) x.begin = std::max(x.begin, width(group) + 8);
  check(x.begin <= kWidth * 0.6, "svg: the names of groups are too long: 28 characters");
  x.end = kWidth - std::max(8., width(x.label(x.ticks.back())) / 2);
  const double high = 11, group_high = static_cast<double>(series.size()) * high + 10,
               bottom = top + group_high * static_cast<double>(groups.size());
  for (double tick : x.ticks) {
    canvas.rule(x(tick), top, x(tick), bottom);
    canvas.text(x(tick), bottom + kRow - 4, x.label(tick), "middle");
  }
  const double zero = x.log ? x.begin : x(0);
  for (size_t g = 0; g < groups.size(); ++g, top += group_high) {
    canvas.text(x.begin - 6, top + group_high / 2 + 4, groups[g], "end");
    for (size_t i = 0; i < series.size(); ++i) {
      const double y = top + 5 + static_cast<double>(i) * high, end = x(series[i].y[g]);
      bar(i, std::min(zero, end), y, std::abs(end - zero), high - 1);
      if (!series[i].low.empty())
        canvas.rule(x(series[i].low[g]), y + 5, x(series[i].high[g]), y + 5, "stroke-width=\"2\"");
    }
  }
  canvas.text((x.begin + x.end) / 2, bottom + 2 * kRow - 4, chart.x.label, "middle");
  return canvas.finish(chart, bottom + 2 * kRow + 4);
}

std::string heat_map(const Chart& chart, const std::vector<std::string>& rows,
                     const std::vector<std::string>& columns,
                     const std::vector<std::vector<double>>& values) {
  check(!rows.empty() && !columns.empty() && values.size() == rows.size(), "svg: `", chart.title,
        "`: ", values.size(), " rows of values for ", rows.size(), " rows and ", columns.size(), " columns");
  double largest = 0, left = 0, head = 0;
  for (size_t r = 0; r < rows.size(); ++r) {
    check(values[r].size() == columns.size(), "svg: `", chart.title, "`: row ", r, " has ", values[r].size(),
          " values for ", columns.size(), " columns");
    check_finite(chart.title, "value", values[r]);
    for (double v : values[r])
      check(v >= 0, "svg: `", chart.title, "`: expected values >= 0, got ", v),
          largest = std::max(largest, v);
    left = std::max(left, width(rows[r]) + 8);
  }
  for (const std::string& column : columns) head = std::max(head, width(column) + 6);
  const double cell = std::min((kWidth - left - 2) / static_cast<double>(columns.size()), 48.);
  check(cell >= 13, "svg: `", chart.title, "`: ", columns.size(),
        " columns do not fit beside rows of these names");
  const bool upright = head - 6 > cell, numbers = cell >= 38;
  const double top = kRow + (upright ? head : kRow), high = numbers ? 24 : std::min(cell, 20.);
  Canvas canvas;
  canvas.text(
      0, 13,
      chart.x.label.empty() ? chart.y.label : message(chart.y.label, " \u2193   ", chart.x.label, " \u2192"));
  for (size_t c = 0; c < columns.size(); ++c) {
    const double x = left + cell * (static_cast<double>(c) + 0.5);
    if (upright)
      canvas.text(x + 4, top - 4, columns[c], "start",
                  message(" transform=\"rotate(-90 ", At{x + 4}, " ", At{top - 4}, ")\"").c_str());
    else canvas.text(x, top - 4, columns[c], "middle");
  }
  for (size_t r = 0; r < rows.size(); ++r) {
    const double y = top + high * static_cast<double>(r);
    canvas.text(left - 6, y + high / 2 + 4, rows[r], "end");
    for (size_t c = 0; c < columns.size(); ++c) {
      const double x = left + cell * static_cast<double>(c), ink = largest > 0 ? values[r][c] / largest : 0;
      canvas.rect(x, y, cell - 1, high - 1, 0, ink, " stroke=\"currentColor\" stroke-opacity=\".2\"");
      if (values[r][c] == 0)
        canvas.put("<circle cx=\"", At{x + cell / 2}, "\" cy=\"", At{y + high / 2}, "\" r=\"1.2\"/>");
      else if (numbers)
        canvas.text(x + cell / 2, y + high / 2 + 4, rounded(values[r][c]), "middle",
                    ink > 0.5 ? " fill=\"#fff\"" : "");
    }
  }
  return canvas.finish(chart, top + high * static_cast<double>(rows.size()) + 4);
}

std::string reliability(const Chart& chart, const std::vector<Bin>& bins, int64_t few) {
  const double step = 1 / static_cast<double>(bins.size());
  bool thin = false;
  for (const Bin& b : bins) {
    if (b.count > 0) check_finite(chart.title, "bin", {b.confidence, b.accuracy});
    thin = thin || (b.count > 0 && b.count < few);
  }
  check(!bins.empty(), "svg: `", chart.title, "`: a reliability diagram without bins");
  Canvas canvas;
  const std::string hollow = " stroke=\"" + std::string(kColours[0]) + "\" stroke-dasharray=\"2 3\"";
  const double top = canvas.legend(
      {"accuracy", "gap to confidence", thin ? message("fewer than ", few, " tokens") : ""},
      [&](size_t i, double x, double y) {
        canvas.rect(x, y - 5, 24, 10, i == 1, std::array{0.8, 0.35, 0.}[i], i == 2 ? hollow.c_str() : "");
      });
  Scale x({}, 0, 1, 6), y({}, 0, 1, 6);
  frame(canvas, chart, x, y, top, 240);
  for (size_t i = 0; i < bins.size(); ++i) {
    const auto& [confidence, accuracy, count] = bins[i];
    if (count == 0) continue;
    const double from = x(static_cast<double>(i) * step) + 1, wide = x(step) - x(0) - 2;
    const bool full = count >= few;
    canvas.rect(from, y(accuracy), wide, y(0) - y(accuracy), 0, full ? 0.8 : 0, full ? "" : hollow.c_str());
    canvas.rect(from, y(std::max(accuracy, confidence)), wide, std::abs(y(accuracy) - y(confidence)), 1,
                full ? 0.35 : 0.1);
  }
  canvas.rule(x(0), y(0), x(1), y(1), "stroke-dasharray=\"4 3\"");
  return canvas.finish(chart, y.begin + 2 * kRow + 8);
}

// A value that is used right on the next line goes straight down the first lane; one that is needed later
// keeps a lane of its own from its line to its last use.
std::string tape(const Chart& chart, const std::vector<Step>& steps) {
  check(!steps.empty(), "svg: a tape without steps");
  std::vector<size_t> last(steps.size()), lane(steps.size(), 0),
      busy;  // busy[l]: until which line lane l + 1 is taken
  for (size_t i = 0; i < steps.size(); ++i)
    for (size_t input : steps[i].inputs) {
      check(input < i, "svg: step ", i, " of the tape takes ", input, ", which is not earlier");
      last[input] = i;
    }
  for (size_t i = 0; i < steps.size(); ++i) {
    if (last[i] <= i + 1) continue;
    const size_t free = static_cast<size_t>(
        std::find_if(busy.begin(), busy.end(), [&](size_t until) { return until <= i; }) - busy.begin());
    if (free == busy.size()) busy.push_back(0);
    busy[free] = last[i], lane[i] = free + 1;
  }
  const double left = 14 * static_cast<double>(busy.size()) + 8, high = 20;
  Canvas canvas;
  for (size_t i = 0; i < steps.size(); ++i) {
    const double y = high * static_cast<double>(i) + 12;
    check(left + 12 + width(steps[i].text) <= kWidth, "svg: `", steps[i].text, "` is too long beside ",
          busy.size(), " lanes");
    for (size_t input : steps[i].inputs) {
      const double from = high * static_cast<double>(input) + 12,
                   x = left - 14 * static_cast<double>(lane[input]);
      const char* style = kColours[lane[input] % kStyles];
      if (input + 1 == i) canvas.rule(left, from, left, y, "");
      else
        canvas.put("<path d=\"M", At{left}, " ", At{from}, "L", At{x}, " ", At{from + 8}, "V", At{y - 8}, "L",
                   At{left}, " ", At{y}, "\" fill=\"none\" stroke-width=\"2\" stroke=\"", style, "\"/>");
    }
    canvas.put("<circle cx=\"", At{left}, "\" cy=\"", At{y}, "\" r=\"4\"/>");
    canvas.text(left + 12, y + 4, steps[i].text);
  }
  return canvas.finish(chart, high * static_cast<double>(steps.size()) + 8);
}

}  // namespace gradus::examples::svg
