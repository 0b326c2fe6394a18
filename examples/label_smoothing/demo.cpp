#include "examples/label_smoothing/demo.h"

#include <set>
#include <sstream>

#include "tensor/error.h"

namespace gradus::examples {

extern const char *const kLabSources, *const kLabTexts;  // *.cpp of this folder and demos.txt, by the build

namespace lab {
namespace {

// Parts begin with a line [name] and have lines `key: text`, which lines that begin with a space continue.
// The text of a key is under `name/key`.
Placeholders parse(const std::string& texts) {
  Placeholders all;
  std::string part, *text = nullptr;
  std::istringstream in(texts);
  for (std::string line; std::getline(in, line);) {
    const size_t colon = line.find(": ");
    if (line.empty()) continue;
    if (line[0] == '[') part = line.substr(1, line.size() - 2), text = nullptr;
    else if (line[0] == ' ' && text) *text += line.substr(line.find_first_not_of(' ') - 1);
    else {
      check(colon != line.npos && !part.empty(), "demos.txt: expected `[part]` or `key: text`, got `", line,
            "`");
      text = &(all[part + "/" + line.substr(0, colon)] = line.substr(colon + 2));
    }
  }
  return all;
}

}  // namespace

std::string text(const std::string& part, const std::string& key, bool may_be_empty) {
  static const Placeholders all = parse(kLabTexts);
  const auto found = all.find(part + "/" + key);
  check(found != all.end() || may_be_empty, "demos.txt: there is no `", key, "` in [", part, "]");
  return found != all.end() ? found->second : "";
}

std::vector<std::string> filled(std::vector<std::string> texts, const Placeholders& words) {
  std::set<std::string> used;
  for (std::string& text : texts)
    for (size_t at = 0; (at = text.find('{', at)) != text.npos;) {
      const size_t end = text.find('}', at);
      const auto word = end == text.npos ? words.end() : words.find(text.substr(at + 1, end - at - 1));
      check(word != words.end(), "demos.txt: nothing stands for `", text.substr(at, end - at + 1), "`");
      text.replace(at, end + 1 - at, word->second);
      at += word->second.size(), used.insert(word->first);
    }
  for (const auto& [name, word] : words) check(used.contains(name), "demos.txt: no text uses `{", name, "}`");
  return texts;
}

std::string Demo::honest() const {
  std::string all;
  for (const std::string& key : says)
    all += (all.empty() ? "" : "</p>\n<p class=\"honest\">") + text(name, key);
  return all;
}

void Demo::draw(const std::string& key, const std::function<std::string(svg::Chart)>& figure,
                const Placeholders& own) {
  const auto t = filled({text(name, key), text(name, key + ".shows"), text(name, key + ".caption"),
                         text(name, key + ".x", true), text(name, key + ".y", true)},
                        own);
  figures.push_back(html::figure(figure({t[0], t[1], {t[3]}, {t[4]}}), t[2]));
}

void Demo::draw(const std::string& key, const html::Table& table, const View& view, const Placeholders& own) {
  const auto figure = [&](svg::Chart chart) {
    if (chart.x.label.empty()) chart.x.label = view.x;
    if (chart.y.label.empty()) chart.y.label = view.mark == svg::Mark::cells ? view.by : view.y;
    chart.x.log = view.log;
    if (view.mark >= svg::Mark::bars) chart.x.names = table.distinct(view.x);
    std::vector<svg::Series> series = table.series(view.by, view.x, view.y, view.mark);
    series.insert(series.end(), view.more.begin(), view.more.end());
    return svg::draw(chart, series);
  };
  draw(key, figure, own);
}

std::string shown(const std::string& name) {
  const std::string_view all = kLabSources;
  const std::string from = "// shown: " + name + "\n", to = "// end shown";
  const size_t marker = all.find(from), begin = marker + from.size(), end = all.find(to, begin);
  check(marker != all.npos && end != all.npos, "lab: no source says `", from.substr(0, from.size() - 1), "`");
  std::string lines(all.substr(begin, all.rfind('\n', end) + 1 - begin));
  const std::string indent = "\n" + std::string(lines.find_first_not_of(' '), ' ');
  lines = "\n" + lines;
  for (size_t at = 0; indent.size() > 1 && (at = lines.find(indent, at)) != lines.npos; ++at)
    lines.replace(at, indent.size(), "\n");
  return lines.substr(1);
}

html::Section section(int number, const Demo& demo) {
  const auto one = [&](const char* key) { return text(demo.name, key); };
  const auto texts =
      filled({one("title"), one("claim"), one("formula"), demo.honest(), one("seeds")}, demo.words);
  std::string body =
      "<p>" + texts[1] + "</p>\n<p class=\"formula\">" + texts[2] + "</p>\n" + html::figures(demo.figures);
  std::string links;
  for (const auto& [name, table] : demo.data) {
    if (name == text(demo.name, "table", true)) body += html::table(table);
    links += (links.empty() ? "" : ", ") + ("<a href=\"" + name + ".csv\">" + name + ".csv</a>");
  }
  body += "<p class=\"honest\">" + texts[3] + "</p>\n" +
          html::details("The lines that made it", html::code(shown(text(demo.name, "code")))) +
          "<p class=\"small\">Data: " + links + ". Seeds: " + texts[4] + ".</p>\n";
  const std::string folded = text(demo.name, "folded", true);  // long and not on the main way
  return {demo.name, std::to_string(number) + ". " + texts[0],
          folded.empty() ? body : html::details(folded, body)};
}

}  // namespace lab
}  // namespace gradus::examples
