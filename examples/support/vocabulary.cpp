#include "examples/support/vocabulary.h"

#include <algorithm>

#include "tensor/error.h"

namespace gradus::examples {
namespace {

const Words specials = {"<pad>", "<s>", "</s>", "<unk>"};

}

Vocabulary::Vocabulary(const Words& words) {
  for (const std::string& word : specials) add(word);
  for (const std::string& word : words) add(word);
}

void Vocabulary::add(const std::string& word) {
  check(!word.empty() && word.find('\n') == word.npos, "vocabulary: entry ", size(),
        " is empty or has a line break");
  check(ids_.emplace(word, size()).second, "vocabulary: '", word, "' is listed twice, as ", id(word),
        " and as ", size());
  words_.push_back(word);
}

Vocabulary Vocabulary::from_counts(const std::map<std::string, int64_t>& counts, int64_t max_size,
                                   int64_t min_count) {
  const int64_t room = max_size - std::ssize(specials);
  check(room >= 0, "vocabulary: expected a size of at least ", specials.size(), ", got ", max_size);
  std::vector<std::pair<int64_t, std::string>> ranked;
  for (const auto& [word, count] : counts)
    if (count >= min_count) ranked.emplace_back(-count, word);
  std::ranges::sort(ranked);
  ranked.resize(std::min<size_t>(ranked.size(), room));
  Words words;
  for (const auto& [count, word] : ranked) words.push_back(word);
  return Vocabulary(words);
}

std::string Vocabulary::to_string() const {
  std::string text;
  for (const std::string& word : words_) text += word + '\n';
  return text;
}

Vocabulary Vocabulary::parse(const std::string& text) {
  Words words;
  for (size_t at = 0, end; (end = text.find('\n', at)) != text.npos; at = end + 1)
    words.push_back(text.substr(at, end - at));
  const auto own = words.begin() + std::min(words.size(), specials.size());
  check_world(text.ends_with('\n') && Words(words.begin(), own) == specials,
              "vocabulary: expected <pad> <s> </s> <unk> and then words, one a line");
  try {
    return Vocabulary(Words(own, words.end()));
  } catch (const std::invalid_argument& error) {  // the caller passed on what some file says
    throw std::runtime_error(error.what());
  }
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

}  // namespace gradus::examples
