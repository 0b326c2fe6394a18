// The first step with gradus. This program prints a tensor, computes a gradient, fits a line to points, and
// draws the tape, which is the record of all operations. The loss is written with the operations of
// autograd/ops.h. Each operation records a rule for its gradient, and backward() runs these rules.
#include <iostream>

#include "autograd/graph.h"
#include "nn/layers.h"
#include "optim/sgd.h"

using namespace gradus;

int main() {
  // A tensor is a block of numbers and a shape: here 2 rows of 3 numbers, one row after the other.
  const Tensor a = Tensor::from(std::vector<float>{1, 2, 3, 4, 5, 6}, {2, 3});
  std::cout << "a =\n" << a << "\n\n";

  // A Variable is a tensor that remembers how it was computed. The gradient of sum x^2 is 2x.
  const Variable x(a, /*requires_grad=*/true);
  sum(x * x).backward();
  std::cout << "d/dx sum x^2 =\n" << x.grad() << "\n\n";

  // Five points on the line y = 2x - 1. The Linear layer y = weight x + bias must find 2 and -1.
  const Variable inputs(Tensor::from(std::vector<float>{-1, 0, 1, 2, 3}, {5, 1}));
  const Variable targets(Tensor::from(std::vector<float>{-3, -1, 1, 3, 5}, {5, 1}));
  nn::Linear line(1, 1);
  line.init(/*seed=*/1);
  optim::Sgd sgd(line.parameters(), {.lr = 0.1});
  const auto mean_squared_error = [&] {
    const Variable error = line(inputs) - targets;  // the tape records each operation
    return mean(error * error);
  };
  for (int step = 1; step <= 100; ++step) {
    sgd.zero_grad();                  // gradients add up until they are cleared
    mean_squared_error().backward();  // runs the rules, from the newest to the oldest
    sgd.step();                       // w -= lr * gradient
  }
  const Variable loss = mean_squared_error();
  std::cout << "mean squared error after 100 steps: " << loss.value().item() << "\n";
  for (const NamedParameter& p : line.parameters())
    std::cout << p.name << " = " << p.variable.value() << "\n";

  // The tape of that loss as text for Graphviz. `dot -Tsvg` turns it into a picture.
  std::cout << "\n";
  write_dot(std::cout, loss, line.parameters());
}
