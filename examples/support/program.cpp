#include "examples/support/program.h"

#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <vector>

#include "tensor/error.h"

namespace gradus::examples {

int run_program(int argc, char** argv, int (*run)(std::span<const std::string> arguments)) {
  std::error_code unreadable;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", unreadable);
  if (!std::getenv("GOMP_SPINCOUNT") && !setenv("GOMP_SPINCOUNT", "1000", 0)) execv(self.c_str(), argv);
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  try {
    const int status = run(arguments);
    check_world(std::cout.flush().good(), program_invocation_short_name, ": cannot write to standard output");
    return status;
  } catch (const std::invalid_argument& error) {
    std::cerr << error.what() << "\n";
    return 2;
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}

}  // namespace gradus::examples
