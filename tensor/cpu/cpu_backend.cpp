#include "tensor/cpu/cpu_backend.h"

#include <sched.h>
#include <sys/mman.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "tensor/cpu/gemm.h"
#include "tensor/cpu/parallel.h"
#include "tensor/instructions.h"

namespace gradus {
namespace {

constexpr int kMostThreads = 1024;

// The kernels that OpenBLAS should run here, where it runs slower ones: because it is older than the CPU and
// does not know it, or because OPENBLAS_CORETYPE says so. Else nothing.
std::string faster_kernels() {
  const auto runs_one_of = [core = std::string(openblas_get_corename())](auto... names) {
    return ((core == names) || ...);
  };
  const cpu::InstructionSets here = cpu::instructions_of_this_cpu();
  if (here.avx512f && here.avx512vl)
    return runs_one_of("SkylakeX", "Cooperlake", "SapphireRapids") ? "" : "SkylakeX";
  if (here.avx2 && here.fma) return runs_one_of("Haswell", "Zen", "Excavator") ? "" : "Haswell";
  return "";
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
  // At its first product OpenBLAS takes a buffer of some 100 MiB, and where there is none it asks again for
  // ever. So it asks now, while there is room: of all products this one never does without the buffer.
  float one = 1, result = 0;
  cblas_ssyrk(CblasRowMajor, CblasUpper, CblasNoTrans, 1, 1, 1, &one, 1, 0, &result, 1);
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
  if (const std::string faster = faster_kernels(); !faster.empty())
    text += std::getenv("OPENBLAS_CORETYPE")
                ? "; OPENBLAS_CORETYPE asks for slower kernels than this CPU could run"
                : "; this OpenBLAS runs slower kernels than this CPU could: OPENBLAS_CORETYPE=" + faster +
                      " may be faster";
  return text;
}

int num_threads() { return threads(); }

void set_num_threads(int threads) {
  check(threads >= 1 && threads <= kMostThreads, "threads: expected 1 to ", kMostThreads, ", got ", threads);
  gradus::threads() = threads;
}

}  // namespace gradus
