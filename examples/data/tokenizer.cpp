#include "examples/data/tokenizer.h"

#include <algorithm>
#include <functional>
#include <queue>
#include <sstream>
#include <utility>

#include "examples/data/utf8.h"
#include "tensor/error.h"

namespace gradus::examples {
namespace {

Ids bytes_of(std::string_view piece) {
  Ids ids;
  for (const char c : piece) ids.push_back(Bpe::first_byte + static_cast<unsigned char>(c));
  return ids;
}

// Every occurrence of the pair becomes one id, from the left: of three equal ones the first two.
void merge(Ids& ids, Bpe::Pair pair, int32_t id) {
  size_t kept = 0;
  for (size_t i = 0; i < ids.size(); ++i, ++kept) {
    const bool found = i + 1 < ids.size() && Bpe::Pair(ids[i], ids[i + 1]) == pair;
    ids[kept] = found ? id : ids[i];
    i += found;
  }
  ids.resize(kept);
}

// The distinct pieces, and for each pair of neighbours how often it occurs and where, so that a merge visits
// only the pieces that have the pair. It makes no pair more frequent but those with its new entry, so the
// queue, which learns of falling counts late, never has too low a count.
struct PairCounts {
  struct Occurrences {
    int64_t count = 0;
    std::vector<size_t> pieces;  // all that have the pair, and some that had it once
  };
  using Queued = std::pair<int64_t, Bpe::Pair>;  // - count, pair: the least is next
  std::vector<std::pair<Ids, int64_t>> pieces;
  std::map<Bpe::Pair, Occurrences> pairs;
  std::priority_queue<Queued, std::vector<Queued>, std::greater<>> queue;

  // Adds the pairs of one piece, or with sign -1 takes them away. Only those with entries from `newest` on
  // are new.
  void add(size_t number, int64_t sign, int32_t newest) {
    const auto& [ids, count] = pieces[number];
    for (size_t i = 1; i < ids.size(); ++i) {
      const Bpe::Pair pair(ids[i - 1], ids[i]);
      Occurrences& found = pairs[pair];
      found.count += sign * count;
      if (sign < 0 || std::max(pair.first, pair.second) < newest) continue;
      if (found.pieces.empty() || found.pieces.back() != number) found.pieces.push_back(number);
      queue.emplace(-found.count, pair);
    }
  }

  // The most frequent pair with its count; count 0 when nothing is left to merge.
  std::pair<int64_t, Bpe::Pair> most_frequent() {
    for (; !queue.empty(); queue.pop()) {
      const auto [queued, pair] = queue.top();
      const int64_t count = pairs[pair].count;
      if (count == -queued) return {count, pair};
      if (count > 0 && count < -queued) queue.emplace(-count, pair);
    }
    return {};
  }
};

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
  constexpr int64_t specials = unk + 1;
  check(size >= specials, "vocabulary: expected a size of at least ", specials, ", got ", size);
  Words words;
  for (const auto& [word, count] : counts)
    if (count >= min_count) words.push_back(word);
  std::ranges::stable_sort(words, std::greater(), [&](const std::string& word) { return counts[word]; });
  words.resize(std::min<size_t>(words.size(), size - specials));
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

std::vector<std::string> split_pieces(std::string_view line) {
  std::vector<std::string> pieces;
  bool was_space = false, was_letter = false;
  for (const auto& [c, bytes, valid] : CodePoints{line}) {
    const bool space = is_space(c), letter = is_letter(c);
    const bool continues = !pieces.empty() && !space && (was_space || letter == was_letter) &&
                           pieces.back().size() + bytes.size() <= Bpe::longest_piece;
    if (!continues) pieces.emplace_back();
    pieces.back() += bytes;
    was_space = space, was_letter = letter;
  }
  return pieces;
}

Bpe::Bpe(std::vector<Pair> merges) : entries_(first_byte), merges_(std::move(merges)) {
  for (int c = 0; c < 256; ++c) entries_.emplace_back(1, static_cast<char>(c));
  const auto bytes = [&](int32_t id) { return id >= first_byte && id < size() ? entries_[id] : ""; };
  for (const auto& [left, right] : merges_) {
    const std::string a = bytes(left), b = bytes(right);
    const bool fits = !a.empty() && !b.empty() && a.size() + b.size() <= longest_piece;
    check(fits && ids_.emplace(Pair(left, right), size()).second, "bpe: entry ", size(),
          ": expected two earlier entries, of at most ", longest_piece,
          " bytes together and not merged yet, got ", left, " and ", right);
    entries_.push_back(a + b);
  }
}

Bpe Bpe::learn(const std::vector<std::string>& lines, int64_t size, int64_t min_count) {
  std::map<std::string, int64_t> counts;
  for (const std::string& line : lines)
    for (const std::string& piece : split_pieces(' ' + line)) ++counts[piece];
  PairCounts text;
  for (const auto& [piece, count] : counts) {
    text.pieces.emplace_back(bytes_of(piece), count);
    text.add(text.pieces.size() - 1, 1, 0);
  }
  std::vector<Pair> merges;
  int32_t id = first_merge;
  for (; id < size; ++id) {
    const auto [count, pair] = text.most_frequent();
    if (count < std::max<int64_t>(min_count, 1)) break;
    merges.push_back(pair);
    for (const size_t i : std::exchange(text.pairs[pair].pieces, {})) {
      text.add(i, -1, id);
      merge(text.pieces[i].first, pair, id);
      text.add(i, 1, id);
    }
  }
  check(id <= size, "bpe: expected a vocabulary of at least ", id, " entries, got ", size);
  check(id == size, "bpe: this text allows at most ", id, " entries, by pairs seen at least ", min_count,
        " times; got a vocabulary of ", size);
  return Bpe(std::move(merges));
}

std::string Bpe::to_string() const {
  std::string text = "bpe\n";
  for (const auto& [left, right] : merges_) text += std::to_string(left) + ' ' + std::to_string(right) + '\n';
  return text;
}

const Ids& Bpe::encode_piece(const std::string& piece) const {
  constexpr size_t kCached = 1 << 17;  // far more pieces than a corpus has words, and still no leak
  const auto found = cache_.find(piece);
  if (found != cache_.end()) return found->second;
  if (cache_.size() >= kCached) cache_.clear();
  Ids ids = bytes_of(piece);
  while (true) {  // the merge that was learned first goes first
    int32_t first = size();
    for (size_t i = 1; i < ids.size(); ++i) {
      const auto merged = ids_.find({ids[i - 1], ids[i]});
      if (merged != ids_.end()) first = std::min(first, merged->second);
    }
    if (first == size()) return cache_[piece] = ids;
    merge(ids, merges_[first - first_merge], first);
  }
}

Ids Bpe::encode(std::string_view line) const {
  Ids ids;
  if (line.empty()) return ids;
  for (const std::string& piece : split_pieces(' ' + std::string(line))) {
    const Ids& found = encode_piece(piece);
    ids.insert(ids.end(), found.begin(), found.end());
  }
  return ids;
}

std::string Bpe::decode(std::span<const int32_t> ids) const {
  std::string text;
  for (const int32_t id : ids) {
    if (id == Vocabulary::eos) break;
    check(id >= 0 && id < size(), "bpe: expected an id below ", size(), ", got ", id);
    text += entries_[id];
  }
  if (text.starts_with(' ')) text.erase(0, 1);
  return text;
}

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
  for (const auto& [c, own, valid] : CodePoints{bytes}) text += valid && c != '\n' ? own : "\uFFFD";
  return text;
}

}  // namespace gradus::examples
