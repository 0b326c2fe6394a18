// One training step of a translation model. Every program here that trains one takes this step:
// tiny_translator, `translate train` and the lab.
#pragma once

#include <cmath>
#include <span>
#include <stdexcept>

#include "examples/data/batch.h"
#include "losses/translation_loss.h"
#include "nn/translation_model.h"
#include "optim/optimizer.h"
#include "tensor/error.h"

namespace gradus::examples {

// For each target position the logits of the next word, given the words before it: [B, T - 1, V].
inline Variable logits_of(nn::TranslationModel& model, const Batch& batch) {
  return model(batch.source, batch.source_lengths, batch.target, batch.target_lengths);
}

// Adds to the parameters' gradients that of the mean loss over all target tokens of `batches`: several
// batches act like one large batch, but only one at a time is in memory.
// `criterion(logits, target)` returns the batch's mean loss and its sums.
template <class Criterion>
losses::LossSums add_gradients(nn::TranslationModel& model, const Criterion& criterion,
                               std::span<const Batch> batches) {
  double tokens = 0;
  for (const Batch& batch : batches) tokens += static_cast<double>(batch.target_tokens);
  losses::LossSums sums;
  for (const Batch& batch : batches) {
    const auto output = criterion(logits_of(model, batch), batch.target);
    const double share = static_cast<double>(batch.target_tokens) / tokens;
    output.loss.backward(Tensor::full({}, share));
    sums += output.sums;
  }
  return sums;
}

struct StepResult {
  losses::LossSums sums;
  double gradient_norm = 0;  // before clipping
};

// Thrown by training_step in place of an update that would spoil the weights.
struct NotFinite : std::runtime_error {
  explicit NotFinite(const StepResult& result)
      : std::runtime_error(message("training_step: expected a finite loss and gradient, got loss ",
                                   result.sums.mean_smoothed(), " and gradient norm ", result.gradient_norm)),
        gradient_norm(result.gradient_norm) {}
  double gradient_norm;
};

// Step number `step`, from 1: gradients, clipping of their norm to `clip`, and the optimiser's update. The
// caller sets the learning rate. `step` names the dropout masks, so that a step can be repeated exactly.
template <class Criterion>
StepResult training_step(nn::TranslationModel& model, const Criterion& criterion, optim::Optimizer& optimizer,
                         std::span<const Batch> batches, int64_t step, double clip) {
  check(!batches.empty(), "training_step: expected at least one batch, got none");
  model.generator().set_step(step);
  optimizer.zero_grad();
  StepResult result;
  result.sums = add_gradients(model, criterion, batches);
  result.gradient_norm = optimizer.clip_gradients(clip).item();
  if (!std::isfinite(result.gradient_norm) || !std::isfinite(result.sums.smoothed())) throw NotFinite(result);
  optimizer.step();
  return result;
}

}  // namespace gradus::examples
