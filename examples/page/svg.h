// Figures as SVG text, to stand in a page or alone. A figure is a Chart, which says what its axes are, and
// Series of marks on them: lines with bands, points with intervals, bars, cells of a map. A reliability
// diagram is made of bars; a tape is drawn apart. Not a plotting library: each figure is 350 units wide, the
// width of a telephone, in type of 12, so that it is readable there and grows with the page. Series differ in
// colour (Okabe and Ito's, which colour-blind readers tell apart) and in dash or marker; ink and paper are
// the page's, by currentColor. The same data give the same bytes. Numbers that are not finite are refused
// (std::invalid_argument), never drawn.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace gradus::examples::svg {

// Text between tags or in an attribute. Bytes that are not UTF-8, and controls, become U+FFFD.
std::string escape(std::string_view text);

struct Axis {
  std::string label;
  bool log = false;
  std::optional<double> from = {}, to = {};  // where the axis reaches at least; the data widen it
  std::vector<std::string> names = {};       // of an axis of names, not of numbers: name i lies at i
};

struct Chart {
  std::string title, description;  // read out by screen readers, and shown on hovering
  Axis x = {}, y = {};
};

// A reference is thin, grey and without markers. Bars reach from 0 to y, or from low to high; on an axis of
// names those of several series stand side by side. Cells are a row of a map under the series' name, with y
// >= 0 as ink: none at 0, which is a dot, and full at the map's largest; wide ones say their value.
enum class Mark { line, points, reference, bars, cells };
struct Series {
  std::string name;  // in the legend; none where it is empty
  std::vector<double> x, y;
  std::vector<double> low = {}, high = {};  // a band around a line, or where bars end; or nothing
  Mark mark = Mark::line;
  double wide = 0.8;  // of bars, in units of x
};

// At most 7 series, whose names fit on a line, or as many rows of cells as you like.
std::string draw(Chart chart, const std::vector<Series>& series);

// One line of text for each operation, in order, and on its left the ways by which values come from earlier
// ones: nothing overlaps, however long the tape.
struct Step {
  std::string text;
  std::vector<size_t> inputs;  // earlier steps
};
std::string tape(const Chart& chart, const std::vector<Step>& steps);

}  // namespace gradus::examples::svg
