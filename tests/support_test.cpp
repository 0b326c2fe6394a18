// The helpers of the examples: text, corpus, vocabulary, batches, BLEU, progress, options, log lines.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <limits>
#include <set>
#include <sstream>
#include <stdexcept>

#include "examples/support/batch.h"
#include "examples/support/bleu.h"
#include "examples/support/cli.h"
#include "examples/support/corpus.h"
#include "examples/support/json_line.h"
#include "examples/support/progress.h"

using namespace gradus::examples;
using std::string;
using std::to_string;

namespace {

struct TemporaryFile {
  explicit TemporaryFile(const string& content) { std::ofstream(path, std::ios::binary) << content; }
  ~TemporaryFile() { std::filesystem::remove(path); }
  static inline int count = 0;
  string path = std::filesystem::temp_directory_path() /
                ("gradus_support_" + to_string(getpid()) + "_" + to_string(count++));
};

template <class Error, class Action>
string message(Action action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "no such error";
}

}  // namespace

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
    return message<std::runtime_error>([&] { read_lines(path); });
  };
  CHECK(error(empty.path) == empty.path + ": the file is empty");
  CHECK(error(invalid.path) == invalid.path + ", line 2, byte 3: not valid UTF-8");
  CHECK(error("/nowhere/at all") == "/nowhere/at all: cannot be opened");
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
  CHECK(message<std::runtime_error>([&] { read_parallel(source.path, shorter.path); }) ==
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
  const Vocabulary v = Vocabulary::from_counts({{"b", 2}, {"a", 2}, {"é", 5}, {"rare", 1}}, 7, 2);
  CHECK(v.size() == 7);
  CHECK(v.to_string() == "<pad>\n<s>\n</s>\n<unk>\né\na\nb\n");
  CHECK(Vocabulary::from_counts({{"b", 2}, {"a", 2}, {"é", 5}}, 6).to_string().ends_with("é\na\n"));
  CHECK(v.encode({"a", "rare", "é"}) == Ids{5, Vocabulary::unk, 4});
  CHECK(v.decode(Ids{1, 5, 0, 3, 4, 2, 6}) == Words{"a", "<unk>", "é"});
  CHECK(v.word(6) == "b");
  CHECK(message<std::invalid_argument>([&] { v.word(7); }) == "vocabulary: expected an id below 7, got 7");
  CHECK_THROWS_AS(v.word(-1), std::invalid_argument);
  CHECK(Vocabulary::parse(v.to_string()).to_string() == v.to_string());
  CHECK(Vocabulary({}).size() == 4);

  CHECK(message<std::invalid_argument>([] {
          Vocabulary({"x", "y", "x"});
        }) == "vocabulary: 'x' is listed twice, as 4 and as 6");
  CHECK_THROWS_AS(Vocabulary({"</s>"}), std::invalid_argument);
  CHECK_THROWS_AS(Vocabulary({""}), std::invalid_argument);
  CHECK_THROWS_AS(Vocabulary({"two\nlines"}), std::invalid_argument);
  CHECK_THROWS_AS(Vocabulary::from_counts({}, 3), std::invalid_argument);
  for (const char* text :
       {"", "<pad>\n", "<pad>\n<s>\n</s>\n", "<s>\n<pad>\n</s>\n<unk>\n", "<pad>\n<s>\n</s>\n<unk>\na",
        "<pad>\n<s>\n</s>\n<unk>\na\na\n", "<pad>\n<s>\n</s>\n<unk>\n\n"}) {
    CHECK_THROWS_AS(Vocabulary::parse(text), std::runtime_error);
  }
}

TEST_CASE("batch: padding, lengths, limits") {
  const std::vector<IdPair> pairs = {{{7, 8, 9}, {4}, 1}, {{5}, {6, 7}, 2}, {{6}, {}, 9}};
  const Batch batch = make_batch(pairs);
  CHECK(batch.rows == 3);
  CHECK(batch.source_width == 3);
  CHECK(batch.target_width == 4);
  CHECK(batch.source == Ids{7, 8, 9, 5, 0, 0, 6, 0, 0});
  CHECK(batch.source_lengths == Ids{3, 1, 1});
  CHECK(batch.target == Ids{1, 4, 2, 0, 1, 6, 7, 2, 1, 2, 0, 0});
  CHECK(batch.target_lengths == Ids{3, 4, 2});
  CHECK(batch.target_tokens == 6);
  CHECK(make_batch(pairs, {{1}}).target == Ids{1, 6, 7, 2});
  CHECK_THROWS_AS(make_batch(std::vector<IdPair>{}), std::invalid_argument);
  CHECK(message<std::invalid_argument>([] {
          make_batch(std::vector<IdPair>{{{}, {5}, 3}});
        }) == "make_batch: line 3: empty source");
  CHECK(positions(pairs[0]) == 3);
  CHECK(positions(pairs[1]) == 3);
  const Batch wider = make_batch(pairs, {{2}, 2, 4});
  CHECK(wider.source == Ids{6, 0});
  CHECK(wider.target == Ids{1, 2, 0, 0});
  CHECK(wider.target_lengths == Ids{2});
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
    const int64_t width = std::max(batch.source_width, batch.target_width - 1);
    CHECK((batch.rows == 1 || batch.rows * width <= 300));
    padded += batch.rows * (batch.target_width - 1);
    real += batch.target_tokens;
  }
  CHECK(seen.size() == pairs.size());
  CHECK(static_cast<double>(real) > 0.8 * static_cast<double>(padded));  // lengths have nothing in common here
  CHECK(batches == bucketed_batches(pairs, 300, 1, 0));
  CHECK(batches != bucketed_batches(pairs, 300, 1, 1));
  CHECK(batches != bucketed_batches(pairs, 300, 2, 0));
  CHECK(bucketed_batches({}, 300, 1, 0).empty());
  CHECK_THROWS_AS(bucketed_batches(pairs, 0, 1, 0), std::invalid_argument);
  const std::vector<IdPair> six(6, {{4}, {4}});  // the same on every machine
  std::vector<std::vector<size_t>> order;
  for (const BatchPlan& plan : bucketed_batches(six, 4, 1, 0)) order.push_back(plan.pairs);
  CHECK(order == std::vector<std::vector<size_t>>{{0, 4}, {5, 2}, {1, 3}});
}

TEST_CASE("bleu: equal to sacreBLEU") {
  // Expected values: sacreBLEU 2.6.0, nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0
  const struct {
    Words hypotheses, references;
    Bleu bleu;
  } cases[] = {
      {// punctuation and numbers
       {"The cat, it seems, sat on the mat.", "It cost $1,234.50 - about 3.5% more (in 2016-17)!"},
       {"The cat sat on the mat.", "It cost $1,234.50, about 3.6% more (in 2016-17)!"},
       {57.76011275017732, {77.77777777777777, 64.0, 52.17391304347826, 42.857142857142854}, 1.0, 27, 23}},
      {// unicode
       {"« Où est l’arbre ? » demanda-t-il…", "Ein Mädchen läuft über die Straße."},
       {"« Où est le grand arbre ? » demanda-t-il…", "Ein Mädchen rennt über die Straße."},
       {35.640264633541825, {85.71428571428571, 66.66666666666667, 40.0, 12.5}, 0.8668778997501817, 14, 16}},
      {// an empty hypothesis among others
       {"", "a b c d e f"},
       {"one two three", "a b c d e g"},
       {46.08636396914616, {83.33333333333333, 80.0, 75.0, 66.66666666666667}, 0.6065306597126334, 6, 9}},
      {// no match of order 3 and 4
       {"the dog runs away now", "a cat"},
       {"now the dog sleeps here", "a bird"},
       {22.089591134157878, {57.142857142857146, 20.0, 16.666666666666668, 12.5}, 1.0, 7, 7}},
      {// only unigrams match
       {"c b a e d"},
       {"a b c d e"},
       {15.97357760615681, {100.0, 12.5, 8.333333333333334, 6.25}, 1.0, 5, 5}},
      {// too short for a 4-gram
       {"a b c"},
       {"a b c"},
       {0.0, {100.0, 100.0, 100.0, 0.0}, 1.0, 3, 3}},
      {// nothing matches
       {"x y z w v"},
       {"a b c d e"},
       {0.0, {0.0, 0.0, 0.0, 0.0}, 1.0, 5, 5}},
      {// all empty
       {""},
       {"a b"},
       {0.0, {0.0, 0.0, 0.0, 0.0}, 0.0, 0, 2}},
      {// repetition is clipped
       {"the the the the the the the"},
       {"the cat is on the mat ."},
       {7.809849842300637, {28.571428571428573, 8.333333333333334, 5.0, 3.125}, 1.0, 7, 7}},
      {// entities
       {"Tom &amp; Jerry said &quot;hi&quot; &lt;3"},
       {"Tom & Jerry said \"hi\" <3"},
       {100.00000000000004, {100.0, 100.0, 100.0, 100.0}, 1.0, 9, 9}},
  };
  for (const auto& [hypotheses, references, expected] : cases) {
    std::vector<Words> h, r;
    for (const string& line : hypotheses) h.push_back(tokenize_13a(line));
    for (const string& line : references) r.push_back(tokenize_13a(line));
    const Bleu bleu = corpus_bleu(h, r);
    CHECK(std::abs(bleu.score - expected.score) < 1e-9);
    for (size_t n = 0; n < 4; ++n) CHECK(std::abs(bleu.precisions[n] - expected.precisions[n]) < 1e-9);
    CHECK(std::abs(bleu.brevity_penalty - expected.brevity_penalty) < 1e-9);
    CHECK(bleu.hypothesis_length == expected.hypothesis_length);
    CHECK(bleu.reference_length == expected.reference_length);
  }
  CHECK_THROWS_AS(corpus_bleu({}, {}), std::invalid_argument);
  CHECK(message<std::invalid_argument>([] { corpus_bleu({{"a"}}, {}); }) ==
        "corpus_bleu: expected a reference for each hypothesis, got 1 hypotheses and 0 references");
}

TEST_CASE("bleu: 13a tokens equal to sacreBLEU 2.6.0") {
  const std::pair<string, Words> cases[] = {
      {"", {}},
      {"Hello, world.", {"Hello", ",", "world", "."}},
      {"3.14 and 1,000, or .5 and 5.", {"3.14", "and", "1,000", ",", "or", ".", "5", "and", "5", "."}},
      {"2016-17 re-do -5", {"2016", "-", "17", "re-do", "-5"}},
      {"a.b,c", {"a", ".", "b", ",", "c"}},
      {"...", {".", ".", "."}},
      {"5.,5 x.,5 5.,x", {"5", ".", ",", "5", "x", ".", ",5", "5", ".", ",", "x"}},
      {"well<skipped>known hy-\nphen new\nline", {"wellknown", "hyphen", "new", "line"}},
      {"&quot;&amp;lt;&quot;", {"\"", "<", "\""}},
      {"don't (stop) [it] {a|b} ~^`",
       {"don't", "(", "stop", ")", "[", "it", "]", "{", "a", "|", "b", "}", "~", "^", "`"}},
      {"é.è,1 %", {"é", ".", "è", ",", "1", "%"}},
      {"$5/€6 & #7 @ 50%", {"$", "5", "/", "€6", "&", "#", "7", "@", "50", "%"}},
      {"l'arbre, là.", {"l'arbre", ",", "là", "."}},
      {" \t x 　y z ", {"x", "y", "z"}},
  };
  for (const auto& [line, words] : cases) CHECK(tokenize_13a(line) == words);
  CHECK(tokenize_13a(string(100'000, '.')).size() == 100'000);
}

TEST_CASE("progress: plain lines, without control characters") {
  double now = 100;
  std::ostringstream out;
  {
    Progress progress(out, {.total = 200, .start = 100, .plain_seconds = 10, .clock = [&] { return now; }});
    progress.update(100, "loss 9");
    now += 9;
    progress.update(120, "not yet");
    now += 1;
    progress.update(125, "loss\t\x1b[31m5\r\n");
    progress.say("saved\a");
    now += 3655;
    progress.update(200, "é");
  }
  CHECK(out.str() ==
        " 50%  0:00  loss 9\n 62%  0:10, 0:30 left  loss  [31m5  \nsaved \n100%  1:01:05, 0:00 left  é\n");
}

TEST_CASE("progress: one line redrawn on a terminal") {
  double now = 0;
  std::ostringstream out;
  {
    Progress progress(out, {.total = 4, .columns = 45, .clock = [&] { return now; }});
    progress.update(1, "long status, cut é");
    now = 0.05;
    progress.update(2, "too soon");
    now = 60;
    progress.update(3, "ok");
    progress.say("note");
    progress.update(4, "");
  }
  CHECK(out.str() ==
        "\r[==        ]  25%  0:00, 0:00 left  long sta"
        "\r[=======   ]  75%  1:00, 0:20 left  ok      "
        "\r" +
            string(38, ' ') +
            "\rnote\n"
            "\r[==========] 100%  1:00, 0:00 left  \n");
  std::ostringstream none;
  Progress(none, {.total = 0, .columns = 1}).update(0, "nothing to do");
  CHECK(none.str() == "\r");
}

TEST_CASE("progress: what counts as a terminal") {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  CHECK(terminal_columns(ends[1]) == 0);
  close(ends[0]);
  close(ends[1]);
  const int terminal = posix_openpt(O_RDWR | O_NOCTTY);
  if (terminal < 0) return;  // none to be had in some containers
  const winsize size = {.ws_row = 24, .ws_col = 72, .ws_xpixel = 0, .ws_ypixel = 0};
  ioctl(terminal, TIOCSWINSZ, &size);
  setenv("TERM", "xterm", 1);
  CHECK(terminal_columns(terminal) == 72);
  setenv("TERM", "dumb", 1);
  CHECK(terminal_columns(terminal) == 0);
  close(terminal);
}

namespace {

struct Train {
  double smoothing = 0.1;
  int64_t layers = 2;
  int seed = 1;
  bool quiet = false;
  string norm = "pre", out = "model.safetensors";
  Options options{"train [options]", "Learns to translate."};

  Train() {
    options.group("Model");
    options.add("--layers", &layers, "N", "layers on each side", {1, 64});
    options.add("--norm", &norm, "pre|post", "where the norms stand:\npre trains more easily");
    options.group("Training");
    options.add("--smoothing", &smoothing, "X", "label smoothing", {0, 1});
    options.add("--seed", &seed, "N", "names the run's random numbers");
    options.add("--out", &out, "FILE", "where the model goes");
    options.add("--quiet", &quiet, "", "no progress");
  }
  Options::Action parse(const Words& arguments) { return options.parse(arguments); }
  string refusal(const Words& arguments) {
    return message<std::invalid_argument>([&] { parse(arguments); });
  }
};

}  // namespace

TEST_CASE("cli: values reach their variables") {
  Train train;
  CHECK(train.parse({"--smoothing", "0.25", "--layers=3", "--quiet", "--seed", "-7", "--norm=post",
                     "--out="}) == Options::Action::run);
  CHECK(train.smoothing == 0.25);
  CHECK(train.layers == 3);
  CHECK(train.quiet);
  CHECK(train.seed == -7);
  CHECK(train.norm == "post");
  CHECK(train.out.empty());
  CHECK(train.parse({"--quiet=false", "--smoothing", "1e-3", "--smoothing=1", "--out", "a=b"}) ==
        Options::Action::run);
  CHECK_FALSE(train.quiet);
  CHECK(train.smoothing == 1);
  CHECK(train.out == "a=b");
  CHECK(train.parse({}) == Options::Action::run);
  CHECK(train.parse({"--help"}) == Options::Action::help);
  CHECK(Train().parse({"--dump-config"}) == Options::Action::dump_config);
}

TEST_CASE("cli: what is refused, and how") {
  Train train;
  const std::pair<Words, string> cases[] = {
      {{"--smothing", "1"}, "--smothing: unknown option; did you mean --smoothing?"},
      {{"--zzz=1"}, "--zzz: unknown option"},
      {{"--"}, "--: unknown option"},
      {{"file"}, "'file': expected an option such as --help"},
      {{""}, "'': expected an option such as --help"},
      {{"-s", "1"}, "'-s': expected an option such as --help"},
      {{"--smoothing"}, "--smoothing: expected a number from 0 to 1, got nothing"},
      {{"--smoothing="}, "--smoothing: expected a number from 0 to 1, got nothing"},
      {{"--smoothing", "--quiet"}, "--smoothing: expected a number from 0 to 1, got nothing"},
      {{"--smoothing", "1.01"}, "--smoothing: expected a number from 0 to 1, got '1.01'"},
      {{"--smoothing=nan"}, "--smoothing: expected a number from 0 to 1, got 'nan'"},
      {{"--smoothing=0.1x"}, "--smoothing: expected a number from 0 to 1, got '0.1x'"},
      {{"--smoothing", "-0.1"}, "--smoothing: expected a number from 0 to 1, got '-0.1'"},
      {{"--layers", "1.5"}, "--layers: expected a whole number from 1 to 64, got '1.5'"},
      {{"--seed", "9999999999"}, "--seed: expected a whole number, got '9999999999'"},
      {{"--quiet=yes"}, "--quiet: expected true or false, got 'yes'"},
      {{"--norm", "prey"}, "--norm: expected one of pre|post, got 'prey'; did you mean pre?"},
      {{"--out"}, "--out: expected FILE, got nothing"},
      {{"--out", "two\nlines"}, "--out: expected FILE, got 'two\nlines'"},
  };
  for (const auto& [arguments, expected] : cases) CHECK(train.refusal(arguments) == expected);
  CHECK(train.refusal({"--" + string(100'000, 'x')}).ends_with("x: unknown option"));
  CHECK(train.smoothing == 0.1);
  CHECK(did_you_mean("trian", {"train", "translate"}) == "; did you mean train?");
}

TEST_CASE("cli: configuration files") {
  Train train;
  const TemporaryFile file("# a run\r\n\n layers = 5\nquiet=true\nsmoothing = 0.2\nout = a = b\n");
  CHECK(train.parse({"--smoothing", "0.3", "--config", file.path}) == Options::Action::run);
  CHECK(train.options.dump() ==
        "layers = 5\nnorm = pre\nsmoothing = 0.3\nseed = 1\nout = a = b\nquiet = true\n");
  Train again;
  std::istringstream dumped(train.options.dump());
  again.options.read(dumped, "dump");
  CHECK(again.options.dump() == train.options.dump());

  const std::pair<string, string> cases[] = {
      {"\nsmothing = 1", "f, line 2: smothing: unknown option; did you mean smoothing?"},
      {"config = x", "f, line 1: config: unknown option"},
      {"layers", "f, line 1: layers: expected key = value"},
      {"layers =", "f, line 1: layers: expected a whole number from 1 to 64, got nothing"},
      {"= 1", "f, line 1: : unknown option"},
  };
  for (const auto& [text, expected] : cases) {
    std::istringstream in(text);
    CHECK(message<std::invalid_argument>([&] { train.options.read(in, "f"); }) == expected);
  }
  CHECK_THROWS_AS(train.parse({"--config", "/nowhere"}), std::runtime_error);
}

TEST_CASE("cli: help") {
  CHECK(Train().options.help() == R"(usage: train [options]

Learns to translate.

Model
  --layers N       layers on each side (default 2)
  --norm pre|post  where the norms stand:
                   pre trains more easily (default pre)

Training
  --smoothing X    label smoothing (default 0.1)
  --seed N         names the run's random numbers (default 1)
  --out FILE       where the model goes (default model.safetensors)
  --quiet          no progress

General
  --config FILE    read options from FILE; the command line overrides it
  --dump-config    print all options as such a file, and stop
  --help           print this, and stop
)");
}

TEST_CASE("json_line") {
  const double nan = std::numeric_limits<double>::quiet_NaN(),
               infinity = std::numeric_limits<double>::infinity();
  CHECK(JsonLine().str() == "{}");
  CHECK(JsonLine().add("step", 7).add("loss", 0.1).add("ok", true).add("n", nan).add("i", -infinity).str() ==
        R"({"step": 7, "loss": 0.1, "ok": true, "n": null, "i": null})");
  CHECK(JsonLine().add("a\"", "b\\\n\x1f é\xFF").add("", string("\0", 1)).str() ==
        R"({"a\"": "b\\\u000a\u001f é)"
        "\uFFFD"
        R"(", "": "\u0000"})");
  CHECK(JsonLine().add("lr", 1e-4).add("f", 0.1f).add("big", int64_t{1} << 62).str() ==
        R"({"lr": 0.0001, "f": 0.10000000149011612, "big": 4611686018427387904})");
}
