// Storage: one block of memory on one device, shared by the tensors that view it. Blocks come from a caching
// allocator and go back to it, because a training step asks for the same sizes again and again and fresh
// pages cost more than most kernels (a touched 64 MiB costs about 30 ms, a reused one under 1 ms). Sizes are
// rounded up to one of four buckets per power of two, so at most a quarter is slack. Under AddressSanitizer
// blocks are exact and never cached, so that it sees every overrun and every use after free.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "tensor/device.h"

namespace gradus {

class Storage {
 public:
  Storage(size_t bytes, Device device);  // uninitialised; throws std::runtime_error when memory runs out
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  std::byte* data() const { return data_; }
  Device device() const { return device_; }

  // How often the block was changed in place. A rule that saved a tensor compares it before it trusts the
  // numbers (autograd's Saved).
  uint64_t version() const { return version_; }
  void mark_changed() { ++version_; }

 private:
  size_t bytes_;  // of the block, which may be larger than what was asked for
  Device device_;
  std::byte* data_;
  uint64_t version_ = 0;
};

// Kept for the message when memory runs out or a kernel fails. A literal.
void note_operation(const char* op);
std::string latest_operation();  // "; the latest operation is add", or nothing before the first

struct MemoryUse {
  size_t in_use = 0, cached = 0, peak = 0;  // bytes; peak is the most that was in use at once
};
MemoryUse memory_use(Device device);
void release_cached_memory(Device device);

// In use and cached together are kept below `times_peak` (at least 1; at first 2) times the peak in use: what
// was longest idle goes back to the system first.
void set_cache_limit(Device device, double times_peak);

}  // namespace gradus
