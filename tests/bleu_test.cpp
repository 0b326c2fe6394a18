// BLEU: scores and tokens equal to sacreBLEU's.
#include "examples/measure/bleu.h"

#include <doctest/doctest.h>

#include <stdexcept>

#include "tests/files.h"

using namespace gradus::examples;
using namespace gradus::tests;
using std::string;

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
  CHECK(error_of<std::invalid_argument>([] { corpus_bleu({{"a"}}, {}); }) ==
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

TEST_CASE("tokenize_13a: a line of three megabytes takes no longer than many short ones") {
  std::string line;
  for (int i = 0; i < 500'000; ++i) line += "&quot;";
  CHECK(tokenize_13a(line) == Words(500'000, "\""));
}
