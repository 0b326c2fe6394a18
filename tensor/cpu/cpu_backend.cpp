#include "tensor/cpu/cpu_backend.h"

#include <sched.h>
#include <sys/mman.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "tensor/cpu/gemm.h"
#include "tensor/cpu/parallel.h"

namespace gradus {
namespace {

constexpr int kMostThreads = 1024;

bool slower_kernels_than_cpu() {
#if defined(__x86_64__)
  const std::string core = openblas_get_corename();
  const bool avx512_kernels = core == "SkylakeX" || core == "Cooperlake" || core == "SapphireRapids";
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && !avx512_kernels;
#else
  return false;
#endif
}

int first_num_threads() {
  const char* asked = std::getenv("OMP_NUM_THREADS");
  const long number = asked ? std::strtol(asked, nullptr, 10) : 0;  // "4,2": the 2 is for nested loops
  if (number > 0) return static_cast<int>(std::min<long>(number, kMostThreads));
  cpu_set_t processors;  // those that this process may use, which may be fewer than there are
  if (sched_getaffinity(0, sizeof(processors), &processors) == 0) return CPU_COUNT(&processors);
  return static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
}

std::atomic<int>& threads() {
  static std::atomic<int> number = first_num_threads();
  return number;
}

}  // namespace

CpuBackend::CpuBackend() {
  if (openblas_get_parallel() == cpu::kThreads) openblas_set_num_threads(1);  // its own pool would fight ours
}

std::byte* CpuBackend::allocate(size_t bytes) {
  constexpr size_t kHugePage = size_t{2} << 20;
  const bool huge = bytes >= kHugePage;
  void* block = nullptr;
  if (posix_memalign(&block, huge ? kHugePage : 64, std::max<size_t>(bytes, 1)) != 0) return nullptr;
  if (huge) madvise(block, bytes, MADV_HUGEPAGE);  // 4 KiB pages cost a fault each
  return static_cast<std::byte*>(block);
}

void CpuBackend::release(std::byte* block) { std::free(block); }

void CpuBackend::copy(In x, Out y) {
  const std::byte* in = x.bytes();
  std::byte* out = y.bytes();
  cpu::parallel_ranges(static_cast<int64_t>(x.byte_size()), 1, [&](int64_t begin, int64_t end) {
    std::memmove(out + begin, in + begin, static_cast<size_t>(end - begin));
  });
}

std::string CpuBackend::describe() {
  const std::string version = openblas_get_config();  // "OpenBLAS 0.3.21 DYNAMIC_ARCH ..."
  const char* builds[] = {"sequential", "pthread", "OpenMP"};
  std::string text = message("cpu: ", version.substr(0, version.find(' ', version.find(' ') + 1)), " (",
                             builds[openblas_get_parallel()], " build, ", openblas_get_corename(),
                             " kernels), ", num_threads(), " threads");
  if (slower_kernels_than_cpu())
    text += "; this CPU has AVX-512 but OpenBLAS runs slower kernels: is OPENBLAS_CORETYPE set?";
  return text;
}

int num_threads() { return threads(); }

void set_num_threads(int threads) {
  check(threads >= 1 && threads <= kMostThreads, "threads: expected 1 to ", kMostThreads, ", got ", threads);
  gradus::threads() = threads;
}

}  // namespace gradus
