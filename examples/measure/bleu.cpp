#include "examples/measure/bleu.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <regex>

#include "examples/data/utf8.h"
#include "tensor/error.h"

namespace gradus::examples {
namespace {

using NGrams = std::map<std::vector<std::string_view>, int64_t>;

NGrams count_ngrams(const Words& words, size_t n) {
  NGrams counts;
  for (size_t i = 0; i + n <= words.size(); ++i) ++counts[{words.begin() + i, words.begin() + i + n}];
  return counts;
}

// How many n-grams of the hypothesis the reference has as well, each at most as often as it occurs there.
int64_t count_matches(const Words& hypothesis, const Words& reference, size_t n) {
  NGrams allowed = count_ngrams(reference, n);
  int64_t matches = 0;
  for (const auto& [ngram, count] : count_ngrams(hypothesis, n)) matches += std::min(count, allowed[ngram]);
  return matches;
}

}  // namespace

Bleu corpus_bleu(const std::vector<Words>& hypotheses, const std::vector<Words>& references) {
  check(!hypotheses.empty() && hypotheses.size() == references.size(),
        "corpus_bleu: expected a reference for each hypothesis, got ", hypotheses.size(), " hypotheses and ",
        references.size(), " references");
  Bleu bleu;
  for (const Words& words : hypotheses) bleu.hypothesis_length += words.size();
  for (const Words& words : references) bleu.reference_length += words.size();
  const double length_ratio = double(bleu.reference_length) / bleu.hypothesis_length;
  if (length_ratio > 1) bleu.brevity_penalty = std::exp(1 - length_ratio);  // of nothing: exp(-inf) = 0
  double partial = 1, log_sum = 0;
  for (size_t n = 1; n <= 4; ++n) {
    double hits = 0, total = 0;
    for (size_t i = 0; i < hypotheses.size(); ++i) {
      hits += count_matches(hypotheses[i], references[i], n);
      if (hypotheses[i].size() >= n) total += hypotheses[i].size() - n + 1;
    }
    if (n == 1 && hits == 0) return bleu;  // nothing right at all: smoothing must not turn that into a score
    if (hits == 0) hits = partial /= 2;
    if (total > 0) bleu.precisions[n - 1] = 100 * hits / total;
    log_sum += std::log(bleu.precisions[n - 1]);  // log 0 = -inf: score 0
  }
  bleu.score = bleu.brevity_penalty * std::exp(log_sum / 4);
  return bleu;
}

Words tokenize_13a(std::string line) {
  // The original's, in its order.
  constexpr std::pair<std::string_view, std::string_view> kLiteral[] = {
      {"<skipped>", ""}, {"-\n", ""},   {"\n", " "},  {"&quot;", "\""},
      {"&amp;", "&"},    {"&lt;", "<"}, {"&gt;", ">"}};
  static const std::pair<std::regex, const char*> kReplacements[] = {
      {std::regex(R"([{-~\[-` -&(-+:-@/])"), " $& "},
      {std::regex("([^0-9])([.,])"), "$1 $2 "},
      {std::regex("([.,])([^0-9])"), " $1 $2"},
      {std::regex("([0-9])(-)"), "$1 $2 "},
  };
  for (const auto& [from, to] : kLiteral)
    for (size_t at = 0; (at = line.find(from, at)) != line.npos; at += to.size())
      line.replace(at, from.size(), to);
  line = ' ' + line + ' ';
  for (const auto& [pattern, replacement] : kReplacements)
    line = std::regex_replace(line, pattern, replacement);
  Words words{""};
  for (const auto& [c, bytes, valid] : CodePoints{line})
    if (!valid || !is_space(c)) words.back() += bytes;
    else if (!words.back().empty()) words.emplace_back();
  words.pop_back();  // the line ends in a space
  return words;
}

std::vector<Words> tokenized(const std::vector<std::string>& lines) {
  std::vector<Words> sentences;
  for (const std::string& line : lines) sentences.push_back(tokenize_13a(line));
  return sentences;
}

}  // namespace gradus::examples
