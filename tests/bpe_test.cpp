// Byte pairs: nothing is lost, the merges are those of a slow oracle, hostile text is refused. Tokenizers.
// Batches: few shapes, every pair once.
#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <stdexcept>
#include <tuple>

#include "examples/data/batch.h"
#include "examples/data/tokenizer.h"
#include "examples/data/toy_language.h"

using namespace gradus;
using namespace gradus::examples;
using std::string;

namespace {

const std::vector<string> kLines = {"the lower the newest, the widest; low low low",
                                    "lower and newer and wider", "aaaa aaa aa aaaaaaaa bababab",
                                    "Über die Straße l'été", "the  end . . ."};

// The definition, and nothing else: all pairs counted anew for every merge.
string slow_oracle(const std::vector<string>& lines, int64_t merges) {
  std::vector<Ids> pieces;
  for (const string& line : lines)
    for (const string& piece : split_pieces(' ' + line)) {
      pieces.emplace_back();
      for (const unsigned char c : piece) pieces.back().push_back(4 + c);
    }
  string text = "bpe\n";
  for (int32_t id = 260; id < 260 + merges; ++id) {
    std::map<Bpe::Pair, int64_t> counts;
    for (const Ids& ids : pieces)
      for (size_t i = 1; i < ids.size(); ++i) ++counts[{ids[i - 1], ids[i]}];
    Bpe::Pair best;
    int64_t most = 0;
    for (const auto& [pair, count] : counts)
      if (count > most) most = count, best = pair;
    text += std::to_string(best.first) + " " + std::to_string(best.second) + "\n";
    for (Ids& ids : pieces)
      for (size_t i = 1; i < ids.size(); ++i)
        if (Bpe::Pair(ids[i - 1], ids[i]) == best) {
          ids[i - 1] = id;
          ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(i));
        }
  }
  return text;
}

// Merge by merge in the order they were learned, each on the whole piece, from the left.
Ids slow_encode(const std::vector<Bpe::Pair>& merges, const string& line) {
  Ids all;
  for (const string& piece : split_pieces(' ' + line)) {
    Ids ids;
    for (const unsigned char c : piece) ids.push_back(4 + c);
    for (size_t number = 0; number < merges.size(); ++number)
      for (size_t i = 1; i < ids.size(); ++i)
        if (Bpe::Pair(ids[i - 1], ids[i]) == merges[number]) {
          ids[i - 1] = 260 + static_cast<int32_t>(number);
          ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(i));
        }
    all.insert(all.end(), ids.begin(), ids.end());
  }
  return all;
}

string refusal(const string& text) {
  try {
    Tokenizer::parse(text);
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "not refused";
}

}  // namespace

TEST_CASE("bpe: pieces are the line, with at most one white-space character before each") {
  CHECK(split_pieces(" The man's  dog, 3rd.\tÉté «là»…") ==
        Words{" The", " man", "'", "s", " ", " dog", ",", " 3rd", ".", "\tÉté", " «", "là", "»…"});
  CHECK(split_pieces("").empty());
  for (const string& piece : split_pieces(string(1000, 'x'))) CHECK(piece.size() <= Bpe::longest_piece);
}

TEST_CASE("bpe: every string comes back") {
  const Bpe bpe = Bpe::learn(kLines, 300);
  std::vector<string> hostile = {"",
                                 " ",
                                 "   ",
                                 " a ",
                                 "a  b   c",
                                 "\t\ttab\tbed \t ",
                                 "no\u00A0break\u202F\u3000",
                                 "emoji \U0001F600\U0001F468\u200D\U0001F469\u200D\U0001F467 !",
                                 "e\u0301 n\u0303 \u0301\u0301",
                                 "Ελληνικά 中文 עברית हिन्दी",
                                 "</s><pad> <unk>",
                                 string("\0\x01\x7F", 3),
                                 "\r\n\v\f\x85",
                                 "\xFF\xC3 \x80",
                                 string(100'000, 'a'),
                                 string(100'000, ' '),
                                 string(50'001, '\xE2')};
  hostile.insert(hostile.end(), kLines.begin(), kLines.end());
  std::mt19937_64 random(1);
  for (int i = 0; i < 300; ++i) {
    string bytes;
    for (uint64_t n = random() % 60; n > 0; --n) bytes += static_cast<char>(random() % (i % 2 ? 256 : 128));
    hostile.push_back(bytes);
  }
  for (const string& line : hostile) {
    const Ids ids = bpe.encode(line);
    CHECK(bpe.decode(ids) == line);
    CHECK(ids == bpe.encode(line));  // now from the cache
    for (const int32_t id : ids) CHECK((id >= Bpe::first_byte && id < bpe.size()));
  }
  CHECK(bpe.decode(Ids{1, 4 + 'x', 0, 2, 4 + 'y'}) == "x");
  CHECK_THROWS_AS(bpe.decode(Ids{300}), std::invalid_argument);
  CHECK_THROWS_AS(bpe.decode(Ids{-1}), std::invalid_argument);
}

TEST_CASE("bpe: the merges of the slow oracle") {
  CHECK(Bpe::learn(kLines, 260).to_string() == "bpe\n");
  for (const int merges : {1, 10, 40, 55})
    CHECK(Bpe::learn(kLines, 260 + merges).to_string() == slow_oracle(kLines, merges));
  std::mt19937_64 random(7);
  for (int trial = 0; trial < 30; ++trial) {
    std::vector<string> lines(4);
    for (string& line : lines)
      for (int i = 0; i < 60; ++i) line += "aaab "[random() % 5];
    CHECK(Bpe::learn(lines, 275).to_string() == slow_oracle(lines, 15));
  }
  const Bpe low =
      Bpe::learn({"low low low lower"}, 264);  // l o w and the space: one entry, then its parts of lower
  CHECK(low.encode("low").size() == 1);
  CHECK(low.encode("low lower").size() == 3);
}

TEST_CASE("bpe: encoding makes the merge that was learned first, wherever it stands") {
  constexpr int32_t space = 4 + ' ', a = 4 + 'a', b = 4 + 'b', c = 4 + 'c';
  CHECK(Bpe({{b, c}, {a, b}}).encode("abc") == Ids{space, a, 260});
  CHECK(Bpe({{a, b}, {b, c}}).encode("abc") == Ids{space, 260, c});
  CHECK(Bpe({{a, a}}).encode("aaa") == Ids{space, 260, a});
  std::mt19937_64 random(11);
  for (int trial = 0; trial < 200; ++trial) {
    Ids entries{a, b, c};
    std::vector<Bpe::Pair> merges;  // of any earlier entries: `learn` would make few of these
    while (merges.size() < 6) {     // six of them spell at most 64 bytes
      const Bpe::Pair pair(entries[random() % entries.size()], entries[random() % entries.size()]);
      if (std::ranges::count(merges, pair) > 0) continue;
      entries.push_back(260 + static_cast<int32_t>(merges.size()));
      merges.push_back(pair);
    }
    string line;
    for (int i = 0; i < 50; ++i) line += "aabbc "[random() % 6];
    CHECK(Bpe(merges).encode(line) == slow_encode(merges, line));
  }
}

TEST_CASE("bpe: more than the text allows is an error that names the largest size") {
  const auto learn = [](int64_t size, int64_t min_count) {
    try {
      Bpe::learn({"ab ab ab cd"}, size, min_count);
    } catch (const std::invalid_argument& error) {
      return string(error.what());
    }
    return string();
  };
  CHECK(learn(300, 1) ==
        "bpe: this text allows at most 264 entries, by pairs seen at least 1 times; got a vocabulary of 300");
  CHECK(learn(264, 1).empty());
  CHECK(learn(264, 2) ==
        "bpe: this text allows at most 262 entries, by pairs seen at least 2 times; got a vocabulary of 264");
  CHECK(learn(259, 1) == "bpe: expected a vocabulary of at least 260 entries, got 259");
}

TEST_CASE("tokenizer: text of a checkpoint, round and refused") {
  const Tokenizer pairs(Bpe::learn(kLines, 300)), words = Tokenizer(Vocabulary::learn(kLines, 30));
  for (const Tokenizer& tokenizer : {pairs, words}) {
    const Tokenizer again = Tokenizer::parse(tokenizer.to_string());
    CHECK(again.to_string() == tokenizer.to_string());
    CHECK(again.size() == tokenizer.size());
    for (const string& line : kLines) CHECK(again.encode(line) == tokenizer.encode(line));
  }
  CHECK(pairs.decode(pairs.encode("the  end !")) == "the  end !");
  CHECK(words.decode(words.encode("the  newest zebra")) == "the newest <unk>");
  // What a model may put together: halves of characters, line breaks.
  CHECK(pairs.decode(Ids{4 + 0xC3, 4 + 'a', 4 + '\n', 4 + 0xC3, 4 + 0xA9}) == "\uFFFDa\uFFFDé");

  CHECK(refusal("bpe\n") == "not refused");
  CHECK(refusal("bpe\n101 102\n260 260\n") == "not refused");
  for (const char* text : {"", "bpe", "bpe \n", "bpe\n1", "bpe\n101 102", "bpe\n101  102\n",
                           "bpe\n101 102\n\n", "bpe\n101 102 \n", "bpe\n+101 102\n", "bpe\n0101 102\n",
                           "bpe\n101 x\n", "bpe\n101\n", "bpe\n101 99999999999\n", "bpe\r\n", "bpe2\n"})
    CHECK(refusal(text) != "not refused");
  const string wrong =
      ": expected two earlier entries, of at most 64 bytes together and not merged yet, got ";
  CHECK(refusal("bpe\n101 260\n") == "bpe: entry 260" + wrong + "101 and 260");
  CHECK(refusal("bpe\n3 101\n") == "bpe: entry 260" + wrong + "3 and 101");
  CHECK(refusal("bpe\n101 -1\n") == "bpe: entry 260" + wrong + "101 and -1");
  CHECK(refusal("bpe\n101 102\n101 102\n") == "bpe: entry 261" + wrong + "101 and 102");
  string doubling = "bpe\n101 101\n";  // 2, 4, ... bytes: forty of these would fill the machine
  for (int id = 260; id < 300; ++id) doubling += std::to_string(id) + " " + std::to_string(id) + "\n";
  CHECK(refusal(doubling) == "bpe: entry 266" + wrong + "265 and 265");
}

TEST_CASE("tokenizer: the toy language's words survive being joined") {
  toy::Rng rng(3);
  for (int i = 0; i < 2000; ++i) {
    const Words source = toy::sample_source(rng, toy::Split::train),
                target = toy::sample_translation(rng, source);
    CHECK(split_words(join_words(source)) == source);
    CHECK(split_words(join_words(target)) == target);
  }
}

TEST_CASE("batch: at most 24 shapes, every pair once an epoch, the same shapes in each") {
  std::mt19937_64 random(5);
  for (int trial = 0; trial < 40; ++trial) {
    const size_t n = 1 + random() % (trial % 2 ? 3000 : 60), longest = 1 + random() % 128;
    const int64_t tokens = 1 + static_cast<int64_t>(random() % 2000);
    std::vector<IdPair> pairs;
    for (size_t i = 0; i < n; ++i) {
      const size_t source = 1 + random() % longest * (random() % longest) / longest;
      const size_t target = trial % 3 ? random() % longest : source + random() % 5;
      pairs.push_back({Ids(source, 4), Ids(target, 5), static_cast<int64_t>(i)});
    }
    std::set<std::tuple<int64_t, int64_t, int64_t>> shapes, first_epoch;
    for (int64_t epoch = 0; epoch < 3; ++epoch) {
      const auto batches = bucketed_batches(pairs, tokens, 1, epoch);
      CHECK(batches == bucketed_batches(pairs, tokens, 1, epoch));
      std::vector<int> seen(n);
      for (const BatchPlan& plan : batches) {
        const Batch batch = make_batch(pairs, plan);
        for (const size_t i : plan.pairs) ++seen[i];
        const int64_t rows = batch.source.shape()[0], source_width = batch.source.shape()[1],
                      target_width = batch.target.shape()[1];
        CHECK((rows == 1 || rows * std::max(source_width, target_width - 1) <= tokens));
        CHECK(source_width == plan.source_width);
        CHECK(target_width == plan.target_width);
        shapes.emplace(rows, source_width, target_width);
      }
      CHECK(seen == std::vector<int>(n, 1));
      if (epoch == 0) first_epoch = shapes;
    }
    CHECK(shapes == first_epoch);
    CHECK(shapes.size() <= max_shapes);
  }
}

TEST_CASE("batch: little padding where lengths go together") {
  std::mt19937_64 random(9);
  std::vector<IdPair> pairs;
  for (int i = 0; i < 20'000; ++i) {
    const size_t source = 5 + random() % 10 + random() % 10 + random() % 10;
    pairs.push_back({Ids(source, 4), Ids(source - 3 + random() % 7, 4)});
  }
  pairs.push_back({Ids(500, 4), Ids(3, 4)});  // one that is like no other costs little
  int64_t padded = 0, real = 0;
  for (const BatchPlan& plan : bucketed_batches(pairs, 2048, 1, 0)) {
    const Batch b = make_batch(pairs, plan);
    padded += b.source.shape().numel() + b.target.shape().numel();
    for (const Tensor& lengths : {b.source_lengths, b.target_lengths})
      for (const int32_t length : lengths.to_vector<int32_t>()) real += length;
  }
  CHECK(static_cast<double>(real) > 0.88 * static_cast<double>(padded));
}
