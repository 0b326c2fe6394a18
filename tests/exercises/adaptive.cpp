#include "adaptive.h"

#include "grader.h"
#include "losses/label_smoothing.h"
using namespace gradus;
using namespace gradus::exercises;

namespace {

// Trains the logits of three rows towards their targets, with the smoothing that the trigger asks for.
// Returns the first and the last eps.
Numbers train_with_trigger() {
  Variable logits(Tensor::zeros({3, 4}, DType::f64), /*requires_grad=*/true);
  const Tensor target = Tensor::from(std::vector<int32_t>{1, 2, 3}, {3});
  losses::LabelSmoothingCrossEntropy criterion(0, /*pad_id=*/-1);
  ConfidenceTriggered trigger(/*last=*/0.1, /*threshold=*/0.5);
  Numbers eps;
  for (int step = 1; step <= 400; ++step) {
    const Numbers p = softmax(logits.value()).to_vector<double>();
    double confidence = 0;
    for (size_t row = 0; row < 3; ++row) confidence += *std::max_element(&p[4 * row], &p[4 * row] + 4) / 3;
    eps.push_back(trigger.update(confidence));
    criterion.set_smoothing(eps.back());
    logits.zero_grad();
    criterion(logits, target).backward();
    add_to(logits.value(), logits.grad() * -1.);
  }
  return {eps.front(), eps.back()};
}

}  // namespace

int main() {
  Grader grader("adaptive smoothing");
  grader.expect(
      "linear: steps 1, 25, 50, 100 of 100, last = 0.2",
      [] {
        Numbers eps;
        for (const double step : {1, 25, 50, 100}) eps.push_back(linear_smoothing(step, 100, 0.2));
        return eps;
      },
      {0.002, 0.05, 0.1, 0.2}, "last times step / total");
  grader.expect(
      "linear: step 101 of 100", [] { return Numbers{linear_smoothing(101, 100, 0.2)}; }, {0.2},
      "r is at most 1; eps must not go on growing");
  grader.expect(
      "cosine: steps 25, 50, 75, 100 of 100, last = 0.2",
      [] {
        Numbers eps;
        for (const double step : {25, 50, 75, 100}) eps.push_back(cosine_smoothing(step, 100, 0.2));
        return eps;
      },
      {0.1 - 0.1 * std::sqrt(0.5), 0.1, 0.1 + 0.1 * std::sqrt(0.5), 0.2},
      "last (1 - cos(pi r)) / 2: slow, fast, slow");
  grader.expect(
      "cosine: step 150 of 100", [] { return Numbers{cosine_smoothing(150, 100, 0.2)}; }, {0.2},
      "clamp r before you take the cosine, or eps falls again");
  grader.expect(
      "triggered: one batch of confidence 0.9, threshold 0.05",
      [] { return Numbers{ConfidenceTriggered(0.1, 0.05).update(0.9)}; }, {0.1 * 0.04 / 0.95},
      "c was 0 and is now 0.1 * 0.9; keep it in a member");
  grader.expect(
      "triggered: below the threshold", [] { return Numbers{ConfidenceTriggered(0.1, 0.5).update(1)}; }, {0},
      "c is 0.1 after one batch: not yet sure, so eps is 0 and not negative");
  grader.expect(
      "triggered: two batches of confidence 1, threshold 0",
      [] {
        ConfidenceTriggered trigger(0.1, 0);
        const double first = trigger.update(1);
        return Numbers{first, trigger.update(1)};
      },
      {0.01, 0.019}, "c <- 0.9 c + 0.1: c is 0.1, then 0.19");
  // In the end the loss's optimum, p_y = 1 - eps + eps / 4, is the confidence: eps = 0.1 (1 - 3 eps / 4 -
  // 0.5) / 0.5.
  grader.expect(
      "triggered: the first and the last eps of a training run", train_with_trigger, {0, 0.1 / 1.15},
      "the loop calls update() once a step; c follows the model's confidence, and eps follows c", 1e-3);
  return grader.result();
}
