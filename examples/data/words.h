// A line as words. `split_words` sets punctuation apart and splits after an elision ("L'arbre, là." becomes
// L' arbre , là .). It neither lowercases nor normalises, and it knows no language. `join_words` is its plain
// inverse: it gives the spacing of a printed page, not the bytes that were read. Cutting what it joined gives
// the same words again.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace gradus::examples {

using Words = std::vector<std::string>;

Words split_words(std::string_view text);
std::string join_words(const Words& words);

// The text without the blanks around it; and its parts between the marks `at`, each without them.
std::string trim(std::string_view text);
Words split(std::string_view text, char at);

}  // namespace gradus::examples
