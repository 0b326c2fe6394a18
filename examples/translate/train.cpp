#include <cmath>
#include <filesystem>
#include <fstream>
#include <iomanip>
#include <iostream>

#include "examples/support/json_line.h"
#include "examples/support/progress.h"
#include "examples/support/text.h"
#include "examples/translate/commands.h"
#include "optim/adam.h"

namespace gradus::examples {
namespace {

std::string fixed(double value, int digits) {
  std::ostringstream out;
  out << std::fixed << std::setprecision(digits) << value;
  return out.str();
}

class Trainer {
 public:
  Trainer(const TrainOptions& options, std::string options_text, std::ostream& out)
      : options_(options), options_text_(std::move(options_text)), out_(out), task_(make_task(options, out)),
        model_(options.model(task_->source_vocabulary().size(), task_->target_vocabulary().size())),
        criterion_(task_->target_vocabulary().size(), Vocabulary::pad, options.smoothing,
                   options.convention()) {
    model_.init(static_cast<uint64_t>(options.seed));
    adam_.emplace(model_.parameters(), optim::AdamOptions{.beta2 = 0.98, .eps = 1e-9});
    const TargetDistribution q = TargetDistribution::of(options.convention(), options.smoothing,
                                                        task_->target_vocabulary().size(), Vocabulary::pad);
    label_floor_ = -q.negative_entropy();
    std::error_code error;
    std::filesystem::create_directories(options.out, error);
    log_.open(path("log.jsonl"));
    check_world(!error && log_.good(), "train: cannot write ", path("log.jsonl"),
                error ? ": " + error.message() : "");
    out_ << model_.parameter_count() << " parameters\n";
  }

  void run() {
    Progress progress(out_, {.total = options_.steps, .columns = terminal_columns(1)});
    const double begun = seconds_now();
    losses::LossSums since;
    double since_time = seconds_now();
    for (int64_t step = 1; step <= options_.steps; ++step) {
      const double minutes = (seconds_now() - begun) / 60;
      const double time_used = options_.max_minutes > 0 ? minutes / options_.max_minutes : 0;
      since += train_step(step, time_used, task_->next_batch());
      const bool last = step == options_.steps || time_used >= 1;
      if (step % 20 == 0 || last) {
        const double now = seconds_now();
        report(progress, step, since, since.tokens() / (now - since_time));
        since = {};
        since_time = now;
      }
      if (step % options_.validate_every == 0 || last) validate(progress, step);
      if (last) break;
    }
  }

 private:
  std::string path(const char* name) const { return (std::filesystem::path(options_.out) / name).string(); }

  Variable forward(const TensorBatch& b, losses::LossSums& sums) {
    const losses::TranslationOutput out =
        criterion_(model_(b.source, b.source_lengths, b.target, b.target_lengths), b.target);
    sums = out.sums;
    return out.loss;
  }

  losses::LossSums train_step(int64_t step, double time_used, const TensorBatch& batch) {
    losses::LossSums sums;
    model_.generator().set_step(step);
    adam_->set_lr(options_.learning_rate(step, time_used));
    adam_->zero_grad();
    forward(batch, sums).backward();
    const double norm = adam_->clip_gradients(options_.clip).item();
    if (!std::isfinite(norm) || !std::isfinite(sums.smoothed())) explain_anomaly(step, norm, batch);
    adam_->step();
    return sums;
  }

  // The step that went wrong once more, with a look at every result: all random numbers have names, so it
  // goes wrong in the same place. The weights are still those before the step.
  [[noreturn]] void explain_anomaly(int64_t step, double norm, const TensorBatch& batch) {
    std::string cause =
        message("no single result is, but the gradient's norm is ", norm, ": training diverges");
    try {
      const AnomalyMode anomaly_mode;
      losses::LossSums sums;
      model_.generator().set_step(step);
      forward(batch, sums).backward();
    } catch (const std::runtime_error& error) {
      cause = error.what();
    }
    throw std::runtime_error(
        message("train: the loss or gradient of step ", step, " is not finite; the step was not made. ",
                cause, ". A lower --lr may help. ",
                best_nll_ < INFINITY ? "The best model so far is kept: " + path("best.safetensors")
                                     : "No model was saved yet"));
  }

  void report(Progress& progress, int64_t step, const losses::LossSums& s, double tokens_per_second) {
    progress.update(
        step, message("loss ", fixed(s.mean_smoothed(), 4), " (", fixed(s.mean_smoothed() - label_floor_, 4),
                      " above its floor)  nll ", fixed(s.mean_nll(), 4), "  ppl ", fixed(s.perplexity(), 2),
                      "  acc ", fixed(100 * s.accuracy(), 1), "%  ", static_cast<int64_t>(tokens_per_second),
                      " tok/s"));
    write_log("train", step, s, tokens_per_second);
  }

  void validate(Progress& progress, int64_t step) {
    const HeldOut& held_out = task_->validation();
    const losses::LossSums s = loss_of(model_, criterion_, held_out.pairs, options_.batch_tokens);
    progress.say(message("step ", step, ": on held-out sentences nll ", fixed(s.mean_nll(), 4),
                         held_out.floor > 0
                             ? message(" (floor ", fixed(held_out.floor, 4), ", smoothed optimum ",
                                       fixed(held_out.smoothed_floor, 4), ")")
                             : "",
                         ", accuracy ", fixed(100 * s.accuracy(), 1), "%"));
    write_log("valid", step, s, 0);
    const auto save = [&](const char* name) {
      save_checkpoint(path(name), model_, options_text_, task_->source_vocabulary(),
                      task_->target_vocabulary(), step);
    };
    save("last.safetensors");
    if (s.mean_nll() >= best_nll_) return;
    best_nll_ = s.mean_nll();
    save("best.safetensors");
  }

  void write_log(const char* kind, int64_t step, const losses::LossSums& s, double tokens_per_second) {
    JsonLine line;
    line.add("kind", std::string(kind)).add("step", step).add("loss", s.mean_smoothed());
    line.add("loss_above_floor", s.mean_smoothed() - label_floor_).add("nll", s.mean_nll());
    line.add("perplexity", s.perplexity()).add("accuracy", s.accuracy()).add("lr", adam_->lr());
    if (tokens_per_second > 0) line.add("tokens_per_second", tokens_per_second);
    log_ << line.str() << std::endl;
    check_world(log_.good(), "train: cannot write ", path("log.jsonl"));
  }

  TrainOptions options_;
  std::string options_text_;
  std::ostream& out_;
  std::unique_ptr<Task> task_;
  nn::TranslationModel model_;
  losses::TranslationLoss criterion_;
  std::optional<optim::Adam> adam_;
  std::ofstream log_;
  double label_floor_ = 0, best_nll_ = INFINITY;
};

}  // namespace

int train_command(std::span<const std::string> arguments) {
  TrainOptions settings;
  Options options("translate train (--toy | --source FILE --target FILE) [options]",
                  "Trains a Transformer to translate, and keeps the best model in DIR/best.safetensors.");
  settings.declare(options);
  if (answered(options, options.parse(arguments))) return 0;
  if (settings.threads > 0) set_num_threads(static_cast<int>(settings.threads));
  std::cout << describe(Device::cpu) << "\n";
  Trainer(settings, options.dump(), std::cout).run();
  const std::string model = (std::filesystem::path(settings.out) / "best.safetensors").string();
  std::cout << "\nTo translate:  translate translate --model " << model
            << "\nTo measure:    translate evaluate --model " << model
            << (settings.toy ? "" : " --source FILE --target FILE") << "\n";
  return 0;
}

}  // namespace gradus::examples
