// The file format: round trips, known bytes, what a hostile or damaged file may try, and what is left after a
// writer fails or is killed.
#include "tensor/safetensors.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <locale>
#include <random>
#include <thread>

using namespace gradus;
using std::string;
using std::to_string;
namespace fs = std::filesystem;

namespace {

struct TemporaryFolder {
  TemporaryFolder() { fs::create_directory(path); }
  ~TemporaryFolder() { fs::remove_all(path); }
  string operator/(const string& name) const { return path / name; }
  size_t files() const { return static_cast<size_t>(std::distance(fs::directory_iterator(path), {})); }

  static inline int count = 0;
  fs::path path =
      fs::temp_directory_path() / ("gradus_safetensors_" + to_string(getpid()) + "_" + to_string(count++));
};

string bytes_of(const string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void store(const string& path, const string& bytes) { std::ofstream(path, std::ios::binary) << bytes; }

string with_length(uint64_t length, const string& rest) {
  string bytes(8, '\0');
  std::memcpy(bytes.data(), &length, 8);
  return bytes + rest;
}

string file_of(const string& header, const string& data = "") {
  return with_length(header.size(), header + data);
}

// "" if the bytes are a valid file. Any exception but std::runtime_error goes through and fails the test.
string complaint(const string& bytes) {
  try {
    parse_safetensors(bytes);
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "";
}

template <class Error, class Action> string message(Action action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "no such error";
}

bool contains(const string& text, const string& part) { return text.find(part) != string::npos; }

bool same(const Tensor& a, const Tensor& b) {  // bit by bit, so that NaN equals itself
  return a.dtype() == b.dtype() && a.shape() == b.shape() &&
         (a.size() == 0 || std::memcmp(a.bytes(), b.bytes(), a.byte_size()) == 0);
}

void check_same(const std::map<string, Tensor>& a, const std::map<string, Tensor>& b) {
  REQUIRE(a.size() == b.size());
  for (const auto& item : a) {
    CAPTURE(item.first);
    REQUIRE(b.contains(item.first));
    CHECK(same(item.second, b.at(item.first)));
  }
}

string entry(const string& dtype, const string& shape, const string& offsets) {
  return R"({"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}";
}

const string kEntry = entry("F32", "[2]", "[0,8]");
const string kData = string("\0\0\x80\x3f\0\0\0\x40", 8);  // 1, 2

string named(const string& json_name) { return "{" + json_name + ":" + kEntry + "}"; }

}  // namespace

TEST_CASE("safetensors: what is written is read") {
  const TemporaryFolder folder;
  const string path = folder / "all.safetensors";
  constexpr double inf = std::numeric_limits<double>::infinity();
  const std::map<string, Tensor> tensors = {
      {"f32", Tensor::from(std::vector<float>{1.5f, -0.0f, NAN, 1e-45f, 3e38f, -1}, Shape{2, 3})},
      {"f64", Tensor::from(std::vector<double>{0.1, -inf, std::nan("7")}, Shape{3, 1})},
      {"i32", Tensor::from(std::vector<int32_t>{INT32_MIN, -1, 0, INT32_MAX}, Shape{1, 1, 2, 1, 1, 2})},
      {"scalar", Tensor::from(std::vector<float>{7}, Shape{})},
      {"none", Tensor(Shape{3, 0, 2}, DType::f64)},
      {"none either", Tensor(Shape{0})},
      {"a view", Tensor::from(std::vector<float>{1, 2, 3, 4}, Shape{2, 2}).rows(1, 2)},
      {"", Tensor::from(std::vector<int32_t>{5}, Shape{1})},
      {"\"\\/\n\x01 é € \U0001F600", Tensor::from(std::vector<int32_t>{6}, Shape{1})},
      {string("nul\0byte", 8), Tensor::from(std::vector<int32_t>{8}, Shape{1})}};
  const std::map<string, string> metadata = {
      {"plain", "text"}, {"", ""}, {"\"q\"\\\t", "line\nline\x1f\x7f"}, {"ключ", "\U0001F600 \uFFFF"}};
  write_safetensors(path, tensors, metadata);
  const SafetensorsFile file = read_safetensors_file(path);
  check_same(file.tensors, tensors);
  CHECK(file.metadata == metadata);
  check_same(read_safetensors(path), tensors);
  check_same(parse_safetensors(bytes_of(path)).tensors, tensors);

  const string bytes = bytes_of(path);
  write_safetensors(path, file.tensors, file.metadata);
  CHECK(bytes_of(path) == bytes);
  CHECK(static_cast<unsigned char>(bytes[0]) % 8 == 0);  // so the data starts at a multiple of 8

  write_safetensors(path, {});
  CHECK(bytes_of(path) == file_of(R"({"__metadata__":{}})" + string(5, ' ')));
  CHECK(read_safetensors(path).empty());
  CHECK(folder.files() == 1);
}

TEST_CASE("safetensors: known bytes") {
  const TemporaryFolder folder;
  const string path = folder / "known.safetensors";
  write_safetensors(path,
                    {{"b", Tensor::from(std::vector<float>{1, 2}, Shape{2})},
                     {"a", Tensor::from(std::vector<int32_t>{-2}, Shape{})},
                     {"z", Tensor::from(std::vector<double>{0.5}, Shape{1, 1})}},
                    {{"k", "\"v\"\n"}});
  const string header = R"({"__metadata__":{"k":"\"v\"\u000a"},"z":)" + entry("F64", "[1, 1]", "[0,8]") +
                        R"(,"a":)" + entry("I32", "[]", "[8,12]") + R"(,"b":)" +
                        entry("F32", "[2]", "[12,20]") + "}";
  const string padding((8 - header.size() % 8) % 8, ' ');
  const string data = string("\0\0\0\0\0\0\xe0\x3f", 8) + "\xfe\xff\xff\xff" + kData;
  CHECK(bytes_of(path) == file_of(header + padding, data));
}

TEST_CASE("safetensors: the program's locale changes nothing") {
  struct Grouping : std::numpunct<char> {
    char do_thousands_sep() const override { return ','; }
    string do_grouping() const override { return "\3"; }
  };
  const TemporaryFolder folder;
  const string path = folder / "large.safetensors";
  const std::map<string, Tensor> tensors = {{"x", Tensor::full(Shape{1234, 1}, 1)}};
  const std::locale before = std::locale::global(std::locale(std::locale::classic(), new Grouping));
  write_safetensors(path, tensors);
  std::locale::global(before);
  check_same(read_safetensors(path), tensors);
}

TEST_CASE("safetensors: the files of other writers") {
  // Any order of fields, tensors and data; white space; every escape; no alignment.
  const string header =
      "{ \"late\" :\t{\"data_offsets\":[ 4 , 12 ],\r\n\"shape\": [2],\"dtype\":\"F32\"},\n"
      R"("\u0065\u00e9\u20ac\ud83d\uDE00\"\\\/\b\f\n\r\t":{"dtype":"I32","shape":[1],"data_offsets":[0,4]},)"
      R"("__metadata__" : { } } )";
  const SafetensorsFile file = parse_safetensors(file_of(header, string("\7\0\0\0", 4) + kData));
  CHECK(file.metadata.empty());
  REQUIRE(file.tensors.size() == 2);
  CHECK(file.tensors.at("late").to_vector<float>() == std::vector<float>{1, 2});
  CHECK(file.tensors.at("eé€\U0001F600\"\\/\b\f\n\r\t").to_vector<int32_t>() == std::vector<int32_t>{7});

  int fixtures = 0;
  for (const auto& item : fs::directory_iterator(GRADUS_SOURCE_DIR "/tests/fixtures")) {
    if (item.path().extension() != ".safetensors") continue;
    CAPTURE(item.path());
    const SafetensorsFile fixture = read_safetensors_file(item.path());
    CHECK(fixture.tensors.size() > 10);
    CHECK(fixture.metadata.contains("torch"));
    ++fixtures;
  }
  CHECK(fixtures == 8);
  const auto adam = read_safetensors(GRADUS_SOURCE_DIR "/tests/fixtures/adam.safetensors");
  CHECK(adam.at("g.matrix").shape() == Shape{30, 4, 3});
}

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

TEST_CASE("safetensors: files that are no files") {
  const TemporaryFolder folder;
  const string missing = folder / "missing.safetensors";
  const auto reading = [](const string& path) {
    return message<std::runtime_error>([&] { read_safetensors(path); });
  };
  CHECK(contains(reading(missing), missing + ": no such file"));
  CHECK(contains(reading(folder.path), "not a regular file"));
  CHECK(contains(reading("/dev/zero"), "not a regular file"));
  const string pipe = folder / "pipe";
  REQUIRE(mkfifo(pipe.c_str(), 0600) == 0);
  CHECK(contains(reading(pipe), "not a regular file"));  // and it does not wait for a writer
  const string broken = folder / "broken.safetensors";
  store(broken, file_of(named("\"a\""), "short"));
  CHECK(contains(reading(broken), broken + ": tensor \"a\" is at [0, 8] of the data, but [0, 5] is left"));
}

TEST_CASE("safetensors: what could not be read back is not written") {
  const TemporaryFolder folder;
  const string path = folder / "file.safetensors";
  const Tensor x = Tensor::zeros(Shape{1});
  const auto writing = [&](const std::map<string, Tensor>& tensors,
                           const std::map<string, string>& metadata) {
    return message<std::runtime_error>([&] { write_safetensors(path, tensors, metadata); });
  };
  CHECK_THROWS_WITH_AS(write_safetensors(path, {{"x", Tensor()}}),
                       "write_safetensors: \"x\" is an empty Tensor", std::invalid_argument);
  CHECK(contains(writing({{"__metadata__", x}}, {}), "duplicate key \"__metadata__\""));
  CHECK(contains(writing({{"\xFF", x}}, {}), "not UTF-8"));
  CHECK(contains(writing({{string(1025, 'n'), x}}, {}), "more than 1024 bytes"));
  CHECK(contains(writing({}, {{"\xC3", ""}}), "not UTF-8"));
  CHECK(contains(writing({}, {{"k", "\xED\xA0\x80"}}),
                 "write_safetensors: header byte 22, after \"__metadata__\": not UTF-8"));
  CHECK(contains(writing({}, {{"k", string(100'000'000, ' ')}}), "at most 100000000"));
  std::map<string, Tensor> many;
  for (int i = 0; i <= 100'000; ++i) many[to_string(i)] = x;
  CHECK(contains(writing(many, {}), "more than 100000 keys"));
  CHECK(folder.files() == 0);
}

TEST_CASE("atomic_write_file: a failing write leaves the old file and nothing else") {
  const TemporaryFolder folder;
  const string path = folder / "file";
  store(path, "old");
  const auto writing = [](const string& where) {
    return message<std::runtime_error>([&] { atomic_write_file(where, "new"); });
  };
  CHECK(contains(writing(folder / "missing/file"), "No such file or directory"));
  CHECK(contains(writing(path + "/file"), "Not a directory"));
  CHECK(contains(writing(folder.path), "not a regular file"));
  CHECK(contains(writing("/dev/null"), "not a regular file"));
  CHECK(contains(writing(folder / string(255, 'n')), "name too long"));
  CHECK(bytes_of(path) == "old");
  CHECK(folder.files() == 1);

  // A disk that is full after 64 KiB, as far as a child process can tell.
  const string saved = folder / "saved.safetensors";
  const std::map<string, Tensor> small = {{"x", Tensor::full(Shape{3}, 1)}};
  const std::map<string, Tensor> large = {{"x", Tensor::full(Shape{100'000}, 2)}};
  write_safetensors(saved, small);
  const pid_t child = fork();
  if (child == 0) {
    const rlimit limit{1 << 16, 1 << 16};
    signal(SIGXFSZ, SIG_IGN);
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0) _exit(2);
    const string text = message<std::runtime_error>([&] { write_safetensors(saved, large); });
    _exit(contains(text, "cannot write " + saved + ": File too large") ? 0 : 1);
  }
  int status = -1;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  check_same(read_safetensors(saved), small);
  CHECK(folder.files() == 2);
}

TEST_CASE("atomic_write_file: modes, links and names in use") {
  const TemporaryFolder folder;
  const string path = folder / "file", link = folder / "link";
  const mode_t mask = umask(027);
  atomic_write_file(path, "one");
  umask(mask);
  CHECK(static_cast<int>(fs::status(path).permissions()) == 0640);

  fs::create_symlink("file", link);
  atomic_write_file(link, "two");
  CHECK(fs::is_regular_file(fs::symlink_status(link)));
  CHECK(bytes_of(link) == "two");
  CHECK(bytes_of(path) == "one");

  const string left_over = path + ".tmp." + to_string(gettid());  // by a killed thread of the same id
  store(left_over, "half of something longer");
  atomic_write_file(path, "three");
  CHECK(bytes_of(path) == "three");
  CHECK(folder.files() == 2);

  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&, i] {
      for (int n = 0; n < 10; ++n) atomic_write_file(path, string(100'000, static_cast<char>('a' + i)));
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(bytes_of(path) == string(100'000, bytes_of(path)[0]));  // one of them, whole
  CHECK(folder.files() == 2);

  const fs::path here = fs::current_path();
  fs::current_path(folder.path);
  atomic_write_file("bare", "four");  // a path without a folder
  fs::current_path(here);
  CHECK(bytes_of(folder / "bare") == "four");
}

TEST_CASE("atomic_write_file: a killed writer leaves a whole file") {
  const TemporaryFolder folder;
  const string path = folder / "checkpoint.safetensors";
  const Tensor x = Tensor::zeros(Shape{1 << 16});
  write_safetensors(path, {{"x", x}}, {{"version", "0"}});
  std::mt19937 random(2);
  for (int round = 0; round < 30; ++round) {
    const pid_t child = fork();
    if (child == 0) {
      for (int version = 1; true; ++version) {
        std::fill_n(x.data<float>(), x.size(), static_cast<float>(version));
        write_safetensors(path, {{"x", x}}, {{"version", to_string(version)}});
      }
    }
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 20'000));
    REQUIRE(kill(child, SIGKILL) == 0);
    REQUIRE(waitpid(child, nullptr, 0) == child);
    const SafetensorsFile file = read_safetensors_file(path);
    const std::vector<float> values = file.tensors.at("x").to_vector<float>();
    CHECK(values == std::vector<float>(1 << 16, std::stof(file.metadata.at("version"))));
  }
  MESSAGE("temporary files left by 30 killed writers: " << folder.files() - 1);
}
