#include "examples/data/batch.h"

#include <algorithm>
#include <array>
#include <functional>
#include <numeric>
#include <random>

namespace gradus::examples {
namespace {

int64_t length(const auto& items) { return static_cast<int64_t>(items.size()); }

std::vector<size_t> all(const std::vector<IdPair>& pairs) {
  std::vector<size_t> numbers(pairs.size());
  std::iota(numbers.begin(), numbers.end(), size_t{0});
  return numbers;
}

// Positions on the source side, and on the target side, where the decoder reads bos and the words.
using Lengths = std::array<int64_t, 2>;

Lengths lengths_of(const IdPair& pair) { return {length(pair.source), length(pair.target) + 1}; }

struct Bucket {
  std::vector<size_t> pairs;
  Lengths width = {1, 1}, padding = {0, 0};

  size_t rows(int64_t tokens) const { return std::max<int64_t>(1, tokens / std::ranges::max(width)); }
  bool holds(Lengths other) const { return width[0] >= other[0] && width[1] >= other[1]; }
};

Bucket make_bucket(const std::vector<IdPair>& pairs, const std::vector<size_t>& chosen) {
  Bucket bucket{chosen};
  for (const size_t side : {0, 1}) {
    int64_t& width = bucket.width[side];
    for (const size_t i : chosen) width = std::max(width, lengths_of(pairs[i])[side]);
    for (const size_t i : chosen) bucket.padding[side] += width - lengths_of(pairs[i])[side];
  }
  return bucket;
}

// From one bucket of all pairs: again and again that with the most padding is cut in two, half way between
// mean and longest of its worse side, or lower, where the longer part fills a batch, too. The last one is as
// wide as any.
std::vector<Bucket> make_buckets(const std::vector<IdPair>& pairs, int64_t tokens) {
  std::vector<Bucket> buckets = {make_bucket(pairs, all(pairs))};
  const Bucket widest{{}, buckets[0].width};
  while (buckets.size() < max_shapes - 2) {  // the widest, and an incomplete batch of it
    Bucket& most =
        *std::ranges::max_element(buckets, {}, [](const Bucket& b) { return b.padding[0] + b.padding[1]; });
    const size_t side = most.padding[1] > most.padding[0];
    if (most.padding[side] == 0) break;
    const auto on_side = [&](size_t i) { return lengths_of(pairs[i])[side]; };
    std::ranges::stable_sort(most.pairs, std::greater{}, on_side);
    const int64_t half_way = most.width[side] - 1 - most.padding[side] / (2 * length(most.pairs)),
                  filled = on_side(most.pairs[std::min(most.rows(tokens), most.pairs.size()) - 1]);
    std::vector<size_t> low, high;
    for (const size_t i : most.pairs)
      (on_side(i) <= half_way && on_side(i) < filled ? low : high).push_back(i);
    const Bucket narrow = make_bucket(pairs, low), wide = make_bucket(pairs, high);
    most.padding = {0, 0};
    if (low.size() < narrow.rows(tokens)) continue;
    most = narrow;
    buckets.push_back(wide);
  }
  std::ranges::stable_sort(buckets, {}, [](const Bucket& b) { return b.width[0] + b.width[1]; });
  if (!buckets.back().holds(widest.width)) buckets.push_back(widest);
  return buckets;
}

// The standard fixes mt19937_64, but not std::shuffle and the distributions.
template <class T> void shuffle(std::vector<T>& items, std::mt19937_64& random) {
  for (size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[random() % i]);
}

// The rows, at least `width` wide, and their lengths.
std::array<Tensor, 2> rectangle(const std::vector<Ids>& rows, int64_t width) {
  Ids ids, lengths;
  for (const Ids& row : rows) width = std::max(width, length(row));
  for (const Ids& row : rows) {
    lengths.push_back(row.size());
    ids.insert(ids.end(), row.begin(), row.end());
    ids.resize(lengths.size() * width, Vocabulary::pad);
  }
  return {Tensor::from(ids, {length(rows), width}), Tensor::from(lengths, {length(rows)})};
}

}  // namespace

Batch make_batch(const std::vector<IdPair>& pairs, const BatchPlan& plan) {
  check(!plan.pairs.empty(), "make_batch: expected at least one pair, got none");
  std::vector<Ids> sources, targets;
  int64_t target_tokens = 0;
  for (const size_t i : plan.pairs) {
    const auto& [source, target, line] = pairs.at(i);
    check(!source.empty(), "make_batch: line ", line, ": empty source");
    sources.push_back(source);
    Ids& row = targets.emplace_back(target);
    row.insert(row.begin(), Vocabulary::bos);
    row.push_back(Vocabulary::eos);
    target_tokens += length(row) - 1;
  }
  const auto [source, source_lengths] = rectangle(sources, plan.source_width);
  const auto [target, target_lengths] = rectangle(targets, plan.target_width);
  return {source, source_lengths, target, target_lengths, target_tokens};
}

Batch make_batch(const std::vector<IdPair>& pairs) { return make_batch(pairs, {all(pairs)}); }

int64_t positions(const IdPair& pair) { return std::ranges::max(lengths_of(pair)); }

std::vector<BatchPlan> bucketed_batches(const std::vector<IdPair>& pairs, int64_t tokens, uint64_t seed,
                                        int64_t epoch) {
  check(tokens >= 1, "bucketed_batches: expected at least 1 token, got ", tokens);
  std::mt19937_64 random(seed + 0x9E3779B97F4A7C15 * epoch);
  std::vector<Bucket> buckets = make_buckets(pairs, tokens);
  std::vector<BatchPlan> batches;
  for (auto bucket = buckets.begin(); bucket != buckets.end(); ++bucket) {
    shuffle(bucket->pairs, random);
    // What does not fill a batch goes to the next bucket that is as wide on both sides. Only numbers decide
    // where, so shapes do not depend on the shuffling.
    const auto next =
        std::find_if(bucket + 1, buckets.end(), [&](const Bucket& b) { return b.holds(bucket->width); });
    for (std::span<const size_t> rest = bucket->pairs; !rest.empty();) {
      const auto batch = rest.first(std::min(rest.size(), bucket->rows(tokens)));
      rest = rest.subspan(batch.size());
      if (batch.size() < bucket->rows(tokens) && next != buckets.end())
        next->pairs.insert(next->pairs.end(), batch.begin(), batch.end());
      else batches.push_back({{batch.begin(), batch.end()}, bucket->width[0], bucket->width[1] + 1});
    }
  }
  shuffle(batches, random);
  return batches;
}

}  // namespace gradus::examples
