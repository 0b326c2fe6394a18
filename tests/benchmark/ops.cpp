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
  double flops = 0;  // forward; backward has twice as many. 0: the rate is in bytes
  double bytes = 0;  // of inputs, where not all of them are read
};

struct Times {
  double forward = 0, backward = 0;  // ms, medians
  int64_t outputs = 0;               // elements of the result
};

// Repeats until `budget` ms are used, but at least three times; once if it is 0.
Times time_of(const Row& row, double budget) {
  Generator generator(1);
  const Variable leaf(Tensor::zeros({1}), /*requires_grad=*/true);
  std::vector<Tensor> values;
  std::vector<Variable> x;
  for (const In& in : row.inputs) {
    values.push_back(generator.uniform(in.shape, 0.5, 2).to(DType::f32));  // no logarithm is undefined
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
    forward.push_back(milliseconds([&] { y = row.f(x, generator); }));
    x.clear();
    const Tensor dy = Tensor::full(y.shape(), 1);
    backward.push_back(milliseconds([&] { y.backward(dy); }));
    times.outputs = y.shape().numel();
    used += forward.back() + backward.back();
  }
  if (forward.size() > 1) forward.erase(forward.begin()), backward.erase(backward.begin());  // a warm-up
  times.forward = median(forward), times.backward = median(backward);
  return times;
}

Tensor some_ids(int64_t batch, int64_t length, int64_t vocab) {
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < batch * length; ++i) ids.push_back(static_cast<int32_t>(i * 7919 % vocab));
  return Tensor::from(ids, {batch, length});
}

// The operations of one training step, each with its calls.
std::vector<Row> rows_of_step(const Config& c) {
  const int64_t n = c.tokens();
  const Shape x{c.batch, c.length, c.d}, hidden = x.with(-1, c.ff), logits = x.with(-1, c.vocab);
  const auto real = [](int64_t i) { return static_cast<double>(i); };
  const IdColumns ids{some_ids(c.batch, c.length, c.vocab), 0, c.length};
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
    const AttentionSpec spec{c.d, c.heads, causal, Tensor::full({c.batch}, real(c.length), DType::i32), 0.1};
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
  const CrossEntropySpec spec{Smoothing::uniform, Reduction::mean, 0, false,
                              Tensor::full({1}, 0.1, DType::f64)};
  rows.push_back({"cross_entropy", 1, {{logits}}, [=](Inputs v, Generator&) {
                    return cross_entropy(v[0], ids, spec).loss;
                  }});
  rows.push_back({"softmax", 0, {{logits}}, [](Inputs v, Generator&) { return softmax(v[0]); }});
  return rows;
}

void print_rate(const Row& row, const Times& t) {
  if (row.flops > 0)
    return void(
        std::printf(" %8.1f %8.1f GFLOP/s\n", row.flops / t.forward / 1e6, 2 * row.flops / t.backward / 1e6));
  double inputs = row.bytes;
  if (inputs == 0)
    for (const In& in : row.inputs) inputs += static_cast<double>(in.shape.numel()) * 4;
  const double outputs = static_cast<double>(t.outputs) * 4;
  std::printf(" %8.1f %8.1f GB/s\n", (inputs + outputs) / t.forward / 1e6,
              (2 * inputs + outputs) / t.backward / 1e6);
}

}  // namespace

double forward_alone(const Config& config, const std::string& op) {
  double sum = 0;
  for (const Row& row : rows_of_step(config))
    if (row.name.substr(0, row.name.find(':')) == op)
      sum += static_cast<double>(row.calls) * time_of(row, 100).forward;
  return sum;
}

void ops(const Options& options) {
  const Config config = options.model();
  const double budget = options.quick ? 0 : 300;
  const auto wanted = [&](const std::string& name) { return name.find(options.filter) != std::string::npos; };
  std::printf(
      "%s\n\nA step of %s, batch %lld. Rates count the bytes of inputs and output, backward those of the\n"
      "inputs' gradients too; or multiplications and additions.\n\n",
      describe(Device::cpu).c_str(), config.name.c_str(), static_cast<long long>(config.batch));
  std::printf("%-30s %5s %9s %9s %8s %8s\n", "", "calls", "ms fwd", "ms bwd", "fwd", "bwd");
  int timed = 0;
  double forward = 0, backward = 0;
  const auto line = [&](const std::string& name, int64_t calls, const Times& t) {
    std::printf("%-30s %5lld %9.3f %9.3f", name.c_str(), static_cast<long long>(calls), t.forward,
                t.backward);
    forward += static_cast<double>(calls) * t.forward, backward += static_cast<double>(calls) * t.backward;
    ++timed;
  };
  for (const Row& row : rows_of_step(config)) {
    if (!wanted(row.name)) continue;
    const Times t = time_of(row, budget);
    line(row.name, row.calls, t);
    print_rate(row, t);
  }
  if (wanted("adam")) {
    const Variable weights(Tensor::zeros({config.parameters}), /*requires_grad=*/true);
    optim::Adam adam({{"weights", weights}});
    std::vector<double> steps, zeros;
    for (int i = 0; i < (options.quick ? 1 : 20); ++i) {
      zeros.push_back(milliseconds([&] { adam.zero_grad(); }));
      steps.push_back(milliseconds([&] { adam.step(); }));
    }
    const double bytes = static_cast<double>(config.parameters) * 4;
    line("zero_grad", 1, {median(zeros), 0});
    std::printf(" %8.1f %8s GB/s\n", bytes / median(zeros) / 1e6, "");
    line("adam", 1, {median(steps), 0});
    std::printf(" %8.1f %8s GB/s\n", 7 * bytes / median(steps) / 1e6, "");  // reads 4 numbers, writes 3
  }
  std::printf("%-30s %5s %9.3f %9.3f\n\n", "sum of calls x time", "", forward, backward);

  std::printf("The cases of the gradient checks, in f32.\n\n%-45s %10s %10s  %s\n", "", "us fwd", "us bwd",
              "inputs");
  for (const tests::OpCase& op : tests::op_cases()) {
    if (!wanted(op.name)) continue;
    Row row{op.name, 0, {}, op.f};
    for (const tests::Input& input : op.inputs) row.inputs.push_back({input.shape});
    const Times t = time_of(row, std::min(budget, 5.));
    std::printf("%-45s %10.1f %10.1f ", op.name.c_str(), t.forward * 1000, t.backward * 1000);
    for (const In& in : row.inputs) std::printf(" %s", message(in.shape).c_str());
    std::printf("\n");
    ++timed;
  }
  check(timed > 0, "--filter: no operation's name contains '", options.filter, "'");
  std::printf("\n%d rows timed\n", timed);
}

}  // namespace gradus::benchmark
