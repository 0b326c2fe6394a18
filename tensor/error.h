// How gradus complains. A check names the operation, what was expected and what came; its message is built
// only when it fails, so checks may stand in front of every public operation. std::invalid_argument is the
// caller's fault (shapes, ids, options), std::runtime_error the world's (files, memory, a loss gone NaN).
// Kernels do not check: the functions in ops.h and autograd/ops.h do, once, at the public boundary.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace gradus {

template <class... Parts> std::string message(const Parts&... parts) {
  std::ostringstream out;
  out.exceptions(std::ios::badbit);  // else a stream that runs out of memory leaves half a message
  (out << ... << parts);
  return out.str();
}

template <class... Parts> void check(bool ok, const Parts&... parts) {
  if (!ok) [[unlikely]]
    throw std::invalid_argument(message(parts...));
}

template <class... Parts> void check_world(bool ok, const Parts&... parts) {
  if (!ok) [[unlikely]]
    throw std::runtime_error(message(parts...));
}

}  // namespace gradus
