#include "examples/support/tokenizer.h"

#include <algorithm>
#include <sstream>

#include "tensor/error.h"

namespace gradus::examples {

Vocabulary::Vocabulary(const Words& words) : words_{"<pad>", "<s>", "</s>", "<unk>"} {
  words_.insert(words_.end(), words.begin(), words.end());
  for (size_t id = 0; id < words_.size(); ++id) {
    check(!words_[id].empty() && words_[id].find('\n') == std::string::npos, "vocabulary: entry ", id,
          " is empty or has a line break");
    const auto [first, fresh] = ids_.emplace(words_[id], id);
    check(fresh, "vocabulary: '", words_[id], "' is listed twice, as ", first->second, " and as ", id);
  }
}

Vocabulary Vocabulary::learn(const std::vector<std::string>& lines, int64_t size, int64_t min_count) {
  std::map<std::string, int64_t> counts;
  for (const std::string& line : lines)
    for (const std::string& word : split_words(line)) ++counts[word];
  std::vector<std::pair<int64_t, std::string>> ranked;
  for (const auto& [word, count] : counts)
    if (count >= min_count) ranked.emplace_back(-count, word);
  std::ranges::sort(ranked);
  constexpr int64_t specials = unk + 1;
  check(size >= specials, "vocabulary: expected a size of at least ", specials, ", got ", size);
  ranked.resize(std::min<size_t>(ranked.size(), size - specials));
  Words words;
  for (const auto& [count, word] : ranked) words.push_back(word);
  return Vocabulary(words);
}

std::string Vocabulary::to_string() const {
  std::string text;
  for (const std::string& word : words_) text += word + '\n';
  return text;
}

int32_t Vocabulary::id(const std::string& word) const {
  const auto found = ids_.find(word);
  return found == ids_.end() ? unk : found->second;
}

const std::string& Vocabulary::word(int32_t id) const {
  check(id >= 0 && id < size(), "vocabulary: expected an id below ", size(), ", got ", id);
  return words_[id];
}

Ids Vocabulary::encode(const Words& words) const {
  Ids ids;
  for (const std::string& word : words) ids.push_back(id(word));
  return ids;
}

Words Vocabulary::decode(std::span<const int32_t> ids) const {
  Words words;
  for (const int32_t id : ids) {
    if (id == eos) break;
    if (id != pad && id != bos) words.push_back(word(id));
  }
  return words;
}

namespace {

Tokenizer read(std::istream& in) {
  std::string line;
  std::getline(in, line);
  if (line == "bpe") {
    std::vector<Bpe::Pair> merges;
    for (Bpe::Pair pair; in >> pair.first >> pair.second;) merges.push_back(pair);
    return Tokenizer(Bpe(std::move(merges)));
  }
  Words words;
  for (int number = 2; std::getline(in, line); ++number)
    if (number > 4) words.push_back(line);  // after the specials
  return Tokenizer(Vocabulary(words));
}

}  // namespace

Tokenizer Tokenizer::parse(const std::string& text) try {
  std::istringstream in(text);
  Tokenizer found = read(in);
  // What else reads as these is refused.
  check(found.to_string() == text, "tokenizer: expected `bpe` and then two ids a line, one space between ",
        "them; or <pad> <s> </s> <unk> and then words, one a line");
  return found;
} catch (const std::invalid_argument& error) {  // the caller passed on what some file says
  throw std::runtime_error(error.what());
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
