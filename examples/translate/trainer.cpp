#include "examples/translate/trainer.h"

#include <algorithm>
#include <cmath>
#include <iomanip>
#include <sstream>

#include "examples/translate/model_use.h"
#include "examples/translate/report.h"
#include "tensor/file.h"

namespace gradus::examples {
namespace {

nn::TranslationModel make_model(const TrainOptions& options, const Task& task, Device device) {
  nn::TranslationModel model(options.model(task.tokenizers.source.size(), task.tokenizers.target.size()));
  model.init(options.seed);
  model.to(device);
  return model;
}

}  // namespace

Trainer::Trainer(const TrainOptions& options, RunFolder& folder, Device device, std::ostream& out)
    : options_(options), folder_(folder), out_(out), task_(make_task(options, out)),
      model_(make_model(options, task_, device)),
      criterion_(model_.config().target_vocab, Vocabulary::pad, options.smoothing, options.convention()),
      adam_(model_.parameters(), {.beta2 = 0.98, .eps = 1e-9}), now_{options, task_.tokenizers,
                                                                     task_.data_hash},
      label_floor_(-TargetDistribution::of(options.convention(), options.smoothing,
                                           model_.config().target_vocab, Vocabulary::pad)
                        .negative_entropy()) {
  const int64_t batches = options.epochs * task_.batches_per_epoch;
  if (batches > 0) options_.steps = (batches + options.accumulate - 1) / options.accumulate;
  out_ << model_.parameter_count() << " parameters\n";
  if (options_.steps <= options.warmup)
    out_ << "note: the learning rate rises in all of the " << options_.steps << " steps: --warmup is "
         << options.warmup << "\n";
}

void Trainer::go_on_from(const Checkpoint& checkpoint) {
  const std::string file = folder_.last();
  check(checkpoint.data_hash == task_.data_hash, "train --resume: other data than in ", file,
        ": content hashes ", task_.data_hash, "; there ", checkpoint.data_hash);
  check(checkpoint.tokenizers.source.to_string() == task_.tokenizers.source.to_string() &&
            checkpoint.tokenizers.target.to_string() == task_.tokenizers.target.to_string(),
        "train --resume: the tokenizers learned now are not those of ", file);
  model_.load(checkpoint.weights);
  adam_.load(checkpoint.optimizer);
  check(adam_.state().at("adam.step").item() == checkpoint.step, "train --resume: Adam's step is not ",
        checkpoint.step);
  now_.step = checkpoint.step;
  saved_step_ = checkpoint.step;
  now_.seconds = checkpoint.seconds;
  if (std::filesystem::exists(folder_.best())) now_.best_nll = checkpoint.best_nll;
  out_ << "going on after step " << now_.step << "\n";
}

bool Trainer::run() {
  folder_.remove_leftovers();
  // Before any other checkpoint: wherever a run is killed, there is something to go on from, or nothing.
  if (!std::filesystem::exists(folder_.last())) save(folder_.last());
  folder_.open_log(now_.step);
  bool finished = done() >= options_.steps;
  if (finished)
    out_ << "all is done that was asked for; a larger --steps, --epochs or --max-minutes asks for more\n";
  Progress progress(out_, {.total = options_.steps, .start = done(), .columns = terminal_columns(1)});
  if (now_.step > 0) write_report(progress);  // the run may have been killed before it could
  const double begun = seconds_now() - now_.seconds;
  losses::LossSums since;
  double since_time = seconds_now();
  while (!finished) {
    if (options_.max_minutes > 0) now_.seconds = seconds_now() - begun;
    ++now_.step;
    since += step();
    finished = done() >= options_.steps;
    const bool validates = now_.step % options_.validate_every == 0 || finished;
    if (now_.step % 20 == 0 || validates) {
      show_progress(progress, since, since.tokens() / (seconds_now() - since_time));
      if (validates) validate(progress);
      since = {};
      since_time = seconds_now();
    }
    if (!finished && interrupted()) {
      save(folder_.last());
      progress.say(message("stopped after step ", now_.step));
      return false;
    }
  }
  return true;
}

double Trainer::time_used() const {
  return options_.max_minutes > 0 ? now_.seconds / 60 / options_.max_minutes : 0;
}

int64_t Trainer::done() const {
  return std::max(now_.step, int64_t(std::min(time_used(), 1.) * options_.steps));
}

// The batches of this step: --accumulate of them, or those that are left of the last epoch.
std::vector<Batch> Trainer::next_batches() {
  std::vector<Batch> batches;
  for (int64_t i = 0; i < options_.accumulate; ++i) {
    const int64_t number = (now_.step - 1) * options_.accumulate + i;
    if (options_.epochs > 0 && number >= options_.epochs * task_.batches_per_epoch) break;
    batches.push_back(task_.batch(number));
  }
  return batches;
}

losses::LossSums Trainer::step() {
  adam_.set_lr(options_.learning_rate(now_.step, time_used()));
  const std::vector<Batch> batches = next_batches();
  try {
    const StepResult result = training_step(model_, criterion_, adam_, batches, now_.step, options_.clip);
    gradient_norm_ = result.gradient_norm;
    return result.sums;
  } catch (const NotFinite& error) {
    explain_anomaly(error.gradient_norm, batches);
  } catch (const std::runtime_error& error) {  // of the machine: no memory is left, or a kernel failed
    throw std::runtime_error(message("train: step ", now_.step, ": ", error.what(), ". ", what_is_kept()));
  }
}

// The step that went wrong once more, with a look at every result: all random numbers have names, so it goes
// wrong in the same place. The weights are still those before the step.
void Trainer::explain_anomaly(double norm, std::span<const Batch> batches) {
  std::string cause =
      message("no single result is, but the gradient's norm is ", norm, ": training diverges");
  try {
    const AnomalyMode anomaly_mode;
    adam_.zero_grad();
    add_gradients(model_, criterion_, batches);
  } catch (const std::runtime_error& error) {
    cause = error.what();
  }
  throw std::runtime_error(message("train: the loss or gradient of step ", now_.step,
                                   " is not finite; the step was not made. ", cause,
                                   ". A lower --lr may help. ", what_is_kept()));
}

std::string Trainer::what_is_kept() const {
  const bool best = std::filesystem::exists(folder_.best());
  if (best || saved_step_ > 0)
    return "What was learned before is kept: " + (best ? folder_.best() : folder_.last());
  return "Nothing that was learned is saved yet; to begin anew, name another --out";
}

void Trainer::show_progress(Progress& progress, const losses::LossSums& sums, double tokens_per_second) {
  progress.update(done(),
                  message(std::fixed, std::setprecision(4), "loss ", sums.mean_smoothed(), " (",
                          sums.mean_smoothed() - label_floor_, " above its floor)  nll ", sums.mean_nll(),
                          std::setprecision(2), "  ppl ", sums.perplexity(), std::setprecision(1), "  acc ",
                          100 * sums.accuracy(), "%  ", int64_t(tokens_per_second), " tok/s"));
  JsonLine line = log_line("train", sums);
  folder_.write(line.add("gradient_norm", gradient_norm_).add("tokens_per_second", tokens_per_second));
}

void Trainer::validate(Progress& progress) {
  const HeldOut& held_out = task_.validation;
  const losses::LossSums sums = loss_of(model_, criterion_, held_out.pairs, options_.batch_tokens);
  std::ostringstream line;
  line << std::fixed << std::setprecision(4) << "step " << now_.step << ": on held-out sentences nll "
       << sums.mean_nll();
  if (held_out.floor > 0)
    line << " (floor " << held_out.floor << ", smoothed optimum " << held_out.smoothed_floor << ")";
  line << ", accuracy " << std::setprecision(1) << 100 * sums.accuracy() << "%";
  progress.say(line.str());
  check_world(std::isfinite(sums.mean_nll()), "train: the held-out nll after step ", now_.step, " is ",
              sums.mean_nll(), ": training diverges, and nothing was saved of it. ", what_is_kept());
  folder_.write(log_line("valid", sums));
  log_samples();
  if (sums.mean_nll() < now_.best_nll) {
    now_.best_nll = sums.mean_nll();
    save(folder_.best());
  }
  save(folder_.last());  // after the other: from here a killed run goes on
  write_report(progress);
}

void Trainer::log_samples() {
  const std::vector<IdPair> pairs = shown_pairs(task_.validation);
  const auto& [source, target] = task_.tokenizers;
  const std::vector<std::string> said = translate_all(model_, target, pairs, {.beam = 1});
  for (size_t i = 0; i < pairs.size(); ++i) {
    JsonLine line;
    line.add("kind", "sample").add("step", now_.step).add("sample", i);
    line.add("source", source.decode(pairs[i].source)).add("reference", target.decode(pairs[i].target));
    folder_.write(line.add("translation", said[i]));
  }
}

void Trainer::write_report(Progress& progress) {  // no run ends because of its report
  try {
    atomic_write_file(folder_.report_file(), report_page(folder_.log(), now_.options.dump(), task_, model_));
  } catch (const std::exception& error) {
    progress.say(message("warning: ", folder_.report_file(), " is not written: ", error.what()));
  }
}

JsonLine Trainer::log_line(const char* kind, const losses::LossSums& sums) const {
  JsonLine line;
  line.add("kind", kind).add("step", now_.step).add("loss", sums.mean_smoothed());
  line.add("loss_above_floor", sums.mean_smoothed() - label_floor_).add("nll", sums.mean_nll());
  line.add("perplexity", sums.perplexity()).add("accuracy", sums.accuracy()).add("lr", adam_.lr());
  return line;
}

void Trainer::save(const std::string& file) {
  now_.weights = model_.state();
  now_.optimizer = adam_.state();
  save_checkpoint(file, now_);
  saved_step_ = now_.step;
}

}  // namespace gradus::examples
