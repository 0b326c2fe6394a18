// gradus against the conformance kit, whose expected values come from closed forms in numpy, and what the
// reference program refuses.
#include "compare.h"
#include "examples/reference/answers.h"
#include "tensor/fused_ops.h"

using namespace gradus;
using namespace gradus::compare;

namespace {

using Tensors = std::map<std::string, Tensor>;

SafetensorsFile kit_file(const std::string& family) {
  return read_safetensors_file(std::string(GRADUS_SOURCE_DIR) + "/tests/conformance/" + family +
                               ".safetensors");
}

// The largest difference, as the kit measures it: relative to the largest expected number, but at least to
// 1e-3. Numbers that are not finite must be the same ones.
double error(const Tensor& x, const Tensor& expected) {
  const std::vector<double> a = values(x), b = values(expected);
  if (a.size() != b.size()) return INFINITY;
  double worst = 0, scale = 1e-3;
  for (size_t i = 0; i < a.size(); ++i) {
    if (std::isfinite(b[i])) {
      worst = std::isfinite(a[i]) ? std::max(worst, std::abs(a[i] - b[i])) : INFINITY;
      scale = std::max(scale, std::abs(b[i]));
    } else if (a[i] != b[i]) {
      worst = INFINITY;
    }
  }
  return worst / scale;
}

// Of a large answer the kit holds some places (`.at`, `.values`) and the root of its sum of squares
// (`.norm`).
Tensor answer_for(const Tensors& answers, const std::string& name) {
  if (name.ends_with(".values")) {
    const std::string field = name.substr(0, name.size() - 7);
    return answers.at(field);
  }
  if (name.ends_with(".norm")) return sqrt(sum(pow(answers.at(name.substr(0, name.size() - 5)), 2)));
  return answers.at(name);
}

// Checks all expected tensors of a file; returns how many cases it had.
int64_t check_family(const std::string& family) {
  const SafetensorsFile file = kit_file(family);
  const Tensors answers = reference::answers(file);
  const std::string expected = ".expected.";
  for (const auto& entry : file.tensors) {
    const std::string& name = entry.first;  // doctest's INFO captures names, which clang allows of no binding
    const Tensor& tensor = entry.second;
    const size_t at = name.find(expected);
    if (at == name.npos || name.ends_with(".at")) continue;
    INFO(family, ": ", name);
    const std::string label = name.substr(0, at);
    Tensor found = answer_for(answers, label + "." + name.substr(at + expected.size()));
    if (name.ends_with(".values"))
      found = rows(found.reshape({-1}), file.tensors.at(name.substr(0, name.size() - 6) + "at"));
    CHECK(error(found, tensor) <= std::stod(file.metadata.at(label + ".tolerance")));
  }
  return std::ranges::count_if(file.metadata,
                               [](const auto& entry) { return entry.first.ends_with(".family"); });
}

// One small case of a loss, as it stands in a file of its own.
SafetensorsFile small_case() {
  return {.tensors = {{"logits", Tensor::from({1., 2., 3., 0., 0., 0.}, {2, 3})}, {"target", ints({2, 0})}},
          .metadata = {{"family", "loss"}, {"eps", "0.1"}, {"pad", "0"}}};
}

template <class Change> std::string refusal(const Change& change) {
  SafetensorsFile file = small_case();
  change(file);
  return error_of([&] { reference::answers(file); });
}

}  // namespace

TEST_CASE("gradus passes the conformance kit") {
  int64_t cases = 0;
  for (const char* family : {"loss", "attention", "layer_norm", "transformer", "optimizer"})
    cases += check_family(family);
  CHECK(cases >= 250);
}

TEST_CASE("a file may hold one case under plain names") {
  const Tensors answers = reference::answers(small_case());
  // ln(1 + e^-1 + e^-2) + 0.1 mean(0, 1, 2): the other row is padding
  const double nll = std::log(1 + std::exp(-1.) + std::exp(-2.));
  CHECK(answers.at("loss").item() == near(nll + 0.1));
  CHECK(answers.at("nll").item() == near(nll));
  CHECK(values(answers.at("sums")) ==
        std::vector<double>{answers.at("loss").item(), answers.at("nll").item(), 1, 1, 1});
  CHECK(largest(values(answers.at("gradient.logits").rows(1, 2))) == 0);
}

TEST_CASE("a formula stands for a large input") {
  SafetensorsFile file = small_case();
  file.tensors.erase("logits");
  file.metadata.merge(std::map<std::string, std::string>{
      {"logits.seed", "7"}, {"logits.shape", "2 3"}, {"logits.scale", "4"}, {"logits.offset", "1"}});
  CHECK(reference::answers(file).at("gradient.logits").shape() == Shape{2, 3});
}

TEST_CASE("the reference names the field that it refuses") {
  const auto option = [](const char* name, const char* value) {
    return refusal([=](SafetensorsFile& file) { file.metadata[name] = value; });
  };
  const auto tensor = [](const char* name, const Tensor& value) {
    return refusal([&](SafetensorsFile& file) { file.tensors[name] = value; });
  };
  CHECK(refusal([](SafetensorsFile& file) { file.tensors.erase("target"); }) == "target: missing");
  CHECK(refusal([](SafetensorsFile& file) { file.metadata.erase("family"); }) ==
        "family: missing from the metadata, so there is no case in this file");
  CHECK(option("kit", "2") == "kit: expected version 1, got 2");
  CHECK(option("family", "losses") ==
        "family: expected one of attention, layer_norm, loss, optimizer, transformer, got `losses`");
  CHECK(option("convention", "fairseq") ==
        "convention: expected one of as_printed, others, others_not_pad, uniform, got `fairseq`");
  CHECK(option("eps", "a tenth") == "eps: expected a number, got `a tenth`");
  CHECK(option("pad", "0.5") == "pad: expected a whole number, got 0.5");
  CHECK(contains(option("eps", "2"), "expected smoothing in [0, 1], got 2"));
  CHECK(option("redution", "sum") == "redution: no such option of this family; did you mean reduction?");
  CHECK(tensor("logit", Tensor::ones({2, 3})) == "logit: no such input of this family; did you mean logits?");
  CHECK(tensor("target", Tensor::ones({2})) == "target: expected i32, got f32 [2]");
  CHECK(tensor("logits", Tensor::arange(3)) == "logits: expected f32 or f64, got i32 [3]");
  CHECK(contains(tensor("target", ints({2, 3})), "3"));
  CHECK(contains(tensor("target", ints({2, 1, 0})), "expected logits"));
  CHECK(contains(tensor("dy", Tensor::ones({2})), "dy: expected [], as the loss has it, got [2]"));
  CHECK(contains(tensor("class_weight", Tensor::ones({2})), "class weights"));
  CHECK(refusal([](SafetensorsFile& file) {
          file.metadata = {{"a.family", "loss"}};
          file.tensors = {{"a.target", ints({2})}};
        }) == "case a: logits: missing");
  CHECK(refusal([](SafetensorsFile& file) {
          file.metadata = {{"family", "optimizer"}, {"method", "adam"}};
          file.tensors = {{"parameter", Tensor::ones({2})}, {"gradients", Tensor::ones({3, 3})}};
        }) == "gradients: expected [steps, ..] of a parameter [2], got [3, 3]");
}
