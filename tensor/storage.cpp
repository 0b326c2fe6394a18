#include "tensor/storage.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "tensor/backend.h"
#include "tensor/error.h"

namespace gradus {
namespace {

// Blocks of exactly the size that was asked for, each given back at once, so that a sanitizer sees every byte
// too far: AddressSanitizer, or one from outside, such as compute-sanitizer.
#ifdef __SANITIZE_ADDRESS__
const bool kExactBlocks = true;
#else
const bool kExactBlocks = std::getenv("GRADUS_EXACT_BLOCKS") != nullptr;
#endif

thread_local const char* latest_operation = nullptr;

size_t bucket(size_t bytes) {
  if (kExactBlocks) return bytes;
  const size_t quarter = std::bit_floor(std::max<size_t>(bytes, 256) - 1) / 4;
  return (std::max<size_t>(bytes, 256) + quarter - 1) / quarter * quarter;
}

struct CachingAllocator {
  explicit CachingAllocator(Device d) : device(d) {}

  std::byte* take(size_t bytes) {
    const std::lock_guard lock(mutex);
    std::vector<std::byte*>& free = cached[bytes];
    std::byte* block = free.empty() ? backend(device).allocate(bytes) : free.back();
    if (!free.empty()) {
      free.pop_back();
      use.cached -= bytes;
    } else if (!block) {  // blocks of other sizes may be lying idle
      release_cached();
      block = backend(device).allocate(bytes);
    }
    check_world(block, "out of memory on ", device, ": asked for ", bytes, " bytes, ", use.in_use, " in use",
                latest_operation ? "; the latest operation is " : "",
                latest_operation ? latest_operation : "");
    use.in_use += bytes;
    use.peak = std::max(use.peak, use.in_use);
    return block;
  }

  void give(std::byte* block, size_t bytes) {
    const std::lock_guard lock(mutex);
    use.in_use -= bytes;
    if (kExactBlocks) return backend(device).release(block);
    cached[bytes].push_back(block);
    use.cached += bytes;
  }

  void release_cached() {
    for (auto& [bytes, blocks] : cached)
      for (std::byte* block : std::exchange(blocks, {})) backend(device).release(block);
    use.cached = 0;
  }

  Device device;
  std::mutex mutex;
  std::map<size_t, std::vector<std::byte*>> cached;  // by bucket size
  MemoryUse use;
};

CachingAllocator& allocator(Device device) {
  // Never destroyed: tensors with static lifetime may give their blocks back after main.
  static auto* cpu = new CachingAllocator(Device::cpu);
  static auto* cuda = new CachingAllocator(Device::cuda);
  return device == Device::cpu ? *cpu : *cuda;
}

}  // namespace

Storage::Storage(size_t bytes, Device device)
    : bytes_(bucket(bytes)), device_(device), data_(allocator(device).take(bytes_)) {}

Storage::~Storage() { allocator(device_).give(data_, bytes_); }

void note_operation(const char* op) { latest_operation = op; }

MemoryUse memory_use(Device device) {
  const std::lock_guard lock(allocator(device).mutex);
  return allocator(device).use;
}

void release_cached_memory(Device device) {
  const std::lock_guard lock(allocator(device).mutex);
  allocator(device).release_cached();
}

}  // namespace gradus
