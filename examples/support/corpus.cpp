#include "examples/support/corpus.h"

#include <stdexcept>

#include "examples/support/text.h"

namespace gradus::examples {

ParallelText read_parallel(const std::string& source_path, const std::string& target_path) {
  const auto source = read_lines(source_path), target = read_lines(target_path);
  if (source.size() != target.size()) {
    throw std::runtime_error("a parallel corpus needs equally many lines on both sides: " + source_path +
                             " has " + std::to_string(source.size()) + ", " + target_path + " has " +
                             std::to_string(target.size()));
  }
  ParallelText text;
  for (size_t i = 0; i < source.size(); ++i) {
    if (split_words(source[i]).empty() || split_words(target[i]).empty()) {
      ++text.dropped;
      continue;
    }
    text.source.push_back(source[i]);
    text.target.push_back(target[i]);
    text.lines.push_back(static_cast<int64_t>(i) + 1);
  }
  if (text.source.empty())
    throw std::runtime_error(source_path + ", " + target_path + ": no pair of non-blank lines");
  return text;
}

bool is_held_out(std::string_view source, double fraction) {
  if (!(fraction >= 0 && fraction <= 1)) {
    throw std::invalid_argument("is_held_out: expected a fraction from 0 to 1, got " + shortest(fraction));
  }
  constexpr uint64_t steps = 1'000'000;
  return static_cast<double>(content_hash(source) % steps) < fraction * steps;
}

uint64_t content_hash(std::string_view text) {
  uint64_t hash = 0xCBF29CE484222325;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3;
  hash = (hash ^ hash >> 33) * 0xFF51AFD7ED558CCD;  // FNV alone leaves the low bits weak
  return hash ^ hash >> 33;
}

}  // namespace gradus::examples
