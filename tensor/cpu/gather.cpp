#include "tensor/cpu/cpu_backend.h"
#include "tensor/cpu/parallel.h"

namespace gradus {

void CpuBackend::check_ids(const char* op, const IdColumns& ids, int64_t vocab,
                           std::optional<int32_t> ignored) {
  for (int64_t i = 0; i < ids.size(); ++i)
    if (const int32_t id = ids.at(i); id != ignored)
      check_id(op, id, vocab, i / ids.count, ids.first + i % ids.count);
}

void CpuBackend::embedding(In table, const IdColumns& ids, double scale, In positions, Out y) {
  const int64_t d = table.shape()[-1];  // table [V, D], y [B, count, D]
  visit_real(table.dtype(), [&]<class T>(T) {
    const T factor = scale, nothing = -0.0;  // which added to -0 keeps its sign
    cpu::parallel_rows(ids.size(), d, [&](int64_t r) {
      const T* in = table.data<T>() + ids.at(r) * d;
      const T* offset = positions ? positions.data<T>() + r % ids.count * d : nullptr;
      T* out = y.data<T>() + r * d;
      cpu::lanes(0, d, [=](int64_t j) { out[j] = factor * in[j] + (offset ? offset[j] : nothing); });
    });
  });
}

// Threads share out the columns, not the tokens: two tokens may add to one row, two columns never meet.
void CpuBackend::embedding_backward(In dy, const IdColumns& ids, double scale, Out dtable) {
  check_ids("embedding", ids, dtable.shape()[0],
            {});  // who wrote into them since must not make us write astray
  const int64_t d = dtable.shape()[-1];
  visit_real(dy.dtype(), [&]<class T>(T) {
    const T factor = scale;
    cpu::parallel_blocks(d, 32, ids.size(), [&](int64_t, int64_t begin, int64_t end) {
      for (int64_t r = 0; r < ids.size(); ++r) {
        const T* dout = dy.data<T>() + r * d;
        T* row = dtable.data<T>() + ids.at(r) * d;
        cpu::lanes(begin, end, [=](int64_t j) { row[j] += factor * dout[j]; });
      }
    });
  });
}

}  // namespace gradus
