// Files that are whole after a crash: the old one or the new one.
#pragma once

#include <cstdio>
#include <memory>
#include <string>
#include <string_view>

namespace gradus {

// Replaces a file as a whole, or not at all: `content` goes to a new file in the same folder,
// `<path>.tmp.<thread id>`, which is flushed to the disk and then renamed. If that fails, a
// std::runtime_error, it is removed and the old file is untouched; only a process that is killed leaves it
// behind. The new file has the default mode, and takes the place of a symbolic link, too. What is there but
// no regular file (a device, a folder) is refused.
void atomic_write_file(const std::string& path, std::string_view content);

// Throws std::runtime_error with the path and the system's reason. mode as std::fopen takes it.
using OpenFile = std::unique_ptr<FILE, int (*)(FILE*)>;
OpenFile open_file(const std::string& path, const char* mode);

}  // namespace gradus
