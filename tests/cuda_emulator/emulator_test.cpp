// The emulator notices what it is there for: each kernel here has one planted fault, and a twin without it.
// A fault that ends the process is met in a child.
#include <doctest/doctest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <string>
#include <vector>

#include "tests/cuda_emulator/cuda_runtime.h"

namespace {

using emulator::Order;
constexpr int kThreads = 96;  // of a block here: three warps
constexpr unsigned kAll = 0xffffffff;

cudaStream_t new_stream() {
  cudaStream_t stream = nullptr;
  cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
  return stream;
}
cudaStream_t stream() {
  static cudaStream_t made = new_stream();
  return made;
}

template <class... Parameters, class... Args>
cudaError_t launch_on(cudaStream_t stream, void (*kernel)(Parameters...), dim3 grid, dim3 block,
                      size_t shared, Args... args) {
  cudaLaunchConfig_t config{};
  config.gridDim = grid, config.blockDim = block, config.dynamicSmemBytes = shared, config.stream = stream;
  return cudaLaunchKernelEx(&config, kernel, args...);
}

template <class... Args> cudaError_t launch(Args... args) { return launch_on(stream(), args...); }

template <class T> struct DeviceArray {
  explicit DeviceArray(size_t n) : count(n) {
    void* block = nullptr;
    REQUIRE(cudaMalloc(&block, n * sizeof(T)) == cudaSuccess);
    first = static_cast<T*>(block);
  }
  ~DeviceArray() { cudaFree(first); }
  std::vector<T> values() const {
    std::vector<T> host(count);
    cudaMemcpyAsync(host.data(), first, count * sizeof(T), cudaMemcpyDeviceToHost, stream());
    cudaStreamSynchronize(stream());
    return host;
  }
  T* first = nullptr;
  size_t count;
};

// What one block of `kernel` writes, thread by thread.
std::vector<float> run(void (*kernel)(float*), Order order = Order::forward, size_t shared = 0) {
  emulator::order = order;
  const DeviceArray<float> y(kThreads);
  CHECK(launch(kernel, dim3(1), dim3(kThreads), shared, y.first) == cudaSuccess);
  const std::vector<float> values = y.values();
  emulator::order = Order::forward;
  return values;
}

// How a child that does this ends: what it said, and 0 where it came back.
struct End {
  int status;
  std::string said;
};
template <class F> End in_child(F f) {
  int pipe_ends[2];
  REQUIRE(pipe(pipe_ends) == 0);
  const pid_t child = fork();
  if (child == 0) {
    dup2(pipe_ends[1], 2);
    for (int fatal : {SIGABRT, SIGSEGV}) signal(fatal, SIG_DFL);  // doctest would report them
    f();
    _exit(0);
  }
  close(pipe_ends[1]);
  End end;
  char buffer[4096];
  for (ssize_t n; (n = read(pipe_ends[0], buffer, sizeof buffer)) > 0;)
    end.said.append(buffer, static_cast<size_t>(n));
  close(pipe_ends[0]);
  waitpid(child, &end.status, 0);
  return end;
}
void check_dies(const End& end, const std::vector<std::string>& saying) {
  CHECK(end.status != 0);
  for (const std::string& part : saying) CHECK_MESSAGE(end.said.find(part) != std::string::npos, end.said);
}

// y[t] = the number of the thread that is its mirror image, through shared memory
template <bool barrier> __global__ void mirror(float* y) {
  __shared__ float x[kThreads];
  x[threadIdx.x] = static_cast<float>(threadIdx.x);
  if (barrier) __syncthreads();
  y[threadIdx.x] = x[kThreads - 1 - threadIdx.x];
}

// Sums of 8 numbers in turn, through one cell of shared memory; every round must end before the next begins.
template <bool barrier> __global__ void rounds(float* y) {
  DYN_SHARED(float, cell);
  float sum = 0;
  for (int round = 0; round < 8; ++round) {
    if (threadIdx.x == static_cast<unsigned>(round)) *cell = static_cast<float>(round);
    __syncthreads();
    sum += *cell;
    if (barrier) __syncthreads();
  }
  y[threadIdx.x] = sum;
}

// Two sums over the block, each warp's through one cell; the second must not write while the first is read.
template <bool barrier> __global__ void two_sums(float* y) {
  __shared__ float of_warp[kThreads / 32];
  float total = 0;
  for (int turn = 0; turn < 2; ++turn) {
    float sum = static_cast<float>(turn + 1);
    for (int bits = 16; bits > 0; bits /= 2) sum += __shfl_xor_sync(kAll, sum, bits);
    if (barrier) __syncthreads();
    if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = sum;
    __syncthreads();
    for (float x : of_warp) total += x;
    __syncwarp(kAll);
  }
  y[threadIdx.x] = total / 288;
}

template <bool divergent> __global__ void meet(float* y) {
  if (!divergent || threadIdx.x < 48) __syncthreads();
  y[threadIdx.x] = 1;
}
__global__ void meet_twice(float* y) {
  if (threadIdx.x < 48) __syncthreads();
  else __syncthreads();
  y[threadIdx.x] = 1;
}
__global__ void half_a_warp(float* y) {
  if (threadIdx.x % 32 < 16) y[threadIdx.x] = __shfl_xor_sync(kAll, 1.f, 1);
}

__global__ void lanes(float* y) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  int sum = lane;
  for (int bits = 16; bits > 0; bits /= 2) sum += __shfl_xor_sync(kAll, sum, bits);
  const unsigned even = __ballot_sync(kAll, lane % 2 == 0);
  int odd = 0;
  if (lane % 2 == 1) odd = __shfl_xor_sync(0xaaaaaaaa, lane, 2);  // the odd lanes among themselves
  y[threadIdx.x] = sum == 496 && even == 0x55555555 && odd == (lane % 2 ? lane ^ 2 : 0);
}
__global__ void from_outside_the_mask(float* y) {
  y[threadIdx.x] = 0;
  if (threadIdx.x % 32 < 16) y[threadIdx.x] = __shfl_xor_sync(0x0000ffff, 1.f, 16);
}

template <bool set> __global__ void accumulate(float* y) {  // forgets that shared memory begins with anything
  DYN_SHARED(float, dynamic);
  __shared__ float fixed[kThreads];
  if (set) dynamic[threadIdx.x] = fixed[threadIdx.x] = 0;
  dynamic[threadIdx.x] += 1;
  fixed[threadIdx.x] += 1;
  y[threadIdx.x] = dynamic[threadIdx.x] + fixed[threadIdx.x];
}

__global__ void read_at(const float* x, int64_t i, float* y) { *y = x[i]; }
[[maybe_unused]] __global__ void read_shared_at(int i, float* y) {
  DYN_SHARED(float, x);
  *y = x[i];
}
__global__ void add_one(float* x) { x[threadIdx.x] += 1; }

struct Copy {
  int32_t count;
  const float* from;
  float* to;
};
[[maybe_unused]] __global__ void copy_one(Copy c) {
  for (int32_t i = 0; i < c.count; ++i) c.to[i] = c.from[i];
}

const std::vector<float> kMirrored = [] {
  std::vector<float> x;
  for (int t = kThreads; t-- > 0;) x.push_back(static_cast<float>(t));
  return x;
}();
const std::vector<float> kOnes(kThreads, 1), kTwos(kThreads, 2), kSums(kThreads, 28);

}  // namespace

TEST_CASE("emulator: a kernel with its barriers gives the same in every order") {
  for (Order order : {Order::forward, Order::backward, Order::shuffled}) {
    CHECK(run(mirror<true>, order) == kMirrored);
    CHECK(run(rounds<true>, order, sizeof(float)) == kSums);
    CHECK(run(two_sums<true>, order) == kOnes);
    CHECK(run(meet<false>, order) == kOnes);
    CHECK(run(lanes, order) == kOnes);
    CHECK(run(accumulate<true>, order, kThreads * sizeof(float)) == kTwos);
  }
}

TEST_CASE("emulator: a missing barrier shows as a wrong result") {
  for (Order order : {Order::forward, Order::backward, Order::shuffled})
    CHECK(run(mirror<false>, order) != kMirrored);  // the first to run reads what nobody has written: NaN
  CHECK(run(two_sums<false>) != kOnes);             // a warp is a barrier ahead of the others
  CHECK(run(rounds<false>, Order::forward, sizeof(float)) !=
        kSums);  // the second barrier: one goes too far ahead
}

TEST_CASE("emulator: a divergent barrier stops the program, which says where who waits") {
  check_dies(in_child([] { run(meet<true>); }),
             {"threads wait for each other in", "meet(", "block (0, 0, 0)",
              "emulator_test.cpp:", "threads 0 to 47: at a barrier", "threads 48 to 95: returned"});
  check_dies(in_child([] { run(meet_twice); }),
             {"threads 0 to 47: at a barrier", "threads 48 to 95: at a barrier"});
  check_dies(in_child([] { run(half_a_warp); }),
             {"threads 0 to 15: in a warp", "mask ffffffff", "threads 16 to 31: returned"});
}

TEST_CASE("emulator: a shuffle gives nothing of a lane outside its mask") {
  const std::vector<float> y = run(from_outside_the_mask);
  CHECK(std::isnan(y[3]));
  CHECK(y[20] == 0);
}

TEST_CASE("emulator: shared memory holds NaN when a block begins") {
  for (int launches = 0; launches < 2; ++launches)
    for (float y : run(accumulate<false>, Order::forward, kThreads * sizeof(float))) CHECK(std::isnan(y));
}

TEST_CASE(
    "emulator: device memory holds NaN until it is written, and reads past a block are caught by ASan") {
  const DeviceArray<float> x(24), y(1);
  const auto read = [&](int64_t i) {
    launch(read_at, 1, 1, 0, x.first, i, y.first);
    return y.values()[0];
  };
  CHECK(std::isnan(read(0)));
  CHECK(std::isnan(read(23)));
#ifdef __SANITIZE_ADDRESS__
  check_dies(in_child([&] { read(24); }), {"use-after-poison", "read_at"});
  check_dies(in_child([&] { read(-1); }), {"use-after-poison", "read_at"});
  check_dies(in_child([&] {
               launch(read_shared_at, 1, 1, 16, 4, y.first);
               cudaStreamSynchronize(stream());
             }),
             {"use-after-poison", "read_shared_at"});
#endif
}

TEST_CASE("emulator: the host cannot touch device memory") {
  const DeviceArray<float> x(1);
  const End end = in_child([&] { *static_cast<volatile float*>(x.first) = 1; });
  CHECK(WIFSIGNALED(end.status));
  CHECK(WTERMSIG(end.status) == SIGSEGV);
}

#ifndef __SANITIZE_ADDRESS__  // under it many a small number is an address of the host
TEST_CASE("emulator: a kernel is not given an address of the host, not even within a struct") {
  const DeviceArray<float> x(1);
  float host = 0;
  CHECK(launch(read_at, 1, 1, 0, &host, int64_t{0}, x.first) == cudaErrorIllegalAddress);
  CHECK(launch(read_at, 1, 1, 0, x.first, int64_t{0}, &host) == cudaErrorIllegalAddress);
  CHECK(launch(copy_one, 1, 1, 0, Copy{1, x.first, &host}) == cudaErrorIllegalAddress);
  CHECK(launch(copy_one, 1, 1, 0, Copy{1, x.first, x.first}) == cudaSuccess);
  CHECK(launch(copy_one, 1, 1, 0, Copy{0, nullptr, nullptr}) == cudaSuccess);
  std::vector<float> block(1000);
  CHECK(launch(add_one, 1, 1, 0, block.data() + 999) == cudaErrorIllegalAddress);
  cudaStreamSynchronize(stream());
}
#endif

TEST_CASE("emulator: streams do nothing until somebody waits, so a missing wait shows") {
  const cudaStream_t other = new_stream();
  const DeviceArray<float> x(1);
  static void* host = nullptr;  // CUDA gives it back
  REQUIRE(cudaMallocHost(&host, sizeof(float)) == cudaSuccess);
  float *pinned = static_cast<float*>(host), result = -1;
  const auto upload = [&] {
    cudaMemcpyAsync(x.first, pinned, sizeof(float), cudaMemcpyHostToDevice, stream());
  };
  const auto compute = [&](cudaStream_t stream) {
    launch_on(stream, add_one, 1, 1, 0, x.first);
    cudaMemcpyAsync(&result, x.first, sizeof(float), cudaMemcpyDeviceToHost, stream);
  };
  *pinned = 1;
  upload();
  compute(stream());
  CHECK(result == -1);
  cudaStreamSynchronize(stream());
  CHECK(result == 2);

  upload();  // and the other stream does not wait for it
  compute(other);
  cudaStreamSynchronize(other);
  CHECK(result == 3);

  upload();
  *pinned = 7;  // too early: page-locked memory is read when the copy runs
  compute(stream());
  cudaStreamSynchronize(stream());
  CHECK(result == 8);
}

TEST_CASE("emulator: what the hardware refuses is refused") {
  const DeviceArray<float> x(kThreads);
  const auto with = [&](dim3 grid, dim3 block, size_t shared) {
    return launch(add_one, grid, block, shared, x.first);
  };
  for (dim3 grid : {dim3(0), dim3(1, 65536), dim3(1, 1, 65536)})
    CHECK(with(grid, 32, 0) == cudaErrorInvalidConfiguration);
  for (dim3 block : {dim3(0), dim3(1025), dim3(64, 32), dim3(1, 1, 65)})
    CHECK(with(1, block, 0) == cudaErrorInvalidConfiguration);
  CHECK(cudaGetLastError() == cudaErrorInvalidConfiguration);
  CHECK(cudaGetLastError() == cudaSuccess);
  constexpr int kMore = 100 << 10;
  CHECK(with(1, 32, kMore) == cudaErrorInvalidValue);
  CHECK(cudaFuncSetAttribute(add_one, cudaFuncAttributeMaxDynamicSharedMemorySize, 300 << 10) ==
        cudaErrorInvalidValue);
  CHECK(cudaFuncSetAttribute(add_one, cudaFuncAttributeMaxDynamicSharedMemorySize, kMore) == cudaSuccess);
  CHECK(with(1, 32, kMore) == cudaSuccess);
  float host = 0;
  CHECK(cudaMemcpyAsync(x.first, &host, (kThreads + 1) * sizeof(float), cudaMemcpyDeviceToHost, stream()) ==
        cudaErrorInvalidValue);
  CHECK(cudaMemcpyAsync(&host, &host, sizeof host, cudaMemcpyHostToDevice, stream()) ==
        cudaErrorInvalidValue);
  CHECK(cudaFree(x.first + 1) == cudaErrorInvalidValue);
  void* block = nullptr;
  CHECK(cudaMalloc(&block, size_t{1} << 40) == cudaErrorMemoryAllocation);
}
