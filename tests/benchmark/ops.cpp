// Each operation alone, forward and backward: at the shapes of a training step, with the rate it reaches, and
// at the shapes of the gradient checks, where a call costs more than its arithmetic. Inputs that are
// activations in a step are so here: their gradients need not be added to older ones; those of weights are.
#include <cstdio>

#include "tests/benchmark/benchmark.h"
#include "tests/op_cases.h"

namespace gradus::benchmark {
namespace {

using tests::Inputs;

struct In {
  Shape shape;
  bool weight = false;
};

struct Row {
  std::string name;
  int64_t calls;  // in a step
  std::vector<In> inputs;
  std::function<Variable(Inputs, Generator&)> f;
  double flops = 0;        // forward; backward has twice as many. 0: the rate is in bytes
  double input_bytes = 0;  // where not all of the inputs is read
};

struct Times {
  double forward = 0, backward = 0;  // ms, medians
  int64_t outputs = 0;               // elements of the result
};

// Repeats until `budget` ms are used, but at least three times after a first that does not count; with no
// budget, once. What is off the tape has no backward.
Times time_of(const Row& row, Device device, double budget) {
  Generator generator(1);
  const Variable leaf(Tensor::zeros({1}, DType::f32, device), /*requires_grad=*/true);
  std::vector<Tensor> values;
  std::vector<Variable> x;
  for (const In& in : row.inputs) {
    values.push_back(
        generator.uniform(in.shape, 0.5, 2).to(DType::f32).to(device));  // no logarithm is undefined
    x.emplace_back(values.back(), /*requires_grad=*/true);
  }
  const std::vector<Variable> weights = x;
  std::vector<double> forward, backward;
  Times times;
  for (double used = 0; forward.empty() || used < budget || (budget > 0 && forward.size() < 4);) {
    generator.next_step();
    x = weights;
    for (size_t i = 0; i < x.size(); ++i)
      if (!row.inputs[i].weight) x[i] = record("input", values[i].copy(), {leaf}, [](auto&&...) {});
    Variable y;
    forward.push_back(milliseconds(device, [&] { y = row.f(x, generator); }));
    x.clear();
    const Tensor dy = Tensor::full(y.shape(), 1, DType::f32, device);
    backward.push_back(y.requires_grad() ? milliseconds(device, [&] { y.backward(dy); }) : 0);
    times.outputs = y.shape().numel();
    used += forward.back() + backward.back();
  }
  if (forward.size() > 1) forward.erase(forward.begin()), backward.erase(backward.begin());
  times.forward = median(forward), times.backward = median(backward);
  return times;
}

Tensor some_ids(int64_t batch, int64_t length, int64_t vocab, Device device) {
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < batch * length; ++i) ids.push_back(static_cast<int32_t>(i * 7919 % vocab));
  return Tensor::from(ids, {batch, length}, device);
}

// The operations of one training step, each with its calls.
std::vector<Row> rows_of_step(const Config& c, Device device) {
  const int64_t n = c.tokens();
  const Shape x{c.batch, c.length, c.d}, hidden = x.with(-1, c.ff), logits = x.with(-1, c.vocab);
  const auto real = [](int64_t i) { return static_cast<double>(i); };
  const IdColumns ids{some_ids(c.batch, c.length, c.vocab, device), 0, c.length};
  std::vector<Row> rows;
  rows.push_back({"embedding",
                  2,
                  {{{c.vocab, c.d}, true}},
                  [=](Inputs v, Generator&) { return embedding(v[0], ids, 16); },
                  0,
                  real(n * c.d * 4)});
  for (const LinearLayer& l : linear_layers(c)) {
    std::vector<In> inputs{{x.with(-1, l.inputs)}, {{l.outputs, l.inputs}, true}};
    if (l.bias) inputs.push_back({{l.outputs}, true});
    rows.push_back({"linear: " + l.name, l.calls, inputs,
                    [op = l.activation](Inputs v, Generator&) {
                      return linear(v[0], v[1], v.size() > 2 ? v[2] : Variable(), op);
                    },
                    2 * real(n) * real(l.inputs) * real(l.outputs)});
  }
  const auto attend = [&](const char* name, bool causal, bool cross) {
    const AttentionSpec spec{c.d, c.heads, causal,
                             Tensor::full({c.batch}, real(c.length), DType::i32, device), 0.1};
    const int64_t k = cross ? 0 : c.d;  // where the keys begin
    std::vector<In> inputs{{x.with(-1, cross ? c.d : 3 * c.d)}};
    if (cross) inputs.push_back({x.with(-1, 2 * c.d)});
    rows.push_back({name, c.layers, inputs,
                    [=](Inputs v, Generator& generator) {
                      AttentionSpec drawn = spec;
                      drawn.draw = generator.next_draw();
                      return attention({v[0], 0}, {v.back(), k}, {v.back(), k + c.d}, drawn);
                    },
                    4 * real(n) * real(c.length) * real(c.d)});
  };
  attend("attention: self", false, false);
  attend("attention: causal", true, false);
  attend("attention: cross", false, true);
  rows.push_back({"layer_norm", 5 * c.layers + 2, {{x}, {{c.d}, true}, {{c.d}, true}}, [](Inputs v, auto&) {
                    return layer_norm(v[0], v[1], v[2]);
                  }});
  const auto drop = [](Inputs v, Generator& generator) { return dropout(v[0], 0.1, generator); };
  rows.push_back({"dropout", 2, {{x}}, drop});
  rows.push_back({"dropout: after relu", 2 * c.layers, {{hidden}}, drop});
  rows.push_back({"dropout_add", 5 * c.layers, {{x}, {x}}, [](Inputs v, Generator& generator) {
                    return dropout_add(v[0], v[1], 0.1, generator);
                  }});
  const CrossEntropySpec spec{.smoothing = 0.1, .pad_id = 0};
  rows.push_back({"cross_entropy", 1, {{logits}}, [=](Inputs v, Generator&) {
                    return cross_entropy(v[0], ids, spec).loss;
                  }});
  rows.push_back({"softmax", 0, {{logits}}, [](Inputs v, Generator&) { return softmax(v[0]); }});
  const auto adam = std::make_shared<optim::Adam>(std::vector<NamedParameter>{
      {"", Variable(Tensor::zeros({c.parameters}, DType::f32, device), /*requires_grad=*/true)}});
  const auto update = [&](const char* name, int passes, const std::function<void()>& f) {
    rows.push_back({name,
                    1,
                    {},
                    [f](Inputs, Generator&) { return f(), Variable(Tensor::zeros({})); },
                    0,
                    real(c.parameters) * passes * 4});
  };
  update("zero_grad", 1, [adam] { adam->zero_grad(); });
  update("adam", 7, [adam] { adam->step(); });  // reads four numbers, writes three
  return rows;
}

void print(const Row& row, const Times& t) {
  std::printf("%-46s %5ld %9.4f %9.4f", row.name.c_str(), row.calls, t.forward, t.backward);
  double inputs = row.input_bytes, outputs = static_cast<double>(t.outputs) * 4;
  if (inputs == 0)
    for (const In& in : row.inputs) inputs += static_cast<double>(in.shape.numel()) * 4;
  const double forward = row.flops > 0 ? row.flops : inputs + outputs;
  const double backward = row.flops > 0 ? 2 * row.flops : 2 * inputs + outputs;
  std::printf(" %8.2f %8.2f %-7s", forward / t.forward / 1e6,
              t.backward > 0 ? backward / t.backward / 1e6 : 0, row.flops > 0 ? "GFLOP/s" : "GB/s");
  for (const In& in : row.inputs) std::printf(" %s", message(in.shape).c_str());
  std::printf("\n");
}

}  // namespace

double forward_alone(const Config& config, Device device, const std::string& op) {
  double sum = 0;
  for (const Row& row : rows_of_step(config, device))
    if (row.name.substr(0, row.name.find(':')) == op)
      sum += static_cast<double>(row.calls) * time_of(row, device, 100).forward;
  return sum;
}

void ops(const Options& options) {
  const Config config = options.model();
  const Device device = options.device();
  int timed = 0;
  double forward = 0, backward = 0;
  const auto measure = [&](const Row& row, double budget) {
    if (row.name.find(options.filter) == std::string::npos) return;
    const Times t = time_of(row, device, options.quick ? 0 : budget);
    print(row, t);
    const double calls = static_cast<double>(row.calls);
    forward += calls * t.forward, backward += calls * t.backward, ++timed;
  };
  std::printf("%s\n\n", describe(device).c_str());
  std::printf(
      "Rates count a product's multiplications and additions; else the bytes of inputs and output, and\n"
      "backward those of the inputs' gradients too.\n\n%-46s %5s %9s %9s %8s %8s %-7s inputs\n",
      message("A step of ", config.name, ", batch ", config.batch).c_str(), "calls", "ms fwd", "ms bwd",
      "fwd", "bwd", "");
  for (const Row& row : rows_of_step(config, device)) measure(row, 300);
  std::printf("%-46s %5s %9.4f %9.4f\n\nThe cases of the gradient checks, in f32\n", "calls x time, the sum",
              "", forward, backward);
  for (const tests::OpCase& op : tests::op_cases()) {
    Row row{op.name, 0, {}, op.f};
    for (const tests::Input& input : op.inputs) row.inputs.push_back({input.shape});
    measure(row, 5);
  }
  check(timed > 0, "--filter: no operation's name contains '", options.filter, "'");
  std::printf("\n%d rows timed\n", timed);
}

}  // namespace gradus::benchmark
