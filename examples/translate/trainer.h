// The training loop of `translate train`: steps, validations, checkpoints, the log and the report. What it
// does at a step follows from the options and the step alone, so a run that is stopped, or killed, and goes
// on ends in the same bytes.
#pragma once

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iomanip>
#include <optional>
#include <regex>
#include <sstream>

#include "examples/support/program.h"
#include "examples/support/text.h"
#include "examples/translate/commands.h"
#include "optim/adam.h"
#include "tensor/safetensors.h"

namespace gradus::examples {

// The names of the files that training writes, as a regular expression. It touches no others, but for the
// temporary ones of atomic_write_file.
inline const std::string kOwnNames =
    R"(((best|last|average|step-[0-9]+)\.safetensors|log\.jsonl|report\.html))";

// The names in a folder that match, in order; none where there is no such folder.
inline std::vector<std::string> names_in(const std::filesystem::path& folder, const std::string& expression) {
  const std::regex pattern(expression);
  std::vector<std::string> names;
  std::error_code no_folder;
  for (const auto& file : std::filesystem::directory_iterator(folder, no_folder))
    if (const std::string name = file.path().filename(); std::regex_match(name, pattern))
      names.push_back(name);
  std::ranges::sort(names);
  return names;
}

class Trainer {
 public:
  Trainer(const TrainOptions& options, Device device, std::ostream& out)
      : options_(options), out_(out), task_(make_task(options, out)),
        model_(options.model(task_.tokenizers.source.size(), task_.tokenizers.target.size())),
        criterion_(model_.config().target_vocab, Vocabulary::pad, options.smoothing, options.convention(),
                   Reduction::sum),
        now_{options, task_.tokenizers, task_.data_hash} {
    const int64_t batches = options.epochs * task_.batches_per_epoch, k = options.accumulate;
    if (batches > 0) options_.steps = (batches + k - 1) / k;
    model_.init(options.seed);
    model_.to(device);
    adam_.emplace(model_.parameters(), optim::AdamOptions{.beta2 = 0.98, .eps = 1e-9});
    label_floor_ = -TargetDistribution::of(options.convention(), options.smoothing,
                                           model_.config().target_vocab, Vocabulary::pad)
                        .negative_entropy();
    out_ << model_.parameter_count() << " parameters\n";
    if (options_.steps <= options.warmup)
      out_ << "note: the learning rate rises in all of the " << options_.steps << " steps: --warmup is "
           << options.warmup << "\n";
  }

  void go_on_from(const Checkpoint& c) {
    check(c.data_hash == task_.data_hash, "train --resume: other data than in ", path("last.safetensors"),
          ": content hashes ", task_.data_hash, "; there ", c.data_hash);
    check(c.tokenizers.source.to_string() == task_.tokenizers.source.to_string() &&
              c.tokenizers.target.to_string() == task_.tokenizers.target.to_string(),
          "train --resume: the tokenizers learned now are not those of ", path("last.safetensors"));
    model_.load(c.weights);
    adam_->load(c.optimizer);
    check(adam_->state().at("adam.step").item() == c.step, "train --resume: Adam's step is not ", c.step);
    now_.step = saved_ = c.step, now_.seconds = c.seconds;
    if (std::filesystem::exists(path("best.safetensors"))) now_.best_nll = c.best_nll;
    out_ << "going on after step " << now_.step << "\n";
  }

  // False if it was interrupted; what was learned is saved then, too.
  bool run() {
    remove_leftovers();
    // Before any other file: wherever a run is killed, there is something to go on from, or nothing at all.
    if (!std::filesystem::exists(path("last.safetensors"))) save(path("last.safetensors"));
    open_log();
    bool last = done() >= options_.steps;
    if (last)
      out_ << "all is done that was asked for; a larger --steps, --epochs or --max-minutes asks for more\n";
    Progress progress(out_, {.total = options_.steps, .start = done(), .columns = terminal_columns(1)});
    if (now_.step > 0) write_report(progress);  // it may have been killed before it could
    const double begun = seconds_now() - now_.seconds;
    losses::LossSums since;
    double since_time = seconds_now();
    while (!last) {
      if (options_.max_minutes > 0) now_.seconds = seconds_now() - begun;
      ++now_.step;
      since += train_step();
      last = done() >= options_.steps;
      const bool validates = now_.step % options_.validate_every == 0 || last;
      if (now_.step % 20 == 0 || validates) {
        report(progress, since, since.tokens() / (seconds_now() - since_time));
        if (validates) validate(progress);
        since = {};
        since_time = seconds_now();
      }
      if (last || !interrupted()) continue;
      save(path("last.safetensors"));
      progress.say(message("stopped after step ", now_.step));
      return false;
    }
    if (options_.average > 0) average(progress);
    return true;
  }

 private:
  std::string path(const std::string& name) const { return std::filesystem::path(options_.out) / name; }

  double time_used() const { return options_.max_minutes > 0 ? now_.seconds / 60 / options_.max_minutes : 0; }

  // Steps made, or as many as the share of --max-minutes that is gone, whichever is nearer to the end.
  int64_t done() const { return std::max(now_.step, int64_t(std::min(time_used(), 1.) * options_.steps)); }

  // What killed runs left half written: see atomic_write_file.
  void remove_leftovers() {
    for (const std::string& name : names_in(options_.out, kOwnNames + R"(\.tmp\.[0-9]+)"))
      if (std::filesystem::is_regular_file(path(name))) std::filesystem::remove(path(name));
  }

  // The log of a run that goes on holds what was before its checkpoint, once.
  void open_log() {
    std::string kept;
    if (std::filesystem::exists(path("log.jsonl"))) {
      std::ifstream before(path("log.jsonl"));
      for (std::string line; std::getline(before, line);)
        if (const auto step = json_number(line, "step"); step && *step <= now_.step && line.ends_with('}'))
          kept += line + '\n', logged_.push_back(line);
      check_world(before.eof(), "train --resume: ", path("log.jsonl"),
                  ", the history of this run, cannot be read; make it readable, or move it away");
    }
    atomic_write_file(path("log.jsonl"), kept);
    log_.open(path("log.jsonl"), std::ios::app);
  }

  // The losses of a step's batches, summed; their gradients, divided by the tokens of all, go to the
  // parameters.
  losses::LossSums losses_of_step() {
    std::vector<Batch> batches;
    double tokens = 0;
    for (int64_t i = 0; i < options_.accumulate; ++i) {
      const int64_t number = (now_.step - 1) * options_.accumulate + i;
      if (options_.epochs > 0 && number >= options_.epochs * task_.batches_per_epoch) break;
      batches.push_back(task_.batch(number));
      tokens += batches.back().target_tokens;
    }
    model_.generator().set_step(now_.step);
    losses::LossSums sums;
    for (const Batch& b : batches) {
      const auto out = criterion_(model_(b.source, b.source_lengths, b.target, b.target_lengths), b.target);
      out.loss.backward(Tensor::full({}, 1 / tokens));
      sums += out.sums;
    }
    return sums;
  }

  losses::LossSums train_step() {
    adam_->set_lr(options_.learning_rate(now_.step, time_used()));
    losses::LossSums sums;
    try {
      adam_->zero_grad();
      sums = losses_of_step();
      gradient_norm_ = adam_->clip_gradients(options_.clip).item();
    } catch (const std::runtime_error& error) {  // of the machine: no memory is left, or a kernel failed
      throw std::runtime_error(message("train: step ", now_.step, ": ", error.what(), ". ", what_is_kept()));
    }
    if (!std::isfinite(gradient_norm_) || !std::isfinite(sums.smoothed())) explain_anomaly(gradient_norm_);
    adam_->step();
    return sums;
  }

  // The step that went wrong once more, with a look at every result: all random numbers have names, so it
  // goes wrong in the same place. The weights are still those before the step.
  [[noreturn]] void explain_anomaly(double norm) {
    std::string cause =
        message("no single result is, but the gradient's norm is ", norm, ": training diverges");
    try {
      const AnomalyMode anomaly_mode;
      adam_->zero_grad();
      losses_of_step();
    } catch (const std::runtime_error& error) {
      cause = error.what();
    }
    throw std::runtime_error(message("train: the loss or gradient of step ", now_.step,
                                     " is not finite; the step was not made. ", cause,
                                     ". A lower --lr may help. ", what_is_kept()));
  }

  std::string what_is_kept() const {
    const bool best = std::filesystem::exists(path("best.safetensors"));
    if (best || saved_ > 0)
      return "What was learned before is kept: " + path(best ? "best.safetensors" : "last.safetensors");
    return "Nothing that was learned is saved yet; to begin anew, name another --out";
  }

  void report(Progress& progress, const losses::LossSums& s, double tokens_per_second) {
    progress.update(done(),
                    message(std::fixed, std::setprecision(4), "loss ", s.mean_smoothed(), " (",
                            s.mean_smoothed() - label_floor_, " above its floor)  nll ", s.mean_nll(),
                            std::setprecision(2), "  ppl ", s.perplexity(), std::setprecision(1), "  acc ",
                            100 * s.accuracy(), "%  ", int64_t(tokens_per_second), " tok/s"));
    JsonLine line = log_line("train", s);
    write_line(line.add("gradient_norm", gradient_norm_).add("tokens_per_second", tokens_per_second));
  }

  losses::LossSums validation_loss(Progress& progress, const std::string& of) {
    const auto& [pairs, text, floor, smoothed_floor] = task_.validation;
    const losses::LossSums s = loss_of(model_, criterion_, pairs, options_.batch_tokens);
    std::ostringstream line;
    line << std::fixed << std::setprecision(4) << of << ": on held-out sentences nll " << s.mean_nll();
    if (floor > 0) line << " (floor " << floor << ", smoothed optimum " << smoothed_floor << ")";
    line << ", accuracy " << std::setprecision(1) << 100 * s.accuracy() << "%";
    progress.say(line.str());
    return s;
  }

  std::string step_file(int64_t step) const { return path("step-" + std::to_string(step) + ".safetensors"); }

  void validate(Progress& progress) {
    const losses::LossSums s = validation_loss(progress, message("step ", now_.step));
    check_world(std::isfinite(s.mean_nll()), "train: the held-out nll after step ", now_.step, " is ",
                s.mean_nll(), ": training diverges, and nothing was saved of it. ", what_is_kept());
    write_line(log_line("valid", s));
    log_samples();
    const bool best = s.mean_nll() < now_.best_nll;
    if (best) now_.best_nll = s.mean_nll();
    if (options_.average > 0) {
      save(step_file(now_.step), /*optimizer=*/false);
      const int64_t every = options_.validate_every;
      std::filesystem::remove(step_file((now_.step - 1) / every * every - (options_.average - 1) * every));
    }
    if (best) save(path("best.safetensors"));
    save(path("last.safetensors"));  // after the others: from here a killed run goes on
    write_report(progress);
  }

  void log_samples() {
    const std::vector<IdPair> pairs = shown_pairs(task_.validation);
    const auto& [source, target] = task_.tokenizers;
    const std::vector<std::string> said = translate_all(model_, target, pairs, /*beam=*/1, 0.6);
    for (size_t i = 0; i < pairs.size(); ++i) {
      JsonLine line;
      line.add("kind", "sample").add("step", now_.step).add("source", source.decode(pairs[i].source));
      line.add("reference", target.decode(pairs[i].target)).add("translation", said[i]);
      write_line(line);
    }
  }

  void write_report(Progress& progress) {  // no run ends because of its report
    try {
      atomic_write_file(path("report.html"), report_page(logged_, now_.options.dump(), task_, model_));
    } catch (const std::exception& error) {
      progress.say(message("warning: ", path("report.html"), " is not written: ", error.what()));
    }
  }

  // The last step need not be a multiple of --validate-every; those before it are. Those that somebody took
  // away do not count.
  void average(Progress& progress) {
    std::vector<std::string> files;
    const int64_t every = options_.validate_every;
    for (int64_t step = now_.step, n = 0; step > 0 && n < options_.average;
         step = (step - 1) / every * every, ++n)
      if (std::filesystem::exists(step_file(step))) files.push_back(step_file(step));
    if (files.empty()) return progress.say("no checkpoint is left to take the mean of");
    std::ranges::reverse(files);
    const Checkpoint mean = average_of(files);
    model_.load(mean.weights);
    validation_loss(progress, message("mean of ", files.size(), " checkpoints"));
    save_checkpoint(path("average.safetensors"), mean);
  }

  void save(const std::string& file, bool optimizer = true) {
    now_.weights = model_.state();
    now_.optimizer = optimizer ? adam_->state() : std::map<std::string, Tensor>();
    save_checkpoint(file, now_);
    saved_ = now_.step;
  }

  JsonLine log_line(const char* kind, const losses::LossSums& s) const {
    JsonLine line;
    line.add("kind", kind).add("step", now_.step).add("loss", s.mean_smoothed());
    line.add("loss_above_floor", s.mean_smoothed() - label_floor_).add("nll", s.mean_nll());
    line.add("perplexity", s.perplexity()).add("accuracy", s.accuracy()).add("lr", adam_->lr());
    return line;
  }

  void write_line(const JsonLine& line) {
    logged_.push_back(line.str());
    log_ << logged_.back() << std::endl;
    check_world(log_.good(), "train: cannot write ", path("log.jsonl"));
  }

  TrainOptions options_;
  std::ostream& out_;
  Task task_;
  nn::TranslationModel model_;
  losses::TranslationLoss criterion_;
  Checkpoint now_;     // as it would be saved now, but for the tensors
  int64_t saved_ = 0;  // the step of the newest checkpoint
  std::optional<optim::Adam> adam_;
  std::ofstream log_;
  std::vector<std::string> logged_;  // its lines
  double label_floor_ = 0, gradient_norm_ = 0;
};

}  // namespace gradus::examples
