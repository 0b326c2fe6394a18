// operator new of the test program: it counts where a test watches, and fails where it is told to.
#pragma once

#include <cstdint>

namespace gradus::allocations {

extern constinit thread_local bool watched;
extern constinit thread_local int64_t made;  // while watched
extern constinit thread_local int64_t
    fails_at;  // the number of the one that throws std::bad_alloc; -1: none does

}  // namespace gradus::allocations
