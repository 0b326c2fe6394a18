#include <limits>

#include "tensor/cuda/launch.cuh"

namespace gradus {
namespace {

using namespace cuda;

// One block; the first bad id of the first bad call stays in the slot until it is read.
__global__ void check_ids_kernel(const char* op, DeviceIds ids, int64_t n, int64_t vocab, int64_t ignored,
                                 OutOfRange* slot) {
  const int64_t i = first_bad(n, [&](int64_t j) {
    const int64_t id = ids.at(j);
    return id != ignored && (id < 0 || id >= vocab);
  });
  if (threadIdx.x == 0 && i < n && slot->op == nullptr)
    *slot = {op, ids.at(i), vocab, i / ids.count, ids.first + i % ids.count};
}

// table [V, D], y [tokens, D]: block (token, part of the columns). An id out of range gives zeros: check_ids
// has reported it.
template <class T>
__global__ void embedding_kernel(const T* table, DeviceIds ids, int64_t vocab, T scale, const T* positions,
                                 int64_t d, T* y) {
  const int64_t token = blockIdx.x, id = ids.at(token), position = token % ids.count;
  const bool known = id >= 0 && id < vocab;
  for (int64_t j = blockIdx.y * kBlock + threadIdx.x; j < d; j += gridDim.y * kBlock)
    y[token * d + j] =
        (known ? scale * table[id * d + j] : T(0)) + (positions ? positions[position * d + j] : T(-0.0));
}

constexpr int kColumns = 16 * kWarp;  // that a block of embedding_backward_kernel adds up

// dy [tokens, D], dtable [V, D]: block (token, kColumns columns). It works only if its token is the first of
// that id, and then for all of them: so no two blocks write one row. Each warp adds every eighth run of 32
// tokens in their order; then the warps' sums are added in theirs.
template <class T>
__global__ void embedding_backward_kernel(const T* dy, DeviceIds ids, int64_t tokens, int64_t vocab, T scale,
                                          int64_t d, T* dtable) {
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const int64_t token = blockIdx.x, id = ids.at(token), first_column = int64_t{blockIdx.y} * kColumns;
  int earlier = 0;
  for (int64_t r = threadIdx.x; r < token; r += kBlock) earlier |= ids.at(r) == id;
  const bool first = block_reduce(earlier, 0, Max{}) == 0 && id >= 0 && id < vocab;

  T sum[kColumns / kWarp] = {};
  for (int64_t begin = token / kBlock * kBlock; first && begin < tokens; begin += kBlock) {
    const int64_t r = begin + threadIdx.x;
    unsigned same = __ballot_sync(kFullMask, r >= token && r < tokens && ids.at(r) == id);
    for (; same != 0; same &= same - 1) {  // the lowest bit is the next token
      const T* row = dy + (r - lane + __ffs(static_cast<int>(same)) - 1) * d;
      for (int k = 0; k < kColumns / kWarp; ++k)
        if (const int64_t j = first_column + k * kWarp + lane; j < d) sum[k] += row[j];
    }
  }

  __shared__ T sums[kBlock / kWarp][kColumns];
  for (int k = 0; k < kColumns / kWarp; ++k) sums[warp][k * kWarp + lane] = sum[k];
  __syncthreads();
  for (int k = threadIdx.x; first && k < kColumns && first_column + k < d; k += kBlock) {
    T total = 0;
    for (const auto& of_warp : sums) total += of_warp[k];
    dtable[id * d + first_column + k] += scale * total;
  }
}

}  // namespace

void CudaBackend::check_ids(const char* op, const IdColumns& ids, int64_t vocab,
                            std::optional<int32_t> ignored) {
  constexpr int64_t kNoId = std::numeric_limits<int64_t>::min();
  launch(check_ids_kernel, {ids.size() > 0, 1024}, op, DeviceIds(ids), ids.size(), vocab,
         ignored ? *ignored : kNoId, runtime().error_slot);
}

void CudaBackend::embedding(In table, const IdColumns& ids, double scale, In positions, Out y) {
  const int64_t d = table.shape()[-1];
  visit_real(table.dtype(), [&]<class T>(T) {
    const dim3 grid(blocks_for(ids.size(), 1), std::min(blocks_for(d), 64u));
    launch(embedding_kernel<T>, {grid}, table, DeviceIds(ids), table.shape()[0], scale, positions, d, y);
  });
}

void CudaBackend::embedding_backward(In dy, const IdColumns& ids, double scale, Out dtable) {
  const int64_t d = dtable.shape()[-1];
  visit_real(dy.dtype(), [&]<class T>(T) {
    const dim3 grid(blocks_for(ids.size(), 1), blocks_for(d, kColumns));
    launch(embedding_backward_kernel<T>, {grid}, dy, DeviceIds(ids), ids.size(), dtable.shape()[0], scale, d,
           dtable);
  });
}

}  // namespace gradus
