// The training loop of `translate train`: steps and validations. What it does at a step follows from the
// options and the step alone, so a run that is stopped, or killed, and goes on ends in the same bytes.
#pragma once

#include <ostream>
#include <span>

#include "examples/data/json.h"
#include "examples/program/program.h"
#include "examples/training_step.h"
#include "examples/translate/run_folder.h"
#include "optim/adam.h"

namespace gradus::examples {

class Trainer {
 public:
  Trainer(const TrainOptions& options, RunFolder& folder, Device device, std::ostream& out);

  void go_on_from(const Checkpoint& checkpoint);
  // False if it was interrupted. What was learned is saved then, too.
  bool run();

 private:
  double time_used() const;  // the share of --max-minutes that is gone
  int64_t done() const;      // steps made, or the same share of the time, whichever is nearer to the end
  std::vector<Batch> next_batches();
  losses::LossSums step();
  [[noreturn]] void explain_anomaly(double norm, std::span<const Batch> batches);
  std::string what_is_kept() const;

  void show_progress(Progress& progress, const losses::LossSums& sums, double tokens_per_second);
  void validate(Progress& progress);
  void log_samples();
  void write_report(Progress& progress);
  JsonLine log_line(const char* kind, const losses::LossSums& sums) const;
  void save(const std::string& file);

  TrainOptions options_;
  RunFolder& folder_;
  std::ostream& out_;
  Task task_;
  nn::TranslationModel model_;
  losses::TranslationLoss criterion_;
  optim::Adam adam_;
  Checkpoint now_;          // as it would be saved now, except for the tensors
  int64_t saved_step_ = 0;  // of the newest checkpoint
  double label_floor_;      // the least loss that smoothed labels allow
  double gradient_norm_ = 0;
};

}  // namespace gradus::examples
