#include "examples/support/html.h"

#include <charconv>
#include <iomanip>

#include "tensor/error.h"

namespace gradus::examples::html {
namespace {

constexpr const char* kStyle = R"(
:root { color-scheme: light dark; --paper: #fff; --ink: #1b1b1b; --soft: #f2f2ee; --rule: #c9c9c4; --link: #0b5fa5; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #16181a; --ink: #e6e6e3; --soft: #22262a; --rule: #44494e; --link: #7cc0f5; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1180px; padding: 12px 14px 48px; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.6rem; line-height: 1.25; } h2 { font-size: 1.25rem; line-height: 1.3; margin-top: 2.5rem; }
a { color: var(--link); } p, li { max-width: 46rem; }
nav ol { columns: 20rem; padding-left: 1.4rem; list-style: none; } nav li { break-inside: avoid; }
.formula { background: var(--soft); padding: 8px 12px; font-family: Georgia, "DejaVu Serif", serif; max-width: none; }
.honest { border-left: 4px solid #D55E00; padding-left: 12px; }
.small { font-size: .875rem; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 340px), 1fr)); gap: 16px 28px; }
figure { margin: 0; max-width: 560px; } figure svg { width: 100%; height: auto; display: block; }
figcaption { font-size: .9rem; margin-top: 4px; }
pre { background: var(--soft); padding: 10px 12px; font-size: 13px; line-height: 1.45; white-space: pre-wrap; }
summary { cursor: pointer; font-weight: 600; margin: 8px 0; }
table { border-collapse: collapse; font-size: .875rem; margin: 12px 0; }
th, td { border-bottom: 1px solid var(--rule); padding: 4px 10px 4px 0; text-align: left; vertical-align: top;
  font-variant-numeric: tabular-nums; }
@media (max-width: 500px) { body { padding: 12px 9px 48px; } table { font-size: .8rem; } th, td { padding-right: 6px; }
  .wide thead { display: none; } .wide tr { display: block; border-bottom: 2px solid var(--rule); }
  .wide td { display: block; border: 0; padding: 2px 0; } .wide td::before { content: attr(data-column) ": "; } }
)";

std::string csv_cell(const std::string& cell) {
  if (cell.find_first_of(",\"\r\n") == cell.npos) return cell;
  std::string quoted = "\"";
  for (char c : cell) quoted += c == '"' ? "\"\"" : std::string(1, c);
  return quoted + '"';
}

// On the page a number has at most 5 digits that count; in the CSV it has all.
std::string shown_cell(const std::string& cell) {
  double value = 0;
  const char* end = cell.data() + cell.size();
  const bool number = std::from_chars(cell.data(), end, value).ptr == end && cell.size() > 6;
  return number ? message(std::setprecision(5), value) : svg::escape(cell);
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

std::string table(const Table& t) {
  std::string head, body;
  for (const std::string& column : t.columns) head += "<th>" + svg::escape(column) + "</th>";
  for (const auto& row : t.rows) {
    body += "<tr>";
    for (size_t i = 0; i < row.size(); ++i)
      body += message("<td data-column=\"", svg::escape(t.columns[i]), "\">", shown_cell(row[i]), "</td>");
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
         title + "</title>\n<style>" + kStyle + "</style>\n</head>\n<body>\n<h1>" + title + "</h1>\n" + lead +
         "<nav aria-label=\"Contents\"><ol>\n" + contents + "</ol></nav>\n<main>\n" + body +
         "</main>\n</body>\n</html>\n";
}

}  // namespace gradus::examples::html
