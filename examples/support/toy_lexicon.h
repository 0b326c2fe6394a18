// The words of the toy language, one row a word: English and its forms on the left, French and its forms on
// the right. Only words and what is true of single words; the grammar is in toy_language.cpp. Where there are
// two French words, the usual one has the stated probability, always above one half. The two may differ in
// gender, in elision or in the preposition they govern, so that the words around them change too. An empty
// row stands for an optional part that is left out.
#pragma once

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <span>
#include <string_view>

namespace gradus::examples::toy::lexicon {

enum Gender { m, f };
enum Person { je, il, nous, ils };  // those that occur, in the order of a verb's forms

struct French {
  std::string_view forms;  // separated by slashes; the order depends on the table
  int feature = 0;         // a noun's gender, a pronoun's person
};

struct Row {
  std::string_view english;
  French usual = {};
  double probability = 1;  // of the usual one
  French other = {};
};

// The n-th of the forms; empty when there are fewer.
inline std::string_view form(std::string_view forms, int n) {
  while (n-- > 0) {
    const size_t slash = forms.find('/');
    forms.remove_prefix(slash == forms.npos ? forms.size() : slash + 1);
  }
  return forms.substr(0, forms.find('/'));
}

// Singular, plural. Beings act and own; things are places too; both are acted on.
inline constexpr Row kBeings[] = {
    {"dog/dogs", {"chien/chiens", m}, .7, {"toutou/toutous", m}},
    {"cat/cats", {"chat/chats", m}, .8, {"minou/minous", m}},
    {"bird/birds", {"oiseau/oiseaux", m}},
    {"horse/horses", {"cheval/chevaux", m}},
    {"mouse/mice", {"souris/souris", f}},
    {"owl/owls", {"hibou/hiboux", m}},
    {"child/children", {"enfant/enfants", m}},
    {"man/men", {"homme/hommes", m}},
    {"woman/women", {"femme/femmes", f}},
    {"girl/girls", {"fille/filles", f}},
    {"friend/friends", {"ami/amis", m}},
    {"teacher/teachers", {"professeur/professeurs", m}, .6, {"enseignant/enseignants", m}},
    {"king/kings", {"roi/rois", m}},
    {"neighbour/neighbours", {"voisin/voisins", m}},
};
inline constexpr Row kThings[] = {
    {"tree/trees", {"arbre/arbres", m}},
    {"flower/flowers", {"fleur/fleurs", f}},
    {"apple/apples", {"pomme/pommes", f}},
    {"book/books", {"livre/livres", m}, .8, {"bouquin/bouquins", m}},
    {"table/tables", {"table/tables", f}},
    {"house/houses", {"maison/maisons", f}},
    {"school/schools", {"école/écoles", f}},
    {"hotel/hotels", {"hôtel/hôtels", m}},
    {"garden/gardens", {"jardin/jardins", m}},
    {"forest/forests", {"forêt/forêts", f}, .6, {"bois/bois", m}},
    {"bridge/bridges", {"pont/ponts", m}},
    {"boat/boats", {"bateau/bateaux", m}},
    {"car/cars", {"voiture/voitures", f}, .8, {"auto/autos", f}},
    {"bike/bikes", {"vélo/vélos", m}, .7, {"bicyclette/bicyclettes", f}},
};

// Masculine and feminine in the singular, then in the plural; last the masculine before a vowel, if special.
inline constexpr Row kAdjectivesBefore[] = {
    {""},
    {"small", {"petit/petite/petits/petites"}},
    {"big", {"grand/grande/grands/grandes"}, .6, {"gros/grosse/gros/grosses"}},
    {"young", {"jeune/jeune/jeunes/jeunes"}},
    {"old", {"vieux/vieille/vieux/vieilles/vieil"}},
    {"new", {"nouveau/nouvelle/nouveaux/nouvelles/nouvel"}},
    {"beautiful", {"beau/belle/beaux/belles/bel"}, .7, {"joli/jolie/jolis/jolies"}},
};
inline constexpr Row kAdjectivesAfter[] = {
    {""},
    {"grey", {"gris/grise/gris/grises"}},
    {"blue", {"bleu/bleue/bleus/bleues"}},
    {"red", {"rouge/rouge/rouges/rouges"}},
    {"green", {"vert/verte/verts/vertes"}},
    {"happy", {"heureux/heureuse/heureux/heureuses"}},
    {"strange", {"étrange/étrange/étranges/étranges"}, .6, {"bizarre/bizarre/bizarres/bizarres"}},
};

// As adjectives. A determiner without a form does not occur in that number.
inline constexpr Row kDeterminers[] = {
    {"the", {"le/la/les/les"}},       {"a", {"un/une"}},
    {"some", {"//des/des"}},          {"my", {"mon/ma/mes/mes"}},
    {"our", {"notre/notre/nos/nos"}}, {"this", {"ce/cette"}},
    {"these", {"//ces/ces"}},
};

// Of an adjective or a determiner.
inline std::string_view agree(std::string_view forms, int gender, bool plural, bool before_vowel = false) {
  const std::string_view special = form(forms, 4);
  if (before_vowel && !plural && gender == m && !special.empty()) return special;
  return form(forms, 2 * plural + gender);
}

inline constexpr Row kPronouns[] = {
    {""},
    {"i", {"je", je}},
    {"he", {"il", il}},
    {"she", {"elle", il}},
    {"we", {"nous", nous}},
    {"they", {"ils", ils}, .7, {"elles", ils}},
};

// English: plural, third person singular. French: je, il, nous, ils; last the preposition it governs, if any.
inline constexpr Row kVerbs[] = {
    {"see/sees", {"vois/voit/voyons/voient"}},
    {"hear/hears", {"entends/entend/entendons/entendent"}},
    {"find/finds", {"trouve/trouve/trouvons/trouvent"}},
    {"follow/follows", {"suis/suit/suivons/suivent"}},
    {"love/loves", {"aime/aime/aimons/aiment"}, .6, {"adore/adore/adorons/adorent"}},
    {"watch/watches", {"regarde/regarde/regardons/regardent"}, .7, {"observe/observe/observons/observent"}},
    {"look for/looks for", {"cherche/cherche/cherchons/cherchent"}},
    {"speak to/speaks to", {"parle/parle/parlons/parlent/à"}},
    {"speak of/speaks of", {"parle/parle/parlons/parlent/de"}},
    {"dream of/dreams of", {"rêve/rêve/rêvons/rêvent/de"}, .8, {"songe/songe/songeons/songent/à"}},
};

inline constexpr Row kPrepositions[] = {
    {""},
    {"in", {"dans"}},
    {"under", {"sous"}},
    {"behind", {"derrière"}},
    {"in front of", {"devant"}},
    {"with", {"avec"}},
    {"near", {"près de"}, .7, {"à côté de"}},
};

inline constexpr std::span<const Row> kTables[] = {
    kBeings, kThings, kAdjectivesBefore, kAdjectivesAfter, kDeterminers, kPronouns, kVerbs, kPrepositions};

// Where two neighbours meet: de and à swallow the article, and before a vowel some words change.
struct Contraction {
  std::string_view first, second, both;
};
inline constexpr Contraction kContractions[] = {
    {"de", "le", "du"}, {"de", "les", "des"}, {"de", "des", "de"},
    {"de", "de", "de"}, {"à", "le", "au"},    {"à", "les", "aux"},
};
struct Elision {
  std::string_view word, before_vowel;
};
inline constexpr Elision kElisions[] = {
    {"le", "l'"}, {"la", "l'"}, {"de", "d'"}, {"ne", "n'"}, {"je", "j'"}, {"ma", "mon"}, {"ce", "cet"},
};
inline constexpr std::string_view kVowels[] = {"a", "e", "i", "o", "u", "é", "è", "ê", "ô", "h"};
inline constexpr std::string_view kAspirated[] = {"hibou", "hiboux"};  // this h is a consonant: le hibou

inline bool starts_with_vowel(std::string_view word) {
  return std::ranges::find(kAspirated, word) == std::end(kAspirated) &&
         std::ranges::any_of(kVowels, [&](std::string_view vowel) { return word.starts_with(vowel); });
}

}  // namespace gradus::examples::toy::lexicon
