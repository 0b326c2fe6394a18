#include "tests/allocations.h"

#include <cstdlib>
#include <new>

namespace gradus::allocations {

constinit thread_local bool watched = false;
constinit thread_local int64_t made = 0;
constinit thread_local int64_t fails_at = -1;

}  // namespace gradus::allocations

void* operator new(size_t size) {
  using namespace gradus::allocations;
  if (watched && ++made == fails_at) throw std::bad_alloc();
  void* block = std::malloc(size > 0 ? size : 1);
  if (!block) throw std::bad_alloc();
  return block;
}
void* operator new(size_t size, const std::nothrow_t&) noexcept {
  try {
    return operator new(size);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}
void operator delete(void* block) noexcept { std::free(block); }
void operator delete(void* block, size_t) noexcept { std::free(block); }
