#include "examples/page/html.h"

#include <algorithm>
#include <cmath>
#include <iomanip>

#include "tensor/error.h"

namespace gradus::examples {
extern const char* const kPageStyle;  // page.css, by the build
}

namespace gradus::examples::html {
namespace {

std::string csv_cell(const std::string& cell) {
  if (cell.find_first_of(",\"\r\n") == cell.npos) return cell;
  return message(std::quoted(cell, '"', /*escape=*/'"'));
}

// On the page a number has at most 5 digits that count; in the CSV it has all.
std::string shown_number(const std::string& cell) {
  const auto value = number_in<double>(cell);
  return value && cell.size() > 6 ? message(std::setprecision(5), *value) : svg::escape(cell);
}

}  // namespace

Table& Table::add_row(std::vector<std::string> row) {
  check(row.size() == columns.size(), "table: ", row.size(), " cells for ", columns.size(), " columns");
  rows.push_back(std::move(row));
  return *this;
}

std::string Table::csv() const {
  std::string text;
  const auto line = [&](const std::vector<std::string>& cells) {
    for (size_t i = 0; i < cells.size(); ++i) text += (i ? "," : "") + csv_cell(cells[i]);
    text += '\n';
  };
  line(columns);
  for (const auto& row : rows) line(row);
  return text;
}

size_t Table::column(const std::string& name) const {
  const auto at = std::ranges::find(columns, name);
  check(at != columns.end(), "table: there is no column `", name, "`");
  return at - columns.begin();
}

Table Table::where(const std::string& name, const std::vector<std::string>& values) const {
  Table some{columns, rows, texts};
  const size_t c = column(name);
  std::erase_if(some.rows, [&](const auto& row) { return !std::ranges::count(values, row[c]); });
  return some;
}

std::vector<std::string> Table::distinct(const std::string& name) const {
  std::vector<std::string> values;
  for (const auto& row : rows)
    if (const std::string& value = row[column(name)]; !std::ranges::count(values, value))
      values.push_back(value);
  return values;
}

std::vector<svg::Series> Table::series(const std::string& by, const std::string& x, const std::string& y,
                                       svg::Mark mark) const {
  const bool named = mark == svg::Mark::bars || mark == svg::Mark::cells;
  const std::vector<std::string> names = named ? distinct(x) : std::vector<std::string>();
  const size_t low = column(y) + 1;
  std::vector<svg::Series> all;
  for (const std::string& one : distinct(by)) {
    svg::Series& s =
        all.emplace_back(svg::Series{number_in<double>(one) ? by + " " + one : one, {}, {}, {}, {}, mark});
    for (const auto& row : where(by, {one}).rows) {
      const auto value = [&](const std::string& cell) {
        const auto found = number_in<double>(cell);
        check(found.has_value(), "table: `", cell, "` is no number");
        return *found;
      };
      const std::string& at = row[column(x)];
      s.x.push_back(named ? std::ranges::find(names, at) - names.begin() : value(at));
      s.y.push_back(value(row[column(y)]));
      if (low + 1 >= row.size() || columns[low] != "low" || std::isinf(value(row[low]))) continue;
      s.low.push_back(value(row[low])), s.high.push_back(value(row[low + 1]));
    }
  }
  return all;
}

std::string table(const Table& t) {
  std::string head, body;
  for (const std::string& column : t.columns) head += "<th>" + svg::escape(column) + "</th>";
  for (const auto& row : t.rows) {
    body += "<tr>";
    for (size_t i = 0; i < row.size(); ++i)
      body += message("<td data-column=\"", svg::escape(t.columns[i]), "\">",
                      t.texts.contains(t.columns[i]) ? svg::escape(row[i]) : shown_number(row[i]), "</td>");
    body += "</tr>\n";
  }
  return message("<table", t.columns.size() > 5 ? " class=\"wide\"" : "", "><thead><tr>", head,
                 "</tr></thead><tbody>\n", body, "</tbody></table>\n");
}

std::string code(std::string_view text) { return "<pre><code>" + svg::escape(text) + "</code></pre>\n"; }

std::string figure(const std::string& svg, const std::string& caption) {
  return "<figure>\n" + svg + "<figcaption>" + caption + "</figcaption></figure>\n";
}

std::string figures(const std::vector<std::string>& all) {
  std::string body;
  for (const std::string& one : all) body += one;
  return "<div class=\"figures\">\n" + body + "</div>\n";
}

std::string details(const std::string& summary, const std::string& body) {
  return "<details><summary>" + summary + "</summary>\n" + body + "</details>\n";
}

std::string page(const std::string& title, const std::string& lead, const std::vector<Section>& sections) {
  std::string contents, body;
  for (const Section& s : sections) {
    contents += "<li><a href=\"#" + s.id + "\">" + s.title + "</a></li>\n";
    body += "<section id=\"" + s.id + "\">\n<h2>" + s.title + "</h2>\n" + s.body + "</section>\n";
  }
  return "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
         "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n<title>" +
         title + "</title>\n<style>" + kPageStyle + "</style>\n</head>\n<body>\n<h1>" + title + "</h1>\n" +
         lead + "<nav aria-label=\"Contents\"><ol>\n" + contents + "</ol></nav>\n<main>\n" + body +
         "</main>\n</body>\n</html>\n";
}

}  // namespace gradus::examples::html
