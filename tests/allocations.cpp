#include "tests/allocations.h"

#include <cstdlib>
#include <new>

namespace gradus::allocations {

thread_local bool watched = false;
thread_local int64_t made = 0;
thread_local int64_t fails_at = -1;

}  // namespace gradus::allocations

void* operator new(size_t size) {
  using namespace gradus::allocations;
  if (watched && ++made == fails_at) throw std::bad_alloc();
  void* block = std::malloc(size > 0 ? size : 1);
  if (!block) throw std::bad_alloc();
  return block;
}
void operator delete(void* block) noexcept { std::free(block); }
void operator delete(void* block, size_t) noexcept { std::free(block); }
