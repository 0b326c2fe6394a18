#include "examples/support/vocabulary.h"

#include <algorithm>
#include <stdexcept>

namespace gradus::examples {
namespace {

const Words specials = {"<pad>", "<s>", "</s>", "<unk>"};

}

Vocabulary::Vocabulary(const Words& words) {
  for (const std::string& word : specials) add(word);
  for (const std::string& word : words) add(word);
}

void Vocabulary::add(const std::string& word) {
  if (word.empty() || word.find('\n') != word.npos) {
    throw std::invalid_argument("vocabulary: entry " + std::to_string(size()) +
                                " is empty or has a line break");
  }
  if (!ids_.emplace(word, size()).second) {
    throw std::invalid_argument("vocabulary: '" + word + "' is listed twice, as " + std::to_string(id(word)) +
                                " and as " + std::to_string(size()));
  }
  words_.push_back(word);
}

Vocabulary Vocabulary::from_counts(const std::map<std::string, int64_t>& counts, int64_t max_size,
                                   int64_t min_count) {
  const auto fixed = static_cast<int64_t>(specials.size());
  if (max_size < fixed) {
    throw std::invalid_argument("vocabulary: expected a size of at least " + std::to_string(fixed) +
                                ", got " + std::to_string(max_size));
  }
  std::vector<std::pair<int64_t, std::string>> ranked;
  for (const auto& [word, count] : counts) {
    if (count >= min_count) ranked.emplace_back(-count, word);
  }
  std::sort(ranked.begin(), ranked.end());
  Words words;
  for (const auto& [count, word] : ranked) {
    if (static_cast<int64_t>(words.size()) == max_size - fixed) break;
    words.push_back(word);
  }
  return Vocabulary(words);
}

std::string Vocabulary::to_string() const {
  std::string text;
  for (const std::string& word : words_) text += word + '\n';
  return text;
}

Vocabulary Vocabulary::parse(const std::string& text) {
  Words words;
  for (size_t at = 0, end; (end = text.find('\n', at)) != text.npos; at = end + 1) {
    words.push_back(text.substr(at, end - at));
  }
  const auto own = words.begin() + static_cast<std::ptrdiff_t>(std::min(words.size(), specials.size()));
  if (!text.ends_with('\n') || Words(words.begin(), own) != specials) {
    throw std::runtime_error("vocabulary: expected <pad> <s> </s> <unk> and then words, one a line");
  }
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
  if (id < 0 || id >= size()) {
    throw std::invalid_argument("vocabulary: expected an id below " + std::to_string(size()) + ", got " +
                                std::to_string(id));
  }
  return words_[static_cast<size_t>(id)];
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
