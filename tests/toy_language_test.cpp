#include "examples/data/toy_language.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <set>
#include <stdexcept>
#include <utility>

using namespace gradus::examples;

namespace {

constexpr toy::Split kSplits[] = {toy::Split::train, toy::Split::valid, toy::Split::test};

std::vector<toy::Translation> translations(const std::string& source) {
  return toy::translations(split_words(source));
}

std::string best(const std::string& source) { return join_words(translations(source).front().words); }

std::string error_of(const std::string& source) {
  try {
    translations(source);
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "";
}

Words greedy(const Words& source) {
  Words words;
  while (true) {
    const auto next = toy::next_word(source, words);
    const auto by_probability = [](const auto& a, const auto& b) { return a.second < b.second; };
    const std::string word = std::ranges::max_element(next, by_probability)->first;
    if (word == toy::kEndOfSentence) return words;
    words.push_back(word);
  }
}

}  // namespace

TEST_CASE("the most probable translation is right French") {
  const std::pair<const char*, const char*> pairs[] = {
      {"the small grey dog does not see the old tree in the garden",
       "le petit chien gris ne voit pas le vieil arbre dans le jardin"},
      {"the dogs see the tree", "les chiens voient l'arbre"},
      {"the dog sees the trees", "le chien voit les arbres"},
      // Gender and number of determiners and adjectives, before and after the noun.
      {"my small mouse sees a blue flower", "ma petite souris voit une fleur bleue"},
      {"these old women hear the beautiful green birds",
       "ces vieilles femmes entendent les beaux oiseaux verts"},
      {"our horses follow the young girls", "nos chevaux suivent les jeunes filles"},
      {"a happy woman follows the happy king", "une femme heureuse suit le roi heureux"},
      {"the happy birds see the grey houses", "les oiseaux heureux voient les maisons grises"},
      {"our neighbour finds our house", "notre voisin trouve notre maison"},
      // Forms before a vowel; the h of homme and hôtel is mute, that of hibou is not.
      {"the beautiful bird sees a new hotel", "le bel oiseau voit un nouvel hôtel"},
      {"this child follows this woman", "cet enfant suit cette femme"},
      {"this old owl hears the man", "ce vieux hibou entend l'homme"},
      {"this old man hears the owl", "ce vieil homme entend le hibou"},
      {"my old friends see my school", "mes vieux amis voient mon école"},
      {"we see my old school", "nous voyons ma vieille école"},
      {"he sees the old grey hotel", "il voit le vieil hôtel gris"},
      // Pronouns, and elision before the verb.
      {"i see the horse", "je vois le cheval"},
      {"i love the apples", "j'aime les pommes"},
      {"i do not hear the king", "je n'entends pas le roi"},
      {"she does not love my cat", "elle n'aime pas mon chat"},
      {"they look for our teachers", "ils cherchent nos professeurs"},
      {"we dream of the boats", "nous rêvons des bateaux"},
      // Contractions of de and à, also with elision.
      {"the dog of the neighbour sees the cat of the woman", "le chien du voisin voit le chat de la femme"},
      {"he speaks to the king", "il parle au roi"},
      {"he speaks to the children", "il parle aux enfants"},
      {"she speaks of the tree", "elle parle de l'arbre"},
      {"she speaks to my friend near the hotel", "elle parle à mon ami près de l'hôtel"},
      {"we speak of a friend near the trees", "nous parlons d'un ami près des arbres"},
      // Indefinite articles: under negation, before an adjective and after de they are de.
      {"some birds follow the boat", "des oiseaux suivent le bateau"},
      {"some young birds follow some boats", "de jeunes oiseaux suivent des bateaux"},
      {"the king does not see a horse", "le roi ne voit pas de cheval"},
      {"the king does not see an apple", "le roi ne voit pas de pomme"},
      {"the king does not see a apple", "le roi ne voit pas de pomme"},  // read as "an"
      {"the king does not see a tree", "le roi ne voit pas d'arbre"},
      {"the king does not see any birds", "le roi ne voit pas d'oiseaux"},
      {"we do not speak to a child", "nous ne parlons pas à un enfant"},
      {"they dream of some friends", "ils rêvent d'amis"},
      {"they dream of some old trees", "ils rêvent de vieux arbres"},
      {"i do not find the book of a child under these tables",
       "je ne trouve pas le livre d'un enfant sous ces tables"},
  };
  for (const auto& [english, french] : pairs) CHECK(best(english) == french);
}

TEST_CASE("synonyms have their stated probabilities, and the words around them agree") {
  using Expected = std::vector<std::pair<std::string, double>>;
  const std::pair<const char*, Expected> cases[] = {
      {"i see the dog", {{"je vois le chien", .7}, {"je vois le toutou", .3}}},
      {"i see the cat", {{"je vois le chat", .8}, {"je vois le minou", .2}}},
      {"i see the red car", {{"je vois la voiture rouge", .8}, {"je vois l'auto rouge", .2}}},
      {"i see my car", {{"je vois ma voiture", .8}, {"je vois mon auto", .2}}},
      {"i see a small green bike",
       {{"je vois un petit vélo vert", .7}, {"je vois une petite bicyclette verte", .3}}},
      {"i see the old teacher", {{"je vois le vieux professeur", .6}, {"je vois le vieil enseignant", .4}}},
      {"i see these green forests", {{"je vois ces forêts vertes", .6}, {"je vois ces bois verts", .4}}},
      {"i watch the king", {{"je regarde le roi", .7}, {"j'observe le roi", .3}}},
      {"i do not watch the king", {{"je ne regarde pas le roi", .7}, {"je n'observe pas le roi", .3}}},
      {"i dream of the king", {{"je rêve du roi", .8}, {"je songe au roi", .2}}},
      {"they see the big dog",
       {{"ils voient le grand chien", .7 * .6 * .7},
        {"ils voient le gros chien", .7 * .4 * .7},
        {"elles voient le grand chien", .3 * .6 * .7},
        {"ils voient le grand toutou", .7 * .6 * .3},
        {"elles voient le gros chien", .3 * .4 * .7},
        {"ils voient le gros toutou", .7 * .4 * .3},
        {"elles voient le grand toutou", .3 * .6 * .3},
        {"elles voient le gros toutou", .3 * .4 * .3}}},
  };
  for (const auto& [english, expected] : cases) {
    const auto all = translations(english);
    REQUIRE(all.size() == expected.size());
    for (const auto& [french, probability] : expected) {
      const auto found = std::ranges::find(all, french, [](const auto& t) { return join_words(t.words); });
      REQUIRE(found != all.end());
      CHECK(found->probability == doctest::Approx(probability).epsilon(1e-12));
    }
  }
}

TEST_CASE("translations are distinct, sorted, in the vocabulary, and sum to one") {
  const Words english = toy::source_words(), french = toy::target_words();
  for (const Words& all : {english, french}) {
    CHECK(all.size() >= 100);
    CHECK(all.size() <= 200);
    CHECK(std::ranges::is_sorted(all));
  }
  std::set<std::string> seen_english, seen_french;
  toy::Rng rng(1);
  for (int i = 0; i < 2000; ++i) {
    const Words source = toy::sample_source(rng, toy::Split::train);
    const auto all = toy::translations(source);
    std::set<Words> distinct;
    double total = 0;
    for (const auto& [words, probability] : all) {
      distinct.insert(words);
      total += probability;
      seen_french.insert(words.begin(), words.end());
    }
    seen_english.insert(source.begin(), source.end());
    for (size_t at = 0; at + 1 < source.size(); ++at)
      if (source[at] == "a" || source[at] == "an")
        CHECK((source[at] == "an") == (source[at + 1].find_first_of("aeiou") == 0));
    CHECK(source.size() >= 4);
    CHECK(source.size() <= 14);
    CHECK(all.size() <= 64);
    CHECK(distinct.size() == all.size());
    CHECK(std::abs(total - 1) < 1e-12);
    CHECK(std::ranges::is_sorted(all, std::greater(), &toy::Translation::probability));
  }
  // Each word listed occurs, each word that occurs is listed.
  CHECK(Words(seen_english.begin(), seen_english.end()) == english);
  CHECK(Words(seen_french.begin(), seen_french.end()) == french);
}

TEST_CASE("next-word and token probabilities are those of the translations") {
  const Words source = split_words("i dream of the car");
  const auto first = toy::next_word(source, {});
  CHECK(first == std::map<std::string, double>{{"je", 1.}});
  const auto verb = toy::next_word(source, {"je"});
  CHECK(verb.at("rêve") == doctest::Approx(.8));
  CHECK(verb.at("songe") == doctest::Approx(.2));
  const auto article = toy::next_word(source, {"je", "songe", "à"});
  CHECK(article.at("la") == doctest::Approx(.8));
  CHECK(article.at("l'") == doctest::Approx(.2));
  const auto end = toy::next_word(source, {"je", "songe", "à", "l'", "auto"});
  CHECK(end == std::map<std::string, double>{{toy::kEndOfSentence, 1.}});

  toy::Rng rng(2);
  for (int i = 0; i < 300; ++i) {
    const Words sampled = toy::sample_source(rng, toy::Split::train);
    for (const auto& [words, probability] : toy::translations(sampled)) {
      const auto q = toy::token_probabilities(sampled, words);
      REQUIRE(q.size() == words.size() + 1);
      const double product = std::accumulate(q.begin(), q.end(), 1., std::multiplies());
      CHECK(product == doctest::Approx(probability).epsilon(1e-12));
    }
    const Words reference = toy::sample_translation(rng, sampled);
    const auto q = toy::token_probabilities(sampled, reference);
    for (size_t at = 0; at < q.size(); ++at) {
      const Words prefix(reference.begin(), reference.begin() + static_cast<std::ptrdiff_t>(at));
      const auto next = toy::next_word(sampled, prefix);
      const std::string word = at < reference.size() ? reference[at] : toy::kEndOfSentence;
      CHECK(next.at(word) == doctest::Approx(q[at]).epsilon(1e-12));
      double total = 0;
      for (const auto& [other, probability] : next) total += probability;
      CHECK(total == doctest::Approx(1).epsilon(1e-12));
    }
  }
}

TEST_CASE("the most probable word at each step gives the most probable translation") {
  toy::Rng rng(3);
  for (int i = 0; i < 2000; ++i) {
    const Words source = toy::sample_source(rng, toy::Split::train);
    CHECK(greedy(source) == toy::translations(source).front().words);
  }
}

TEST_CASE("sampled translations follow q") {
  const Words source = split_words("i see the bike");
  toy::Rng rng(4);
  int usual = 0;
  for (int i = 0; i < 10000; ++i) usual += toy::sample_translation(rng, source).back() == "vélo";
  CHECK(std::abs(usual - 7000) < 200);  // more than four standard deviations
}

TEST_CASE("splits are disjoint, stable and of the stated sizes") {
  std::set<Words> drawn[3];
  toy::Rng rng(5);
  for (int s = 0; s < 3; ++s)
    for (int i = 0; i < 1000; ++i) drawn[s].insert(toy::sample_source(rng, kSplits[s]));
  for (int s = 0; s < 3; ++s) {
    CHECK(drawn[s].size() > 990);  // the language is large
    for (const Words& source : drawn[s]) {
      CHECK(toy::split_of(source) == kSplits[s]);
      CHECK(!drawn[(s + 1) % 3].contains(source));
    }
  }
  // Pinned: a model trained yesterday must not have seen the test sentences of today.
  CHECK(toy::split_of(split_words("my horse of a blue man does not follow our king")) == toy::Split::train);
  CHECK(toy::split_of(split_words("they hear some green birds of this big red friend")) == toy::Split::valid);
  CHECK(toy::split_of(split_words("this owl watches this dog")) == toy::Split::test);
  int valid = 0, test = 0;
  for (int i = 0; i < 20000; ++i) {
    const auto split = toy::split_of({"word", std::to_string(i)});
    valid += split == toy::Split::valid;
    test += split == toy::Split::test;
  }
  CHECK(std::abs(valid - 1000) < 150);
  CHECK(std::abs(test - 1000) < 150);
}

TEST_CASE("the same seed draws the same sentences") {
  toy::Rng a(6), b(6), c(7);
  bool differs = false;
  for (int i = 0; i < 100; ++i) {
    const Words source = toy::sample_source(a, toy::Split::train);
    CHECK(source == toy::sample_source(b, toy::Split::train));
    CHECK(toy::sample_translation(a, source) == toy::sample_translation(b, source));
    differs |= source != toy::sample_source(c, toy::Split::train);
  }
  CHECK(differs);
}

TEST_CASE("what the grammar does not derive is refused, naming the word and its place") {
  const std::pair<const char*, const char*> cases[] = {
      {"the zebra sees the dog", "word 2: expected an adjective or a noun, got 'zebra'"},
      {"the dog see the cat", "word 3: expected 'of' or a verb, got 'see'"},
      {"we sees the cat", "word 2: expected a verb, got 'sees'"},
      {"the grey small dog sees the cat", "word 3: expected a noun, got 'small'"},
      {"a dogs see the cat", "word 2: expected an adjective or a noun, got 'dogs'"},
      {"the tree sees the cat", "word 2: expected an adjective or a noun, got 'tree'"},
      {"the dog sees any cats", "word 4: expected a determiner, got 'any'"},
      {"the dog does not see some cats", "word 6: expected a determiner, got 'some'"},
      {"the dog sees the cat now", "word 6: expected 'of' or a preposition or the end, got 'now'"},
      {"the dog sees the", "word 5: expected an adjective or a noun, got the end"},
      {"", "word 1: expected a pronoun or a determiner, got the end"},
  };
  for (const auto& [source, message] : cases)
    CHECK(error_of(source) == std::string("toy language: ") + message);

  toy::Rng rng(8);
  const Words source = split_words("i see the dog");
  CHECK_THROWS_AS(toy::next_word(source, {"tu"}), std::invalid_argument);
  CHECK_THROWS_AS(toy::token_probabilities(source, {"je", "vois"}), std::invalid_argument);
  CHECK_THROWS_AS(toy::sample_translation(rng, {"dog"}), std::invalid_argument);
}
