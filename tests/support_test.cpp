// The helpers of the examples that data goes through: text, corpus, vocabulary, batches.
#include <doctest/doctest.h>

#include <limits>
#include <set>
#include <stdexcept>

#include "examples/data/batch.h"
#include "examples/data/lines.h"
#include "examples/data/utf8.h"
#include "tests/files.h"

using namespace gradus;
using namespace gradus::examples;
using namespace gradus::tests;
using std::string;
using std::to_string;

TEST_CASE("utf8: what is valid, and where it breaks") {
  for (const char* good : {"", "a", "é", "€", "\u07FF\u0800\uFFFF\U00010000\U0010FFFF", "\uD7FF\uE000"}) {
    CHECK_FALSE(find_invalid_utf8(good).has_value());
  }
  CHECK_FALSE(find_invalid_utf8(string("a\0b", 3)).has_value());
  const char* bad[] = {"\x80",
                       "\xBF",
                       "\xC3",
                       "\xC3(",
                       "\xE2\x82",
                       "\xE2\x82(",
                       "\xF0\x9F\x98",  // continuation alone or missing
                       "\xC0\x80",
                       "\xC1\xBF",
                       "\xE0\x9F\xBF",
                       "\xF0\x8F\xBF\xBF",  // overlong
                       "\xED\xA0\x80",
                       "\xED\xBF\xBF",
                       "\xF4\x90\x80\x80",  // surrogates, beyond U+10FFFF
                       "\xF5\x80\x80\x80",
                       "\xF8\x88\x80\x80\x80",
                       "\xFE",
                       "\xFF"};  // bytes that never occur
  for (const string bytes : bad) {
    for (const string before : {"", "a", "aé", "aé€", "\U0001F600"}) {
      CHECK(find_invalid_utf8(before + bytes) == before.size());
      CHECK(find_invalid_utf8(before + bytes + " and more") == before.size());
    }
  }
}

TEST_CASE("text: lines") {
  const TemporaryFile file("\uFEFFone\r\n\ntwo é\nlast");
  CHECK(read_lines(file.path) == Words{"one", "", "two é", "last"});
  const TemporaryFile huge(string(3'000'000, 'x') + "\n");
  CHECK(read_lines(huge.path).at(0).size() == 3'000'000);
  const TemporaryFile empty(""), invalid("fine\r\nna\xC3 ve\n");
  const auto error = [](const string& path) {
    return error_of<std::runtime_error>([&] { read_lines(path); });
  };
  CHECK(error(empty.path) == empty.path + ": the file is empty");
  CHECK(error(invalid.path) == invalid.path + ", line 2, byte 3: not valid UTF-8");
  CHECK(error("/nowhere/at all") == "/nowhere/at all: cannot be opened: No such file or directory");
  CHECK(error("/tmp") == "/tmp, line 1: cannot be read");
}

TEST_CASE("text: words apart and together again") {
  const struct {
    string text;
    Words words;
    string joined;
  } cases[] = {
      {"", {}, ""},
      {" \t\u00A0\u202F ", {}, ""},
      {"L'arbre, là.", {"L'", "arbre", ",", "là", "."}, "L'arbre, là."},
      {"l’arbre n'est pas d'ici",
       {"l’", "arbre", "n'", "est", "pas", "d'", "ici"},
       "l’arbre n'est pas d'ici"},
      {"Est-ce 3,14 ou 10:30\u202F?", {"Est-ce", "3,14", "ou", "10:30", "?"}, "Est-ce 3,14 ou 10:30?"},
      {"« Où ? »", {"«", "Où", "?", "»"}, "« Où? »"},
      {"say \"no\" (or \"yes\")",
       {"say", "\"", "no", "\"", "(", "or", "\"", "yes", "\"", ")"},
       "say \"no\" (or \"yes\")"},
      {"„ja“ “yes”", {"„", "ja", "“", "“", "yes", "”"}, "„ja“ “yes”"},
      {"the dogs' and/or $5...",
       {"the", "dogs", "'", "and", "/", "or", "$", "5", ".", ".", "."},
       "the dogs' and/or $5..."},
      {"-5 - a- -b x--y", {"-", "5", "-", "a", "-", "-", "b", "x", "-", "-", "y"}, "- 5 - a - - b x - - y"},
      {"\xFF\x80z", {"\xFF\x80z"}, "\xFF\x80z"},
  };
  for (const auto& [text, words, joined] : cases) {
    CHECK(split_words(text) == words);
    CHECK(join_words(words) == joined);
    CHECK(split_words(joined) == words);
  }
  CHECK(join_words({"le", "chat", "n'", "aime", "pas", "l'", "eau"}) == "le chat n'aime pas l'eau");
  CHECK(join_words({"", "a", "", "b"}) == "a b");
  CHECK(split_words(string(1'000'000, '\'')).size() == 1'000'000);
}

TEST_CASE("corpus: pairs, blank lines, the part put aside") {
  const TemporaryFile source("a\n\nc\nd\n"), target("A\nB\n \u00A0\nD\n"), shorter("A\nB\n"),
      blank("\n\n\n\n");
  const ParallelText text = read_parallel(source.path, target.path);
  CHECK(text.source == Words{"a", "d"});
  CHECK(text.target == Words{"A", "D"});
  CHECK(text.lines == std::vector<int64_t>{1, 4});
  CHECK(text.dropped == 2);
  CHECK(error_of<std::runtime_error>([&] { read_parallel(source.path, shorter.path); }) ==
        "a parallel corpus needs equally many lines on both sides: " + source.path + " has 4, " +
            shorter.path + " has 2");
  CHECK_THROWS_AS(read_parallel(source.path, blank.path), std::runtime_error);

  int held = 0;
  for (int i = 0; i < 20'000; ++i) held += is_held_out("line " + to_string(i), 0.05);
  CHECK(std::abs(held - 1000) < 120);
  CHECK_FALSE(is_held_out("x", 0));
  CHECK(is_held_out("x", 1));
  CHECK_THROWS_AS(is_held_out("x", 1.5), std::invalid_argument);
  CHECK(content_hash("") == 0xECBA3DF2C3383C52);
  CHECK(content_hash("a") != content_hash("b"));
}

TEST_CASE("vocabulary") {
  const Words lines = {"b é a", "é é b", "rare é a é"};
  const Vocabulary v = Vocabulary::learn(lines, 7, 2);
  CHECK(v.size() == 7);
  CHECK(v.to_string() == "<pad>\n<s>\n</s>\n<unk>\né\na\nb\n");
  CHECK(Vocabulary::learn(lines, 6).to_string().ends_with("é\na\n"));
  CHECK(v.encode({"a", "rare", "é"}) == Ids{5, Vocabulary::unk, 4});
  CHECK(v.decode(Ids{1, 5, 0, 3, 4, 2, 6}) == Words{"a", "<unk>", "é"});
  CHECK(v.word(6) == "b");
  CHECK(error_of<std::invalid_argument>([&] { v.word(7); }) == "vocabulary: expected an id below 7, got 7");
  CHECK_THROWS_AS(v.word(-1), std::invalid_argument);
  CHECK(Tokenizer::parse(v.to_string()).to_string() == v.to_string());
  CHECK(Vocabulary({}).size() == 4);

  CHECK(error_of<std::invalid_argument>([] {
          Vocabulary({"x", "y", "x"});
        }) == "vocabulary: 'x' is listed twice, as 4 and as 6");
  CHECK_THROWS_AS(Vocabulary({"</s>"}), std::invalid_argument);
  CHECK_THROWS_AS(Vocabulary({""}), std::invalid_argument);
  CHECK_THROWS_AS(Vocabulary({"two\nlines"}), std::invalid_argument);
  CHECK_THROWS_AS(Vocabulary::learn({}, 3), std::invalid_argument);
  for (const char* text :
       {"", "<pad>\n", "<pad>\n<s>\n</s>\n", "<s>\n<pad>\n</s>\n<unk>\n", "<pad>\n<s>\n</s>\n<unk>\na",
        "<pad>\n<s>\n</s>\n<unk>\na\na\n", "<pad>\n<s>\n</s>\n<unk>\n\n"}) {
    CHECK_THROWS_AS(Tokenizer::parse(text), std::runtime_error);
  }
}

TEST_CASE("batch: padding, lengths, limits") {
  const auto ids = [](const Tensor& tensor) { return tensor.to_vector<int32_t>(); };
  const std::vector<IdPair> pairs = {{{7, 8, 9}, {4}, 1}, {{5}, {6, 7}, 2}, {{6}, {}, 9}};
  const Batch batch = make_batch(pairs);
  CHECK(batch.source.shape() == Shape{3, 3});
  CHECK(batch.target.shape() == Shape{3, 4});
  CHECK(ids(batch.source) == Ids{7, 8, 9, 5, 0, 0, 6, 0, 0});
  CHECK(ids(batch.source_lengths) == Ids{3, 1, 1});
  CHECK(ids(batch.target) == Ids{1, 4, 2, 0, 1, 6, 7, 2, 1, 2, 0, 0});
  CHECK(ids(batch.target_lengths) == Ids{3, 4, 2});
  CHECK(ids(batch.labels()) == Ids{4, 2, 0, 6, 7, 2, 2, 0, 0});
  CHECK(batch.target_tokens == 6);
  CHECK(ids(make_batch(pairs, {{1}}).target) == Ids{1, 6, 7, 2});
  CHECK_THROWS_AS(make_batch(std::vector<IdPair>{}), std::invalid_argument);
  CHECK(error_of<std::invalid_argument>([] {
          make_batch(std::vector<IdPair>{{{}, {5}, 3}});
        }) == "make_batch: line 3: empty source");
  CHECK(positions(pairs[0]) == 3);
  CHECK(positions(pairs[1]) == 3);
  const Batch wider = make_batch(pairs, {{2}, 2, 4});
  CHECK(ids(wider.source) == Ids{6, 0});
  CHECK(ids(wider.target) == Ids{1, 2, 0, 0});
  CHECK(ids(wider.target_lengths) == Ids{2});
}

TEST_CASE("batch: buckets hold every pair once, are full, alike and reproducible") {
  std::vector<IdPair> pairs;
  for (size_t i = 0; i < 1000; ++i) pairs.push_back({Ids(1 + i * 7 % 23, 4), Ids(1 + i * 11 % 29, 4)});
  pairs.push_back({Ids(500, 4), Ids(3, 4)});
  const auto batches = bucketed_batches(pairs, 300, 1, 0);
  std::set<size_t> seen;
  int64_t padded = 0, real = 0;
  for (const BatchPlan& plan : batches) {
    seen.insert(plan.pairs.begin(), plan.pairs.end());
    const Batch batch = make_batch(pairs, plan);
    const int64_t rows = batch.source.shape()[0], predicted = batch.target.shape()[1] - 1;
    const int64_t width = std::max(batch.source.shape()[1], predicted);
    CHECK((rows == 1 || rows * width <= 300));
    padded += rows * predicted;
    real += batch.target_tokens;
  }
  CHECK(seen.size() == pairs.size());
  CHECK(static_cast<double>(real) >
        0.8 * static_cast<double>(padded));  // lengths have nothing in common here
  CHECK(batches == bucketed_batches(pairs, 300, 1, 0));
  CHECK(batches != bucketed_batches(pairs, 300, 1, 1));
  CHECK(batches != bucketed_batches(pairs, 300, 2, 0));
  // Nor does only the sum of seed and epoch count.
  CHECK(bucketed_batches(pairs, 300, 1, 1) != bucketed_batches(pairs, 300, 2, 0));
  CHECK(bucketed_batches({}, 300, 1, 0).empty());
  CHECK_THROWS_AS(bucketed_batches(pairs, 0, 1, 0), std::invalid_argument);
  const std::vector<IdPair> six(6, {{4}, {4}});  // the same on every machine
  std::vector<std::vector<size_t>> order;
  for (const BatchPlan& plan : bucketed_batches(six, 4, 1, 0)) order.push_back(plan.pairs);
  CHECK(order == std::vector<std::vector<size_t>>{{0, 4}, {5, 2}, {1, 3}});
}
