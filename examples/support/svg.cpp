#include "examples/support/svg.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstring>
#include <sstream>

#include "examples/support/text.h"
#include "tensor/error.h"

namespace gradus::examples::svg {
namespace {

constexpr double kWidth = 350, kRow = 18, kDigit = 7.7;
constexpr size_t kStyles = 7;
constexpr std::array kColours{"#0072B2", "#D55E00", "#009E73",     "#CC79A7",
                              "#E69F00", "#56B4E9", "currentColor"};
constexpr std::array kDashes{"none", "7 3", "2 3", "9 3 2 3", "4 2", "12 4", "2 2 6 2"};
constexpr std::array kMarkers{"M-3 0a3 3 0 1 0 6 0a3 3 0 1 0-6 0z",  // around the origin
                              "M-3-3h6v6h-6z",
                              "M0-4l4 7h-8z",
                              "M0-4l4 4-4 4-4-4z",
                              "M-3-3l6 6M-3 3l6-6",
                              "M0-4v8M-4 0h8",
                              "M0 4l4-7h-8z"};
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

std::string number(double value, int digits = 6) {
  char text[64];
  return {text, std::to_chars(text, text + 64, value + 0., std::chars_format::general, digits).ptr};
}

class Canvas {
 public:
  template <class... Parts> void put(const Parts&... parts) {  // places to a hundredth
    const auto written = [](const auto& part) {
      if constexpr (std::is_same_v<decltype(part), const double&>)
        return number(std::round(part * 100) / 100, 7);
      else return part;
    };
    (body_ << ... << written(parts)) << '\n';
  }
  void text(double x, double y, const std::string& text, const char* anchor, const std::string& more = "") {
    put("<text x='", x, "' y='", y, "' text-anchor='", anchor, "' ", more, ">", escape(text), "</text>");
  }
  void line(double x1, double y1, double x2, double y2, const std::string& style) {
    put("<path d='M", x1, " ", y1, "L", x2, " ", y2, "' ", style, "/>");
  }
  void path(const Values& x, const Values& y, const std::string& style) {
    std::ostringstream d;
    for (size_t i = 0; i < x.size(); ++i)
      d << (i ? 'L' : 'M') << std::round(x[i] * 100) / 100 << ' ' << std::round(y[i] * 100) / 100;
    put("<path d='", d.str(), "' ", style, "/>");
  }
  void rect(double x, double y, double w, double h, const std::string& style) {
    put("<rect x='", x, "' y='", y, "' width='", w, "' height='", h, "' ", style, "/>");
  }
  void marker(double x, double y, size_t i) {
    put("<path transform='translate(", x, " ", y, ")' d='", kMarkers[i], "' fill='", kColours[i],
        "' stroke='", kColours[i], "'/>");
  }

  // Samples with the names of what has one, row after row from the top; returns where the last one ends.
  template <class T, class Sample> double legend(const std::vector<T>& series, const Sample& sample) {
    double x = 0, y = 0;
    for (size_t i = 0; i < series.size(); ++i) {
      const std::string& name = series[i].name;
      if (name.empty()) continue;
      check(width(name) <= kWidth - 32, "svg: `", name, "` is too long for a legend");
      if (y == 0 || x + 32 + width(name) > kWidth) x = 0, y += kRow;
      sample(i, x, y - 4);
      text(x + 32, y, name, "start");
      x += 42 + width(name);
    }
    return y;
  }

  std::string finish(const Chart& chart, double height) {
    const std::string body = body_.str();
    body_.str("");
    put("<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 ", kWidth, " ", height,
        "' role='img' font-size='12' "
        "font-family='system-ui, sans-serif' fill='currentColor'>\n<title>",
        escape(chart.title), "</title>\n<desc>", escape(chart.description), "</desc>\n", body, "</svg>");
    return body_.str();
  }

 private:
  std::ostringstream body_;
};

void check_finite(const std::string& name, const Values& values) {
  for (size_t i = 0; i < values.size(); ++i)
    check(std::isfinite(values[i]), "svg: `", name, "`: number ", i, " is ", values[i]);
}

// What the members hold, of all series. In a series each member is empty or has `count` numbers.
template <class T, class... Members> Values gathered(const std::vector<T>& series, Members... members) {
  Values all;
  for (const T& one : series)
    for (const Values& values : {one.*members...}) {
      check_finite(one.name, values);
      all.insert(all.end(), values.begin(), values.end());
    }
  return all;
}

void check_series(const std::string& name, size_t x, size_t y, size_t low, size_t high) {
  check(y > 0 && x == y && (low == 0 || low == y) && high == low, "svg: `", name, "`: expected ", x,
        " numbers, and as many low and high or none; got ", y, ", ", low, " and ", high);
}

// From data to places on the page, with a tick at 1, 2 or 5 times a power of ten.
struct Scale {
  Scale(const Axis& a, const Values& data, int most_ticks) : axis(a) {
    double low = axis.from.value_or(INFINITY), high = axis.to.value_or(-INFINITY);
    for (double v : data) low = std::min(low, v), high = std::max(high, v);
    check(!axis.log || low > 0, "svg: axis `", axis.label, "` is logarithmic, got ", low);
    check(low > -1e100 && high < 1e100, "svg: axis `", axis.label, "` from ", low, " to ", high);
    if (axis.log) low = std::log10(low), high = std::log10(high);
    if (high - low <= 1e-9 * std::abs(high)) low -= 0.5, high += 0.5;
    double step = std::pow(10, std::floor(std::log10((high - low) / most_ticks)));
    if (axis.log) step = std::max(step, 1.);
    const auto first = [&] { return std::floor(low / step + 1e-9); };
    const auto last = [&] { return std::ceil(high / step - 1e-9); };
    for (int i = 0; last() - first() + 1 > most_ticks; ++i) step *= i % 3 == 1 ? 2.5 : 2;
    for (double i = first(); i <= last(); ++i) ticks.push_back(i * step);
  }
  double operator()(double value) const {
    const double part = ((axis.log ? std::log10(value) : value) - ticks[0]) / (ticks.back() - ticks[0]);
    return begin + part * (end - begin);
  }
  double at_tick(double tick) const {
    return begin + (tick - ticks[0]) / (ticks.back() - ticks[0]) * (end - begin);
  }
  std::string label(double tick) const {
    return !axis.log ? number(tick) : std::abs(tick) > 3 ? "1e" + number(tick) : number(std::pow(10, tick));
  }

  Axis axis;
  double begin = 0, end = 1;
  Values ticks;  // of a logarithmic axis: the exponents
};

// Ticks and labels of an area below `top`; sets where both scales begin and end.
void frame(Canvas& canvas, const Chart& chart, Scale& x, Scale& y, double top, double height) {
  canvas.text(0, top + kRow, chart.y.label, "start");
  for (double tick : y.ticks) x.begin = std::max(x.begin, width(y.label(tick)) + 8);
  x.end = kWidth - width(x.label(x.ticks.back())) / 2 - 4;
  y.end = top + kRow + 16, y.begin = y.end + height;
  for (double tick : y.ticks) {
    canvas.line(x.begin, y.at_tick(tick), x.end, y.at_tick(tick), kGrid);
    canvas.text(x.begin - 6, y.at_tick(tick) + 4, y.label(tick), "end");
  }
  for (double tick : x.ticks) {
    canvas.line(x.at_tick(tick), y.begin, x.at_tick(tick), y.begin + 4, kInk);
    canvas.text(x.at_tick(tick), y.begin + kRow, x.label(tick), "middle");
  }
  canvas.text((x.begin + x.end) / 2, y.begin + 2 * kRow, chart.x.label, "middle");
}

std::string fill(size_t colour, const char* ink) {
  return message("fill='", kColours[colour], "' fill-opacity='", ink, "' ");
}
std::string stroke(size_t style) {
  return message("stroke='", kColours[style], "' stroke-dasharray='", kDashes[style], "' ");
}

}  // namespace

std::string escape(std::string_view text) {
  constexpr std::array kNames{"&lt;", "&gt;", "&amp;", "&quot;", "&#39;"};
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const auto [c, length, valid] = decode_utf8(text, at);
    const size_t special = std::string_view("<>&\"'").find(text[at]);
    if (special < kNames.size()) out += kNames[special];
    else if (valid && (c >= 0x20 || c == '\n' || c == '\t') && c < 0xFFFE) out += text.substr(at, length);
    else out += "\uFFFD";
    at += length;
  }
  return out;
}

std::string plot(const Chart& chart, const std::vector<Series>& series) {
  check(!series.empty() && series.size() <= kStyles, "svg: expected 1 to ", kStyles, " series, got ",
        series.size());
  for (const Series& s : series) check_series(s.name, s.x.size(), s.y.size(), s.low.size(), s.high.size());
  Canvas canvas;
  const auto style = [&](size_t i) {
    return series[i].mark == Mark::reference ? message(kInk, " stroke-opacity='.6'")
                                             : "fill='none' stroke-width='2' " + stroke(i);
  };
  const double top = canvas.legend(series, [&](size_t i, double x, double y) {
    if (series[i].mark != Mark::points) canvas.line(x, y, x + 26, y, style(i));
    if (series[i].mark != Mark::reference) canvas.marker(x + 13, y, i);
  });
  Scale x(chart.x, gathered(series, &Series::x), 6);
  Scale y(chart.y, gathered(series, &Series::y, &Series::low, &Series::high), 6);
  frame(canvas, chart, x, y, top, 200);
  const auto mapped = [](Values values, const Scale& scale) {
    for (double& v : values) v = scale(v);
    return values;
  };
  for (size_t i = 0; i < series.size(); ++i) {
    const Series& s = series[i];
    const Values px = mapped(s.x, x), py = mapped(s.y, y), low = mapped(s.low, y), high = mapped(s.high, y);
    for (size_t n = 0; n < low.size() && s.mark == Mark::points; ++n)
      canvas.line(px[n], low[n], px[n], high[n], kInk);
    if (!low.empty() && s.mark != Mark::points) {  // along `low`, and back along `high`
      Values around_x = px, around_y = low;
      around_x.insert(around_x.end(), px.rbegin(), px.rend()),
          around_y.insert(around_y.end(), high.rbegin(), high.rend());
      canvas.path(around_x, around_y, fill(i, ".2"));
    }
    if (s.mark != Mark::points) canvas.path(px, py, style(i));
    const size_t every = s.mark == Mark::points ? 1 : (py.size() + 7) / 8;
    for (size_t n = 0; n < py.size() && s.mark != Mark::reference; n += every) canvas.marker(px[n], py[n], i);
  }
  return canvas.finish(chart, y.begin + 2 * kRow + 8);
}

std::string bars(const Chart& chart, const std::vector<std::string>& groups,
                 const std::vector<Bars>& series) {
  check(!series.empty() && series.size() <= 3, "svg: expected 1 to 3 series, got ", series.size());
  for (const Bars& s : series)
    check_series(s.name, groups.size(), s.values.size(), s.low.size(), s.high.size());
  Canvas canvas;
  // Ink tells series apart where colour does not.
  const auto bar = [&](size_t i, double x, double y, double w) {
    canvas.rect(x, y, w, 10, fill(i, std::array{".9", ".45", ".1"}[i]) + stroke(i));
  };
  double top = canvas.legend(series, [&](size_t i, double x, double y) { bar(i, x, y - 5, 24); }) + 8;
  Axis axis = chart.x;
  if (!axis.log) axis.from = std::min(axis.from.value_or(0), 0.);
  Scale x(axis, gathered(series, &Bars::values, &Bars::low, &Bars::high), 5);
  for (const std::string& group : groups) x.begin = std::max(x.begin, width(group) + 8);
  check(x.begin < kWidth * 0.6, "svg: the names of groups are too long");
  x.end = kWidth - width(x.label(x.ticks.back())) / 2 - 4;
  const double high = 11 * series.size() + 10, bottom = top + high * groups.size();
  for (double tick : x.ticks) {
    canvas.line(x.at_tick(tick), top, x.at_tick(tick), bottom, kGrid);
    canvas.text(x.at_tick(tick), bottom + 14, x.label(tick), "middle");
  }
  for (size_t g = 0; g < groups.size(); ++g, top += high) {
    canvas.text(x.begin - 6, top + high / 2 + 4, groups[g], "end");
    for (size_t i = 0; i < series.size(); ++i) {
      const double y = top + 5 + 11 * i, end = x(series[i].values[g]), zero = axis.log ? x.begin : x(0);
      bar(i, std::min(zero, end), y, std::abs(end - zero));
      if (!series[i].low.empty()) canvas.line(x(series[i].low[g]), y + 5, x(series[i].high[g]), y + 5, kInk);
    }
  }
  canvas.text((x.begin + x.end) / 2, bottom + 32, chart.x.label, "middle");
  return canvas.finish(chart, bottom + 40);
}

std::string heat_map(const Chart& chart, const std::vector<std::string>& rows,
                     const std::vector<std::string>& columns, const std::vector<Values>& values) {
  double largest = 0, left = 0, head = 0;
  check(!rows.empty() && values.size() == rows.size(), "svg: `", chart.title, "`: ", values.size(),
        " rows for ", rows.size(), " names");
  for (size_t r = 0; r < rows.size(); ++r) {
    check(!columns.empty() && values[r].size() == columns.size(), "svg: `", chart.title, "`: row ", r,
          " has ", values[r].size(), " values for ", columns.size(), " columns");
    check_finite(chart.title, values[r]);
    check(*std::min_element(values[r].begin(), values[r].end()) >= 0, "svg: `", chart.title, "`: row ", r,
          " has a value below 0");
    for (double v : values[r]) largest = std::max(largest, v);
    left = std::max(left, width(rows[r]) + 8);
  }
  for (const std::string& column : columns) head = std::max(head, width(column));
  const double wide = std::min((kWidth - left - 2) / columns.size(), 48.);
  check(wide >= 13, "svg: `", chart.title, "`: no room for ", columns.size(),
        " columns beside rows with these names");
  const bool upright = head > wide, numbers = wide >= 4 * kDigit;
  const double top = kRow + (upright ? head + 6 : kRow), high = std::min(wide, 24.);
  Canvas canvas;
  canvas.text(0, 13, message(chart.y.label, " \u2193   ", chart.x.label, " \u2192"), "start");
  for (size_t c = 0; c < columns.size(); ++c) {
    const double x = left + wide * (c + 0.5);
    if (upright)
      canvas.text(0, 0, columns[c], "start",
                  message("transform='translate(", x + 4, " ", top - 4, ") rotate(-90)'"));
    else canvas.text(x, top - 4, columns[c], "middle");
  }
  for (size_t r = 0; r < rows.size(); ++r) {
    const double y = top + high * r;
    canvas.text(left - 6, y + high / 2 + 4, rows[r], "end");
    for (size_t c = 0; c < columns.size(); ++c) {
      const double x = left + wide * c, v = values[r][c], ink = v / std::max(largest, 1e-300);
      canvas.rect(x, y, wide - 1, high - 1, fill(0, number(ink, 3).c_str()) + kGrid);
      std::string says = number(v, 2);
      if (says.starts_with("0.")) says.erase(0, 1);
      if (v == 0) canvas.put("<circle cx='", x + wide / 2, "' cy='", y + high / 2, "' r='1.2'/>");
      else if (numbers)
        canvas.text(x + wide / 2, y + high / 2 + 4, says, "middle", ink > 0.6 ? "fill='#fff'" : "");
    }
  }
  return canvas.finish(chart, top + high * rows.size() + 4);
}

std::string reliability(const Chart& chart, const std::vector<Bin>& bins, int64_t few) {
  check(!bins.empty(), "svg: `", chart.title, "`: a reliability diagram without bins");
  const bool thin =
      std::any_of(bins.begin(), bins.end(), [&](const Bin& b) { return b.count > 0 && b.count < few; });
  const std::array<std::string, 3> styles{fill(0, ".8"), fill(1, ".35") + stroke(1), fill(0, "0") + stroke(2)};
  Canvas canvas;
  const std::vector<Series> parts{{"accuracy", {}, {}},
                                  {"gap to confidence", {}, {}},
                                  {thin ? message("fewer than ", few, " tokens") : "", {}, {}}};
  const double top =
      canvas.legend(parts, [&](size_t i, double x, double y) { canvas.rect(x, y - 5, 24, 10, styles[i]); });
  const Values ends{0, 1};
  Scale x(chart.x, ends, 6), y(chart.y, ends, 6);
  frame(canvas, chart, x, y, top, 240);
  const double wide = (x(1) - x(0)) / bins.size();
  for (size_t i = 0; i < bins.size(); ++i) {
    const auto& [confidence, accuracy, count] = bins[i];
    if (count == 0) continue;
    check_finite(chart.title, {confidence, accuracy});
    const double from = x(0) + wide * i + 1;
    canvas.rect(from, y(accuracy), wide - 2, y(0) - y(accuracy), styles[count < few ? 2 : 0]);
    if (count >= few)
      canvas.rect(from, y(std::max(accuracy, confidence)), wide - 2, std::abs(y(accuracy) - y(confidence)),
                  styles[1]);
  }
  canvas.line(x(0), y(0), x(1), y(1), message(kInk, " stroke-dasharray='4 3'"));
  return canvas.finish(chart, y.begin + 2 * kRow + 8);
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
    const auto free = std::find_if(busy.begin(), busy.end(), [&](size_t until) { return until <= i; });
    lane[i] = static_cast<size_t>(free - busy.begin()) + 1;
    if (free == busy.end()) busy.push_back(last[i]);
    else *free = last[i];
  }
  const double left = 10 * busy.size() + 8, high = 20;
  Canvas canvas;
  for (size_t i = 0; i < steps.size(); ++i) {
    const double y = high * i + 12;
    check(left + 12 + width(steps[i].text) <= kWidth, "svg: `", steps[i].text, "` is too long beside ",
          busy.size(), " lanes");
    for (size_t input : steps[i].inputs) {
      const double from = high * input + 12, x = left - 10 * lane[input];
      if (input + 1 == i) canvas.line(left, from, left, y, kInk);
      else
        canvas.path({left, x, x, left}, {from, from + 8, y - 8, y},
                    message("fill='none' stroke-width='2' stroke='", kColours[lane[input] % kStyles], "'"));
    }
    canvas.put("<circle cx='", left, "' cy='", y, "' r='4'/>");
    canvas.text(left + 12, y + 4, steps[i].text, "start");
  }
  return canvas.finish(chart, high * steps.size() + 8);
}

}  // namespace gradus::examples::svg
