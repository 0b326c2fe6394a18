#include "examples/data/toy_language.h"

#include <algorithm>
#include <functional>
#include <set>

#include "examples/data/lines.h"
#include "examples/data/numbers.h"
#include "examples/data/utf8.h"
#include "tensor/error.h"

namespace gradus::examples {
extern const char* const kToyLexicon;  // toy_lexicon.txt, by the build
}

namespace gradus::examples::toy {
namespace {

constexpr size_t kMaxLength = 14, kMaxSynonyms = 6;  // of a sampled source
constexpr size_t kMaxListedSynonyms = 16;            // of a typed one: 2^16 translations

struct French {
  Words forms;          // their order depends on the table
  std::string feature;  // a noun's gender, a pronoun's person, a verb's preposition, an article reduced
};

struct Row {
  Words english;
  French usual;
  double probability;  // of the usual one
  French other;
};

using Table = std::vector<Row>;

French french(const std::string& cell) {
  Words parts = split(cell, ':');
  parts.resize(2);
  return {split(parts[0], '/'), parts[1]};
}

std::map<std::string, Table> parse(const std::string& text) {
  std::map<std::string, Table> tables;
  std::string name;
  for (const std::string& line : split(text, '\n')) {
    if (line.starts_with('[')) name = line.substr(1, line.size() - 2);
    if (line.empty() || line.find_first_of("#[") == 0) continue;
    Words cells = split(line, '|');
    if (cells.size() == 2) cells.insert(cells.end(), {"1", ""});
    const auto usual = number_in<double>(cells.size() == 4 ? cells[2] : "");
    check(!name.empty() && usual > 0.5 && usual <= 1.,
          "toy_lexicon.txt: expected [table], `English | French` or ",
          "`English | French | probability | French`, got `", line, "`");
    tables[name].push_back({split(cells[0], '/'), french(cells[1]), *usual, french(cells[3])});
  }
  return tables;
}

const std::map<std::string, Table>& lexicon() {
  static const std::map<std::string, Table> tables = parse(kToyLexicon);
  return tables;
}

// The n-th of the forms; empty when there are fewer.
std::string_view form(const Words& all, size_t n) { return n < all.size() ? all[n] : std::string_view(); }

// Of an adjective or a determiner.
std::string_view agree(const Words& forms, bool feminine, bool plural, bool before_vowel = false) {
  const bool special = before_vowel && !plural && !feminine && forms.size() > 4;
  return form(forms, special ? 4 : 2 * plural + feminine);
}

bool starts_with_vowel(std::string_view word) {
  constexpr std::u32string_view kVowels = U"aeiouéèêôh";
  return kVowels.find(decode_utf8(word).value) != kVowels.npos && !word.starts_with("hibou");  // le hibou
}

// From the end to the start, since a word depends on its right neighbour: de la école, de l' école.
Words fuse(Words words) {
  for (size_t i = words.size() - 1; i-- > 0;) {
    for (const Row& row : lexicon().at("contractions"))
      if (const Words& forms = row.usual.forms; words[i] == forms[0] && words[i + 1] == forms[1]) {
        words[i] = forms[2];
        words.erase(words.begin() + static_cast<std::ptrdiff_t>(i) + 1);
        break;
      }
    for (const Row& row : lexicon().at("elisions"))
      if (words[i] == row.usual.forms[0] && starts_with_vowel(words[i + 1])) words[i] = row.usual.forms[1];
  }
  return words;
}

// The grammar asks "which of these comes next?": a reader looks it up in a given source, a writer makes it
// up. When the first option is empty, the part may be left out. The grammar knows "a" but not "an".
using Options = std::vector<std::string_view>;
using Choose = std::function<size_t(std::string_view what, const Options&)>;
constexpr std::string_view kEnd = "\n";  // the last "word"; being white space, it is none to split_words

// The grammar, each rule in both languages at once: it takes English words from `choose` and says French
// ones. usual(p) settles synonyms: whether to say the one of probability p.
struct Derivation {
  Choose choose;
  std::function<bool(double)> usual;
  Words french = {};

  Words sentence() {
    predicate(subject());
    const Row& preposition = row("a preposition", "prepositions");
    say(synonym(preposition).forms[0]);
    if (!left_out(preposition)) noun_phrase({"things"});
    choose("the end", {kEnd});
    return fuse(std::move(french));
  }

  using Tables = std::initializer_list<const char*>;

  static bool left_out(const Row& row) { return row.english[0].empty(); }

  std::string subject() {  // returns its person
    const Row& pronoun = row("a pronoun", "pronouns");
    if (left_out(pronoun)) return noun_phrase({"beings"}) ? "ils" : "il";
    const auto& [forms, person] = synonym(pronoun);
    say(forms[0]);
    return person;
  }

  void predicate(const std::string& person) {
    constexpr std::array kPersons{"je", "il", "nous", "ils"};  // those that occur
    const bool third = person == "il";
    const Row& negation = row("a verb", "negation", third);
    const bool negated = !left_out(negation);
    const auto& [forms, preposition] = synonym(row("a verb", "verbs", third && !negated));
    say(form(negation.usual.forms, 0));
    say(forms.at(std::ranges::find(kPersons, person) - kPersons.begin()));
    say(form(negation.usual.forms, 1));
    say(preposition);
    noun_phrase({"beings", "things"}, negated && preposition.empty());
  }

  // Returns whether it is plural.
  bool noun_phrase(Tables tables, bool negated = false) {
    const Row& article = row("a determiner", "determiners", negated);
    const Row& before = row("an adjective", "adjectives before");
    const Row& after = row("an adjective", "adjectives after");
    const auto [entry, plural] = noun(tables, article.usual.forms);
    const auto& [forms, gender] = synonym(*entry);
    const bool feminine = gender == "f", reduced = negated || (plural && !left_out(before));
    const std::string_view word = form(forms, plural), de = article.usual.feature;
    say(reduced && !de.empty() ? de : agree(article.usual.forms, feminine, plural));
    say(agree(synonym(before).forms, feminine, plural, starts_with_vowel(word)));
    say(word);
    say(agree(synonym(after).forms, feminine, plural));
    const Row& of = row("'of'", "owner");
    say(of.usual.forms[0]);
    if (!left_out(of)) noun_phrase({"beings"});
    return plural;
  }

  std::pair<const Row*, bool> noun(Tables tables, const Words& determiner) {
    std::vector<std::pair<const Row*, bool>> nouns;  // and whether in the plural
    Options options;
    for (const char* table : tables)
      for (const Row& row : lexicon().at(table))
        for (const bool plural : {false, true}) {
          if (agree(determiner, false, plural).empty()) continue;
          nouns.emplace_back(&row, plural);
          options.push_back(form(row.english, plural));
        }
    return nouns[choose("a noun", options)];
  }

  // Asked for in that form, or in the first where a word has no such form.
  const Row& row(std::string_view what, const char* name, size_t english_form = 0) {
    const Table& table = lexicon().at(name);
    Options options;
    for (const Row& row : table)
      options.push_back(form(row.english, form(row.english, english_form).empty() ? 0 : english_form));
    return table[choose(what, options)];
  }

  const French& synonym(const Row& row) {
    return row.probability == 1 || usual(row.probability) ? row.usual : row.other;
  }

  void say(std::string_view words) {
    for (std::string& word : split_words(words)) french.push_back(std::move(word));
  }
};

Words translate(const Words& source, std::function<bool(double)> usual) {
  std::string text;      // every word followed by a space
  size_t at = 0;         // what is before has been read
  std::string expected;  // all that has been asked for at this place
  for (const std::string& word : source) text += (word == "an" ? "a" : word) + ' ';
  text.append(kEnd).append(" ");
  const auto read = [&](std::string_view what, const Options& options) {  // the longest that fits
    if (!expected.ends_with(what)) expected.append(expected.empty() ? "" : " or ").append(what);
    const std::string_view rest = std::string_view(text).substr(at);
    size_t best = options.size();
    for (size_t i = 0; i < options.size(); ++i) {
      const std::string_view words = options[i];
      const bool fits = words.empty() || (rest.starts_with(words) && rest[words.size()] == ' ');
      if (fits && (best == options.size() || words.size() > options[best].size())) best = i;
    }
    if (best == options.size()) {
      const std::string_view word = rest.substr(0, rest.find(' '));
      throw std::invalid_argument(
          message("toy language: word ", 1 + std::count(text.begin(), text.begin() + at, ' '), ": expected ",
                  expected, ", got ", word == kEnd ? "the end" : message("'", word, "'")));
    }
    if (!options[best].empty()) expected.clear(), at += options[best].size() + 1;
    return best;
  };
  return Derivation{read, std::move(usual)}.sentence();
}

// The words of one side of the lexicon, sorted.
Words all_words(bool in_french) {
  std::set<std::string> all;
  for (const auto& [name, table] : lexicon())
    for (const Row& row : table)
      for (const Words* forms : {&row.english, &row.usual.forms, &row.other.forms})
        for (const std::string& form : *forms)
          for (const std::string& word : split(form, ' '))
            if (!word.empty() && in_french == (forms != &row.english)) all.insert(word);
  return {all.begin(), all.end()};
}

}  // namespace

Split split_of(const Words& source) {
  const uint64_t twentieth = content_hash(join_words(source)) % 20;
  return twentieth == 0 ? Split::valid : twentieth == 1 ? Split::test : Split::train;
}

Words sample_source(Rng& rng, Split split) {
  while (true) {
    std::string text;
    size_t synonyms = 0;
    const auto write = [&](std::string_view, const Options& options) {
      const bool optional = options[0].empty();
      if (optional && rng.below(3) > 0) return size_t{0};  // left out two times in three
      const size_t choice = optional + rng.below(options.size() - optional);
      text.append(options[choice]).append(" ");
      return choice;
    };
    Derivation{write, [&](double) { return ++synonyms > 0; }}.sentence();
    Words source = split_words(text);
    for (size_t i = 0; i + 1 < source.size(); ++i)
      if (source[i] == "a" && source[i + 1].find_first_of("aeiou") == 0) source[i] = "an";
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

Words source_words() { return all_words(/*in_french=*/false); }
Words target_words() { return all_words(/*in_french=*/true); }

}  // namespace gradus::examples::toy
