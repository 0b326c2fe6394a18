// p = (1/2, 1/4, 1/8, 1/8) has ln p = -(1, 2, 3, 3) ln 2 and H = 1.75 ln 2, so everything follows on paper.
#include "confidence_penalty.h"

#include "grader.h"
using namespace gradus;
using namespace gradus::exercises;

int main() {
  Grader grader("confidence penalty");
  const double ln2 = std::log(2.);
  const Numbers z = {-1 * ln2, -2 * ln2, -3 * ln2, -3 * ln2};
  const auto logits_of = [&](int rows, DType dtype = DType::f64) {
    Numbers values;
    for (int r = 0; r < rows; ++r)
      for (const double x : z) values.push_back(x + r);  // a constant added to a row changes nothing
    return Variable(Tensor::from(values, {rows, 4}).to(dtype), /*requires_grad=*/true);
  };
  const auto with_pad_row = [&] {  // the second, whose entropy is another one, and has a gradient
    Numbers values = z;
    values.insert(values.end(), {0, 1, 2, 0});
    return Variable(Tensor::from(values, {2, 4}), /*requires_grad=*/true);
  };
  const auto ids = [](const std::vector<int32_t>& y) {
    return Tensor::from(y, {static_cast<int64_t>(y.size())});
  };
  const auto loss = [](const Variable& logits, const Tensor& target, double beta, int32_t pad_id = -1) {
    return Numbers{confidence_penalty(logits, target, beta, pad_id).value().item()};
  };
  const auto gradient = [](const Variable& logits, const Tensor& target, double beta, int32_t pad_id = -1) {
    confidence_penalty(logits, target, beta, pad_id).backward();
    return logits.grad().to(DType::f64).to_vector<double>();
  };

  grader.expect(
      "beta = 0 is plain cross-entropy",
      [&] {
        return loss(logits_of(2), ids({0, 2}), 0);
      },
      {2 * ln2}, "with beta = 0 only the mean of -ln p_y is left");
  grader.expect(
      "loss of p = (1/2, 1/4, 1/8, 1/8), y = 0, beta = 1", [&] { return loss(logits_of(1), ids({0}), 1); },
      {ln2 - 1.75 * ln2}, "-ln p_y is ln 2, H is 1.75 ln 2, and H is subtracted: a sure p pays");
  grader.expect(
      "loss of equal logits, V = 4, beta = 0.5",
      [&] {
        return loss(Variable(Tensor::zeros({3, 4}, DType::f64)), ids({1, 2, 3}), 0.5);
      },
      {ln2},
      "nll and H are both ln 4 in every row, so L = (1 - beta) ln 4; divide by the rows, not by rows x V");
  grader.expect(
      "gradient, y = 0, beta = 1", [&] { return gradient(logits_of(1), ids({0}), 1); },
      {-0.5 + 0.375 * ln2, 0.25 - 0.0625 * ln2, 0.125 - 0.15625 * ln2, 0.125 - 0.15625 * ln2},
      "p - onehot + beta p (ln p + H); make H of Variables, so that it is on the tape");
  grader.expect(
      "a pad row does not count",
      [&] {
        return loss(with_pad_row(), ids({0, 3}), 1, /*pad_id=*/3);
      },
      {-0.75 * ln2}, "neither its nll nor its H, and the sum is divided by 1, not by 2");
  grader.expect(
      "a pad row has gradient 0",
      [&] {
        const Numbers g = gradient(with_pad_row(), ids({0, 3}), 1, /*pad_id=*/3);
        return Numbers(g.begin() + 4, g.end());
      },
      {0, 0, 0, 0}, "the entropy of a pad row must not be in the sum");
  grader.expect(
      "a batch of padding",
      [&] {
        return loss(logits_of(2), ids({3, 3}), 1, /*pad_id=*/3);
      },
      {0}, "no row counts, so nll and H are both 0; divide by at least 1");
  grader.expect(
      "f32 logits", [&] { return loss(logits_of(1, DType::f32), ids({0}), 1); }, {-0.75 * ln2},
      "make constants in the dtype of the logits: logits.value().dtype()", 1e-6);
  return grader.result();
}
