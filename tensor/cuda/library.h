// Loading a shared library that may stand elsewhere than on the machine that built gradus.
#pragma once

#include <dlfcn.h>

#include <span>
#include <stdexcept>
#include <string>

namespace gradus::cuda {

// Loads the first of these libraries that is there. A name without a slash is looked for where the system
// looks (LD_LIBRARY_PATH, the folders of ldconfig). Throws std::runtime_error with `advice` and what was
// tried.
inline void* load_library(std::span<const std::string> names, const std::string& advice) {
  std::string tried;
  for (const std::string& name : names) {
    if (void* library = dlopen(name.c_str(), RTLD_NOW)) return library;
    tried += std::string(tried.empty() ? "" : "; ") + dlerror();
  }
  throw std::runtime_error(advice + " (" + tried + ")");
}

}  // namespace gradus::cuda
