#include "examples/support/tokenizer.h"

namespace gradus::examples {

Tokenizer Tokenizer::of_words(const std::vector<std::string>& lines, int64_t size, int64_t min_count) {
  std::map<std::string, int64_t> counts;
  for (const std::string& line : lines)
    for (const std::string& word : split_words(line)) ++counts[word];
  return Tokenizer(Vocabulary::from_counts(counts, size, min_count));
}

Tokenizer Tokenizer::parse(const std::string& text) {
  return text.starts_with("bpe") ? Tokenizer(Bpe::parse(text)) : Tokenizer(Vocabulary::parse(text));
}

Ids Tokenizer::encode(const std::string& line) const {
  if (const auto* words = std::get_if<Vocabulary>(&kind_)) return words->encode(split_words(line));
  return std::get<Bpe>(kind_).encode(line);
}

std::string Tokenizer::decode(std::span<const int32_t> ids) const {
  if (const auto* words = std::get_if<Vocabulary>(&kind_)) return join_words(words->decode(ids));
  const std::string bytes = std::get<Bpe>(kind_).decode(ids);
  std::string text;
  for (const auto& [c, own, valid] : code_points(bytes)) text += valid && c != '\n' ? own : "\uFFFD";
  return text;
}

}  // namespace gradus::examples
