#include "examples/measure/bleu.h"

#include <algorithm>
#include <cmath>
#include <map>

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

std::string replaced(const std::string& line, std::string_view from, std::string_view to) {
  std::string out;
  size_t begin = 0;
  for (size_t at; (at = line.find(from, begin)) != line.npos; begin = at + from.size()) {
    out.append(line, begin, at - begin);
    out += to;
  }
  return out.append(line, begin);
}

// Spaces around each ASCII mark but ' , - and the full stop.
std::string set_apart(const std::string& line) {
  std::string out;
  for (const char c : line) {
    const bool mark = (c >= '{' && c <= '~') || (c >= '[' && c <= '`') || (c >= ' ' && c <= '&') ||
                      (c >= '(' && c <= '+') || (c >= ':' && c <= '@') || c == '/';
    if (mark) out += ' ';
    out += c;
    if (mark) out += ' ';
  }
  return out;
}

// A space between two neighbours of these kinds, and `before` and `after` around them. As a regular
// expression does, it goes on after the second of them.
template <class First, class Second>
std::string split_pairs(const std::string& line, const First& is_first, const Second& is_second,
                        std::string_view before, std::string_view after) {
  std::string out;
  for (size_t i = 0; i < line.size(); ++i) {
    if (i + 1 == line.size() || !is_first(line[i]) || !is_second(line[i + 1])) {
      out += line[i];
      continue;
    }
    out += before;
    out += line[i];
    out += ' ';
    out += line[++i];
    out += after;
  }
  return out;
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
  // The steps of the original, in its order.
  constexpr std::pair<std::string_view, std::string_view> kLiteral[] = {
      {"<skipped>", ""}, {"-\n", ""},   {"\n", " "},  {"&quot;", "\""},
      {"&amp;", "&"},    {"&lt;", "<"}, {"&gt;", ">"}};
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  const auto is_other = [&](char c) { return !is_digit(c); };
  const auto is_point = [](char c) { return c == '.' || c == ','; };
  const auto is_hyphen = [](char c) { return c == '-'; };
  for (const auto& [from, to] : kLiteral) line = replaced(line, from, to);
  line = set_apart(' ' + line + ' ');
  line = split_pairs(line, is_other, is_point, "", " ");
  line = split_pairs(line, is_point, is_other, " ", "");
  line = split_pairs(line, is_digit, is_hyphen, "", " ");
  Words words{""};
  for (const auto& [c, bytes, valid] : CodePoints{line}) {
    if (!valid || !is_space(c)) words.back() += bytes;
    else if (!words.back().empty()) words.emplace_back();
  }
  words.pop_back();  // the line ends in a space
  return words;
}

std::vector<Words> tokenized(const std::vector<std::string>& lines) {
  std::vector<Words> sentences;
  for (const std::string& line : lines) sentences.push_back(tokenize_13a(line));
  return sentences;
}

}  // namespace gradus::examples
