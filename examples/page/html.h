// A page in one file: inline SVG and CSS (page.css), nothing to load and no script, light or dark as its
// reader has it, from a telephone's width to a desk's. And tables, which stand on the page, are CSV files
// beside it, and hold what figures show. The words given here are HTML already; what comes from elsewhere
// goes through svg::escape first.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "examples/data/numbers.h"
#include "examples/page/svg.h"

namespace gradus::examples::html {

// Plain text in cells. Numbers are written as the shortest text that reads back the same.
struct Table {
  std::vector<std::string> columns;
  std::vector<std::vector<std::string>> rows = {};
  std::set<std::string> texts = {};  // columns that hold no numbers, whatever their cells look like

  template <class... Cells> Table& add(const Cells&... cells) { return add_row({as_text(cells)...}); }
  Table& add_row(std::vector<std::string> row);  // with as many cells as there are columns
  std::string csv() const;

  size_t column(const std::string& name) const;
  // The rows whose cell in a column is one of these.
  Table where(const std::string& column, const std::vector<std::string>& values) const;
  // Numbers as they lie in y against x: a series for each value of `by`, in the order in which they come,
  // with the columns low and high where they follow y. Bars and cells take x as names, numbered as they come.
  std::vector<svg::Series> series(const std::string& by, const std::string& x, const std::string& y,
                                  svg::Mark mark = svg::Mark::line) const;
  std::vector<std::string> distinct(const std::string& column) const;
};

struct Section {
  std::string id, title, body;  // the id: letters, digits, - and _
};

std::string table(const Table& table);
std::string code(std::string_view text);
std::string figure(const std::string& svg, const std::string& caption);
std::string figures(const std::vector<std::string>& figures);  // side by side where there is room
std::string details(const std::string& summary, const std::string& body);
std::string page(const std::string& title, const std::string& lead, const std::vector<Section>& sections);

}  // namespace gradus::examples::html
