// Sequential: layers one after the other, as one module. Beside it the layers that have no parameters.
#pragma once

#include "nn/layers.h"

namespace gradus::nn {

class Relu : public Module {
 public:
  void members(Visitor&) override {}
  Variable operator()(const Variable& x) const { return relu(x); }
};

class Gelu : public Module {
 public:
  void members(Visitor&) override {}
  Variable operator()(const Variable& x) const { return gelu(x); }
};

// In training, each element becomes 0 with probability p, and the others grow by 1 / (1 - p) (Srivastava et
// al. 2014); in eval mode nothing happens.
class Dropout : public Module {
 public:
  explicit Dropout(double p = 0.5) : p_(p) { check_probability("dropout", p); }
  void members(Visitor&) override {}
  Variable operator()(const Variable& x) { return training() ? dropout(x, p_, generator()) : x; }

 private:
  double p_;
};

// Parameters are named by place: "0.weight", "3.bias".
class Sequential : public Module {
 public:
  Sequential() = default;
  template <std::derived_from<Module>... Layers>
  requires(sizeof...(Layers) > 0) explicit Sequential(Layers... layers) { (add(std::move(layers)), ...); }

  // Any module that is called with one Variable, or like Embedding with one Tensor.
  template <std::derived_from<Module> M> void add(M layer) {
    layers_.push_back(std::make_unique<Holder<M>>(std::move(layer)));
  }

  void members(Visitor& visit) override {
    for (size_t i = 0; i < layers_.size(); ++i) visit(std::to_string(i), layers_[i]->module());
  }

  Variable operator()(Variable x) {
    if (training()) generator();  // one for all layers
    for (const std::unique_ptr<Layer>& layer : layers_) x = layer->call(x);
    return x;
  }

  size_t size() const { return layers_.size(); }

 private:
  struct Layer {  // of any type
    virtual ~Layer() = default;
    virtual Module& module() = 0;
    virtual Variable call(const Variable& x) = 0;
  };
  template <class M> struct Holder : Layer {
    explicit Holder(M m) : layer(std::move(m)) {}
    Module& module() override { return layer; }
    Variable call(const Variable& x) override {
      if constexpr (std::invocable<M&, const Variable&>) return layer(x);
      else return layer(x.value());
    }
    M layer;
  };
  std::vector<std::unique_ptr<Layer>> layers_;
};

}  // namespace gradus::nn
