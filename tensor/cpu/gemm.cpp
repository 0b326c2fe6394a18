#include "tensor/cpu/gemm.h"

#include <mutex>

#include "tensor/cpu/cpu_backend.h"
#include "tensor/cpu/parallel.h"

// There only if OpenBLAS, or the program, brings OpenMP.
extern "C" {
[[gnu::weak]] int omp_get_max_threads();
[[gnu::weak]] void omp_set_num_threads(int);
}

namespace gradus {
namespace {

// A part of the output, computed by one serial product: rows [row, row + rows), columns [column, column +
// columns).
struct Tile {
  int64_t row, rows, column, columns;
};

// OpenBLAS divides a product by the number of threads, and its results then differ in the last bits between
// 1, 2 and 4 threads. So we divide, by shape alone: tiles along the longer side of c, each one serial call.
// Measured on 2 cores this is as fast as OpenBLAS's own threads.
template <class Fn> void for_tiles(const GemmShape& s, const Fn& fn) {
  const double work = static_cast<double>(s.m) * static_cast<double>(s.n) * static_cast<double>(s.k);
  if (s.m == 0 || s.n == 0) return;
  const int64_t longer = std::max(s.m, s.n), pieces = work <= 32 * 32 * 32 ? 1 : work < 1e9 ? 4 : 16;
  const int64_t length = cpu::blocks_of(longer, pieces * 16) * 16;
  cpu::parallel_products(cpu::blocks_of(longer, length), [&](int64_t i, int) {
    const int64_t begin = i * length, size = std::min(length, longer - begin);
    fn(s.m >= s.n ? Tile{begin, size, 0, s.n} : Tile{0, s.m, begin, size});
  });
}

template <class T>
void tile_product(const GemmShape& s, const T* a, const T* b, double beta, T* c, const Tile& tile) {
  const int64_t a_pitch = s.transpose_a ? s.m : s.k, b_pitch = s.transpose_b ? s.k : s.n;
  cpu::product({tile.rows, tile.columns, s.k, s.transpose_a, s.transpose_b}, 1,
               a + tile.row * (s.transpose_a ? 1 : a_pitch), a_pitch,
               b + tile.column * (s.transpose_b ? b_pitch : 1), b_pitch, beta,
               c + tile.row * s.n + tile.column, s.n);
}

std::mutex one_at_a_time;

}  // namespace

cpu::BlasThreads::BlasThreads(int threads) : before_(omp_get_max_threads ? omp_get_max_threads() : 0) {
  if (omp_set_num_threads) omp_set_num_threads(threads);
  if (openblas_get_parallel() == kSequential) one_at_a_time.lock();
}

cpu::BlasThreads::~BlasThreads() {
  if (openblas_get_parallel() == kSequential) one_at_a_time.unlock();
  if (omp_set_num_threads) omp_set_num_threads(before_);
}

void CpuBackend::gemm(const GemmShape& s, In a, In b, double beta, Out c) {
  visit_real(c.dtype(), [&]<class T>(T) {
    const T *left = a.data<T>(), *right = b.data<T>();
    T* out = c.data<T>();
    if (s.batch == 1) return for_tiles(s, [&](const Tile& t) { tile_product(s, left, right, beta, out, t); });
    cpu::parallel_products(s.batch, [&](int64_t i, int) {
      tile_product(s, left + i * s.stride_a, right + i * s.stride_b, beta, out + i * s.stride_c,
                   {0, s.m, 0, s.n});
    });
  });
}

void CpuBackend::linear(In x, In w, In b, std::optional<UnaryOp> activation, Out y, Out pre) {
  const GemmShape shape{x.shape().before(-1), w.shape()[0], w.shape()[1], false, true};
  visit_real(y.dtype(), [&]<class T>(T) {
    const T* bias = b ? b.data<T>() : nullptr;
    for_tiles(shape, [&](const Tile& tile) {
      tile_product(shape, x.data<T>(), w.data<T>(), 0, y.data<T>(), tile);
      for (int64_t r = tile.row; r < tile.row + tile.rows; ++r) {  // while the tile is in the cache
        T* row = y.data<T>() + r * shape.n;
        const int64_t begin = tile.column, end = begin + tile.columns;
        if (bias) cpu::lanes(begin, end, [=](int64_t j) { row[j] += bias[j]; });
        if (pre) std::copy(row + begin, row + end, pre.data<T>() + r * shape.n + begin);
        if (!activation) continue;
        visit(*activation,
              [&](auto fn) { cpu::lanes(begin, end, [=](int64_t j) { row[j] = fn.f(row[j]); }); });
      }
    });
  });
}

}  // namespace gradus
