#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include "examples/support/calibration.h"
#include "examples/support/html.h"
#include "examples/support/json_line.h"
#include "examples/support/tape.h"
#include "examples/translate/commands.h"

namespace gradus::examples {
namespace {

using svg::Series;

// Fields of the log against the step, thinned to what a figure can show, and after them `more`.
std::string curves(const std::vector<std::string>& log, const std::string& title, const std::string& unit,
                   const std::vector<std::array<std::string, 3>>& kind_field_name,
                   const std::vector<Series>& more = {}) {
  std::vector<Series> all;
  for (const auto& [kind, field, name] : kind_field_name) {
    std::vector<std::array<double, 2>> points;
    for (const std::string& line : log) {
      const auto step = json_number(line, "step"), value = json_number(line, field);
      if (json_text(line, "kind") == kind && step && value) points.push_back({*step, *value});
    }
    Series thinned{name, {}, {}};
    const size_t every = points.size() / 400 + 1;
    for (size_t i = (points.size() + every - 1) % every; i < points.size(); i += every)  // the last one, too
      thinned.x.push_back(points[i][0]), thinned.y.push_back(points[i][1]);
    if (!points.empty()) all.push_back(thinned);
  }
  if (all.empty()) return "";
  all.insert(all.end(), more.begin(), more.end());
  return html::figure(
      svg::draw({title, title + " against the step.", {"step", false, 0.}, {unit, false, 0.}}, all),
      title + ".");
}

// What became of each sentence, validation after validation.
std::string samples(const std::vector<std::string>& log) {
  std::map<std::string, html::Table> tables;
  for (const std::string& line : log) {
    if (json_text(line, "kind") != "sample") continue;
    const std::string source = json_text(line, "source"), reference = json_text(line, "reference");
    html::Table& table =
        tables.try_emplace(source, html::Table{{"step", source}, {{"reference", reference}}}).first->second;
    table.rows.insert(table.rows.end() - 1,
                      {message(json_number(line, "step").value_or(0)), json_text(line, "translation")});
  }
  std::string body;
  for (auto& [source, table] : tables) {
    while (table.rows.size() > 10)  // every other one, but neither the last nor the reference
      for (size_t i = 1; i + 2 < table.rows.size(); ++i)
        table.rows.erase(table.rows.begin() + static_cast<std::ptrdiff_t>(i));
    body += html::table(table);
  }
  return body;
}

std::string attention_map(nn::TranslationModel& model, const Task& task, const IdPair& pair) {
  const auto words = [](const Tokenizer& tokenizer, const Ids& ids) {
    std::vector<std::string> names;
    for (const int32_t id : ids) names.push_back(tokenizer.decode(std::span(&id, 1)).substr(0, 12));
    return names;
  };
  const std::vector<std::string> source = words(task.tokenizers.source, pair.source);
  std::vector<std::string> target = words(task.tokenizers.target, pair.target);
  target.push_back("(end)");
  const nn::EvalMode eval_mode(model);  // recording: the tape is what is asked
  const TensorBatch b(std::vector{pair});
  const int64_t heads = model.config().transformer.heads;
  const Tensor weights =
      attention_weights(model(b.source, b.source_lengths, b.target, b.target_lengths), heads).back();
  const int64_t rows = std::ssize(target), columns = std::ssize(source);
  std::vector<Series> map;
  for (int64_t t = 0; t < rows; ++t) {
    Series& row = map.emplace_back(Series{.name = target[t], .x = {}, .y = {}, .mark = svg::Mark::cells});
    for (int64_t s = 0; s < columns; ++s) {
      row.x.push_back(s), row.y.push_back(0);  // y: the mean over heads
      for (int64_t h = 0; h < heads; ++h)
        row.y[s] += weights.data<double>()[(h * rows + t) * columns + s] / double(heads);
    }
  }
  return html::figure(svg::draw({"Attention",
                                 "Where the last decoder layer looks as it predicts each word.",
                                 {.label = "looks at", .names = source},
                                 {"to predict"}},
                                map),
                      svg::escape(task.tokenizers.source.decode(pair.source)));
}

// Of at most 500 held-out pairs, given the words of the reference; the end of sentence also apart.
std::string calibration_of(nn::TranslationModel& model, const HeldOut& held_out) {
  const nn::Evaluating evaluating(model);
  std::vector<IdPair> pairs(held_out.pairs.begin(),
                            held_out.pairs.begin() + std::min<ptrdiff_t>(500, std::ssize(held_out.pairs)));
  std::vector<TokenPrediction> all, ends;
  for (const BatchPlan& plan : bucketed_batches(pairs, /*tokens=*/1024, 0, 0)) {
    const TensorBatch b(make_batch(pairs, plan));
    const Tensor logits = model(b.source, b.source_lengths, b.target, b.target_lengths).value();
    for (const TokenPrediction& token :
         predictions(logits, b.labels().to_vector<int32_t>(), Vocabulary::pad)) {
      all.push_back(token);
      if (token.target == Vocabulary::eos) ends.push_back(token);
    }
  }
  html::Table table{{"of", "tokens", "confidence", "accuracy", "ECE"}};
  const auto row = [&](const char* name, const Calibration& c) {
    const auto percent = [](double share) { return message(std::round(share * 1000) / 10, " %"); };
    table.add(name, c.tokens, percent(c.confidence), percent(c.accuracy), percent(c.ece));
  };
  const Calibration of_all = calibration(all);
  row("all words", of_all), row("end of sentence", calibration(ends));
  const svg::Chart chart{
      "Reliability", "Accuracy against confidence, in bins of equal width.", {"confidence"}, {"accuracy"}};
  return html::figures(
             {html::figure(svg::draw(chart, diagram(of_all.bins)),
                           "Words of which the model was equally sure, and how many it had right.")}) +
         html::table(table);
}

}  // namespace

std::vector<IdPair> shown_pairs(const HeldOut& held_out) {
  std::vector<IdPair> pairs;
  for (const IdPair& pair : held_out.pairs)
    if (pairs.size() < 3 && positions(pair) <= 13 && pair.source.size() <= 12) pairs.push_back(pair);
  return pairs;
}

std::string report_page(const std::vector<std::string>& log, const std::string& options, const Task& task,
                        nn::TranslationModel& model) {
  const double floor = task.validation.floor;
  std::vector<Series> truth;
  for (auto line = log.rbegin(); line != log.rend() && floor > 0 && truth.empty(); ++line)
    if (const auto step = json_number(*line, "step"); step && json_text(*line, "kind") == "valid")
      truth.push_back({"nll of the truth", {0, *step}, {floor, floor}, {}, {}, svg::Mark::reference});
  std::vector<std::string> maps;
  for (const IdPair& pair : shown_pairs(task.validation)) maps.push_back(attention_map(model, task, pair));
  return html::page(
      "A training run",
      "<p>Its data: <a href=\"log.jsonl\">log.jsonl</a>. Per word, end of sentence included.</p>\n" +
          html::details("Its options", html::code(options)),
      {{"loss", "Loss and nll",
        html::figures(
            {curves(log, "Loss and nll", "nats",
                    {{"train", "nll", "nll"},
                     {"valid", "nll", "held-out nll"},
                     {"train", "loss_above_floor", "loss above its floor"}},
                    truth),
             curves(log, "Held-out accuracy", "share of words", {{"valid", "accuracy", "accuracy"}})})},
       {"steps", "Learning rate and gradient",
        html::figures({curves(log, "Learning rate", "learning rate", {{"train", "lr", ""}}),
                       curves(log, "Norm of the gradient, before clipping", "norm",
                              {{"train", "gradient_norm", ""}})})},
       {"samples", "What it says", samples(log)},
       {"calibration", "How sure it is", calibration_of(model, task.validation)},
       {"attention", "Where it looks",
        html::figures(maps) +
            "<p class=\"honest\">The mean over the heads of the last layer, with the reference as what was "
            "said so far: where weights are large says where values come from, not why.</p>"}});
}

}  // namespace gradus::examples
