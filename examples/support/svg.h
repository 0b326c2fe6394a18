// Figures as SVG text, to stand in a page or alone: lines with bands, points with intervals, bars, heat maps,
// reliability diagrams, and a tape. Not a plotting library: each figure is 350 units wide, the width of a
// telephone, in type of 12, so that it is readable there and grows with the page. Series differ in colour
// (Okabe and Ito's, which colour-blind readers tell apart) and in dash or marker; ink and paper are the
// page's, by currentColor. The same data give the same bytes. Numbers that are not finite are refused
// (std::invalid_argument), never drawn.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gradus::examples::svg {

// Text between tags or in an attribute. Bytes that are not UTF-8, and controls, become U+FFFD.
std::string escape(std::string_view text);

struct Axis {
  std::string label;
  bool log = false;
  std::optional<double> from = {}, to = {};  // where the axis reaches at least; the data widen it
};

struct Chart {
  std::string title, description;  // read out by screen readers, and shown on hovering
  Axis x = {}, y = {};
};

enum class Mark { line, points, reference };  // a reference is thin, grey and without markers
struct Series {
  std::string name;  // in the legend; none where it is empty
  std::vector<double> x, y;
  std::vector<double> low = {}, high = {};  // a band around a line, or an interval at each point; or nothing
  Mark mark = Mark::line;
};

// At most 7 series, whose names fit on a line.
std::string plot(const Chart& chart, const std::vector<Series>& series);

// Horizontal bars along chart.x: for each group one bar of each of at most 3 series, with an interval where
// low and high are given.
struct Bars {
  std::string name;
  std::vector<double> values, low = {}, high = {};  // one for each group
};
std::string bars(const Chart& chart, const std::vector<std::string>& groups, const std::vector<Bars>& series);

// values[row][column] >= 0, from no ink at 0 to full at the largest. An exact 0 is a dot. Where cells are
// wide enough they say their value. chart.x and y label columns and rows.
std::string heat_map(const Chart& chart, const std::vector<std::string>& rows,
                     const std::vector<std::string>& columns, const std::vector<std::vector<double>>& values);

// Bins of equal width over [0, 1]: the accuracy of the predictions in each, the gap to their mean confidence
// shaded. A bin of fewer than `few` tokens is hollow, one of none is left out.
struct Bin {
  double confidence, accuracy;
  int64_t count;
};
std::string reliability(const Chart& chart, const std::vector<Bin>& bins, int64_t few = 30);

// One line of text for each operation, in order, and on its left the ways by which values come from earlier
// ones: nothing overlaps, however long the tape.
struct Step {
  std::string text;
  std::vector<size_t> inputs;  // earlier steps
};
std::string tape(const Chart& chart, const std::vector<Step>& steps);

}  // namespace gradus::examples::svg
