#include "examples/support/corpus.h"

#include "examples/support/text.h"
#include "tensor/error.h"

namespace gradus::examples {

ParallelText read_parallel(const std::string& source_path, const std::string& target_path) {
  const auto source = read_lines(source_path), target = read_lines(target_path);
  check_world(source.size() == target.size(),
              "a parallel corpus needs equally many lines on both sides: ", source_path, " has ",
              source.size(), ", ", target_path, " has ", target.size());
  ParallelText text;
  for (size_t i = 0; i < source.size(); ++i) {
    if (split_words(source[i]).empty() || split_words(target[i]).empty()) {
      ++text.dropped;
      continue;
    }
    text.source.push_back(source[i]);
    text.target.push_back(target[i]);
    text.lines.push_back(i + 1);
  }
  check_world(!text.source.empty(), source_path, ", ", target_path, ": no pair of non-blank lines");
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
