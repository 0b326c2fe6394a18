#include "tensor/cpu/cpu_backend.h"

#include <sched.h>
#include <sys/mman.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "tensor/cpu/gemm.h"
#include "tensor/cpu/parallel.h"
#include "tensor/instructions.h"

// How OpenBLAS keeps its buffers and chooses its kernels; no part of its interface, and so perhaps not there.
extern "C" {
[[gnu::weak]] void* blas_memory_alloc(int);
[[gnu::weak]] void blas_memory_free(void*);
[[gnu::weak]] void gotoblas_dynamic_init();
[[gnu::weak]] void gotoblas_dynamic_quit();
}

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

// Whether this is the only thread, but for those that OpenBLAS makes as it is loaded.
bool no_other_threads() {
  std::error_code none;
  const std::filesystem::directory_iterator tasks("/proc/self/task", none);
  const int blas = openblas_get_parallel() == cpu::kThreads ? openblas_get_num_threads() : 1;
  return !none && std::distance(begin(tasks), end(tasks)) <= blas;
}

// An OpenBLAS that is older than the CPU takes it for one of twenty years ago, and multiplies five times
// slower than it could (0.3.21 on a Xeon of 2023: 128 ms for a product of 1024 cubed, 23 ms afterwards). So
// OpenBLAS chooses again, as it would if the user had named the right kernels in the environment. A user who
// has named some keeps them. No other thread may be in OpenBLAS meanwhile: so this runs as the program is
// loaded, before main and before any variable has its first value (200: the smaller, the earlier), and not at
// all where gradus is loaded into a program that has threads already.
[[gnu::constructor(200)]] void choose_blas_kernels() {
  constexpr const char* kChoice = "OPENBLAS_CORETYPE";
  const std::string faster = faster_kernels();
  if (faster.empty() || std::getenv(kChoice) || !gotoblas_dynamic_init || !gotoblas_dynamic_quit) return;
  if (!no_other_threads()) return;
  setenv(kChoice, faster.c_str(), 1);
  gotoblas_dynamic_quit();
  gotoblas_dynamic_init();
  unsetenv(kChoice);
}

// For each product that runs at once OpenBLAS needs a buffer, which it takes when it first needs one and then
// keeps. Where there is no memory for it, it asks again for ever. So all are taken now, while there is room;
// they cost address space alone until they are used.
void take_blas_buffers(int threads) {
  constexpr size_t kBytes = size_t{160} << 20;  // somewhat more than it takes
  constexpr int kMost = 64;
  if (!blas_memory_alloc || !blas_memory_free) return;
  std::vector<void*> buffers;
  for (int i = 0; i < std::min(threads, kMost); ++i) {
    void* room = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (room == MAP_FAILED) break;
    munmap(room, kBytes);
    buffers.push_back(blas_memory_alloc(0));
  }
  for (void* buffer : buffers) blas_memory_free(buffer);
  check_world(std::cmp_equal(buffers.size(), std::min(threads, kMost)),
              "out of memory on cpu: OpenBLAS needs 128 MiB of address space for each of ", threads,
              " threads; give it more, or take fewer threads (OMP_NUM_THREADS)");
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
  take_blas_buffers(num_threads());
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
  take_blas_buffers(threads);
  gradus::threads() = threads;
}

}  // namespace gradus
