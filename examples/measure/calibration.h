// Does a model know how sure it may be? Of each predicted token a few numbers are kept, and from them follow
// the reliability diagram and the usual scores. Everything is per token, given the words before it: of the
// reference (teacher-forced), or of what the model itself has said (free-running). It knows no model and no
// file: it takes rows of logits.
#pragma once

#include <span>
#include <vector>

#include "tensor/tensor.h"

namespace gradus::examples {

struct TokenPrediction {
  double confidence;  // the largest p; of equal ones the first is the prediction
  double entropy;
  double target_log_p;  // ln p of the right token
  double brier;         // sum_j (p_j - [j = right])^2: 0 to 2
  int32_t target, predicted;
  bool correct() const { return target == predicted; }
};

// p = softmax(logits / temperature). logits [.., V], real; targets: one for each row, of which those equal to
// `ignored` (padding) are left out. A target outside [0, V) is not refused but never right: free-running
// output may be longer than its reference. Its ln p is -infinity.
std::vector<TokenPrediction> predictions(const Tensor& logits, std::span<const int32_t> targets,
                                         int32_t ignored, double temperature = 1);

struct ReliabilityBin {
  int64_t count = 0;                    // of tokens
  double confidence = 0, accuracy = 0;  // their means, 0 of none
};

struct Calibration {
  std::vector<ReliabilityBin> bins;
  int64_t tokens = 0;
  // Means over tokens; all 0 of none. ece = sum_b count_b / tokens |accuracy_b - confidence_b| (Guo et al.
  // 2017); nll is - ln p of the target, whatever the model was trained with.
  double ece = 0, brier = 0, nll = 0, accuracy = 0, confidence = 0, entropy = 0;
};
Calibration calibration(std::span<const TokenPrediction> tokens, int64_t bins = 15);

// The temperature in [0.05, 20] with the least nll of the targets that are not `ignored`: fit it on
// validation data, never on those that are measured.
double fit_temperature(const Tensor& logits, std::span<const int32_t> targets, int32_t ignored);

}  // namespace gradus::examples
