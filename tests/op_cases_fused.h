// The rows of the table of operations that read ids, lengths or a spec beside their inputs: embedding,
// attention, cross-entropy. op_cases.h has the others, and is what checks include.
#pragma once

#include "tests/op_case.h"

namespace gradus::tests {

inline std::vector<OpCase> embedding_cases() {
  std::vector<OpCase> rows;
  struct Setup {
    std::vector<int32_t> ids;
    int64_t width, first, count;
    double scale = 1;
    bool positions = false;
    bool large = false;
  };
  const auto add = [&](const std::string& what, Shape table, const Setup& s) {
    const int64_t d = table[1], batch = static_cast<int64_t>(s.ids.size()) / s.width;
    Array positions({s.count + 2, d});  // longer than needed, as a model's table is
    for (size_t i = 0; i < positions.v.size(); ++i) positions.v[i] = std::sin(static_cast<double>(i));
    rows.push_back({"embedding: " + what,
                    {{table}},
                    [=](Inputs x, Generator&) {
                      const IdColumns ids{ids_like(x[0], s.ids, {batch, s.width}), s.first, s.count};
                      const Tensor offsets =
                          s.positions ? real_like(x[0], positions.v, positions.shape) : Tensor();
                      return embedding(x[0], ids, s.scale, offsets);
                    },
                    [=](Arrays x) {
                      return reference::embedding(x[0], s.ids, s.width, s.first, s.count, s.scale,
                                                  s.positions ? &positions : nullptr);
                    },
                    8,
                    s.large});
  };
  add("plain", {6, 3}, {{4, 0, 5, 1}, 2, 0, 2});
  add("repeated ids", {5, 3}, {{2, 2, 0, 2, 4, 0}, 3, 0, 3});
  add("scale and positions", {5, 4}, {{1, 3, 3, 0, 2, 4}, 3, 0, 3, 2.5, true});
  add("column range", {7, 3}, {{0, 1, 2, 3, 4, 5, 6, 0, 1, 1}, 5, 1, 3, 0.5, true});
  add("wider than a block of columns", {3, 70}, {{0, 2, 2, 1}, 2, 0, 2, 0.5});
  std::vector<int32_t> many(1200);
  for (size_t i = 0; i < many.size(); ++i) many[i] = static_cast<int32_t>(i * i % 97);
  add("large", {97, 80}, {many, 60, 0, 59, 8, true, true});

  const auto add_rows = [&](const std::string& what, Shape x, const std::vector<int32_t>& ids, Shape shape) {
    rows.push_back({"rows: " + what,
                    {{x}},
                    [=](Inputs v, Generator&) { return gradus::rows(v[0], ids_like(v[0], ids, shape)); },
                    [=](Arrays v) {
                      std::vector<int64_t> sizes(shape.begin(), shape.end());
                      sizes.insert(sizes.end(), x.begin() + 1, x.end());
                      Array y{Shape(sizes)};
                      const int64_t width = x.numel() / x[0];
                      for (int64_t i = 0; i < y.shape.numel(); ++i)
                        y.v[i] = v[0].v[ids[i / width] * width + i % width];
                      return y;
                    }});
  };
  add_rows("of numbers", {5}, {3, 0, 3}, {3});
  add_rows("one", {4, 3}, {2}, {});
  add_rows("of matrices, by a matrix of ids", {4, 2, 3}, {1, 1, 3, 0}, {2, 2});
  return rows;
}

enum class Packing { self, cross, separate };  // q, k, v in one tensor; k, v in one; each in its own

struct AttentionSetup {
  int64_t batch = 2, queries = 3, keys = 3, d_model = 4, heads = 2;
  bool causal = false;
  std::vector<int32_t> lengths = {};
  double dropout = 0;
  Packing packing = Packing::separate;
  bool large = false;
};

inline OpCase attention_case(const std::string& what, const AttentionSetup& s) {
  const int64_t d = s.d_model, b = s.batch;
  const bool self = s.packing == Packing::self, cross = s.packing == Packing::cross;
  const std::vector<Input> inputs =
      self    ? std::vector<Input>{{{b, s.queries, 3 * d}}}
      : cross ? std::vector<Input>{{{b, s.queries, d}}, {{b, s.keys, 2 * d}}}
              : std::vector<Input>{{{b, s.queries, d}}, {{b, s.keys, d}}, {{b, s.keys, d}}};
  const size_t k = self ? 0 : 1, v = self ? 0 : cross ? 1 : 2;  // which inputs hold the keys and the values
  const int64_t k_first = self ? d : 0, v_first = self ? 2 * d : cross ? d : 0;
  const auto f = [=](Inputs x, Generator& g) {
    AttentionSpec spec{.d_model = d,
                       .heads = s.heads,
                       .causal = s.causal,
                       .key_lengths = {},
                       .dropout = s.dropout,
                       .draw = g.next_draw()};
    if (!s.lengths.empty()) spec.key_lengths = ids_like(x[0], s.lengths, {b});
    return attention({x[0], 0}, {x[k], k_first}, {x[v], v_first}, spec);
  };
  reference::Attention spec{
      d, s.heads, s.causal, {s.lengths.begin(), s.lengths.end()}, {kSeed, 0, kStep, s.dropout}};
  if (s.lengths.empty()) spec.lengths.assign(static_cast<size_t>(b), s.keys);
  return {"attention: " + what,
          inputs,
          f,
          [=](Arrays x) { return reference::attention(x[0], 0, x[k], k_first, x[v], v_first, spec); },
          16,
          s.large};
}

// The operation of results, where the row has it of leaves.
inline OpCase of_results(const OpCase& row) {
  OpCase result = row;
  result.name += ", of results";
  result.f = [f = row.f](Inputs x, Generator& g) {
    std::vector<Variable> results;
    for (const Variable& leaf : x) results.push_back(leaf * 1.0);
    return f(results, g);
  };
  return result;
}

// One head of two columns, which begin there in one tensor of this width.
inline OpCase attention_of_columns(const std::string& what, int64_t width, int64_t q, int64_t k, int64_t v) {
  return {"attention: " + what,
          {{{2, 3, width}}},
          [=](Inputs x, Generator&) {
            return attention({x[0], q}, {x[0], k}, {x[0], v}, {.d_model = 2, .heads = 1});
          },
          [=](Arrays x) {
            return reference::attention(x[0], q, x[0], k, x[0], v, {2, 1, false, {3, 3}, {}});
          },
          16};
}

inline std::vector<OpCase> attention_cases() {
  std::vector<OpCase> rows{
      attention_case("self, packed", {.packing = Packing::self}),
      attention_case("cross, packed", {.queries = 2, .keys = 5, .packing = Packing::cross}),
      attention_case("separate, one head", {.queries = 4, .keys = 2, .d_model = 3, .heads = 1}),
      attention_case("causal", {.queries = 4, .keys = 4, .causal = true, .packing = Packing::self}),
      attention_case("causal, fewer queries than keys", {.queries = 2, .keys = 5, .causal = true}),
      attention_case("causal, more queries than keys", {.queries = 5, .keys = 3, .causal = true}),
      attention_case("lengths", {.batch = 3, .keys = 4, .lengths = {4, 1, 2}, .packing = Packing::cross}),
      attention_case("lengths, a fully masked row",
                     {.keys = 4, .lengths = {0, 3}, .packing = Packing::cross}),
      attention_case("causal and lengths",
                     {.queries = 4, .keys = 4, .causal = true, .lengths = {2, 4}, .packing = Packing::self}),
      attention_case("dropout", {.queries = 7, .keys = 20, .dropout = 0.4}),
      attention_case("everything", {.queries = 5,
                                    .keys = 5,
                                    .causal = true,
                                    .lengths = {3, 5},
                                    .dropout = 0.25,
                                    .packing = Packing::self}),
      // More queries than one block has, few enough elements for every slope.
      attention_case("many queries",
                     {.batch = 1, .queries = 70, .keys = 3, .d_model = 2, .heads = 1, .dropout = 0.25}),
      attention_case("many queries, causal and lengths", {.batch = 1,
                                                          .queries = 67,
                                                          .keys = 67,
                                                          .d_model = 1,
                                                          .heads = 1,
                                                          .causal = true,
                                                          .lengths = {50},
                                                          .dropout = 0.25}),
      attention_case("large", {.batch = 3,
                               .queries = 37,
                               .keys = 37,
                               .d_model = 32,
                               .heads = 4,
                               .causal = true,
                               .lengths = {37, 20, 1},
                               .dropout = 0.1,
                               .packing = Packing::self,
                               .large = true}),
      attention_case("longer than a block of queries", {.queries = 150,
                                                        .keys = 150,
                                                        .causal = true,
                                                        .lengths = {150, 100},
                                                        .dropout = 0.1,
                                                        .packing = Packing::self,
                                                        .large = true}),
  };
  // Leaves have a gradient that is added to; that of results is written where attention fills all of it.
  const size_t of_leaves = rows.size();
  for (size_t i = 0; i < of_leaves; ++i) rows.push_back(of_results(rows[i]));
  rows.push_back(of_results(attention_of_columns("columns that nobody reads", 8, 0, 3, 6)));
  rows.push_back(of_results(attention_of_columns("the same columns", 2, 0, 0, 0)));
  rows.push_back(of_results(attention_of_columns("the same columns for keys and values", 4, 0, 2, 2)));
  OpCase twice = attention_of_columns("twice of the same", 6, 4, 0, 2);
  twice.f = [f = twice.f](Inputs x, Generator& g) { return f(x, g) + f(x, g); };
  twice.reference = [reference = twice.reference](Arrays x) {
    Array y = reference(x);
    for (double& value : y.v) value *= 2;
    return y;
  };
  rows.push_back(of_results(twice));
  return rows;
}

inline OpCase cross_entropy_case(const std::string& what, Shape logits, const std::vector<int32_t>& targets,
                                 const reference::CrossEntropy& s, bool large = false) {
  const int64_t vocab = logits[-1], count = static_cast<int64_t>(targets.size());
  const auto f = [=](Inputs x, Generator&) {
    const CrossEntropySpec spec{
        .convention = s.convention,
        .smoothing = s.smoothing,
        .reduction = s.reduction,
        .pad_id = s.pad_id,
        .subtract_entropy = s.subtract_entropy,
        .class_weight = s.weight.empty() ? Tensor() : real_like(x[0], s.weight, {vocab})};
    return cross_entropy(x[0], {ids_like(x[0], targets, {1, count}), 0, count}, spec).loss;
  };
  return {"cross_entropy: " + what,
          {{logits}},
          f,
          [=](Arrays x) { return reference::cross_entropy(x[0], targets, s); },
          16,
          large};
}

inline std::vector<OpCase> cross_entropy_cases() {
  std::vector<OpCase> rows;
  const char* conventions[] = {"uniform", "as_printed", "others", "others_not_pad"};
  const char* reductions[] = {"mean", "sum", "none"};
  const std::vector<double> weight{0.5, 2, 0.25, 1.5, 0, 3};
  for (int c = 0; c < 4; ++c)
    for (int r = 0; r < 3; ++r)
      for (bool kl : {false, true}) {
        const std::string what = std::string(conventions[c]) + ", " + reductions[r] + (kl ? ", KL" : ", CE");
        const reference::CrossEntropy spec{Smoothing(c), Reduction(r), kl, 0.1, 2, {}};
        auto no_pad = spec, plain = spec, certain = spec, weighted = spec;
        no_pad.pad_id = -1, plain.smoothing = 0, certain.smoothing = 1, weighted.weight = weight;
        rows.push_back(cross_entropy_case(what, {5, 6}, {3, 2, 0, 5, 2}, spec));
        rows.push_back(cross_entropy_case(what + ", no pad", {2, 2, 6}, {3, 2, 0, 5}, no_pad));
        rows.push_back(cross_entropy_case(what + ", eps 0", {4, 6}, {3, 2, 0, 5}, plain));
        rows.push_back(cross_entropy_case(what + ", eps 1", {4, 6}, {3, 2, 0, 5}, certain));
        rows.push_back(cross_entropy_case(what + ", weights", {5, 6}, {3, 2, 0, 4, 5}, weighted));
      }
  auto other_pad = reference::CrossEntropy{Smoothing::others_not_pad, Reduction::mean, false, 0.1, -100, {}};
  rows.push_back(cross_entropy_case("a pad id that is no class", {4, 6}, {3, -100, 0, 5}, other_pad));
  rows.push_back(cross_entropy_case("only pads", {3, 6}, {2, 2, 2},
                                    {Smoothing::uniform, Reduction::mean, true, 0.1, 2, {}}));
  std::vector<int32_t> many(300);
  for (size_t i = 0; i < many.size(); ++i) many[i] = static_cast<int32_t>(i * 37 % 1000);
  rows.push_back(cross_entropy_case("large", {300, 1000}, many,
                                    {Smoothing::uniform, Reduction::mean, false, 0.1, 0, {}}, true));
  rows.push_back(cross_entropy_case("large, not pad, none", {300, 1000}, many,
                                    {Smoothing::others_not_pad, Reduction::none, true, 0.1, 0, {}}, true));
  return rows;
}

inline std::vector<OpCase> prior_cross_entropy_cases() {
  std::vector<OpCase> rows;
  const auto add = [&](const std::string& what, Shape logits, const std::vector<int32_t>& targets,
                       const std::vector<double>& prior, int32_t pad_id, bool large = false) {
    rows.push_back({"prior_cross_entropy: " + what,
                    {{logits}},
                    [=](Inputs x, Generator&) {
                      const Tensor q = real_like(x[0], prior, {static_cast<int64_t>(prior.size())});
                      const int64_t count = static_cast<int64_t>(targets.size());
                      return prior_cross_entropy(x[0], q, ids_like(x[0], targets, {count}), pad_id);
                    },
                    [=](Arrays x) { return reference::prior_cross_entropy(x[0], targets, prior, pad_id); },
                    16,
                    large});
  };
  add("a class without share", {5, 6}, {3, 2, 0, 4, 5}, {0.1, 0.3, 0, 0.25, 0.15, 0.2}, 2);
  add("weights, which sum to more", {2, 2, 4}, {3, 2, 0, 1}, {2, 0.5, 0, 1}, -1);
  std::vector<double> ramp(1000);
  for (size_t j = 0; j < ramp.size(); ++j) ramp[j] = static_cast<double>(j) / 499500;
  add("large", {300, 1000}, std::vector<int32_t>(300, 7), ramp, 0, true);
  return rows;
}

}  // namespace gradus::tests
