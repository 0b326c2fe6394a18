// Reading markup in tests: whether it is well-formed XML, and the numbers in its attributes.
#pragma once

#include <algorithm>
#include <regex>
#include <string>
#include <vector>

// "" where every tag is closed in order, attributes are quoted and unique, and & begins an entity; else what
// is wrong.
inline std::string ill_formed(std::string text) {
  if (text.starts_with("<!DOCTYPE html>\n")) text.erase(0, 16);
  if (const size_t style = text.find("<style>"); style != text.npos)  // CSS is not markup, and has no < or &
    if (text.substr(style + 7, text.find("</style>") - style - 7).find_first_of("<&") != text.npos)
      return "markup in the style";
  static const std::regex tag(
      R"(^<(/?)([A-Za-z][A-Za-z0-9]*)((?:\s+[A-Za-z:-]+=(?:'[^'<]*'|"[^"<]*"))*)\s*(/?)>)");
  static const std::regex entity(R"(^&(lt|gt|amp|quot|#[0-9]+);)");
  static const std::regex name(R"(\s([A-Za-z:-]+)=)");
  std::vector<std::string> open;
  bool any = false;
  for (size_t at = 0; at < text.size();) {
    std::smatch match;
    const auto begin = text.cbegin() + static_cast<std::ptrdiff_t>(at);
    const std::string here = text.substr(at, 60);
    if (text[at] == '&') {
      if (!std::regex_search(begin, text.cend(), match, entity)) return "no entity: " + here;
    } else if (text[at] == '<') {
      if (!std::regex_search(begin, text.cend(), match, tag)) return "no tag: " + here;
      if (match[1] == "/") {
        if (open.empty() || open.back() != match[2]) return "closes what is not open: " + here;
        open.pop_back();
      } else if (match[4] != "/") {
        if (open.empty() && any) return "a second root: " + here;
        open.push_back(match[2]);
      }
      std::vector<std::string> seen;
      const std::string attributes = match[3];
      for (std::sregex_iterator i(attributes.begin(), attributes.end(), name), end; i != end; ++i) {
        if (std::find(seen.begin(), seen.end(), (*i)[1].str()) != seen.end())
          return "an attribute twice: " + here;
        seen.push_back((*i)[1]);
      }
      any = true;
    } else {
      if (open.empty() && text[at] != '\n') return "text outside: " + here;
      if (static_cast<unsigned char>(text[at]) < 0x20 && text[at] != '\n' && text[at] != '\t')
        return "a control character: " + here;
      ++at;
      continue;
    }
    at += static_cast<size_t>(match.length());
  }
  return open.empty() ? any ? "" : "nothing" : "never closed: " + open.back();
}

// The groups of every match, as numbers.
inline std::vector<std::vector<double>> numbers(const std::string& text, const std::string& pattern) {
  const std::regex regex(pattern);
  std::vector<std::vector<double>> all;
  for (std::sregex_iterator i(text.begin(), text.end(), regex), end; i != end; ++i) {
    all.emplace_back();
    for (size_t g = 1; g < i->size(); ++g) all.back().push_back(std::stod((*i)[g]));
  }
  return all;
}
