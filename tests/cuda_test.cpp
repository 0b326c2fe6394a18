// The CUDA backend against the CPU: every row of the table of operations, dropout's bits, a whole training
// run, and what happens when something goes wrong. The same file runs on a GPU and, on every machine, on the
// emulator (cuda_emulator/).
#include <doctest/doctest.h>

#include <numeric>

#include "losses/translation_loss.h"
#include "nn/translation_model.h"
#include "optim/adam.h"
#include "tests/api_operations.h"
#include "tests/op_definitions.h"
#include "tests/op_run.h"
#include "tests/precision.h"

using namespace gradus;
using namespace gradus::tests;

namespace {

constexpr Device kCuda = Device::cuda;
#ifdef __SANITIZE_ADDRESS__   // slow; and it sees a bad access in one evaluation as well as in a thousand
constexpr int kSlopesOf = 5;  // every fifth row
#else
constexpr int kSlopesOf = 1;
#endif

template <class F> std::string message_of(F f) {
  try {
    f();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "";
}

// Losses of a tiny translator, step by step, with all that a run has: dropout, clipping, a schedule, padding.
std::vector<double> loss_curve(Device device, int steps) {
  nn::TranslationModel model(
      {.source_vocab = 12,
       .target_vocab = 11,
       .tie = nn::Tie::output,
       .transformer = {.d_model = 16, .heads = 2, .layers = 1, .ff = 32, .dropout = 0.1},
       .longest = 8});
  model.init(/*seed=*/10);
  model.to(device);
  const losses::TranslationLoss criterion(11);
  optim::Adam adam(model.parameters(), {.lr = 3e-3, .beta2 = 0.98, .eps = 1e-9});
  std::vector<double> curve;
  for (int step = 0; step < steps; ++step) {
    std::vector<int32_t> source, target;
    for (int row = 0; row < 4; ++row)
      for (int i = 0; i < 6; ++i) {
        const int word = 3 + (row * 7 + i * 5 + step * 3) % 8, pad = row == 1 && i > 3;
        source.push_back(pad ? 0 : word);
        target.push_back(i == 0 ? 1 : pad ? 0 : i == 5 || (row == 1 && i == 3) ? 2 : 3 + (word * 3) % 8);
      }
    const auto on_device = [&](const std::vector<int32_t>& x, Shape shape) {
      return Tensor::from(x, shape, device);
    };
    const Tensor ids = on_device(target, {4, 6}), lengths = on_device({6, 4, 6, 6}, {4});
    model.generator().next_step();
    adam.set_lr(3e-3 / (1 + step));
    adam.zero_grad();
    const auto output = criterion(model(on_device(source, {4, 6}), lengths, ids, lengths), ids);
    output.loss.backward();
    adam.clip_gradients(1);
    adam.step();
    curve.push_back(output.loss.value().item());
  }
  return curve;
}

}  // namespace

TEST_CASE("cuda: every operation in its public spelling") { tests::api::check_operations(kCuda); }

TEST_CASE("cuda: values of every operation agree with plain loops, f64 and f32") {
  for (const OpCase& row : op_cases()) {
    INFO(row.name);
    const std::vector<Array> x = draw(row);
    const Array expected = row.reference(x);
    const Result exact = run(row, x, DType::f64, kCuda), single = run(row, x, DType::f32, kCuda);
    CHECK(exact.y.device() == kCuda);
    CHECK(exact.y.shape() == expected.shape);
    CHECK(error_of(exact.y, expected.v) <= 1e-12);
    CHECK(error_of(single.y, expected.v) <= row.f32_eps * kEps);
    const Result cpu = run(row, x, DType::f64);
    for (size_t i = 0; i < x.size(); ++i) {
      INFO("gradient of input ", i);
      CHECK(error_of(exact.gradients[i], cpu.gradients[i]) <= 1e-12);
      CHECK(error_of(single.gradients[i], cpu.gradients[i]) <= row.f32_eps * kEps);
    }
  }
}

TEST_CASE("cuda: fused kernels do what their definitions say") { check_definitions(kCuda); }

TEST_CASE("cuda: f32 keeps its digits where a naive kernel would not") { check_precision(kCuda); }

TEST_CASE("cuda: every element of every gradient agrees with measured slopes to 1e-8") {
  release_cached_memory(kCuda);  // the emulator is slower the more there is
  int number = 0;
  for (const OpCase& row : op_cases())
    if (!row.large && ++number % kSlopesOf == 0) check_slopes(row, kCuda);
}

TEST_CASE("cuda: a gradient is the same whether or not other inputs want theirs") {
  for (const OpCase& row : op_cases()) check_each_alone(row, kCuda);
}

TEST_CASE("cuda: dropout drops what the CPU drops, to the bit") {
  for (DType dtype : {DType::f32, DType::f64})
    for (int64_t size : {1, 127, 128, 129, 5000})
      for (double p : {0.0, 0.1, 0.5, 0.99}) {
        INFO(dtype, " ", size, " elements, p = ", p);
        const auto dropped = [&](Device device) {
          Generator generator = generator_of_rows();
          generator.next_draw();
          const Variable x(Tensor::full({size}, 1.25, dtype, device), true);
          const Variable y = dropout(x, p, generator);
          sum(y).backward();
          return Result{y.value(), {x.grad()}};
        };
        CHECK(same_bits(dropped(kCuda), dropped(Device::cpu)));
      }
}

TEST_CASE("cuda: fifty steps of a tiny translator give the CPU's losses to 1e-4") {
  const std::vector<double> cpu = loss_curve(Device::cpu, 50), cuda = loss_curve(kCuda, 50);
  CHECK(cpu.back() < 0.8 * cpu.front());  // it learns
  for (size_t step = 0; step < cpu.size(); ++step) {
    INFO("step ", step);
    CHECK(std::fabs(cuda[step] - cpu[step]) <= 1e-4);
  }
  CHECK(loss_curve(kCuda, 5) == std::vector<double>(cuda.begin(), cuda.begin() + 5));
}

TEST_CASE("cuda: decoding by a cache, short and long, gives the CPU's logits") {
  for (int64_t longest : {8, 800}) {  // of a cache for 800 attention is made of products
    INFO("longest ", longest);
    const auto logits = [&](Device device) {
      nn::TranslationModel model(
          {.source_vocab = 12,
           .target_vocab = 11,
           .transformer = {.d_model = 64, .heads = 2, .layers = 1, .ff = 32, .dropout = 0},
           .longest = 800});
      model.init(/*seed=*/3);
      model.to(device);
      const nn::Evaluating evaluating(model);
      const Tensor source = Tensor::from(std::vector<int32_t>{4, 5, 6, 2}, {1, 4});
      nn::DecoderState state = model.start(source, Tensor::from(std::vector<int32_t>{4}, {1}), longest, 1);
      std::vector<double> all;
      for (int32_t id : {1, 7, 9})
        for (double z : model.step(state, std::array{id}).to(DType::f64).to_vector<double>())
          all.push_back(z);
      return all;
    };
    const std::vector<double> cpu = logits(Device::cpu), cuda = logits(kCuda);
    for (size_t i = 0; i < cpu.size(); ++i) CHECK(std::fabs(cuda[i] - cpu[i]) <= 1e-5);
  }
}

TEST_CASE("cuda: an id out of range is the CPU's error, at the latest when somebody waits; nothing is lost") {
  const auto look_up = [](Device device, int32_t bad) {
    const Variable table(Tensor::full({5, 4}, 2, DType::f32, device), true);
    const Tensor ids = Tensor::from(std::vector<int32_t>{0, 4, bad, 1}, {2, 2}, device);
    return embedding(table, {ids, 0, 2}).value().to(Device::cpu);
  };
  const Tensor witness = Tensor::full({3}, 7, DType::f32, kCuda);
  for (int32_t bad : {5, -1, 1 << 30}) {
    const std::string expected = message_of([&] { look_up(Device::cpu, bad); });
    REQUIRE(!expected.empty());
    CHECK(message_of([&] { look_up(kCuda, bad); }) == expected);
    CHECK(witness.to_vector<float>() == std::vector<float>{7, 7, 7});
    CHECK(same_bits(look_up(kCuda, 3), look_up(Device::cpu, 3)));
  }
}

TEST_CASE("cuda: memory of the host may be reused as soon as an upload has returned") {
  const Tensor busy = Tensor::ones({512, 512}, DType::f32, kCuda);
  for (const int64_t n : {1, 16 << 10, (16 << 10) + 1, 256 << 10}) {  // around what a driver stages: 64 KiB
    for (int i = 0; i < 20; ++i) matmul(busy, busy);                  // the copy waits in the queue
    std::vector<int32_t> numbers(static_cast<size_t>(n));
    std::iota(numbers.begin(), numbers.end(), 0);
    const std::vector<int32_t> expected = numbers;
    const Tensor from_vector = Tensor::from(numbers, {n}, kCuda);
    const Tensor host = Tensor::from(numbers, {n}), from_tensor = host.to(kCuda);
    std::fill(numbers.begin(), numbers.end(), -1);
    host.assign(Tensor::from(numbers, {n}));
    CHECK(from_vector.to_vector<int32_t>() == expected);
    CHECK(from_tensor.to_vector<int32_t>() == expected);
  }
}

TEST_CASE("cuda: ids may stay on the host, and are checked there before anything runs") {
  const Variable table(Tensor::full({5, 4}, 2, DType::f32, kCuda), true);
  const auto look_up = [&](int32_t id) {
    return embedding(table, {Tensor::from(std::vector<int32_t>{0, id}, {1, 2}), 0, 2}).value();
  };
  CHECK(look_up(4).device() == kCuda);
  CHECK(message_of([&] { look_up(5); }) == "embedding: id 5 at row 0, position 1 is outside [0, 5)");
}

TEST_CASE("cuda: out of memory says how much; nothing is lost, and cached blocks are given back first") {
  const Tensor witness = Tensor::full({3}, 7, DType::f32, kCuda);
  CHECK(sum(witness).item() == 21);
  const size_t in_use = memory_use(kCuda).in_use;
  const std::string said = message_of([] { Tensor({int64_t{1} << 42}, DType::f32, kCuda); });
  CHECK_MESSAGE(said.find("out of memory on cuda") != std::string::npos, said);
  CHECK_MESSAGE(said.find(message(in_use, " in use")) != std::string::npos, said);
  CHECK_MESSAGE(said.find("latest operation is ") != std::string::npos, said);
  CHECK(memory_use(kCuda).in_use == in_use);
  CHECK(memory_use(kCuda).cached == 0);
  CHECK(sum(witness).item() == 21);
}
