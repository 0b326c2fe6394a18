#include "examples/support/batch.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <random>
#include <stdexcept>
#include <tuple>

namespace gradus::examples {
namespace {

int64_t length(const Ids& ids) { return static_cast<int64_t>(ids.size()); }

std::vector<size_t> all(const std::vector<IdPair>& pairs) {
  std::vector<size_t> numbers(pairs.size());
  std::iota(numbers.begin(), numbers.end(), size_t{0});
  return numbers;
}

}  // namespace

Batch make_batch(const std::vector<IdPair>& pairs, std::span<const size_t> chosen) {
  if (chosen.empty()) throw std::invalid_argument("make_batch: expected at least one pair, got none");
  Batch batch;
  batch.rows = static_cast<int64_t>(chosen.size());
  for (const size_t i : chosen) {
    const auto& [source, target, line] = pairs.at(i);
    if (source.empty())
      throw std::invalid_argument("make_batch: line " + std::to_string(line) + ": empty source");
    batch.source_width = std::max(batch.source_width, length(source));
    batch.target_width = std::max(batch.target_width, length(target) + 2);
    batch.target_tokens += length(target) + 1;
    batch.source_lengths.push_back(static_cast<int32_t>(length(source)));
    batch.target_lengths.push_back(static_cast<int32_t>(length(target) + 2));
  }
  batch.source.assign(static_cast<size_t>(batch.rows * batch.source_width), Vocabulary::pad);
  batch.target.assign(static_cast<size_t>(batch.rows * batch.target_width), Vocabulary::pad);
  auto source_row = batch.source.begin(), target_row = batch.target.begin();
  for (const size_t i : chosen) {
    std::copy(pairs[i].source.begin(), pairs[i].source.end(), source_row);
    *target_row = Vocabulary::bos;
    *std::copy(pairs[i].target.begin(), pairs[i].target.end(), target_row + 1) = Vocabulary::eos;
    source_row += batch.source_width;
    target_row += batch.target_width;
  }
  return batch;
}

Batch make_batch(const std::vector<IdPair>& pairs) { return make_batch(pairs, all(pairs)); }

int64_t positions(const IdPair& pair) { return std::max(length(pair.source), length(pair.target) + 1); }

std::string find_too_long(const std::vector<IdPair>& pairs, int64_t max_positions) {
  const auto too_long = [=](const IdPair& pair) { return positions(pair) > max_positions; };
  const auto first = std::find_if(pairs.begin(), pairs.end(), too_long);
  if (first == pairs.end()) return "";
  return "line " + std::to_string(first->line) + " takes " + std::to_string(positions(*first)) +
         " positions, the model has " + std::to_string(max_positions) +
         " (lines too long: " + std::to_string(std::count_if(first, pairs.end(), too_long)) + ")";
}

std::vector<std::vector<size_t>> bucketed_batches(const std::vector<IdPair>& pairs, int64_t tokens,
                                                  uint64_t seed, int64_t epoch) {
  if (tokens < 1) {
    throw std::invalid_argument("bucketed_batches: expected at least 1 token, got " + std::to_string(tokens));
  }
  // The standard fixes mt19937_64, but not std::shuffle and the distributions: hence the arithmetic below.
  std::mt19937_64 random(seed + 0x9E3779B97F4A7C15 * static_cast<uint64_t>(epoch));
  std::vector<uint64_t> draw(pairs.size());
  std::generate(draw.begin(), draw.end(), std::ref(random));
  const auto key = [&](size_t i) {
    return std::tuple(pairs[i].target.size(), pairs[i].source.size(), draw[i], i);
  };
  std::vector<size_t> order = all(pairs);
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return key(a) < key(b); });

  std::vector<std::vector<size_t>> batches;
  int64_t width = 0;
  for (const size_t i : order) {
    width = std::max(width, positions(pairs[i]));
    if (batches.empty() || width * (static_cast<int64_t>(batches.back().size()) + 1) > tokens) {
      batches.emplace_back();
      width = positions(pairs[i]);
    }
    batches.back().push_back(i);
  }
  for (size_t i = batches.size(); i > 1; --i) std::swap(batches[i - 1], batches[random() % i]);
  return batches;
}

}  // namespace gradus::examples
