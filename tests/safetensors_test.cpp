// The file format: round trips, known bytes, and what is left after a writer fails or is killed.
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
#include <limits>
#include <locale>
#include <random>
#include <thread>

#include "tests/files.h"
#include "tests/safetensors_bytes.h"

using namespace gradus;
using namespace gradus::tests;
using std::string;
using std::to_string;
namespace fs = std::filesystem;

namespace {

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
  CHECK(fixtures == 9);
  const auto adam = read_safetensors(GRADUS_SOURCE_DIR "/tests/fixtures/adam.safetensors");
  CHECK(adam.at("g.matrix").shape() == Shape{30, 4, 3});
}

TEST_CASE("safetensors: files that are no files") {
  const TemporaryFolder folder;
  const string missing = folder / "missing.safetensors";
  const auto reading = [](const string& path) {
    return error_of<std::runtime_error>([&] { read_safetensors(path); });
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
    return error_of<std::runtime_error>([&] { write_safetensors(path, tensors, metadata); });
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
    return error_of<std::runtime_error>([&] { atomic_write_file(where, "new"); });
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
    const string text = error_of<std::runtime_error>([&] { write_safetensors(saved, large); });
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
