#include "examples/translate/report.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "examples/data/utf8.h"
#include "examples/measure/attention_weights.h"
#include "examples/measure/calibration.h"
#include "examples/page/html.h"
#include "examples/page/reliability.h"
#include "examples/training_step.h"

namespace gradus::examples {
namespace {

using Log = std::vector<JsonFields>;
using svg::Series;

// A field of the lines of one kind against the step, thinned to what a figure can show.
Series curve(const Log& log, const std::string& kind, const std::string& field,
             const std::string& name = "") {
  Series all{name, {}, {}}, thinned = all;
  for (const JsonFields& line : log) {
    const auto step = line.number("step"), value = line.number(field);
    if (line.text("kind") != kind || !step || !value) continue;
    all.x.push_back(*step);
    all.y.push_back(*value);
  }
  const size_t every = all.x.size() / 400 + 1;
  for (size_t i = (all.x.size() + every - 1) % every; i < all.x.size(); i += every) {  // the last one, too
    thinned.x.push_back(all.x[i]);
    thinned.y.push_back(all.y[i]);
  }
  return thinned;
}

std::string figure(const std::string& title, const std::string& unit, std::vector<Series> curves) {
  std::erase_if(curves, [](const Series& s) { return s.x.empty(); });
  if (curves.empty()) return "";
  const svg::Chart chart{title, title + " against the step.", {"step", false, 0.}, {unit, false, 0.}};
  return html::figure(svg::draw(chart, curves), title + ".");
}

// What became of shown pair number `sample`, validation after validation. Pairs may have equal sources.
std::string samples(const Log& log, size_t sample, const std::string& source, const std::string& reference) {
  html::Table table{{"step", source}, {}, {source}};
  for (const JsonFields& line : log)
    if (line.text("kind") == "sample" && line.number("sample") == double(sample))
      table.add(line.number("step").value_or(0), line.text("translation"));
  while (table.rows.size() > 9)  // every other one, but not the last
    for (size_t i = 1; i + 1 < table.rows.size(); ++i) table.rows.erase(table.rows.begin() + i);
  return html::table(table.add("reference", reference));
}

// The first 12 characters.
std::string abbreviated(const std::string& text) {
  size_t bytes = 0, characters = 0;
  for (const CodePoint& point : CodePoints{text}) {
    if (++characters > 12) break;
    bytes += point.bytes.size();
  }
  return text.substr(0, bytes);
}

std::string attention_map(nn::TranslationModel& model, const Tokenizers& tokenizers, const IdPair& pair) {
  const auto words = [](const Tokenizer& tokenizer, const Ids& ids) {
    std::vector<std::string> names;
    for (const int32_t id : ids) names.push_back(abbreviated(tokenizer.decode(std::span(&id, 1))));
    return names;
  };
  const std::vector<std::string> source = words(tokenizers.source, pair.source);
  std::vector<std::string> target = words(tokenizers.target, pair.target);
  target.push_back("(end)");
  const nn::EvalMode eval_mode(model);  // recording: the tape is what is asked
  const Batch b = make_batch({pair});
  const Variable logits = logits_of(model, b);
  const int64_t heads = model.config().transformer.heads;
  // Over heads: [1, T, S].
  const Tensor mean = sum(attention_weights(logits, heads).back(), {1}) * (1. / heads);
  std::vector<double> columns(source.size());
  std::iota(columns.begin(), columns.end(), 0);
  std::vector<Series> map;
  for (const double* row = mean.data<double>(); const std::string& word : target) {
    map.push_back({word, columns, {row, row + columns.size()}, {}, {}, svg::Mark::cells});
    row += columns.size();
  }
  svg::Chart chart{"Attention", "Where the last decoder layer looks as it predicts each token."};
  chart.x = {.label = "looks at", .names = source}, chart.y.label = "to predict";
  return html::figure(svg::draw(chart, map), svg::escape(tokenizers.source.decode(pair.source)));
}

// Of at most 500 held-out pairs, given the words of the reference; the end of sentence also apart.
std::string calibration_of(nn::TranslationModel& model, std::vector<IdPair> pairs) {
  const nn::Evaluating evaluating(model);
  pairs.resize(std::min<size_t>(500, pairs.size()));
  std::vector<TokenPrediction> all, ends;
  for (const BatchPlan& plan : bucketed_batches(pairs, /*tokens=*/1024, 0, 0)) {
    const Batch b = make_batch(pairs, plan);
    const Tensor logits = logits_of(model, b).value();
    const auto tokens = predictions(logits, b.labels().to_vector<int32_t>(), Vocabulary::pad);
    all.insert(all.end(), tokens.begin(), tokens.end());
  }
  // Conditioned on the prediction: only then does a calibrated model have accuracy equal to confidence.
  const auto is_end = [](const TokenPrediction& token) { return token.predicted == Vocabulary::eos; };
  std::ranges::copy_if(all, std::back_inserter(ends), is_end);
  html::Table table{{"of", "tokens", "confidence", "accuracy", "ECE"}};
  const auto percent = [](double share) { return message(std::round(share * 1000) / 10, " %"); };
  const Calibration of_all = calibration(all), of_ends = calibration(ends);
  for (const auto& [name, c] :
       {std::pair("all tokens", of_all), std::pair("predicted ends of sentence", of_ends)})
    table.add(name, c.tokens, percent(c.confidence), percent(c.accuracy), percent(c.ece));
  const svg::Chart chart{
      "Reliability", "Accuracy against confidence, in bins of equal width.", {"confidence"}, {"accuracy"}};
  const std::string caption =
      "Tokens of which the model was equally sure, and how many it had right; dark where it was not sure "
      "enough.";
  return html::figures({html::figure(svg::draw(chart, diagram(of_all.bins)), caption)}) + html::table(table);
}

}  // namespace

std::vector<IdPair> shown_pairs(const HeldOut& held_out) {
  std::vector<IdPair> pairs;
  for (const IdPair& pair : held_out.pairs)
    if (pairs.size() < 3 && positions(pair) <= 13 && pair.source.size() <= 12) pairs.push_back(pair);
  return pairs;
}

std::string report_page(const Log& log, const std::string& options, const Task& task,
                        nn::TranslationModel& model) {
  const double floor = task.validation.floor;
  std::vector<Series> losses{curve(log, "train", "nll", "nll"), curve(log, "valid", "nll", "held-out nll"),
                             curve(log, "train", "loss_above_floor", "loss above its floor")};
  if (floor > 0 && !losses[1].x.empty())
    losses.push_back(
        {"nll of the truth", {0, losses[1].x.back()}, {floor, floor}, {}, {}, svg::Mark::reference});
  const auto& [source, target] = task.tokenizers;
  std::string said;
  std::vector<std::string> maps;
  const std::vector<IdPair> shown = shown_pairs(task.validation);
  for (size_t i = 0; i < shown.size(); ++i) {
    const IdPair& pair = shown[i];
    said += samples(log, i, source.decode(pair.source), target.decode(pair.target));
    maps.push_back(attention_map(model, task.tokenizers, pair));
  }
  const auto accuracy = figure("Held-out accuracy", "share of tokens", {curve(log, "valid", "accuracy")});
  const auto rates = figure("Learning rate", "learning rate", {curve(log, "train", "lr")});
  const auto norms =
      figure("Norm of the gradient, before clipping", "norm", {curve(log, "train", "gradient_norm")});
  return html::page(
      "A training run",
      "<p>Its data: <a href=\"log.jsonl\">log.jsonl</a>. Per token, end of sentence included.</p>\n" +
          html::details("Its options", html::code(options)),
      {{"loss", "Loss and nll", html::figures({figure("Loss and nll", "nats", losses), accuracy})},
       {"steps", "Learning rate and gradient", html::figures({rates, norms})},
       {"samples", "What it says", said},
       {"calibration", "How sure it is", calibration_of(model, task.validation.pairs)},
       {"attention", "Where it looks",
        html::figures(maps) +
            "<p class=\"honest\">The mean over the heads of the last layer, with the reference as what was "
            "said so far: where weights are large says where values come from, not why.</p>"}});
}

}  // namespace gradus::examples
