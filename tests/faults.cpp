// Loaded before a program (LD_PRELOAD), lets a call that changes files go wrong: the FAULT_AT-th of its calls
// of rename, unlink and fsync kills the program (FAULT=kill) or fails (FAULT=fail), and the file FAULT_TOLD
// says that it did.
#include <dlfcn.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace {

bool goes_wrong() {
  static int left = std::atoi(std::getenv("FAULT_AT"));
  if (--left != 0) return false;
  close(open(std::getenv("FAULT_TOLD"), O_CREAT | O_WRONLY, 0666));
  if (std::getenv("FAULT") == std::string_view("kill")) std::raise(SIGKILL);
  errno = EIO;
  return true;
}

template <class... Arguments> int call(const char* name, Arguments... arguments) {
  if (goes_wrong()) return -1;
  return reinterpret_cast<int (*)(Arguments...)>(dlsym(RTLD_NEXT, name))(arguments...);
}

}  // namespace

extern "C" {
int rename(const char* from, const char* to) noexcept { return call("rename", from, to); }
int unlink(const char* path) noexcept { return call("unlink", path); }
int fsync(int file) { return call("fsync", file); }
}
