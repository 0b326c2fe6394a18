#include "examples/support/toy_language.h"

#include <algorithm>
#include <functional>
#include <set>
#include <span>
#include <sstream>
#include <string_view>
#include <utility>

#include "examples/support/corpus.h"
#include "examples/support/toy_lexicon.h"
#include "tensor/error.h"

namespace gradus::examples::toy {
namespace {

using namespace lexicon;

constexpr size_t kMaxLength = 14, kMaxSynonyms = 6;  // of a sampled source
constexpr size_t kMaxListedSynonyms = 16;            // of a typed one: 2^16 translations

// From the end to the start, since a word depends on its right neighbour: de la école, de l' école.
Words fuse(Words words) {
  for (size_t i = words.size() - 1; i-- > 0;) {
    for (const auto& [first, second, both] : kContractions) {
      if (words[i] != first || words[i + 1] != second) continue;
      words[i] = both;
      words.erase(words.begin() + static_cast<std::ptrdiff_t>(i) + 1);
      break;
    }
    for (const auto& [word, before_vowel] : kElisions)
      if (words[i] == word && starts_with_vowel(words[i + 1])) words[i] = before_vowel;
  }
  return words;
}

// The grammar asks "which of these comes next?": a Reader looks it up in a given source, a Writer makes it
// up. When the first option is empty, the part may be left out. The grammar knows "a" but not "an".
using Options = std::vector<std::string_view>;
using Choose = std::function<size_t(std::string_view what, const Options&)>;
constexpr std::string_view kEnd = "\n";  // the last "word"; being white space, it is none to split_words

class Reader {
 public:
  explicit Reader(const Words& source) {
    for (const std::string& word : source) text_ += (word == "an" ? "a" : word) + ' ';
    text_.append(kEnd).append(" ");
  }

  size_t operator()(std::string_view what, const Options& options) {  // the longest that fits
    if (!expected_.ends_with(what)) expected_.append(expected_.empty() ? "" : " or ").append(what);
    const std::string_view rest = std::string_view(text_).substr(at_);
    size_t best = options.size();
    for (size_t i = 0; i < options.size(); ++i) {
      const std::string_view words = options[i];
      const bool fits = words.empty() || (rest.starts_with(words) && rest[words.size()] == ' ');
      if (fits && (best == options.size() || words.size() > options[best].size())) best = i;
    }
    if (best == options.size()) refuse();
    if (!options[best].empty()) {
      expected_.clear();
      at_ += options[best].size() + 1;
    }
    return best;
  }

 private:
  [[noreturn]] void refuse() const {
    const std::string word = text_.substr(at_, text_.find(' ', at_) - at_);
    throw std::invalid_argument(message("toy language: word ",
                                        1 + std::ranges::count(text_.substr(0, at_), ' '), ": expected ",
                                        expected_, ", got ", word == kEnd ? "the end" : "'" + word + "'"));
  }

  std::string text_;      // every word followed by a space
  size_t at_ = 0;         // what is before has been read
  std::string expected_;  // all that has been asked for at this place
};

class Writer {
 public:
  explicit Writer(Rng& rng) : rng_(rng) {}

  size_t operator()(std::string_view, const Options& options) {
    const bool optional = options[0].empty();
    if (optional && rng_.below(3) > 0) return 0;  // left out two times in three
    const size_t choice = optional + rng_.below(options.size() - optional);
    text_.append(options[choice]).append(" ");
    return choice;
  }

  Words words() const {
    Words words = split_words(text_);
    for (size_t i = 0; i + 1 < words.size(); ++i)
      if (words[i] == "a" && words[i + 1].find_first_of("aeiou") == 0) words[i] = "an";
    return words;
  }

 private:
  Rng& rng_;
  std::string text_;
};

// The grammar, each rule in both languages at once: it takes English words from `choose` and says French
// ones. usual(p) settles synonyms: whether to say the one of probability p.
class Derivation {
 public:
  Derivation(Choose choose, std::function<bool(double)> usual)
      : choose_(std::move(choose)), usual_(std::move(usual)) {}

  Words sentence() {
    predicate(subject());
    const Row& preposition = row("a preposition", kPrepositions);
    say(synonym(preposition).forms);
    if (!preposition.english.empty()) noun_phrase({kThings});
    choose_("the end", {kEnd});
    return fuse(std::move(french_));
  }

 private:
  using Tables = std::initializer_list<std::span<const Row>>;

  int subject() {
    const Row& pronoun = row("a pronoun", kPronouns);
    if (pronoun.english.empty()) return noun_phrase({kBeings}) ? ils : il;
    const French& french = synonym(pronoun);
    say(french.forms);
    return french.feature;
  }

  void predicate(int person) {
    const bool negated = choose_("a verb", {"", person == il ? "does not" : "do not"}) == 1;
    const std::string_view forms = synonym(row("a verb", kVerbs, person == il && !negated)).forms;
    const std::string_view preposition = form(forms, 4);
    if (negated) say("ne");
    say(form(forms, person));
    if (negated) say("pas");
    say(preposition);
    noun_phrase({kBeings, kThings}, negated && preposition.empty());
  }

  // Returns whether it is plural. In a negated object, "some" is "any", and the French article is de.
  bool noun_phrase(Tables tables, bool negated = false) {
    const Row& article = determiner(negated);
    const Row& before = row("an adjective", kAdjectivesBefore);
    const Row& after = row("an adjective", kAdjectivesAfter);
    const auto [entry, plural] = noun(tables, article.usual.forms);
    const auto [forms, gender] = synonym(*entry);
    const std::string_view word = form(forms, plural);
    const bool indefinite = article.english == "a" || article.english == "some";
    const bool reduced = indefinite && (negated || (plural && !before.english.empty()));  // de petits chiens
    say(reduced ? "de" : agree(article.usual.forms, gender, plural));
    say(agree(synonym(before).forms, gender, plural, starts_with_vowel(word)));
    say(word);
    say(agree(synonym(after).forms, gender, plural));
    if (choose_("'of'", {"", "of"}) == 1) {
      say("de");
      noun_phrase({kBeings});
    }
    return plural;
  }

  const Row& determiner(bool negated) {
    Options options;
    for (const Row& row : kDeterminers)
      options.push_back(negated && row.english == "some" ? "any" : row.english);
    return kDeterminers[choose_("a determiner", options)];
  }

  std::pair<const Row*, bool> noun(Tables tables, std::string_view determiner) {
    std::vector<std::pair<const Row*, bool>> nouns;  // and whether in the plural
    Options options;
    for (const auto& table : tables)
      for (const Row& row : table)
        for (const bool plural : {false, true}) {
          if (agree(determiner, m, plural).empty()) continue;
          nouns.emplace_back(&row, plural);
          options.push_back(form(row.english, plural));
        }
    return nouns[choose_("a noun", options)];
  }

  const Row& row(std::string_view what, std::span<const Row> table, int english_form = 0) {
    Options options;
    for (const Row& row : table) options.push_back(form(row.english, english_form));
    return table[choose_(what, options)];
  }

  const French& synonym(const Row& row) {
    return row.probability == 1 || usual_(row.probability) ? row.usual : row.other;
  }

  void say(std::string_view words) {
    for (std::string& word : split_words(words)) french_.push_back(std::move(word));
  }

  Choose choose_;
  std::function<bool(double)> usual_;
  Words french_;
};

Words translate(const Words& source, std::function<bool(double)> usual) {
  return Derivation(Reader(source), std::move(usual)).sentence();
}

void add_words(std::string_view forms, std::set<std::string>& all) {
  std::string text(forms);
  std::ranges::replace(text, '/', ' ');
  std::istringstream in(text);
  for (std::string word; in >> word;) all.insert(word);
}

}  // namespace

Split split_of(const Words& source) {
  const uint64_t twentieth = content_hash(join_words(source)) % 20;
  return twentieth == 0 ? Split::valid : twentieth == 1 ? Split::test : Split::train;
}

Words sample_source(Rng& rng, Split split) {
  while (true) {
    size_t synonyms = 0;
    Writer writer(rng);
    Derivation(std::ref(writer), [&](double) { return ++synonyms > 0; }).sentence();
    Words source = writer.words();
    if (source.size() <= kMaxLength && synonyms <= kMaxSynonyms && split_of(source) == split) return source;
  }
}

std::vector<Translation> translations(const Words& source) {
  std::vector<Translation> all;
  size_t synonyms = 0;  // counted anew in each round; bit i of its number: is the i-th the other one?
  for (size_t round = 0; round < size_t{1} << synonyms; ++round) {
    synonyms = 0;
    double probability = 1;
    Words words = translate(source, [&](double p) {
      const bool usual = (round >> synonyms++ & 1) == 0;
      probability *= usual ? p : 1 - p;
      return usual;
    });
    check(synonyms <= kMaxListedSynonyms, "toy language: expected at most ", kMaxListedSynonyms,
          " words with synonyms, got ", synonyms);
    all.push_back({std::move(words), probability});
  }
  std::ranges::stable_sort(all, std::greater(), &Translation::probability);
  return all;
}

Words sample_translation(Rng& rng, const Words& source) {
  return translate(source, [&](double p) { return rng.uniform() < p; });
}

std::map<std::string, double> next_word(const Words& source, const Words& prefix) {
  std::map<std::string, double> next;
  double total = 0;
  for (const auto& [words, probability] : translations(source)) {
    if (std::ranges::mismatch(prefix, words).in1 != prefix.end()) continue;
    next[words.size() == prefix.size() ? kEndOfSentence : words[prefix.size()]] += probability;
    total += probability;
  }
  check(total > 0, "next_word: expected the beginning of a translation, got '", join_words(prefix), "'");
  for (auto& [word, probability] : next) probability /= total;
  return next;
}

std::vector<double> token_probabilities(const Words& source, const Words& translation) {
  const size_t n = translation.size();
  std::vector<double> mass(n + 2), q(n + 1);  // mass[i]: of all translations that agree in the first i tokens
  for (const auto& [words, probability] : translations(source)) {
    const auto differ = std::ranges::mismatch(translation, words).in1;
    const auto common = static_cast<size_t>(differ - translation.begin()) + (words == translation);
    for (size_t i = 0; i <= common; ++i) mass[i] += probability;
  }
  check(mass[n + 1] > 0, "token_probabilities: expected a translation, got '", join_words(translation), "'");
  for (size_t i = 0; i <= n; ++i) q[i] = mass[i + 1] / mass[i];
  return q;
}

Words source_words() {
  std::set<std::string> all;
  for (const auto& table : kTables)
    for (const Row& row : table) add_words(row.english, all);
  add_words("an/any/of/does/do/not", all);
  return {all.begin(), all.end()};
}

Words target_words() {
  std::set<std::string> all;
  for (const auto& table : kTables)
    for (const Row& row : table)
      for (const French& french : {row.usual, row.other}) add_words(french.forms, all);
  for (const auto& contraction : kContractions) add_words(contraction.both, all);
  for (const auto& elision : kElisions) add_words(elision.before_vowel, all);
  add_words("ne/pas", all);
  return {all.begin(), all.end()};
}

}  // namespace gradus::examples::toy
