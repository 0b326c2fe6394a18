// The runtime's calls: device memory, streams, launches.
#include <sanitizer/asan_interface.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <map>
#include <set>
#include <vector>

#include "tests/cuda_emulator/cuda_runtime.h"

namespace emulator {

struct Stream {
  std::deque<std::function<void()>> queue;
};

namespace {

constexpr size_t kSpace = size_t{1} << 36;  // addresses, not memory
constexpr size_t kAlignment = 256, kGap = 256, kFreeShared = 48 << 10, kMostShared = 227 << 10;

cudaError_t last_error = cudaSuccess;
int waits = 0;
size_t limit = size_t{1} << 30, in_use = 0;
using Blocks = std::map<char*, size_t>;  // sizes by address
Blocks blocks, pinned;                   // of device memory, and of the host's that cudaMallocHost gave
std::set<Stream*> streams;
std::map<const void*, size_t> allowed_shared;  // by kernel, where it asked for more
Stream default_stream;

cudaError_t result(cudaError_t error) {
  if (error != cudaSuccess) last_error = error;
  return error;
}

// Where device memory lies.
char* space() {
  static char* first = [] {
    void* memory = mmap(nullptr, kSpace, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) std::abort();
    madvise(memory, kSpace, MADV_HUGEPAGE);  // protect() is slow on many small pages
    return static_cast<char*>(memory);
  }();
  return first;
}

void protect(int protection) {
  if (blocks.empty()) return;
  const auto [first, bytes] = *blocks.rbegin();
  mprotect(space(), static_cast<size_t>(first + bytes - space()), protection);
}

// Device memory can be touched while this lives.
struct Mapped {
  Mapped() { protect(PROT_READ | PROT_WRITE); }
  ~Mapped() { protect(PROT_NONE); }
};

void drain(Stream* stream) {
  std::deque<std::function<void()>>& queue = (stream ? stream : &default_stream)->queue;
  if (queue.empty()) return;
  const Mapped mapped;
  for (; !queue.empty(); queue.pop_front()) queue.front()();
}

void drain_all() {
  ++waits;
  drain(&default_stream);
  for (Stream* stream : streams) drain(stream);
}

// A place for so many bytes between the blocks: the first that is large enough.
char* vacancy(size_t bytes) {
  char* place = space() + kGap;
  for (const auto& [first, size] : blocks) {
    if (place + bytes + kGap <= first) break;
    place = first + (size + kAlignment - 1) / kAlignment * kAlignment + kGap;
  }
  return place;
}

bool inside(const Blocks& in, const void* first, size_t bytes) {
  char* address = static_cast<char*>(const_cast<void*>(first));
  const auto above = in.upper_bound(address);
  return above != in.begin() && address + bytes <= std::prev(above)->first + std::prev(above)->second;
}

bool on_host(const void* address) { return address < space() || address >= space() + kSpace; }

bool fits(const void* address, size_t bytes, bool device) {
  return device ? on_device(address, bytes) : on_host(address);
}

}  // namespace

void set_memory(size_t bytes) { limit = bytes; }
int synchronisations() { return waits; }

void enqueue(Stream* stream, std::function<void()> work) {
  (stream ? stream : &default_stream)->queue.push_back(std::move(work));
}

bool on_device(const void* first, size_t bytes) { return inside(blocks, first, bytes); }

cudaError_t launch(const cudaLaunchConfig_t& config, const void* kernel, std::function<void()> thread) {
  const dim3 grid = config.gridDim, block = config.blockDim;
  const auto within = [](dim3 d, unsigned x, unsigned y, unsigned z) {
    return d.x >= 1 && d.x <= x && d.y >= 1 && d.y <= y && d.z >= 1 && d.z <= z;
  };
  if (!within(grid, 0x7fffffff, 65535, 65535) || !within(block, 1024, 1024, 64) ||
      block.x * block.y * block.z > 1024)
    return result(cudaErrorInvalidConfiguration);
  const auto allowed = allowed_shared.find(kernel);
  if (config.dynamicSmemBytes > (allowed == allowed_shared.end() ? kFreeShared : allowed->second))
    return result(cudaErrorInvalidValue);
  enqueue(config.stream, [=, bytes = config.dynamicSmemBytes] { run_grid(grid, block, bytes, thread); });
  return cudaSuccess;
}

}  // namespace emulator

using namespace emulator;

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaSuccess: return "cudaSuccess";
    case cudaErrorInvalidValue: return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation: return "cudaErrorMemoryAllocation";
    case cudaErrorInvalidConfiguration: return "cudaErrorInvalidConfiguration";
    case cudaErrorInsufficientDriver: return "cudaErrorInsufficientDriver";
    case cudaErrorNoDevice: return "cudaErrorNoDevice";
    case cudaErrorInvalidDevice: return "cudaErrorInvalidDevice";
  }
  return "unrecognized error code";
}
const char* cudaGetErrorString(cudaError_t error) { return cudaGetErrorName(error); }
cudaError_t cudaGetLastError() { return std::exchange(last_error, cudaSuccess); }
cudaError_t cudaPeekAtLastError() { return last_error; }

cudaError_t cudaDriverGetVersion(int* version) { return *version = 13000, cudaSuccess; }
cudaError_t cudaRuntimeGetVersion(int* version) { return *version = 13000, cudaSuccess; }
cudaError_t cudaGetDeviceCount(int* count) { return *count = 1, cudaSuccess; }
cudaError_t cudaGetDevice(int* device) { return *device = 0, cudaSuccess; }
cudaError_t cudaSetDevice(int device) { return result(device == 0 ? cudaSuccess : cudaErrorInvalidDevice); }
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  // Few processors, so that loops which stride over the grid do stride.
  *properties = {"emulator", limit, kFreeShared, kMostShared, 9, 0, 3, 1024, 32};
  return cudaSetDevice(device);
}

cudaError_t cudaMalloc(void** block, size_t bytes) {
  *block = nullptr;
  if (bytes == 0) return cudaSuccess;
  if (bytes > limit - std::min(in_use, limit)) return result(cudaErrorMemoryAllocation);
  char* place = vacancy(bytes);
  blocks[place] = bytes;
  in_use += bytes;
  const Mapped mapped;
  ASAN_POISON_MEMORY_REGION(place - kGap, bytes + 2 * kGap);
  ASAN_UNPOISON_MEMORY_REGION(place, bytes);
  std::memset(place, 0xff, bytes);  // NaN until it is written
  *block = place;
  return cudaSuccess;
}

cudaError_t cudaFree(void* block) {
  if (!block) return cudaSuccess;
  const auto found = blocks.find(static_cast<char*>(block));
  if (found == blocks.end()) return result(cudaErrorInvalidValue);
  drain_all();
  ASAN_POISON_MEMORY_REGION(block, found->second);
  in_use -= found->second;
  blocks.erase(found);
  return cudaSuccess;
}

cudaError_t cudaMallocHost(void** block, size_t bytes) {
  *block = std::malloc(bytes);
  if (!*block) return result(cudaErrorMemoryAllocation);
  pinned[static_cast<char*>(*block)] = bytes;
  return cudaSuccess;
}
cudaError_t cudaFreeHost(void* block) {
  drain_all();
  pinned.erase(static_cast<char*>(block));
  std::free(block);
  return cudaSuccess;
}
cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  *free = limit - std::min(in_use, limit), *total = limit;
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  const bool guess = kind == cudaMemcpyDefault;
  const bool to_device =
      guess ? !on_host(to) : kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from_device =
      guess ? !on_host(from) : kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  if (bytes == 0) return cudaSuccess;
  if (!fits(to, bytes, to_device) || !fits(from, bytes, from_device)) return result(cudaErrorInvalidValue);
  if (!from_device && !inside(pinned, from, bytes)) {  // pageable memory is taken at once, as CUDA does
    const char* first = static_cast<const char*>(from);
    enqueue(stream, [to, taken = std::vector<char>(first, first + bytes)] {
      std::memcpy(to, taken.data(), taken.size());
    });
  } else {
    enqueue(stream, [=] { std::memcpy(to, from, bytes); });
  }
  return cudaSuccess;
}
cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  const cudaError_t error = cudaMemcpyAsync(to, from, bytes, kind, nullptr);
  return error == cudaSuccess ? cudaDeviceSynchronize() : error;
}
cudaError_t cudaMemsetAsync(void* block, int value, size_t bytes, cudaStream_t stream) {
  if (bytes == 0) return cudaSuccess;
  if (!on_device(block, bytes)) return result(cudaErrorInvalidValue);
  enqueue(stream, [=] { std::memset(block, value, bytes); });
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  streams.insert(*stream = new Stream);
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  drain(stream);
  streams.erase(stream);
  delete stream;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  ++waits;
  drain(stream);
  return cudaSuccess;
}
cudaError_t cudaDeviceSynchronize() {
  drain_all();
  return cudaSuccess;
}
cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute attribute, int value) {
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0 || size_t(value) > kMostShared)
    return result(cudaErrorInvalidValue);
  allowed_shared[kernel] = std::max(static_cast<size_t>(value), kFreeShared);
  return cudaSuccess;
}
