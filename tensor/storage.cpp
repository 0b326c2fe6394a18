#include "tensor/storage.h"

#include <algorithm>
#include <bit>
#include <map>
#include <mutex>
#include <vector>

#include "tensor/backend.h"
#include "tensor/error.h"

namespace gradus {
namespace {

#ifdef __SANITIZE_ADDRESS__
constexpr bool kExactBlocks = true;
#else
constexpr bool kExactBlocks = false;
#endif

size_t bucket(size_t bytes) {
  if (kExactBlocks) return bytes;
  if (bytes <= 256) return 256;
  const size_t quarter = std::bit_floor(bytes - 1) / 4;
  return (bytes + quarter - 1) / quarter * quarter;
}

class CachingAllocator {
 public:
  explicit CachingAllocator(Device device) : device_(device) {}

  std::byte* take(size_t bytes) {
    const std::lock_guard lock(mutex_);
    std::vector<std::byte*>& free = free_[bytes];
    std::byte* block = nullptr;
    if (!free.empty()) {
      block = free.back();
      free.pop_back();
      use_.cached -= bytes;
    } else {
      block = fresh(bytes);
    }
    use_.in_use += bytes;
    use_.peak = std::max(use_.peak, use_.in_use);
    return block;
  }

  void give(std::byte* block, size_t bytes) {
    const std::lock_guard lock(mutex_);
    use_.in_use -= bytes;
    if (kExactBlocks) return backend(device_).release(block);
    free_[bytes].push_back(block);
    use_.cached += bytes;
  }

  void release_cached() {
    const std::lock_guard lock(mutex_);
    release_all();
  }

  MemoryUse use() {
    const std::lock_guard lock(mutex_);
    return use_;
  }

 private:
  std::byte* fresh(size_t bytes) {
    std::byte* block = backend(device_).allocate(bytes);
    if (!block) {  // blocks of other sizes may be lying idle
      release_all();
      block = backend(device_).allocate(bytes);
    }
    check_world(block, "out of memory on ", device_, ": asked for ", bytes, " bytes, ", use_.in_use, " in use");
    return block;
  }

  void release_all() {
    for (auto& [bytes, blocks] : free_)
      for (std::byte* block : blocks) backend(device_).release(block);
    free_.clear();
    use_.cached = 0;
  }

  Device device_;
  std::mutex mutex_;
  std::map<size_t, std::vector<std::byte*>> free_;  // by bucket size
  MemoryUse use_;
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

MemoryUse memory_use(Device device) { return allocator(device).use(); }
void release_cached_memory(Device device) { allocator(device).release_cached(); }

}  // namespace gradus
