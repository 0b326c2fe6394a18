// What a hostile or damaged safetensors file may try.
#include <doctest/doctest.h>

#include <random>

#include "tensor/safetensors.h"
#include "tests/files.h"
#include "tests/safetensors_bytes.h"

using namespace gradus;
using namespace gradus::tests;
using std::string;
using std::to_string;

namespace {

// "" if the bytes are a valid file. Any exception but std::runtime_error goes through and fails the test.
string complaint(const string& bytes) {
  try {
    parse_safetensors(bytes);
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("safetensors: every attack is refused, and the message says why") {
  struct Attack {
    string name, bytes, reason;
  };
  const string a = R"({"a":)";
  const auto one = [&](const string& dtype, const string& shape, const string& offsets, size_t data = 8) {
    return file_of(a + entry(dtype, shape, offsets) + "}", string(data, '\0'));
  };
  const auto two = [](const string& first, const string& second, size_t data) {
    return file_of(R"({"a":)" + entry("F32", "[2]", first) + R"(,"b":)" + entry("F32", "[2]", second) + "}",
                   string(data, '\0'));
  };
  const auto name = [](const string& json) { return file_of(named(json), kData); };
  const auto metadata = [](const string& json) { return file_of(R"({"__metadata__":)" + json + "}"); };
  string many = "{", many_strings = "{";
  for (int i = 0; i <= 100'000; ++i) {
    many += (i ? ",\"" : "\"") + to_string(i) + "\":" + entry("F32", "[0]", "[0,0]");
    many_strings += (i ? ",\"" : "\"") + to_string(i) + "\":\"\"";
  }
  const Attack attacks[] = {
      // The length, and where the header ends.
      {"empty file", "", "shorter than its header"},
      {"seven bytes", string(7, '\0'), "shorter than its header"},
      {"no header", with_length(0, ""), "begins with '{'"},
      {"header longer than the file", with_length(3, "{}"), "shorter than its header"},
      {"header over the limit", file_of("{}" + string(99'999'999, ' ')), "at most 100000000"},
      {"length of 2^64 - 1", with_length(~uint64_t{0}, "{}"), "shorter than its header"},
      {"length that wraps round", with_length(~uint64_t{0} - 7, "{}"), "shorter than its header"},
      {"length cuts the header", with_length(1, "{}"), "expected '\"'"},
      {"byte after the data", file_of(named("\"a\""), kData + "x"), "1 bytes follow the last tensor"},
      {"data without tensors", file_of("{}", "x"), "1 bytes follow the last tensor"},
      {"data cut short", file_of(named("\"a\""), kData.substr(1)),
       "tensor \"a\" is at [0, 8] of the data, but [0, 7] is left"},
      // JSON that is none, or is more than a header may be.
      {"space in front", file_of(" {}"), "begins with '{'"},
      {"byte order mark", file_of("\xEF\xBB\xBF{}"), "begins with '{'"},
      {"an array", file_of("[]"), "begins with '{'"},
      {"unclosed object", file_of("{"), "expected '\"'"},
      {"text after the object", file_of("{}{}"), "only spaces"},
      {"newline after the object", file_of("{}\n"), "only spaces"},
      {"zero byte after the object", file_of(string("{}\0", 3)), "only spaces"},
      {"trailing comma", file_of(a + kEntry + ",}", kData), "expected '\"'"},
      {"missing comma", file_of(a + kEntry + "\"b\":{}}", kData), "expected ','"},
      {"missing colon", file_of(R"({"a" {}})"), "expected ':'"},
      {"single quotes", file_of("{'a':1}"), "expected '\"'"},
      {"comment", file_of("{/* */}"), "expected '\"'"},
      {"null entry", file_of(R"({"a":null})"), "header byte 5, after \"a\": expected '{'"},
      {"array entry", file_of(R"({"a":[1]})"), "expected '{'"},
      {"deep objects", file_of(a + a + a + a + "{}}}}}"), "unknown field"},
      {"deep arrays", file_of(a + R"({"shape":)" + string(100'000, '[')), "unsigned integer"},
      {"deeper objects", file_of(a + R"({"shape":)" + string(100'000, '{')), "expected '['"},
      // Strings.
      {"unfinished name", file_of("{\"a"), "unfinished string"},
      {"unfinished escape", file_of("{\"a\\"), "unfinished string"},
      {"unknown escape", name(R"("\x41")"), "unknown escape"},
      {"short \\u", name(R"("\u12")"), "four hexadecimal digits"},
      {"signed \\u", name(R"("\u-123")"), "four hexadecimal digits"},
      {"lone high surrogate", name(R"("\ud83d")"), "lone surrogate"},
      {"high surrogate and a letter", name(R"("\ud83d\u0041")"), "lone surrogate"},
      {"high surrogate and another escape", name(R"("\ud83d\n")"), "unknown escape"},
      {"two high surrogates", name(R"("\ud83d\ud83d")"), "lone surrogate"},
      {"lone low surrogate", name(R"("\ude00")"), "lone surrogate"},
      {"raw newline", name("\"a\nb\""), "control character"},
      {"raw zero byte", name(string("\"a\0b\"", 5)), "control character"},
      {"lone continuation byte", name("\"\x80\""), "not UTF-8"},
      {"overlong slash", name("\"\xC0\xAF\""), "not UTF-8"},
      {"overlong in three bytes", name("\"\xE0\x80\xAF\""), "not UTF-8"},
      {"surrogate in UTF-8", name("\"\xED\xA0\x80\""), "not UTF-8"},
      {"beyond U+10FFFF", name("\"\xF4\x90\x80\x80\""), "not UTF-8"},
      {"cut sequence", name("\"\xE2\x82\""), "not UTF-8"},
      {"sequence cut by the end", file_of("{\"\xF0\x9F\x98"), "not UTF-8"},
      {"UTF-8 outside a string", file_of("{\xC3\xA9}"), "expected '\"'"},
      {"long name", name('"' + string(1025, 'n') + '"'), "more than 1024 bytes"},
      // Keys.
      {"duplicate tensor", file_of(a + kEntry + ",\"a\":" + kEntry + "}", kData), "duplicate key \"a\""},
      {"duplicate by escape", file_of(a + kEntry + ",\"\\u0061\":" + kEntry + "}", kData),
       "duplicate key \"a\""},
      {"duplicate field",
       file_of(a + R"({"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}})", kData),
       "header byte 27, after \"a\": duplicate key \"dtype\""},
      {"unknown field",
       file_of(a + R"({"dtype":"F32","shape":[2],"data_offsets":[0,8],"strides":[1]}})", kData),
       "unknown field \"strides\""},
      {"no dtype", file_of(a + R"({"shape":[2],"data_offsets":[0,8]}})", kData), "are needed"},
      {"no shape", file_of(a + R"({"dtype":"F32","data_offsets":[0,8]}})", kData), "are needed"},
      {"no offsets", file_of(a + R"({"dtype":"F32","shape":[2]}})", kData), "are needed"},
      {"empty entry", file_of(R"({"a":{}})"), "are needed"},
      {"too many tensors", file_of(many + "}"), "more than 100000 keys"},
      // Metadata.
      {"metadata is a string", metadata("\"x\""), "header byte 16, after \"__metadata__\": expected '{'"},
      {"metadata of a number", metadata(R"({"k":1})"), "expected '\"'"},
      {"metadata of an object", metadata(R"({"k":{}})"), "expected '\"'"},
      {"duplicate metadata key", metadata(R"({"k":"1","k":"2"})"), "duplicate key \"k\""},
      {"duplicate metadata", file_of(R"({"__metadata__":{},"__metadata__":{}})"),
       "duplicate key \"__metadata__\""},
      {"metadata as a tensor", file_of("{\"__metadata__\":" + kEntry + "}", kData), "expected '\"'"},
      {"too much metadata", metadata(many_strings + "}"), "more than 100000 keys"},
      // Types and numbers.
      {"half precision", one("BF16", "[4]", "[0,8]"), "after \"a\": dtype \"BF16\" is none of F32, F64, I32"},
      {"unknown dtype", one("f32", "[2]", "[0,8]"), "dtype \"f32\" is none of"},
      {"dtype is a number", file_of(R"({"a":{"dtype":32}})"), "expected '\"'"},
      {"negative size", one("F32", "[-2]", "[0,8]"), "unsigned integer"},
      {"signed size", one("F32", "[+2]", "[0,8]"), "unsigned integer"},
      {"real size", one("F32", "[2.0]", "[0,8]"), "expected ','"},
      {"exponent", one("F32", "[2e0]", "[0,8]"), "expected ','"},
      {"leading zero", one("F32", "[02]", "[0,8]"), "leading zero"},
      {"hexadecimal", one("F32", "[0x2]", "[0,8]"), "expected ','"},
      {"size in a string", one("F32", "[\"2\"]", "[0,8]"), "unsigned integer"},
      {"nested shape", one("F32", "[[2]]", "[0,8]"), "unsigned integer"},
      {"trailing comma in a shape", one("F32", "[2,]", "[0,8]"), "unsigned integer"},
      {"unclosed shape", file_of(R"({"a":{"shape":[2)"), "expected ','"},
      {"shape is a number", one("F32", "2", "[0,8]"), "expected '['"},
      {"size of 2^64", one("F32", "[18446744073709551616]", "[0,8]"), "below 2^63"},
      {"size of 2^63", one("F32", "[9223372036854775808]", "[0,8]"), "below 2^63"},
      {"product wraps to 0", one("F32", "[1099511627776,1099511627776]", "[0,0]", 0),
       "than can be addressed"},
      {"bytes wrap to 8", one("F32", "[4611686018427387906]", "[0,8]"), "than can be addressed"},
      {"overflow behind a zero", one("F32", "[0,1099511627776,1099511627776]", "[0,0]", 0),
       "than can be addressed"},
      {"seven axes", one("F32", "[1,1,1,1,1,1,2]", "[0,8]"), "at most 6 axes, not 7"},
      {"vast tensor", one("F32", "[1099511627776]", "[0,4398046511104]"),
       "is at [0, 4398046511104] of the data, but [0, 8] is left"},
      // Offsets.
      {"one offset", one("F32", "[2]", "[8]"), "data_offsets [begin, end] are needed"},
      {"no offsets in the array", one("F32", "[2]", "[]"), "data_offsets [begin, end] are needed"},
      {"three offsets", one("F32", "[2]", "[0,4,8]"), "data_offsets [begin, end] are needed"},
      {"end before begin", one("F32", "[2]", "[8,0]"), "data_offsets hold -8 bytes"},
      {"too few bytes", one("F32", "[2]", "[0,7]", 7), "data_offsets hold 7 bytes, shape and dtype take 8"},
      {"too many bytes", one("F64", "[]", "[0,9]", 9), "data_offsets hold 9 bytes, shape and dtype take 8"},
      {"bytes for no elements", one("F32", "[0]", "[0,8]"), "shape and dtype take 0"},
      {"gap in front", one("F32", "[2]", "[4,12]", 12),
       "tensor \"a\" is at [4, 12] of the data, but [0, 12] is left"},
      {"gap between", two("[0,8]", "[12,20]", 20),
       "tensor \"b\" is at [12, 20] of the data, but [8, 20] is left"},
      {"same bytes twice", two("[0,8]", "[0,8]", 8), "is at [0, 8] of the data, but [8, 8] is left"},
      {"overlap", two("[4,12]", "[0,8]", 12), "tensor \"a\" is at [4, 12] of the data, but [8, 12] is left"},
      {"zero-size tensor inside another",
       file_of(a + kEntry + ",\"z\":" + entry("F32", "[0]", "[4,4]") + "}", kData),
       "tensor \"z\" is at [4, 4] of the data, but [8, 8] is left"},
      {"zero-size tensor beyond the end",
       file_of(a + kEntry + ",\"z\":" + entry("F32", "[0]", "[9,9]") + "}", kData),
       "tensor \"z\" is at [9, 9] of the data, but [8, 8] is left"},
      {"last offset of 2^63 - 1", one("F32", "[0]", "[9223372036854775807,9223372036854775807]", 0),
       "of the data, but [0, 0] is left"},
  };
  CHECK(std::size(attacks) >= 40);
  const size_t peak = memory_use(Device::cpu).peak;
  for (const Attack& attack : attacks) {
    CAPTURE(attack.name);
    const string text = complaint(attack.bytes);
    CAPTURE(text);
    CHECK(text.starts_with("safetensors: "));
    CHECK(contains(text, attack.reason));
    CHECK(text.size() < 1000);
  }
  CHECK(memory_use(Device::cpu).peak <= peak + 4096);
  CHECK(complaint(name('"' + string(1024, 'n') + '"')).empty());
  CHECK(complaint(metadata(R"({"k":")" + string(100'000, 'v') + "\"}")).empty());  // values may be long
}

TEST_CASE("safetensors: damaged files are refused or mean something else, and never crash") {
  const TemporaryFolder folder;
  const string path = folder / "small.safetensors";
  write_safetensors(path,
                    {{"weight", Tensor::from(std::vector<float>{1, 2, 3, 4, 5, 6}, Shape{2, 3})},
                     {"é", Tensor::from(std::vector<double>{7}, Shape{})}},
                    {{"k", "\n"}});
  const string bytes = bytes_of(path);
  const size_t header_end = bytes.size() - 32;
  const size_t peak = memory_use(Device::cpu).peak;
  for (size_t length = 0; length < bytes.size(); ++length)
    CHECK_FALSE(complaint(bytes.substr(0, length)).empty());
  CHECK(complaint(bytes).empty());
  CHECK_FALSE(complaint(bytes + '\0').empty());

  int refused = 0;
  const auto try_out = [&](const string& damaged) { refused += !complaint(damaged).empty(); };
  for (size_t at = 0; at < header_end; ++at) {
    string damaged = bytes;
    for (int bit = 0; bit < 8; ++bit) {
      damaged[at] = static_cast<char>(bytes[at] ^ 1 << bit);
      try_out(damaged);
      if (at < 8) CHECK_FALSE(complaint(damaged).empty());  // a wrong length never passes
    }
    for (const char c : string("\0\"\\{}[],: 09-e\xFF", 15)) {
      damaged[at] = c;
      try_out(damaged);
      try_out(string(bytes).insert(at, 1, c));
    }
    try_out(string(bytes).erase(at, 1));
  }
  std::mt19937 random(1);
  for (int i = 0; i < 20'000; ++i) {  // several pieces moved about, the length kept true
    string header = bytes.substr(8, header_end - 8);
    for (auto pieces = random() % 3 + 1; pieces > 0; --pieces) {
      const string piece = header.substr(random() % header.size(), random() % 16);
      header.replace(random() % header.size(), random() % 16, piece);
      if (header.empty()) header = "{";
    }
    try_out(file_of(header, bytes.substr(header_end)));
  }
  MESSAGE(refused << " damaged files refused");
  CHECK(refused > 20'000);
  CHECK(memory_use(Device::cpu).peak <= peak + 4096);
}
