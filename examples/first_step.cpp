// The first step: a tensor printed, a gradient taken, a line fitted, and the tape drawn. Nothing here is
// hidden: the loss is written out in the operations of autograd/ops.h, and each of them recorded the rule
// that runs in backward().
#include <iostream>

#include "autograd/graph.h"
#include "nn/layers.h"
#include "optim/sgd.h"

using namespace gradus;

int main() {
  // A tensor: numbers in a row-major block, and a shape.
  const Tensor a = Tensor::from(std::vector<float>{1, 2, 3, 4, 5, 6}, {2, 3});
  std::cout << "a =\n" << a << "\n\n";

  // A Variable remembers how it was computed. y = sum x^2 has the gradient 2x.
  const Variable x(a, /*requires_grad=*/true);
  sum(x * x).backward();
  std::cout << "d/dx sum x^2 =\n" << x.grad() << "\n\n";

  // Points on the line y = 2x - 1, and a Linear layer that does not know it.
  const Variable inputs(Tensor::from(std::vector<float>{-1, 0, 1, 2, 3}, {5, 1}));
  const Variable targets(Tensor::from(std::vector<float>{-3, -1, 1, 3, 5}, {5, 1}));
  nn::Linear line(1, 1);
  line.init(/*seed=*/1);
  optim::Sgd sgd(line.parameters(), {.lr = 0.1});
  const auto mean_squared_error = [&] {
    const Variable error = line(inputs) - targets;  // each operation goes onto the tape
    return mean(error * error);
  };
  for (int step = 1; step <= 100; ++step) {
    sgd.zero_grad();                  // gradients add up until they are cleared
    mean_squared_error().backward();  // the rules run, newest first
    sgd.step();                       // w -= lr * gradient
  }
  const Variable loss = mean_squared_error();
  std::cout << "mean squared error after 100 steps: " << loss.value().item() << "\n";
  for (const NamedParameter& p : line.parameters())
    std::cout << p.name << " = " << p.variable.value() << "\n";

  // The tape behind that loss, as Graphviz text: paste it into `dot -Tsvg`.
  std::cout << "\n";
  write_dot(std::cout, loss, line.parameters());
}
