// What tests of files share: a folder or a file that goes when the test ends, whole files as strings, and the
// message of an error.
#pragma once

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace gradus::tests {

struct TemporaryFolder {
  TemporaryFolder() { std::filesystem::create_directory(path); }
  ~TemporaryFolder() { std::filesystem::remove_all(path); }
  std::string operator/(const std::string& name) const { return path / name; }
  size_t files() const {
    return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(path), {}));
  }

  static inline int count = 0;
  std::filesystem::path path = std::filesystem::temp_directory_path() /
                               ("gradus_test_" + std::to_string(getpid()) + "_" + std::to_string(count++));
};

struct TemporaryFile {
  explicit TemporaryFile(const std::string& content) { std::ofstream(path, std::ios::binary) << content; }

  TemporaryFolder folder;
  std::string path = folder / "file";
};

inline std::string bytes_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

inline void store(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

template <class Error, class Action> std::string error_of(Action action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "no such error";
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace gradus::tests
