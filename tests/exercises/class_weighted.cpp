// p = (1/2, 1/4, 1/8, 1/8), -ln p = (1, 2, 3, 3) ln 2, V = 4: with eps = 0.4 q is 0.7 on the target and 0.1
// elsewhere. Where closed forms would be long, the library's fused loss is the oracle.
#include "class_weighted.h"

#include "grader.h"
#include "losses/label_smoothing.h"
using namespace gradus;
using namespace gradus::exercises;

int main() {
  Grader grader("class-weighted label smoothing");
  const double ln2 = std::log(2.);
  const auto logits = [&] {
    Numbers z;
    for (const double bits : {1, 2, 3, 3, 3, 3, 2, 1}) z.push_back(-bits * ln2);
    return Variable(Tensor::from(z, {2, 4}), /*requires_grad=*/true);
  };
  const auto ids = [](const std::vector<int32_t>& y) { return Tensor::from(y, {2}); };
  const Tensor weight = Tensor::from(Numbers{2, 1, 4, 3}, {4}), ones = Tensor::full({4}, 1, DType::f64);
  const auto loss = [&](const Tensor& y, const Tensor& w, double eps, ClassWeights meaning,
                        int32_t pad_id = -1) {
    return Numbers{class_weighted(logits(), y, w, eps, meaning, pad_id).value().item()};
  };
  const Tensor y = ids({0, 1});  // with pad id 1 one row counts
  const double smoothed = losses::LabelSmoothingCrossEntropy(0.4, -1)(logits(), y).value().item(),
               hard = losses::CrossEntropy({.class_weight = weight})(logits(), y).value().item();

  for (const ClassWeights meaning : {ClassWeights::per_target, ClassWeights::per_class}) {
    const std::string name = meaning == ClassWeights::per_target ? "per_target" : "per_class";
    const auto title = [&](const char* what) { return name + ": " + what; };
    grader.expect(
        title("weights of 1"), [&] { return loss(y, ones, 0.4, meaning); }, {smoothed},
        "with all weights 1 both meanings are plain label smoothing");
    grader.expect(
        title("eps = 0"), [&] { return loss(y, weight, 0, meaning); }, {hard},
        "q is onehot: sum of w[y] (-ln p_y) over the rows, divided by the sum of w[y]");
    grader.expect(
        title("a batch of padding"),
        [&] {
          return loss(ids({1, 1}), weight, 0.4, meaning, 1);
        },
        {0}, "W is 0: give 0, do not divide by it");
  }
  // Row 0: -sum q ln p = (0.7 * 1 + 0.1 * (2 + 3 + 3)) ln 2 = 1.5 ln 2, and the same for row 1 with target 3.
  grader.expect(
      "per_target: eps = 0.4, one row of padding",
      [&] { return loss(y, weight, 0.4, ClassWeights::per_target, 1); }, {1.5 * ln2},
      "one row counts, and W is its w[y]: the weight falls out");
  grader.expect(
      "per_target: two rows",
      [&] {
        return loss(ids({0, 1}), weight, 0.4, ClassWeights::per_target);
      },
      {(2 * 1.5 + 1 * 2.7) / 3 * ln2},
      "each row's smoothed loss (1.5 ln 2 and 2.7 ln 2) times w[y], over W = 3");
  grader.expect(
      "per_class: eps = 0.4, one row of padding",
      [&] { return loss(y, weight, 0.4, ClassWeights::per_class, 1); },
      {(2 * 0.7 * 1 + 1 * 0.1 * 2 + 4 * 0.1 * 3 + 3 * 0.1 * 3) / 2 * ln2},
      "sum_j w_j q_j (-ln p_j), divided by w[y] = 2");
  grader.expect(
      "per_class: gradient, one row of padding",
      [&] {
        const Variable z = logits();
        class_weighted(z, y, weight, 0.4, ClassWeights::per_class, 1).backward();
        return z.grad().to_vector<double>();
      },
      {(2.2 * 0.5 - 1.4) / 2, (2.2 * 0.25 - 0.1) / 2, (2.2 * 0.125 - 0.4) / 2, (2.2 * 0.125 - 0.3) / 2, 0, 0,
       0, 0},
      "(sum of w q) p - w q, divided by W; 0 in the pad row");
  return grader.result();
}
