#include "examples/support/bleu.h"

#include <algorithm>
#include <cmath>
#include <map>

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
  const NGrams allowed = count_ngrams(reference, n);
  int64_t matches = 0;
  for (const auto& [ngram, count] : count_ngrams(hypothesis, n)) {
    const auto found = allowed.find(ngram);
    if (found != allowed.end()) matches += std::min(count, found->second);
  }
  return matches;
}

}  // namespace

Bleu corpus_bleu(const std::vector<Words>& hypotheses, const std::vector<Words>& references) {
  check(!hypotheses.empty() && hypotheses.size() == references.size(),
        "corpus_bleu: expected a reference for each hypothesis, got ", hypotheses.size(), " hypotheses and ",
        references.size(), " references");
  Bleu bleu;
  std::array<int64_t, 4> matches = {}, totals = {};
  for (size_t i = 0; i < hypotheses.size(); ++i) {
    bleu.hypothesis_length += hypotheses[i].size();
    bleu.reference_length += references[i].size();
    for (size_t n = 1; n <= 4; ++n) {
      matches[n - 1] += count_matches(hypotheses[i], references[i], n);
      if (hypotheses[i].size() >= n) totals[n - 1] += hypotheses[i].size() - n + 1;
    }
  }
  const double length_ratio = double(bleu.reference_length) / bleu.hypothesis_length;
  if (length_ratio > 1) bleu.brevity_penalty = std::exp(1 - length_ratio);  // of nothing: exp(-inf) = 0
  if (matches[0] == 0) return bleu;  // nothing right at all: smoothing must not turn that into a score
  double partial = 1, log_sum = 0;
  for (size_t n = 0; n < 4 && totals[n] > 0; ++n) {
    const double hits = matches[n] > 0 ? double(matches[n]) : (partial /= 2);
    bleu.precisions[n] = 100 * hits / totals[n];
  }
  for (const double precision : bleu.precisions) log_sum += std::log(precision);  // log 0 = -inf: score 0
  bleu.score = bleu.brevity_penalty * std::exp(log_sum / 4);
  return bleu;
}

namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_not_digit(char c) { return !is_digit(c); }
bool is_stop(char c) { return c == '.' || c == ','; }
bool is_dash(char c) { return c == '-'; }

bool is_symbol(char c) {  // ASCII punctuation other than ' , - .
  return (c >= '{' && c <= '~') || (c >= '[' && c <= '`') || (c >= ' ' && c <= '&') ||
         (c >= '(' && c <= '+') || (c >= ':' && c <= '@') || c == '/';
}

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (size_t at = 0; (at = text.find(from, at)) != text.npos; at += to.size())
    text.replace(at, from.size(), to);
}

enum class Apart { first, second };

// Puts spaces between the two characters of each pair that fits, and on the other side of the one that is to
// stand apart. Like the regular expressions of the original, a pass never uses a character twice.
std::string separate(const std::string& line, bool (*first)(char), bool (*second)(char), Apart apart) {
  std::string out;
  for (size_t i = 0; i < line.size(); ++i) {
    if (i + 1 == line.size() || !first(line[i]) || !second(line[i + 1])) {
      out += line[i];
      continue;
    }
    if (apart == Apart::first) out += ' ';
    out += line[i];
    out += ' ';
    out += line[++i];
    if (apart == Apart::second) out += ' ';
  }
  return out;
}

Words split_at_spaces(std::string_view line) {
  Words words;
  bool inside = false;
  for (size_t at = 0; at < line.size();) {
    const auto [c, length, valid] = decode_utf8(line, at);
    const bool space = valid && is_space(c);
    if (!space && !inside) words.emplace_back();
    if (!space) words.back() += line.substr(at, length);
    inside = !space;
    at += length;
  }
  return words;
}

}  // namespace

Words tokenize_13a(std::string line) {
  replace_all(line, "<skipped>", "");
  replace_all(line, "-\n", "");
  replace_all(line, "\n", " ");
  replace_all(line, "&quot;", "\"");
  replace_all(line, "&amp;", "&");
  replace_all(line, "&lt;", "<");
  replace_all(line, "&gt;", ">");
  std::string spaced = " ";
  for (const char c : line) spaced += is_symbol(c) ? std::string{' ', c, ' '} : std::string{c};
  spaced += ' ';
  spaced = separate(spaced, is_not_digit, is_stop, Apart::second);
  spaced = separate(spaced, is_stop, is_not_digit, Apart::first);
  spaced = separate(spaced, is_digit, is_dash, Apart::second);
  return split_at_spaces(spaced);
}

std::vector<Words> tokenized(const std::vector<std::string>& lines) {
  std::vector<Words> sentences;
  for (const std::string& line : lines) sentences.push_back(tokenize_13a(line));
  return sentences;
}

}  // namespace gradus::examples
