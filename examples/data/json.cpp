#include "examples/data/json.h"

#include <algorithm>

#include "examples/data/utf8.h"

namespace gradus::examples {
namespace {

void append_utf8(std::string& out, char32_t c) {
  if (c < 0x80) {
    out += char(c);
    return;
  }
  const int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;  // bytes that follow the first
  constexpr unsigned kLead[] = {0, 0xC0, 0xE0, 0xF0};
  out += char(kLead[more] | c >> 6 * more);
  for (int i = more - 1; i >= 0; --i) out += char(0x80 | (c >> 6 * i & 0x3F));
}

// Reads from the front of a line. Each function says whether what it reads was there.
class Reader {
 public:
  explicit Reader(std::string_view text) : rest_(text) {}

  bool at_end() {
    skip_space();
    return rest_.empty();
  }
  bool take(std::string_view token) {
    skip_space();
    if (!rest_.starts_with(token)) return false;
    rest_.remove_prefix(token.size());
    return true;
  }
  std::optional<double> number() {
    skip_space();
    const std::string_view digits = rest_.substr(0, rest_.find_first_not_of("+-.0123456789eE"));
    const auto value = number_in<double>(digits);
    if (value) rest_.remove_prefix(digits.size());
    return value;
  }
  std::optional<std::string> string() {
    if (!take("\"")) return {};
    std::string out;
    while (!rest_.empty() && rest_[0] != '"') {
      if (rest_[0] != '\\') {
        out += rest_[0];
        rest_.remove_prefix(1);
      } else if (!escape(out)) {
        return {};
      }
    }
    if (!take("\"")) return {};
    return out;
  }

 private:
  void skip_space() { rest_.remove_prefix(std::min(rest_.find_first_not_of(" \t\r\n"), rest_.size())); }

  bool escape(std::string& out) {
    constexpr std::string_view kNames = "\"\\/bfnrt", kMeanings = "\"\\/\b\f\n\r\t";
    if (rest_.size() < 2) return false;
    if (rest_[1] != 'u') {
      const size_t at = kNames.find(rest_[1]);
      if (at == kNames.npos) return false;
      out += kMeanings[at];
      rest_.remove_prefix(2);
      return true;
    }
    std::optional<char32_t> c = code_unit();
    if (!c) return false;
    if (*c >= 0xD800 && *c < 0xDC00) {  // the first half of a surrogate pair
      const std::optional<char32_t> low = code_unit();
      if (!low || *low < 0xDC00 || *low >= 0xE000) return false;
      c = 0x10000 + ((*c - 0xD800) << 10) + (*low - 0xDC00);
    } else if (*c >= 0xDC00 && *c < 0xE000) {
      return false;
    }
    append_utf8(out, *c);
    return true;
  }

  std::optional<char32_t> code_unit() {  // of \uXXXX
    if (rest_.size() < 6 || !rest_.starts_with("\\u")) return {};
    uint32_t value = 0;
    const char* const end = rest_.data() + 6;
    if (std::from_chars(rest_.data() + 2, end, value, 16).ptr != end) return {};
    rest_.remove_prefix(6);
    return value;
  }

  std::string_view rest_;
};

}  // namespace

std::string json_string(std::string_view text) {
  constexpr char hex[] = "0123456789abcdef";
  std::string out = "\"";
  for (const auto& [c, bytes, valid] : CodePoints{text}) {
    if (c == '"' || c == '\\') out += '\\';
    if (c < 0x20) out += {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
    else out += valid ? bytes : "\uFFFD";
  }
  return out + '"';
}

std::optional<JsonFields> JsonFields::parse(std::string_view line) {
  JsonFields found;
  Reader reader(line);
  if (!reader.take("{")) return {};
  bool more = !reader.take("}");
  while (more) {
    const std::optional<std::string> name = reader.string();
    if (!name || !reader.take(":")) return {};
    if (const auto text = reader.string()) found.fields_[*name] = *text;
    else if (const auto value = reader.number()) found.fields_[*name] = *value;
    else if (!reader.take("null") && !reader.take("true") && !reader.take("false")) return {};
    more = reader.take(",");
    if (!more && !reader.take("}")) return {};
  }
  if (!reader.at_end()) return {};
  return found;
}

std::optional<double> JsonFields::number(const std::string& name) const {
  const auto found = fields_.find(name);
  const double* value = found == fields_.end() ? nullptr : std::get_if<double>(&found->second);
  return value ? std::optional(*value) : std::nullopt;
}

std::string JsonFields::text(const std::string& name) const {
  const auto found = fields_.find(name);
  const std::string* value = found == fields_.end() ? nullptr : std::get_if<std::string>(&found->second);
  return value ? *value : "";
}

}  // namespace gradus::examples
