#include "tensor/file.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "tensor/error.h"

namespace gradus {

namespace fs = std::filesystem;

OpenFile open_file(const std::string& path, const char* mode) {
  OpenFile file(std::fopen(path.c_str(), mode), std::fclose);
  check_world(file != nullptr, path, ": ", std::strerror(errno));
  return file;
}

void atomic_write_file(const std::string& path, std::string_view content) {
  check(!path.empty(), "write: expected the path of a file, got nothing");
  check_world(!fs::exists(path) || fs::is_regular_file(path), path, ": not a regular file");
  // Opened first: a folder that cannot be flushed must show before anything has changed.
  const OpenFile folder = open_file(fs::absolute(path).parent_path(), "re");
  // No other thread on this host has that name; what is there was left by a killed process.
  const std::string temporary = path + ".tmp." + std::to_string(::gettid());
  fs::remove(temporary);
  const OpenFile file = open_file(temporary, "wbxe");
  const bool done = std::fwrite(content.data(), 1, content.size(), file.get()) == content.size() &&
                    std::fflush(file.get()) == 0 && ::fsync(fileno(file.get())) == 0 &&
                    ::rename(temporary.c_str(), path.c_str()) == 0;
  const std::string reason = std::strerror(errno);
  if (!done) ::unlink(temporary.c_str());
  check_world(done, "cannot write ", path, ": ", reason);
  // Some file systems cannot flush a folder and say EINVAL; there the rename is as safe as it can be.
  check_world(::fsync(fileno(folder.get())) == 0 || errno == EINVAL, path, ": its folder cannot be flushed");
}

}  // namespace gradus
