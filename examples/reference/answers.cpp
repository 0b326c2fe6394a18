#include "examples/reference/answers.h"

#include <cmath>
#include <cstdlib>
#include <memory>
#include <optional>
#include <set>
#include <sstream>

#include "examples/data/words.h"
#include "examples/program/options.h"
#include "losses/label_smoothing.h"
#include "nn/transformer.h"
#include "optim/adam.h"

namespace gradus::reference {
namespace {

constexpr const char* kVersion = "1";  // of the kit, as in tests/conformance/kit.py

using Tensors = std::map<std::string, Tensor>;
using Texts = std::map<std::string, std::string>;

// Row-major numbers that any language can make again: element i from draw i + 1 of splitmix64 (Steele, Lea
// and Flood 2014), of which the upper 24 bits count, rounded to f32.
Tensor seeded(uint64_t seed, Shape shape, double scale, double offset) {
  std::vector<float> values(shape.numel());
  for (float& value : values) {
    uint64_t x = seed += 0x9E3779B97F4A7C15;
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9;
    x = (x ^ x >> 27) * 0x94D049BB133111EB;
    x ^= x >> 31;
    value = static_cast<float>(offset + scale * (2 * (static_cast<double>(x >> 40) * 0x1p-24) - 1));
  }
  return Tensor::from(values, shape);
}

// The fields of one case. Each is asked for once; what nobody asked for is refused at the end.
class Case {
 public:
  Case(Tensors tensors, Texts options) : tensors_(std::move(tensors)), options_(std::move(options)) {}

  bool has(const std::string& field) const {
    return tensors_.count(field) > 0 || options_.count(field + ".seed") > 0;
  }
  Tensor real(const std::string& field) {  // f64
    check(has(field), field, ": missing");
    if (tensors_.count(field) == 0) return formula(field).to(DType::f64);
    const Tensor x = take(field);
    check(x.dtype() != DType::i32, field, ": expected f32 or f64, got i32 ", x.shape());
    return x.to(DType::f64);
  }
  Tensor real_or_none(const std::string& field) { return has(field) ? real(field) : Tensor(); }
  Variable leaf(const std::string& field) { return Variable(real(field), /*requires_grad=*/true); }
  Tensor ids(const std::string& field) {
    check(has(field), field, ": missing");
    const Tensor x = take(field);
    check(x.dtype() == DType::i32, field, ": expected i32, got ", x.dtype(), " ", x.shape());
    return x;
  }
  Tensor ids_or_none(const std::string& field) { return has(field) ? ids(field) : Tensor(); }
  Tensors reals_under(const std::string& prefix) {  // without the prefix
    Tensors found;
    std::vector<std::string> fields;
    for (const auto& [field, tensor] : tensors_)
      if (field.starts_with(prefix)) fields.push_back(field);
    for (const std::string& field : fields) found[field.substr(prefix.size())] = real(field);
    return found;
  }

  std::string text(const std::string& field, std::optional<std::string> fallback = {}) {
    asked_.insert(field);
    const auto found = options_.find(field);
    check(found != options_.end() || fallback, field, ": missing from the metadata");
    return found != options_.end() ? found->second : *fallback;
  }
  double number(const std::string& field, std::optional<std::string> fallback = {}) {
    const std::string value = text(field, std::move(fallback));
    char* end = nullptr;
    const double result = std::strtod(value.c_str(), &end);
    check(!value.empty() && *end == 0, field, ": expected a number, got `", value, "`");
    return result;
  }
  int64_t whole(const std::string& field, std::optional<std::string> fallback = {}) {
    const double value = number(field, std::move(fallback));
    check(value == std::floor(value) && std::abs(value) < 0x1p31, field, ": expected a whole number, got ",
          value);
    return static_cast<int64_t>(value);
  }
  template <class T>
  T choice(const std::string& field, const std::map<std::string, T>& values,
           std::optional<std::string> fallback = {}) {
    const std::string value = text(field, std::move(fallback));
    std::string names;
    for (const auto& [name, meaning] : values) names += (names.empty() ? "" : ", ") + name;
    check(values.count(value) > 0, field, ": expected one of ", names, ", got `", value, "`");
    return values.at(value);
  }
  bool flag(const std::string& field, std::optional<std::string> fallback = {}) {
    return choice<bool>(field, {{"true", true}, {"false", false}}, std::move(fallback));
  }

  void check_all_asked() const {
    const examples::Words known(asked_.begin(), asked_.end());
    for (const auto& [field, tensor] : tensors_)
      check(field.starts_with("expected.") || asked_.count(field) > 0, field,
            ": no such input of this family", examples::did_you_mean(field, known));
    for (const auto& [field, value] : options_)
      check(asked_.count(field) > 0, field, ": no such option of this family",
            examples::did_you_mean(field, known));
  }

 private:
  Tensor take(const std::string& field) {
    asked_.insert(field);
    return tensors_.at(field);
  }

  Tensor formula(const std::string& field) {
    asked_.insert(field);
    const int64_t seed = whole(field + ".seed");
    std::vector<int64_t> sizes;
    std::istringstream words(text(field + ".shape"));
    for (int64_t size; words >> size;) sizes.push_back(size);
    check(words.eof() && !sizes.empty(), field, ".shape: expected sizes with spaces between them");
    const double scale = number(field + ".scale", "1"), offset = number(field + ".offset", "0");
    return seeded(static_cast<uint64_t>(seed), Shape(sizes), scale, offset);
  }

  Tensors tensors_;
  Texts options_;
  std::set<std::string> asked_;
};

Tensors loss(Case& c) {
  const Variable logits = c.leaf("logits");
  const Tensor target = c.ids("target"), weight = c.real_or_none("class_weight"),
               prior = c.real_or_none("prior");
  const double eps = c.number("eps", "0");
  const int64_t pad = c.text("pad", "none") == "none" ? kNoPad : c.whole("pad");
  const auto convention = c.choice<Smoothing>("convention",
                                              {{"uniform", Smoothing::uniform},
                                               {"as_printed", Smoothing::as_printed},
                                               {"others", Smoothing::others},
                                               {"others_not_pad", Smoothing::others_not_pad}},
                                              "uniform");
  const auto reduction = c.choice<Reduction>(
      "reduction", {{"mean", Reduction::mean}, {"sum", Reduction::sum}, {"none", Reduction::none}}, "mean");
  const auto weighting = c.choice<losses::ClassWeighting>(
      "weighting",
      {{"per_target", losses::ClassWeighting::per_target}, {"per_class", losses::ClassWeighting::per_class}},
      "per_target");
  const bool kl = c.choice<bool>("form", {{"ce", false}, {"kl", true}}, "ce");
  check(!kl || (!weight && !prior), "form: kl goes with neither class_weight nor prior");
  check(logits.shape().rank() >= 1, "logits: expected [N, V] or [B, T, V], got ", logits.shape());

  const auto value = [&](double smoothing, Reduction over) {
    if (kl && smoothing > 0)
      return losses::LabelSmoothingLoss(logits.shape()[-1], smoothing, pad, convention, over)(logits, target);
    return losses::CrossEntropy({.smoothing = smoothing,
                                 .pad_id = pad,
                                 .convention = convention,
                                 .reduction = over,
                                 .class_weight = weight,
                                 .weighting = weighting,
                                 .prior = prior})(logits, target);
  };
  const Variable y = value(eps, reduction);
  const Tensor upstream = c.has("dy") ? c.real("dy") : Tensor::ones(y.shape(), DType::f64);
  check(upstream.shape() == y.shape(), "dy: expected ", y.shape(), ", as the loss has it, got ",
        upstream.shape());
  y.backward(upstream);

  const NoGrad no_grad;
  const CrossEntropySpec hard{
      .reduction = Reduction::sum, .pad_id = static_cast<int32_t>(pad), .class_weight = weight};
  const Tensor plain = cross_entropy(logits, target, hard).sums;  // smoothed, nll, correct, tokens, weights
  return {{"loss", y.value()},
          {"nll", value(0, reduction).value()},
          {"sums", concat({value(eps, Reduction::sum).value().reshape({1}), plain.rows(kNll, kLossSums)}, 0)},
          {"gradient.logits", logits.grad()}};
}

Tensors attention(Case& c) {
  const Variable q = c.leaf("q"), k = c.leaf("k"), v = c.leaf("v");
  check(q.shape().rank() == 3, "q: expected [B, T, D], got ", q.shape());
  const AttentionSpec spec{.d_model = q.shape()[-1],
                           .heads = c.whole("heads", "1"),
                           .causal = c.flag("causal", "false"),
                           .key_lengths = c.ids_or_none("key_lengths")};
  const Variable y = gradus::attention(q, k, v, spec);
  y.backward(c.real("dy"));
  return {{"y", y.value()}, {"gradient.q", q.grad()}, {"gradient.k", k.grad()}, {"gradient.v", v.grad()}};
}

Tensors layer_norm(Case& c) {
  const Variable x = c.leaf("x"), weight = c.leaf("weight"), bias = c.leaf("bias");
  const Variable y = gradus::layer_norm(x, weight, bias, c.number("eps", "1e-5"));
  y.backward(c.real("dy"));
  return {{"y", y.value()},
          {"gradient.x", x.grad()},
          {"gradient.weight", weight.grad()},
          {"gradient.bias", bias.grad()}};
}

Tensors transformer(Case& c) {
  const Variable src = c.leaf("src"), tgt = c.leaf("tgt");
  check(src.shape().rank() == 3, "src: expected [B, S, D], got ", src.shape());
  nn::Transformer model(
      {.d_model = src.shape()[-1],
       .heads = c.whole("heads"),
       .layers = c.whole("layers"),
       .ff = c.whole("ff"),
       .dropout = 0,
       .norm_first = c.flag("norm_first", "false"),
       .activation = c.choice<Unary>("activation", {{"relu", Unary::relu}, {"gelu", Unary::gelu}}, "relu")});
  model.to(DType::f64);
  model.load(c.reals_under("parameter."));
  const Variable y = model(src, tgt, c.ids_or_none("src_lengths"), c.ids_or_none("tgt_lengths"));
  y.backward(c.real("dy"));
  Tensors outputs{{"y", y.value()}, {"gradient.src", src.grad()}, {"gradient.tgt", tgt.grad()}};
  for (const NamedParameter& p : model.parameters()) outputs["gradient." + p.name] = p.variable.grad();
  return outputs;
}

Tensors optimizer(Case& c) {
  const Variable parameter = c.leaf("parameter");
  const Tensor gradients = c.real("gradients");  // [steps, ..]
  check(gradients.shape().rank() >= 1 && gradients.size() > 0 && gradients.size() % parameter.size() == 0 &&
            gradients.shape()[0] * parameter.size() == gradients.size(),
        "gradients: expected [steps, ..] of a parameter ", parameter.shape(), ", got ", gradients.shape());
  const double lr = c.number("lr", "1e-3"), beta1 = c.number("beta1", "0.9"),
               beta2 = c.number("beta2", "0.999"), eps = c.number("eps", "1e-8"),
               decay = c.number("weight_decay", "0");
  const std::vector<NamedParameter> all{{"parameter", parameter}};
  std::unique_ptr<optim::Optimizer> method;
  if (c.choice<bool>("method", {{"adam", false}, {"adamw", true}}))
    method = std::make_unique<optim::AdamW>(all, optim::AdamWOptions{lr, beta1, beta2, eps, decay});
  else method = std::make_unique<optim::Adam>(all, optim::AdamOptions{lr, beta1, beta2, eps, decay});

  const Tensor trajectory = Tensor::like(gradients);
  for (int64_t step = 0; step < gradients.shape()[0]; ++step) {
    parameter.grad().assign(gradients.rows(step, step + 1).reshape(parameter.shape()));
    method->step();
    trajectory.rows(step, step + 1).reshape(parameter.shape()).assign(parameter.value());
  }
  return {{"trajectory", trajectory}};
}

Tensors answer(Case& c) {
  using Family = Tensors (*)(Case&);
  const std::map<std::string, Family> families{{"loss", loss},
                                               {"attention", attention},
                                               {"layer_norm", layer_norm},
                                               {"transformer", transformer},
                                               {"optimizer", optimizer}};
  const Tensors outputs = c.choice<Family>("family", families)(c);
  c.text("tolerance", "");  // for whoever compares
  c.check_all_asked();
  return outputs;
}

// The entries whose names begin so, without that beginning.
template <class T>
std::map<std::string, T> under(const std::string& prefix, const std::map<std::string, T>& all) {
  std::map<std::string, T> found;
  for (auto i = all.lower_bound(prefix); i != all.end() && i->first.starts_with(prefix); ++i)
    found.emplace(i->first.substr(prefix.size()), i->second);
  return found;
}

// `first.` for the option `first.family`; nothing for `family`.
std::vector<std::string> prefixes_of_cases(const Texts& options) {
  std::vector<std::string> prefixes;
  for (const auto& [name, value] : options)
    if (name == "family" || name.ends_with(".family")) prefixes.push_back(name.substr(0, name.size() - 6));
  check(!prefixes.empty(), "family: missing from the metadata, so there is no case in this file");
  return prefixes;
}

}  // namespace

Tensors answers(const SafetensorsFile& file) {
  Texts options = file.metadata;
  options.erase("format");  // which other writers leave there
  const auto version = options.extract("kit");
  check(version.empty() || version.mapped() == kVersion, "kit: expected version ", kVersion, ", got ",
        version.empty() ? "" : version.mapped());
  Tensors all;
  for (const std::string& prefix : prefixes_of_cases(options)) {
    Case one(under(prefix, file.tensors), under(prefix, options));
    try {
      for (const auto& [field, value] : answer(one)) all[prefix + field] = value;
    } catch (const std::invalid_argument& error) {
      if (prefix.empty()) throw;
      throw std::invalid_argument(message("case ", prefix.substr(0, prefix.size() - 1), ": ", error.what()));
    }
  }
  return all;
}

}  // namespace gradus::reference
