// A parallel corpus: two text files in which line N of one translates line N of the other. Everything stays
// in memory as text; cutting into words, numbering them and making batches are other files' work.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace gradus::examples {

struct ParallelText {
  std::vector<std::string> source, target;
  std::vector<int64_t> lines;  // where each pair stood in its files, from 1
  int64_t dropped = 0;         // pairs left out because a side was blank
};

// Files with different numbers of lines, or without any complete pair, are an error (std::runtime_error).
ParallelText read_parallel(const std::string& source_path, const std::string& target_path);

// Whether a pair with this source is put aside for validation, as about `fraction` of all are. The line alone
// decides: equal lines are never on both sides, and a pair keeps its side when the corpus grows.
bool is_held_out(std::string_view source, double fraction);

// FNV-1a with a final mix: the same on every machine; it tells texts apart, but does not withstand malice.
uint64_t content_hash(std::string_view text);

}  // namespace gradus::examples
