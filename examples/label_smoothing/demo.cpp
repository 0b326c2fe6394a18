#include "examples/label_smoothing/demo.h"

#include "tensor/error.h"

namespace gradus::examples::lab {

extern const char* const kSources;  // made by the build: embed.cmake

std::string shown(const std::string& name) {
  const std::string_view all = kSources;
  const std::string from = "// shown: " + name + "\n", to = "// end shown";
  const size_t marker = all.find(from), begin = marker + from.size(), end = all.find(to, begin);
  check(marker != all.npos && end != all.npos, "lab: no source says `", from.substr(0, from.size() - 1), "`");
  std::string lines(all.substr(begin, all.rfind('\n', end) + 1 - begin));
  const std::string indent = "\n" + std::string(lines.find_first_not_of(' '), ' ');
  lines = "\n" + lines;
  for (size_t at; (at = lines.find(indent)) != lines.npos && indent.size() > 1;)
    lines.replace(at, indent.size(), "\n");
  return lines.substr(1);
}

html::Section section(int number, const Demo& demo) {
  std::string body = "<p>" + demo.claim + "</p>\n<p class=\"formula\">" + demo.formula + "</p>\n" +
                     html::figures(demo.figures);
  std::string links;
  for (const Data& data : demo.data) {
    if (data.on_the_page) body += html::table(data.table);
    links += (links.empty() ? "" : ", ") + ("<a href=\"" + data.name + ".csv\">" + data.name + ".csv</a>");
  }
  body += "<p class=\"honest\">" + demo.honest + "</p>\n" +
          html::details("The lines that made it", html::code(demo.code)) +
          "<p class=\"small\">Data: " + links + ". Seeds: " + demo.seeds + ".</p>\n";
  return {demo.name, std::to_string(number) + ". " + demo.title,
          demo.collapsed ? html::details("Show this", body) : body};
}

}  // namespace gradus::examples::lab
