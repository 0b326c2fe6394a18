#include <cmath>

#include "tensor/cuda/rows.cuh"

namespace gradus {
namespace {

using namespace cuda;

constexpr int64_t kPiece = 4096;  // elements of one block

// The arrays of many parameters for one launch, cut into pieces of kPiece elements, one a block: in a grid
// with so many blocks for each parameter most would find nothing, since an embedding has millions of elements
// and a bias hundreds. The table is an argument of the kernel, by value, so nothing has to be copied to the
// device; arguments may have 4 KiB. Arrays: pointers to the `size` elements of one parameter, and what else
// the method asks of it.
template <class Arrays> struct Table {
  struct Entry {
    Arrays arrays;
    unsigned first_block;
  };
  static constexpr int kMost = 3840 / sizeof(Entry);
  Entry entries[kMost] = {};  // zeros, because those that are not filled travel, too
  int count = 0;
  unsigned blocks = 0;

  void add(const Arrays& arrays) {
    entries[count++] = {arrays, blocks};
    blocks += blocks_for(arrays.size, kPiece);
  }

  // Calls fn(arrays, begin, end) with this block's piece. Its entry is the last that begins at it or before.
  template <class Fn> __device__ void at_piece(const Fn& fn) const {
    static_assert(kMost <= 256);
    int entry = 0;
    for (int step = 128; step > 0; step /= 2)
      if (entry + step < count && entries[entry + step].first_block <= blockIdx.x) entry += step;
    const Arrays& arrays = entries[entry].arrays;
    const int64_t begin = (blockIdx.x - entries[entry].first_block) * kPiece;
    fn(arrays, begin, std::min(begin + kPiece, arrays.size));
  }
};

// Calls launch_one(table) with tables that hold the arrays of all these parameters.
template <class Arrays, class Parameter, class Fn>
void for_tables(std::span<const Parameter> parameters, const Fn& launch_one) {
  while (!parameters.empty()) {
    const size_t n = std::min<size_t>(parameters.size(), Table<Arrays>::kMost);
    Table<Arrays> table;
    for (const Parameter& p : parameters.first(n)) table.add(Arrays(p));
    launch_one(table);
    parameters = parameters.subspan(n);
  }
}

// method(arrays, i) for each element of this block's piece.
template <class Method, class Arrays>
__device__ void update_piece(const Method& method, const Table<Arrays>& table) {
  table.at_piece([&](const Arrays& arrays, int64_t begin, int64_t end) {
    for (int64_t i = begin + threadIdx.x; i < end; i += kBlock) method(arrays, i);
  });
}
template <class Method, class Arrays> __global__ void update_kernel(Method method, Table<Arrays> table) {
  update_piece(method, table);
}
template <class Method, class Parameter>
void update(const Method& method, std::span<const Parameter> parameters) {
  using Arrays = typename Method::Arrays;
  static_assert(sizeof(Method) + sizeof(Table<Arrays>) <= 4096);
  for_tables<Arrays>(parameters, [&](const Table<Arrays>& table) {
    launch(update_kernel<Method, Arrays>, {table.blocks}, method, table);
  });
}

// Kingma & Ba 2015, algorithm 1; decoupled: Loshchilov & Hutter 2019 (AdamW).
template <class T> struct Adam {
  struct Arrays {
    const T* gradient;
    T *weight, *m, *v;
    int64_t size;
    T step_size, root_correction, decay;

    Arrays() = default;
    Arrays(const AdamParameter& p, const AdamSpec& s)
        : gradient(p.gradient.data<T>()), weight(p.weight.data<T>()), m(p.m.data<T>()), v(p.v.data<T>()),
          size(p.weight.size()), step_size(p.lr / (1 - std::pow(s.beta1, p.step))),
          root_correction(1 / std::sqrt(1 - std::pow(s.beta2, p.step))),
          decay(s.decoupled ? p.lr * p.weight_decay : p.weight_decay) {}
  };
  T beta1, beta2, rest1, rest2, eps;
  bool decoupled;

  explicit Adam(const AdamSpec& s)
      : beta1(s.beta1), beta2(s.beta2), rest1(1 - s.beta1), rest2(1 - s.beta2), eps(s.eps),
        decoupled(s.decoupled) {}

  __device__ void operator()(const Arrays& a, int64_t i) const {
    const T w = a.weight[i], decay = a.decay * w;
    const T g = decoupled ? a.gradient[i] : a.gradient[i] + decay;
    const T m = beta1 * a.m[i] + rest1 * g, v = beta2 * a.v[i] + rest2 * g * g;
    a.m[i] = m;
    a.v[i] = v;
    const T step = a.step_size * m / (std::sqrt(v) * a.root_correction + eps);
    a.weight[i] = w - (decoupled ? step + decay : step);
  }
};

// velocity = momentum velocity + g; w -= lr velocity, or with Nesterov w -= lr (g + momentum velocity).
template <class T> struct Sgd {
  struct Arrays {
    const T* gradient;
    T *weight, *velocity;
    int64_t size;
    T lr, decay;

    Arrays() = default;
    explicit Arrays(const SgdParameter& p)
        : gradient(p.gradient.data<T>()), weight(p.weight.data<T>()), velocity(p.velocity.data<T>()),
          size(p.weight.size()), lr(p.lr), decay(p.weight_decay) {}
  };
  T momentum;
  bool nesterov;

  explicit Sgd(const SgdSpec& s) : momentum(s.momentum), nesterov(s.nesterov) {}

  __device__ void operator()(const Arrays& a, int64_t i) const {
    const T w = a.weight[i], g = a.gradient[i] + a.decay * w;
    const T velocity = momentum * a.velocity[i] + g;
    a.velocity[i] = velocity;
    a.weight[i] = w - a.lr * (nesterov ? g + momentum * velocity : velocity);
  }
};

template <class T> struct OneArray {
  T* data;
  int64_t size;

  OneArray() = default;
  explicit OneArray(const Tensor& x) : data(x.data<T>()), size(x.size()) {}
};
template <class T> struct Clear {
  using Arrays = OneArray<T>;
  __device__ void operator()(const Arrays& x, int64_t i) const { x.data[i] = 0; }
};
template <class T> struct Scale {
  using Arrays = OneArray<T>;
  double factor;
  __device__ void operator()(const Arrays& x, int64_t i) const {
    x.data[i] = static_cast<T>(x.data[i] * factor);
  }
};

template <class T>
__global__ void clip_kernel(const double* sum_squares, double max_norm, Table<OneArray<T>> table) {
  const double factor = max_norm / (std::sqrt(*sum_squares) + 1e-6);  // 1e-6 as PyTorch
  if (factor < 1) update_piece(Scale<T>{factor}, table);
}

// sums[block] of the squares of a piece, in double: those of 1e-24 and of 1e20 have no place in a float.
template <class T> __global__ void sum_squares_kernel(Table<OneArray<T>> table, double* sums) {
  table.at_piece([=](const OneArray<T>& x, int64_t begin, int64_t end) {
    const double total = sum<double>(end - begin, [=, data = x.data + begin](int64_t i) {
      const double value = data[i];
      return value * value;
    });
    if (threadIdx.x == 0) sums[blockIdx.x] = total;
  });
}

__global__ void add_up_kernel(const double* sums, int64_t n, double* total) {  // one block
  const double all = sum<double>(n, [=](int64_t i) { return sums[i]; });
  if (threadIdx.x == 0) *total = all;
}

}  // namespace

void CudaBackend::adam(const AdamSpec& spec, std::span<const AdamParameter> parameters) {
  if (parameters.empty()) return;
  visit_real(parameters[0].weight.dtype(), [&]<class T>(T) {
    std::vector<typename Adam<T>::Arrays> arrays;
    for (const AdamParameter& p : parameters) arrays.emplace_back(p, spec);
    update(Adam<T>(spec), std::span(std::as_const(arrays)));
  });
}

void CudaBackend::sgd(const SgdSpec& spec, std::span<const SgdParameter> parameters) {
  if (parameters.empty()) return;
  visit_real(parameters[0].weight.dtype(), [&]<class T>(T) { update(Sgd<T>(spec), parameters); });
}

void CudaBackend::clear(std::span<const Out> x) {
  if (x.empty()) return;
  visit_real(x[0].dtype(), [&]<class T>(T) { update(Clear<T>{}, x); });
}

void CudaBackend::scale(double factor, std::span<const Out> x) {
  if (x.empty()) return;
  visit_real(x[0].dtype(), [&]<class T>(T) { update(Scale<T>{factor}, x); });
}

void CudaBackend::sum_squares(std::span<const Tensor> x, Out sum) {
  int64_t blocks = 0, done = 0;
  for (const Tensor& each : x) blocks += blocks_for(each.size(), kPiece);
  const Tensor partial({blocks}, DType::f64, Device::cuda);
  if (!x.empty())
    visit_real(x[0].dtype(), [&]<class T>(T) {
      for_tables<OneArray<T>>(x, [&](const Table<OneArray<T>>& table) {
        launch(sum_squares_kernel<T>, {table.blocks}, table, partial.data<double>() + done);
        done += table.blocks;
      });
    });
  launch(add_up_kernel, {1}, partial, blocks, sum);
}

void CudaBackend::clip(In sum_squares, double max_norm, std::span<const Out> x) {
  if (x.empty()) return;
  visit_real(x[0].dtype(), [&]<class T>(T) {
    for_tables<OneArray<T>>(x, [&](const Table<OneArray<T>>& table) {
      launch(clip_kernel<T>, {table.blocks}, sum_squares, max_norm, table);
    });
  });
}

}  // namespace gradus
