#include "tensor/cpu/cpu_backend.h"
#include "tensor/cpu/parallel.h"

namespace gradus {
using cpu::parallel_blocks;
using cpu::parallel_for;

void CpuBackend::check_ids(const char* op, const IdColumns& ids, int64_t vocab) {
  for (int64_t r = 0; r < ids.ids.shape()[0]; ++r)
    for (int64_t c = 0; c < ids.count; ++c) {
      const int32_t id = ids.ids.data<int32_t>()[r * ids.pitch() + ids.first + c];
      check(id >= 0 && id < vocab, op, ": id ", id, " at row ", r, ", position ", ids.first + c, " is outside [0, ",
            vocab, ")");
    }
}

void CpuBackend::embedding(const Tensor& table, const IdColumns& ids, double scale, const Tensor& positions, Out y) {
  const int64_t d = table.shape()[-1];  // table [V, D], y [B, count, D]
  visit_real(table.dtype(), [&](auto t) {
    using T = decltype(t);
    const T factor = static_cast<T>(scale);
    parallel_for(ids.size(), d, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        const int64_t b = r / ids.count, position = r % ids.count;
        const T* in = table.data<T>() + ids.ids.data<int32_t>()[b * ids.pitch() + ids.first + position] * d;
        const T* offset = positions ? positions.data<T>() + position * d : nullptr;
        T* out = y.data<T>() + r * d;
#pragma omp simd
        for (int64_t j = 0; j < d; ++j) out[j] = factor * in[j] + (offset ? offset[j] : T(0));
      }
    });
  });
}

// Threads share out the columns, not the tokens: two tokens may add to one row, two columns never meet.
void CpuBackend::embedding_backward(const Tensor& dy, const IdColumns& ids, double scale, Out dtable) {
  const int64_t d = dtable.shape()[-1];
  visit_real(dy.dtype(), [&](auto t) {
    using T = decltype(t);
    const T factor = static_cast<T>(scale);
    parallel_blocks(d, 32, ids.size(), [&](int64_t, int64_t begin, int64_t end) {
      for (int64_t r = 0; r < ids.size(); ++r) {
        const int32_t id = ids.ids.data<int32_t>()[r / ids.count * ids.pitch() + ids.first + r % ids.count];
        const T* dout = dy.data<T>() + r * d;
        T* row = dtable.data<T>() + id * d;
#pragma omp simd
        for (int64_t j = begin; j < end; ++j) row[j] += factor * dout[j];
      }
    });
  });
}

}  // namespace gradus
