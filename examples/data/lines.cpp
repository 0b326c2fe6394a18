#include "examples/data/lines.h"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <optional>

#include "examples/data/utf8.h"
#include "examples/data/words.h"
#include "tensor/error.h"

namespace gradus::examples {

bool next_line(std::istream& in, const std::string& name, int64_t number, std::string& line) {
  const bool found = bool(std::getline(in, line));
  check_world(!in.bad(), name, ", line ", number, ": cannot be read");
  if (!found) return false;
  if (line.ends_with('\r')) line.pop_back();
  if (number == 1 && line.starts_with("\uFEFF"))
    line.erase(0, 3);  // a byte order mark: some editors leave it
  const std::optional<size_t> invalid = find_invalid_utf8(line);
  check_world(!invalid, name, ", line ", number, ", byte ", invalid.value_or(0) + 1, ": not valid UTF-8");
  return true;
}

std::vector<std::string> read_lines(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  check_world(in.good(), path, ": cannot be opened: ", std::strerror(errno));
  std::vector<std::string> lines;
  for (std::string line; next_line(in, path, std::ssize(lines) + 1, line);) lines.push_back(line);
  check_world(!lines.empty(), path, ": the file is empty");
  return lines;
}

ParallelText read_parallel(const std::string& source_path, const std::string& target_path,
                           EmptySides empty_sides) {
  const auto source = read_lines(source_path), target = read_lines(target_path);
  check_world(source.size() == target.size(),
              "a parallel corpus needs equally many lines on both sides: ", source_path, " has ",
              source.size(), ", ", target_path, " has ", target.size());
  ParallelText text;
  for (size_t i = 0; i < source.size(); ++i) {
    const bool blank = split_words(source[i]).empty() || split_words(target[i]).empty();
    if (blank && empty_sides == EmptySides::drop) continue;
    text.source.push_back(source[i]);
    text.target.push_back(target[i]);
    text.lines.push_back(i + 1);
  }
  check_world(!text.source.empty(), source_path, ", ", target_path, ": no pair of non-blank lines");
  text.dropped = std::ssize(source) - std::ssize(text.source);
  return text;
}

bool is_held_out(std::string_view source, double fraction) {
  check(fraction >= 0 && fraction <= 1, "is_held_out: expected a fraction from 0 to 1, got ", fraction);
  constexpr uint64_t steps = 1'000'000;
  return double(content_hash(source) % steps) < fraction * steps;
}

uint64_t content_hash(std::string_view text) {
  uint64_t hash = 0xCBF29CE484222325;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3;
  hash = (hash ^ hash >> 33) * 0xFF51AFD7ED558CCD;  // FNV alone leaves the low bits weak
  return hash ^ hash >> 33;
}

}  // namespace gradus::examples
