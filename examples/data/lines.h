// Text files, line by line. They are UTF-8, which is checked strictly where text enters.
#pragma once

#include <cstdint>
#include <istream>
#include <string>
#include <string_view>
#include <vector>

namespace gradus::examples {

// Reads one line, without its LF or CRLF, line 1 without a byte order mark; false at the end. `name` and
// `number` tell where, in the errors (std::runtime_error): bytes that are not UTF-8, a failing read.
bool next_line(std::istream& in, const std::string& name, int64_t number, std::string& line);

// All lines of a file. A file that is missing, unreadable, empty or not UTF-8 is an error
// (std::runtime_error).
std::vector<std::string> read_lines(const std::string& path);

// Two text files in which line N of one translates line N of the other.
struct ParallelText {
  std::vector<std::string> source, target;
  std::vector<int64_t> lines;  // where each pair stood in its files, from 1
  int64_t dropped = 0;         // pairs left out because a side was blank
};

enum class EmptySides { drop, keep };  // of pairs in which a side is blank

// Files with different numbers of lines, or without any complete pair, are an error (std::runtime_error).
ParallelText read_parallel(const std::string& source_path, const std::string& target_path,
                           EmptySides empty_sides = EmptySides::drop);

// Whether a pair with this source is put aside for validation, as about `fraction` of all are. The line alone
// decides: equal lines are never on both sides, and a pair keeps its side when the corpus grows.
bool is_held_out(std::string_view source, double fraction);

// FNV-1a with a final mix: the same on every machine; it tells texts apart, but does not withstand malice.
uint64_t content_hash(std::string_view text);

}  // namespace gradus::examples
