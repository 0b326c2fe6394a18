// Storage: one block of memory on one device, shared by the tensors that view it. Blocks come from a caching
// allocator and go back to it: a training step asks for the same sizes again and again, and fresh pages cost
// more than most kernels (a touched 64 MiB costs about 30 ms, a reused one under 1 ms). Sizes are rounded up
// to one of four buckets per power of two, so at most a quarter is slack. Under AddressSanitizer blocks are
// exact and never cached, so that it sees every overrun and every use after free.
#pragma once

#include <cstddef>
#include <memory>

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

 private:
  size_t bytes_;
  Device device_;
  std::byte* data_;
};

// Kept for the message when memory runs out. A literal.
void note_operation(const char* op);

struct MemoryUse {
  size_t in_use = 0, cached = 0, peak = 0;  // bytes; peak is the most that was in use at once
};
MemoryUse memory_use(Device device);
void release_cached_memory(Device device);

}  // namespace gradus
