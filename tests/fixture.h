// The stored PyTorch values, see fixtures/README.md: a file's tensors by name, in the dtype under test.
#pragma once

#include "compare.h"
#include "tensor/safetensors.h"

namespace gradus::compare {

// How close to PyTorch's f64 numbers, relative to the largest of a tensor.
inline double tolerance(DType dtype) { return dtype == DType::f64 ? 1e-10 : 1e-5; }

class Fixture {
 public:
  explicit Fixture(const std::string& file, DType dtype = DType::f64, std::string prefix = "")
      : tensors_(
            read_safetensors(std::string(GRADUS_SOURCE_DIR) + "/tests/fixtures/" + file + ".safetensors")),
        dtype_(dtype), prefix_(std::move(prefix)) {}

  void set_prefix(std::string prefix) { prefix_ = std::move(prefix); }
  bool has(const std::string& name) const { return tensors_.count(prefix_ + name) > 0; }
  Tensor operator[](const std::string& name) const {
    const Tensor& x = tensors_.at(prefix_ + name);
    return x.dtype() == DType::i32 ? x : x.to(dtype_);
  }
  Variable leaf(const std::string& name) const {
    return Variable((*this)[name].copy(), /*requires_grad=*/true);
  }

  // All tensors whose name begins so, without that beginning.
  std::map<std::string, Tensor> all(const std::string& beginning) const {
    std::map<std::string, Tensor> found;
    for (const auto& [name, tensor] : tensors_)
      if (name.starts_with(prefix_ + beginning)) found[name.substr((prefix_ + beginning).size())] = tensor;
    return found;
  }

  void check_near(const Tensor& x, const std::string& name) const {
    INFO(prefix_, name, " in ", name_of(dtype_));
    CHECK(distance(x, tensors_.at(prefix_ + name)) <= tolerance(dtype_));
  }

 private:
  std::map<std::string, Tensor> tensors_;
  DType dtype_;
  std::string prefix_;
};

}  // namespace gradus::compare
