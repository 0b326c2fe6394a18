#include "examples/support/bpe.h"

#include <algorithm>
#include <queue>
#include <set>
#include <sstream>
#include <stdexcept>

namespace gradus::examples {
namespace {

constexpr const char* kHeader = "bpe\n";

uint64_t key(Bpe::Pair pair) { return uint64_t(pair.first) << 32 | uint32_t(pair.second); }

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

// The distinct pieces with their counts, and for each pair of neighbours how often it occurs and where. A
// merge visits only the pieces that have the pair. It can make other pairs rarer, but not more frequent,
// unless they have the new entry: so a pair's place in the queue is right or too high, and is put right when
// it comes up.
class Learner {
 public:
  explicit Learner(const std::unordered_map<std::string, int64_t>& counts) {
    for (const auto& [piece, count] : counts) pieces_.push_back({bytes_of(piece), count});
    for (size_t i = 0; i < pieces_.size(); ++i) count(i, 1, /*newest=*/0);
    queue_new_pairs();
  }

  // The most frequent pair and its count, which is 0 when nothing is left to merge.
  std::pair<Bpe::Pair, int64_t> best() {
    for (; !queue_.empty(); queue_.pop()) {
      const auto [queued, inverse] = queue_.top();
      const int64_t count = pairs_.at(~inverse).count;
      if (queued == count) return {{~inverse >> 32, ~inverse & 0xFFFFFFFF}, count};
      if (count > 0) new_pairs_.insert(~inverse);
      if (count > 0) queue_new_pairs();
    }
    return {};
  }

  void apply(Bpe::Pair pair, int32_t id) {
    for (const size_t i : std::exchange(pairs_[key(pair)].pieces, {})) {
      count(i, -1, id);
      merge(pieces_[i].ids, pair, id);
      count(i, 1, id);
    }
    queue_new_pairs();
  }

 private:
  struct Piece {
    Ids ids;
    int64_t count;
  };
  struct Occurrences {
    int64_t count = 0;
    std::vector<size_t> pieces;  // all that have the pair, and some that had it once
  };

  // Adds or takes away the pairs of one piece; those with the newest entry are met for the first time.
  void count(size_t number, int64_t sign, int32_t newest) {
    const Piece& piece = pieces_[number];
    for (size_t i = 1; i < piece.ids.size(); ++i) {
      const uint64_t pair = key({piece.ids[i - 1], piece.ids[i]});
      Occurrences& at = pairs_[pair];
      at.count += sign * piece.count;
      if (std::max(piece.ids[i - 1], piece.ids[i]) < newest) continue;
      if (at.pieces.empty() || at.pieces.back() != number) at.pieces.push_back(number);
      new_pairs_.insert(pair);
    }
  }

  void queue_new_pairs() {
    for (const uint64_t pair : new_pairs_) queue_.emplace(pairs_[pair].count, ~pair);
    new_pairs_.clear();
  }

  std::vector<Piece> pieces_;
  std::unordered_map<uint64_t, Occurrences> pairs_;
  std::set<uint64_t> new_pairs_;
  std::priority_queue<std::pair<int64_t, uint64_t>>
      queue_;  // count, and ~key: of equal counts the lowest key
};

}  // namespace

std::vector<std::string> split_pieces(std::string_view line) {
  enum class Kind { none, space, letter, mark } before = Kind::none;
  std::vector<std::string> pieces;
  for (size_t at = 0; at < line.size();) {
    const auto [c, length, valid] = decode_utf8(line, at);
    const Kind kind = is_space(c) ? Kind::space : is_letter(c) ? Kind::letter : Kind::mark;
    const bool continues = kind != Kind::space && (kind == before || before == Kind::space) &&
                           pieces.back().size() + length <= Bpe::longest_piece;
    if (!continues) pieces.emplace_back();
    pieces.back() += line.substr(at, length);
    before = kind;
    at += length;
  }
  return pieces;
}

Bpe::Bpe(std::vector<Pair> merges) : merges_(std::move(merges)), entries_(first_byte) {
  for (int c = 0; c < 256; ++c) entries_.emplace_back(1, static_cast<char>(c));
  const auto is_entry = [&](int32_t id) { return id >= first_byte && id < size(); };
  for (const Pair& pair : merges_) {
    const auto& [left, right] = pair;
    const std::string name = "merge " + std::to_string(size() - first_merge + 1) + " is of " +
                             std::to_string(left) + " and " + std::to_string(right);
    if (!is_entry(left) || !is_entry(right))
      throw std::invalid_argument("bpe: " + name + "; expected ids from " + std::to_string(first_byte) +
                                  " to " + std::to_string(size() - 1));
    entries_.push_back(entries_[static_cast<size_t>(left)] + entries_[static_cast<size_t>(right)]);
    if (entries_.back().size() > longest_piece)
      throw std::invalid_argument("bpe: " + name + ": " + std::to_string(entries_.back().size()) +
                                  " bytes; expected at most " + std::to_string(longest_piece));
    if (!ids_.emplace(key(pair), size() - 1).second)
      throw std::invalid_argument("bpe: " + name + ", as is an earlier one");
  }
}

Bpe Bpe::learn(const std::vector<std::string>& lines, int64_t size, int64_t min_count) {
  std::unordered_map<std::string, int64_t> counts;
  for (const std::string& line : lines)
    for (const std::string& piece : split_pieces(' ' + line)) ++counts[piece];
  Learner learner(counts);
  std::vector<Pair> merges;
  for (int64_t id = first_merge; id < size; ++id) {
    const auto [pair, count] = learner.best();
    if (count < std::max<int64_t>(min_count, 1)) break;
    learner.apply(pair, static_cast<int32_t>(id));
    merges.push_back(pair);
  }
  const int64_t learned = first_merge + static_cast<int64_t>(merges.size());
  if (learned != size)
    throw std::invalid_argument("bpe: this text allows a vocabulary of " + std::to_string(first_merge) +
                                " to " + std::to_string(learned) + " entries (by pairs seen at least " +
                                std::to_string(min_count) + " times), got " + std::to_string(size));
  return Bpe(std::move(merges));
}

std::string Bpe::to_string() const {
  std::string text = kHeader;
  for (const auto& [left, right] : merges_) text += std::to_string(left) + ' ' + std::to_string(right) + '\n';
  return text;
}

Bpe Bpe::parse(const std::string& text) {
  std::istringstream in(text);
  std::string header;
  std::getline(in, header);
  std::vector<Pair> merges;
  for (Pair pair; in >> pair.first >> pair.second;) merges.push_back(pair);
  try {
    Bpe bpe(std::move(merges));
    if (bpe.to_string() == text) return bpe;      // what else can be read as numbers is refused
  } catch (const std::invalid_argument& error) {  // the caller passed on what some file says
    throw std::runtime_error(error.what());
  }
  throw std::runtime_error("bpe: expected a line `bpe` and then two ids a line, one space between them");
}

const Ids& Bpe::encode_piece(const std::string& piece) const {
  constexpr size_t kCached = 1 << 17;  // pieces: far more than a corpus has words, and still no leak
  const auto found = cache_.find(piece);
  if (found != cache_.end()) return found->second;
  if (cache_.size() >= kCached) cache_.clear();
  Ids ids = bytes_of(piece);
  while (true) {  // the merge that was learned first goes first
    auto first = ids_.end();
    for (size_t i = 1; i < ids.size(); ++i) {
      const auto merged = ids_.find(key({ids[i - 1], ids[i]}));
      if (merged != ids_.end() && (first == ids_.end() || merged->second < first->second)) first = merged;
    }
    if (first == ids_.end()) return cache_.emplace(piece, std::move(ids)).first->second;
    merge(ids, merges_[static_cast<size_t>(first->second - first_merge)], first->second);
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
    if (id < 0 || id >= size())
      throw std::invalid_argument("bpe: expected an id below " + std::to_string(size()) + ", got " +
                                  std::to_string(id));
    text += entries_[static_cast<size_t>(id)];
  }
  if (text.starts_with(' ')) text.erase(0, 1);
  return text;
}

}  // namespace gradus::examples
