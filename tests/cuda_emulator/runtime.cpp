// The runtime's calls: device memory, streams, launches.
#include <sanitizer/asan_interface.h>
#include <sys/mman.h>
#include <unistd.h>

#include <list>
#include <utility>
#include <vector>

#include "tests/cuda_emulator/cuda_runtime.h"

extern "C" char __executable_start, _end;  // of the program, from the linker

namespace emulator {

struct Stream : std::list<std::function<void()>> {};

namespace {

using Blocks = std::map<char*, size_t>;     // sizes by address
constexpr size_t kSpace = size_t{1} << 36;  // addresses that device memory may have
constexpr size_t kPage = size_t{2} << 20;
constexpr size_t kGap = 256;  // between blocks, which also begin at multiples of it

Blocks blocks, pinned;  // of device memory, and of the host's that cudaMallocHost gave
size_t in_use = 0;
std::list<Stream> streams;
cudaError_t last_error = cudaSuccess;

cudaError_t result(bool ok, cudaError_t otherwise) {
  if (!ok) last_error = otherwise;
  return ok ? cudaSuccess : otherwise;
}

bool within(const Blocks& in, const void* first, size_t bytes) {
  char* address = static_cast<char*>(const_cast<void*>(first));
  const auto above = in.upper_bound(address);
  return above != in.begin() && address + bytes <= std::prev(above)->first + std::prev(above)->second;
}

// Where device memory lies.
char* space() {
  static void* const first = [] {
    void* all = mmap(nullptr, kSpace + kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (all == MAP_FAILED) std::abort();
    madvise(all, kSpace + kPage, MADV_HUGEPAGE);
    return reinterpret_cast<void*>((reinterpret_cast<uintptr_t>(all) + kPage - 1) / kPage * kPage);
  }();
  return static_cast<char*>(first);
}

// Whether device memory can be touched. This takes time for each page: they are large ones, whole.
void protect(int how) {
  if (blocks.empty()) return;
  const auto [first, bytes] = *blocks.rbegin();
  mprotect(space(), (size_t(first - space()) + bytes + kPage - 1) / kPage * kPage, how);
}

// The first place between the blocks that has room.
char* vacancy(size_t bytes) {
  char* place = space() + kGap;
  for (const auto& [first, size] : blocks)
    if (place + bytes + kGap > first) place = first + (size + 2 * kGap - 1) / kGap * kGap;
  return place;
}

void drain(Stream& stream) {
  ++synchronisations;
  if (stream.empty()) return;
  protect(PROT_READ | PROT_WRITE);
  for (; !stream.empty(); stream.pop_front()) stream.front()();
  protect(PROT_NONE);
}

}  // namespace

void enqueue(Stream* stream, std::function<void()> work) { stream->push_back(std::move(work)); }
size_t memory_in_use() { return in_use; }
bool on_device(const void* first, size_t bytes) { return within(blocks, first, bytes); }

// A word is an address of the host if a page is mapped there. Of the host's pages a kernel may be given two
// kinds: page-locked ones, which both can read, and those of the program itself, where the literals are that
// an error names. An integer that looks like an address is unlikely, because addresses are drawn from 2^47.
// Under AddressSanitizer most small numbers would be addresses, namely of its shadow.
bool holds_host_address(const void* argument, size_t bytes) {
#ifdef __SANITIZE_ADDRESS__
  return false;
#endif
  static const uintptr_t page = sysconf(_SC_PAGESIZE);
  const char* first = static_cast<const char*>(argument);
  for (size_t i = 0; i + sizeof(char*) <= bytes; i += sizeof(char*)) {
    char* word;
    std::memcpy(&word, first + i, sizeof word);
    const bool of_device = word >= space() && word < space() + kSpace;
    const bool of_program = word >= &__executable_start && word < &_end;
    if (of_device || of_program || within(pinned, word, 1)) continue;
    void* begin = reinterpret_cast<void*>(reinterpret_cast<uintptr_t>(word) / page * page);
    unsigned char in_memory;
    if (mincore(begin, 1, &in_memory) == 0) return true;
  }
  return false;
}

cudaError_t launch(const cudaLaunchConfig_t& config, const void* kernel, std::function<void()> thread) {
  const dim3 grid = config.gridDim, block = config.blockDim;
  const size_t threads = size_t{block.x} * block.y * block.z, shared = config.dynamicSmemBytes;
  if (shared > std::max(size_t{48} << 10, allowed_shared[kernel]))
    return result(false, cudaErrorInvalidValue);
  if (threads - 1 >= 1024 || block.z > 64 || grid.x - 1 >= (1u << 31) - 1 || grid.y - 1 >= 65535 ||
      grid.z - 1 >= 65535)
    return result(false, cudaErrorInvalidConfiguration);  // 0 - 1 is too large as well
  ++launches;
  enqueue(config.stream, [=] { run_grid(grid, block, shared, thread); });
  return cudaSuccess;
}

}  // namespace emulator

using namespace emulator;

cudaError_t cudaGetLastError() { return std::exchange(last_error, cudaSuccess); }
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  return *properties = {"emulator", device_memory, 9, 0, kMostShared}, cudaSuccess;
}

cudaError_t cudaMalloc(void** block, size_t bytes) {
  if (in_use + bytes > device_memory) return result(false, cudaErrorMemoryAllocation);
  char* place = vacancy(bytes);
  blocks[place] = bytes, in_use += bytes;
  protect(PROT_READ | PROT_WRITE);
  ASAN_POISON_MEMORY_REGION(place - kGap, bytes + 2 * kGap);
  ASAN_UNPOISON_MEMORY_REGION(place, bytes);
  // NaN until it is written; what is beyond 1 MiB is 0, and costs nothing.
  std::memset(place, 0xff, std::min(bytes, size_t{1} << 20));
  protect(PROT_NONE);
  return *block = place, cudaSuccess;
}

cudaError_t cudaFree(void* block) {  // waits, as CUDA does
  const auto found = blocks.find(static_cast<char*>(block));
  if (found == blocks.end()) return result(!block, cudaErrorInvalidValue);
  for (Stream& stream : streams) drain(stream);
  ASAN_POISON_MEMORY_REGION(block, found->second);
  in_use -= found->second;
  blocks.erase(found);
  return cudaSuccess;
}

cudaError_t cudaMallocHost(void** block, size_t bytes) {
  *block = std::malloc(bytes);
  pinned[static_cast<char*>(*block)] = bytes;
  return result(*block, cudaErrorMemoryAllocation);
}

// Page-locked memory is read when the stream runs; other memory at once, as CUDA does.
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t n, cudaMemcpyKind kind, cudaStream_t stream) {
  const bool up = kind == cudaMemcpyHostToDevice, down = kind == cudaMemcpyDeviceToHost;
  if (on_device(to, n) == down || on_device(from, n) == up) return result(false, cudaErrorInvalidValue);
  std::vector<char> taken;
  const bool at_once = up && !within(pinned, from, n);
  if (at_once) taken.assign(static_cast<const char*>(from), static_cast<const char*>(from) + n);
  enqueue(stream, [=] { std::memcpy(to, at_once ? taken.data() : from, n); });
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  return *stream = &streams.emplace_back(), cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) { return drain(*stream), cudaSuccess; }
