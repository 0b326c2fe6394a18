#include "autograd/gradcheck.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace gradus {
namespace {

double largest(const std::vector<double>& values) {
  double result = 0;
  for (double v : values) result = std::max(result, std::fabs(v));
  return result;
}

struct Restore {
  double* place;
  double value;
  ~Restore() { *place = value; }
};

}  // namespace

GradcheckReport gradcheck(const std::function<Variable()>& f, const std::vector<NamedParameter>& inputs,
                          Generator* generator) {
  const int64_t step = generator ? generator->step() : 0;
  const auto evaluate = [&] {
    if (generator) generator->set_step(step);
    return f();
  };
  for (const auto& [name, x] : inputs) {
    check(x.value().dtype() == DType::f64, "gradcheck: ", name, " is ", x.value().dtype(), ", expected f64");
    check(x.requires_grad() && x.node()->leaf(), "gradcheck: ", name, " is no leaf made with requires_grad");
    x.zero_grad();
  }
  constexpr double h = 7e-4;
  const Variable output = evaluate();
  const Tensor projection = Generator(20170612).uniform(output.shape(), -1, 1).to(output.value().device());
  double size = 0;  // of what the projection adds up
  for (const double term : (output.value() * projection).to_vector<double>()) size += std::fabs(term);
  const double noise = 100 * std::numeric_limits<double>::epsilon() * std::max(size, 1.) / h;
  check(noise < 1e-5, "gradcheck: the output is of size ", size, ", so slopes below ", noise,
        " are lost in its rounding; scale it, or take away a constant");
  output.backward(projection);
  const auto projected = [&] {
    const NoGrad no_grad;
    return sum(evaluate().value() * projection).item();
  };

  std::vector<std::vector<double>> analytic, numeric;
  for (const NamedParameter& input : inputs) {
    const Variable& x = input.variable;
    analytic.push_back(x.grad().to_vector<double>());
    std::vector<double>& slopes = numeric.emplace_back();
    const Tensor host = x.value().to(Device::cpu);  // on the CPU x itself
    double* value = host.data<double>();
    for (int64_t i = 0; i < host.size(); ++i) {
      const double at = value[i];
      const Restore restore{value + i, at};  // also where f throws
      const auto move = [&](double by) {
        value[i] = at + by;
        if (x.value().device() != Device::cpu) x.value().assign(host);
      };
      const auto moved = [&](double by) {
        move(by);
        return projected();
      };
      const double near = moved(h) - moved(-h), far = moved(2 * h) - moved(-2 * h);
      slopes.push_back((8 * near - far) / (12 * h));
      move(0);
    }
  }

  double overall = 0;
  for (const auto& gradient : analytic) overall = std::max(overall, largest(gradient));
  GradcheckReport report;
  for (size_t input = 0; input < inputs.size(); ++input) {
    const double scale =
        std::max({largest(analytic[input]), largest(numeric[input]), 1e-3 * overall, 1e-300});
    for (size_t i = 0; i < numeric[input].size(); ++i) {
      const double a = analytic[input][i], n = numeric[input][i];
      if (std::fabs(a - n) <= noise) continue;  // false for NaN
      const double error = std::fabs(a - n) / scale;
      if (error <= report.error) continue;  // false for NaN, which must be reported
      report.error = error;
      report.worst = message(inputs[input].name, "[", i, "]: analytic ", a, ", numeric ", n);
      if (!(error >= 0)) return report;
    }
  }
  return report;
}

}  // namespace gradus
