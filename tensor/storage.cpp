#include "tensor/storage.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <map>
#include <mutex>
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

thread_local const char* noted_operation = nullptr;

size_t bucket_size(size_t bytes) {
  if (kExactBlocks) return bytes;
  const size_t quarter = std::bit_floor(std::max<size_t>(bytes, 256) - 1) / 4;
  return (std::max<size_t>(bytes, 256) + quarter - 1) / quarter * quarter;
}

struct Block {
  std::byte* data;
  size_t bytes;
};

class CachingAllocator {
 public:
  explicit CachingAllocator(Device device) : device_(device) {}

  Block take(size_t bytes) {
    const std::lock_guard lock(mutex_);
    const size_t size = bucket_size(bytes);
    Block block = idle(size, size);
    if (!block.data && held() + size > limit(size)) block = idle(size, 2 * size);  // at most half is wasted
    if (!block.data) block = fresh(size);
    // Not by check_world: its message would be made each time, and making it may fail, which loses the block.
    if (!block.data)
      throw std::runtime_error(message("out of memory on ", device_, ": asked for ", bytes, " bytes, ",
                                       use_.in_use, " in use", latest_operation()));
    use_.in_use += block.bytes;
    use_.peak = std::max(use_.peak, use_.in_use);
    return block;
  }

  void give(const Block& block) noexcept {
    const std::lock_guard lock(mutex_);
    use_.in_use -= block.bytes;
    if (kExactBlocks) return backend(device_).release(block.data);
    Bucket& bucket = buckets_.find(block.bytes)->second;
    bucket.idle.push_back(block.data);  // there is room: see fresh()
    bucket.last_used = ++clock_;
    use_.cached += block.bytes;
    release_down_to(limit(0));
  }

  void release_cached() {
    const std::lock_guard lock(mutex_);
    release_down_to(0);
  }

  void set_limit(double times_peak) {
    const std::lock_guard lock(mutex_);
    times_peak_ = times_peak;
    release_down_to(limit(0));
  }

  MemoryUse use() {
    const std::lock_guard lock(mutex_);
    return use_;
  }

 private:
  struct Bucket {
    std::vector<std::byte*> idle;
    size_t blocks = 0;       // idle or in use
    uint64_t last_used = 0;  // by the clock below
  };

  size_t held() const { return use_.in_use + use_.cached; }

  // For all that is held, once `more` bytes are in use, too.
  size_t limit(size_t more) const {
    const double bytes = times_peak_ * static_cast<double>(std::max(use_.peak, use_.in_use + more));
    return static_cast<size_t>(std::min(bytes, 1e18));  // more would not fit
  }

  // The smallest idle block of at least and at most so many bytes, or none.
  Block idle(size_t least, size_t most) {
    for (auto at = buckets_.lower_bound(least); at != buckets_.end() && at->first <= most; ++at) {
      if (at->second.idle.empty()) continue;
      const Block block{at->second.idle.back(), at->first};
      at->second.idle.pop_back();
      use_.cached -= block.bytes;
      return block;
    }
    return {nullptr, 0};
  }

  Block fresh(size_t bytes) {
    if (kExactBlocks) return {backend(device_).allocate(bytes), bytes};
    // Room for the block's way back is made now, because a destructor gives it and must not allocate.
    Bucket& bucket = buckets_[bytes];
    bucket.idle.reserve(std::bit_ceil(bucket.blocks + 1));
    const size_t most = limit(bytes);
    release_down_to(most > bytes ? most - bytes : 0);
    Block block{backend(device_).allocate(bytes), bytes};
    if (block.data) return ++bucket.blocks, block;
    block = idle(bytes, SIZE_MAX);
    if (block.data) return block;
    release_down_to(0);
    block = {backend(device_).allocate(bytes), bytes};
    if (block.data) ++bucket.blocks;
    return block;
  }

  // Gives idle blocks back to the system, the longest idle sizes first, until so many bytes are held.
  void release_down_to(size_t most) noexcept {
    while (held() > most && use_.cached > 0) {
      auto oldest = buckets_.end();
      for (auto at = buckets_.begin(); at != buckets_.end(); ++at)
        if (!at->second.idle.empty() &&
            (oldest == buckets_.end() || at->second.last_used < oldest->second.last_used))
          oldest = at;
      backend(device_).release(oldest->second.idle.back());
      oldest->second.idle.pop_back();
      --oldest->second.blocks;
      use_.cached -= oldest->first;
    }
  }

  Device device_;
  std::mutex mutex_;
  std::map<size_t, Bucket> buckets_;  // by size
  uint64_t clock_ = 0;
  double times_peak_ = 2;
  MemoryUse use_;
};

CachingAllocator& allocator(Device device) {
  // Never destroyed: tensors with static lifetime may give their blocks back after main.
  static auto* cpu = new CachingAllocator(Device::cpu);
  static auto* cuda = new CachingAllocator(Device::cuda);
  return device == Device::cpu ? *cpu : *cuda;
}

}  // namespace

Storage::Storage(size_t bytes, Device device) : device_(device) {
  const Block block = allocator(device).take(bytes);
  data_ = block.data;
  bytes_ = block.bytes;
}

Storage::~Storage() { allocator(device_).give({data_, bytes_}); }

void note_operation(const char* op) { noted_operation = op; }

std::string latest_operation() {
  return noted_operation ? message("; the latest operation is ", noted_operation) : "";
}
MemoryUse memory_use(Device device) { return allocator(device).use(); }
void release_cached_memory(Device device) { allocator(device).release_cached(); }

void set_cache_limit(Device device, double times_peak) {
  check(times_peak >= 1 && std::isfinite(times_peak), "set_cache_limit: expected at least 1, got ",
        times_peak);
  allocator(device).set_limit(times_peak);
}

}  // namespace gradus
