// The kernels of tensor/cuda/ under the emulator's three orders of threads and blocks, with little memory,
// how often they wait, and how many launches they take.
#include <doctest/doctest.h>

#include "losses/translation_loss.h"
#include "nn/translation_model.h"
#include "optim/adam.h"
#include "tensor/cuda/runtime.h"
#include "tensor/fused_ops.h"
#include "tests/cuda_emulator/emulator.h"
#include "tests/op_run.h"

using namespace gradus;
using namespace gradus::tests;
using emulator::Order;

TEST_CASE("emulated cuda: every operation gives the same bits in every order of threads and blocks") {
  for (const OpCase& row : op_cases())
    for (DType dtype : {DType::f32, DType::f64}) {
      INFO(row.name, " ", dtype);
      const std::vector<Array> x = draw(row);
      const auto in_order = [&](Order order) {
        emulator::order = order;
        Result result = run(row, x, dtype, Device::cuda);
        for (const Tensor& gradient : result.gradients)
          gradient.to(Device::cpu);  // the work is done when these are
        result.y.to(Device::cpu);
        emulator::order = Order::forward;
        return result;
      };
      const Result forward = in_order(Order::forward);
      CHECK(same_bits(forward, in_order(Order::backward)));
      CHECK(same_bits(forward, in_order(Order::shuffled)));
    }
}

TEST_CASE("emulated cuda: when memory runs out, cached blocks are given back, and what was there stays") {
  release_cached_memory(Device::cuda);
  const size_t before = std::exchange(emulator::device_memory, size_t{64} << 20);
  const Tensor witness = Tensor::full({3}, 7, DType::f32, Device::cuda);
  const auto take = [](int64_t mebibytes) {
    return Tensor({mebibytes << 20}, DType::i32, Device::cuda).size();
  };
  CHECK(take(5) == 5 << 20);  // 20 MiB beside the 33 of cuBLAS, which the allocator keeps
  CHECK(take(7) == 7 << 20);  // 28 MiB: only without them
  CHECK_THROWS_AS(take(8), std::runtime_error);
  CHECK(witness.to_vector<float>() == std::vector<float>{7, 7, 7});
  emulator::device_memory = before;
}

#ifndef __SANITIZE_ADDRESS__  // under it host memory is not refused, and blocks are not cached
TEST_CASE("emulated cuda: a kernel that fails names the operation, and everything stays usable") {
  const Tensor host = Tensor::ones({2}), x = exp(host.to(Device::cuda));
  const Tensor y = Tensor::like(x);
  CHECK_THROWS_WITH(backend(Device::cuda).binary(Binary::add, x, host, Out(y)),
                    doctest::Contains("points to memory of the host (launch.cuh"));
  CHECK_THROWS_WITH(backend(Device::cuda).binary(Binary::add, x, host, Out(y)),
                    doctest::Contains("; the latest operation is exp"));
  CHECK((x - x).to_vector<float>() == std::vector<float>{0, 0});
}

TEST_CASE("emulated cuda: cuBLAS gets the memory that waits for its next use") {
  static std::vector<cuda::Runtime> started;  // for good, as the one that all kernels share
  release_cached_memory(Device::cuda);
  const size_t before = emulator::device_memory;
  emulator::device_memory = emulator::memory_in_use() + (size_t{96} << 20);
  std::optional<Tensor> all = Tensor({96 << 18}, DType::f32, Device::cuda);
  CHECK_THROWS_WITH(cuda::start(), doctest::Contains("cublasCreate"));
  all.reset();
  CHECK(memory_use(Device::cuda).cached > 0);
  started.push_back(cuda::start());
  CHECK(memory_use(Device::cuda).cached == 0);
  emulator::device_memory = before;
}
#endif

namespace {

// A tiny translator in training.
struct Training {
  Training() {
    model.init(/*seed=*/3);
    model.to(Device::cuda);
    adam.emplace(model.parameters(), optim::AdamOptions{});
  }
  Variable step() {
    const Tensor ids = Tensor::from(std::vector<int32_t>{1, 4, 5, 2, 1, 6, 2, 0}, {2, 4});
    const Tensor lengths = Tensor::from(std::vector<int32_t>{4, 3}, {2});
    model.generator().next_step();
    adam->set_lr(1e-3);
    adam->zero_grad();
    const auto output = criterion(model(ids, lengths, ids, lengths), ids);
    output.loss.backward();
    adam->clip_gradients(1);
    adam->step();
    sums += output.sums;
    return output.loss;
  }

  nn::TranslationModel model{
      {.source_vocab = 12,
       .target_vocab = 11,
       .transformer = {.d_model = 16, .heads = 2, .layers = 1, .ff = 32, .dropout = 0.1},
       .longest = 8}};
  losses::TranslationLoss criterion{11};
  std::optional<optim::Adam> adam;  // of the model on its device
  losses::LossSums sums;
};

}  // namespace

TEST_CASE("emulated cuda: training steps give the same bits in every order of threads and blocks") {
  const auto weights = [](Order order) {
    emulator::order = order;
    Training training;
    for (int i = 0; i < 3; ++i) training.step();
    Result result{training.adam->state().begin()->second.to(Device::cpu), {}};
    for (const auto& [name, tensor] : training.model.state())
      result.gradients.push_back(tensor.to(Device::cpu));
    emulator::order = Order::forward;
    return result;
  };
  const Result forward = weights(Order::forward);
  CHECK(same_bits(forward, weights(Order::backward)));
  CHECK(same_bits(forward, weights(Order::shuffled)));
}

TEST_CASE("emulated cuda: a training step never waits for the device") {
  Training training;
  training.step();  // the first makes the runtime and its blocks
  const int before = emulator::synchronisations;
  training.step();
  training.step();
#ifndef __SANITIZE_ADDRESS__  // there blocks are not cached, and giving one back waits
  CHECK(emulator::synchronisations == before);
#endif
  CHECK(training.sums.tokens() == 15);
  CHECK(emulator::synchronisations > before);
}

namespace {

template <class F> int launches_of(F f) {
  const int before = emulator::launches;
  f();
  return emulator::launches - before;
}

}  // namespace

TEST_CASE("emulated cuda: how many kernels a training step launches, products aside; it may only get less") {
  Training training;
  training.step();
  CHECK(launches_of([&] { training.step(); }) <= 87);
}

TEST_CASE("emulated cuda: what an optimiser does is one launch over all of its parameters") {
  Training training;
  training.step();
  CHECK(training.model.parameters().size() > 20);
  CHECK(launches_of([&] { training.adam->zero_grad(); }) == 1);
  CHECK(launches_of([&] { training.adam->scale_gradients(0.5); }) == 1);
  // Squares of pieces, their sum, the clipping; and the root of the sum, which is the result.
  CHECK(launches_of([&] { training.adam->clip_gradients(1); }) == 4);
  CHECK(launches_of([&] { training.adam->step(); }) == 1);
}

namespace {

struct WithTf32 {
  WithTf32() { set_matmul_precision(MatmulPrecision::tf32); }
  ~WithTf32() { set_matmul_precision(MatmulPrecision::f32); }
};

}  // namespace

TEST_CASE("emulated cuda: tf32 rounds factors to ten bits after the point, f64 and the CPU do not know it") {
  const auto product = [](DType dtype, Device device) {  // 1 + 2^-12 is 1 there; 1 + 2^-10 is itself
    const Tensor a = Tensor::from({1 + 0x1p-12, 1 + 0x1p-10, 1., 1.}, {2, 2}).to(dtype).to(device);
    return matmul(a, Tensor::ones({2, 1}, dtype, device)).to(DType::f64).to_vector<double>();
  };
  const std::vector<double> exact{2 + 0x1p-12 + 0x1p-10, 2}, rounded{2 + 0x1p-10, 2};
  CHECK(product(DType::f32, Device::cuda) == exact);
  {
    const WithTf32 tf32;
    CHECK(product(DType::f32, Device::cuda) == rounded);
    CHECK(product(DType::f64, Device::cuda) == exact);
    CHECK(product(DType::f32, Device::cpu) == exact);
  }
  CHECK(product(DType::f32, Device::cuda) == exact);
  CHECK_THROWS_AS(named_matmul_precision("bf16"), std::invalid_argument);
}

TEST_CASE("emulated cuda: a training run in tf32 stays within a thousandth of the run in f32") {
  const auto losses = [] {
    Training training;
    std::vector<double> all;
    for (int i = 0; i < 30; ++i) all.push_back(training.step().item());
    return all;
  };
  const std::vector<double> exact = losses();
  const std::vector<double> rounded = [&] {
    const WithTf32 tf32;
    return losses();
  }();
  double difference = 0;
  for (size_t i = 0; i < exact.size(); ++i)
    difference = std::max(difference, std::fabs(exact[i] - rounded[i]) / exact[i]);
  CHECK(difference > 1e-7);
  CHECK(difference < 1e-3);
}

TEST_CASE("emulated cuda: rows by ids are one check and one lookup, with a gradient, too") {
  const Variable x(Tensor::ones({3, 2}, DType::f32, Device::cuda), true);
  const Tensor ids = Tensor::from({2, 0}, {2}, Device::cuda);
  CHECK(launches_of([&] { rows(x, ids); }) == 2);
}

TEST_CASE("emulated cuda: to check lengths on the device takes no launch of its own") {
  const Tensor x = Tensor::full({2, 3, 4}, 1, DType::f32, Device::cuda);
  const Tensor lengths = Tensor::from(std::vector<int32_t>{3, 1}, {2}, Device::cuda);
  const auto attend = [&](const Tensor& key_lengths) {
    attention_forward({{x}, {x}, {x}}, {.d_model = 4, .heads = 2, .key_lengths = key_lengths});
  };
  CHECK(launches_of([&] { attend(lengths); }) == launches_of([&] { attend({}); }));
}
