// Layers, attention and the whole Transformer against PyTorch: outputs and every gradient, in f64 to 1e-10
// and in f32 to 1e-5. The weights are loaded under the names of torch's state_dict.
#include "fixture.h"
#include "nn/transformer.h"

using namespace gradus;
using namespace gradus::compare;

namespace {

constexpr DType kReal[] = {DType::f64, DType::f32};

// Gradients of all parameters of a module; the fixture names them g.<name>.
void check_gradients(nn::Module& module, const Fixture& f) {
  for (const NamedParameter& p : module.parameters()) f.check_near(p.variable.grad(), "g." + p.name);
}

}  // namespace

TEST_CASE("attention is torch.nn.MultiheadAttention") {
  for (DType dtype : kReal)
    for (const std::string kind : {"self", "causal", "cross"}) {
      const Fixture f("attention", dtype, kind + ".");
      nn::MultiHeadAttention attention(16, 4);
      attention.to(dtype);
      attention.load(f.all("p."));
      Variable y;
      if (kind == "cross") {
        const Variable query = f.leaf("x.query"), memory = f.leaf("x.memory");
        y = attention.cross_attention(query, memory, f["x.lengths"]);
        y.backward(f["dy"]);
        f.check_near(query.grad(), "g.query");
        f.check_near(memory.grad(), "g.memory");
      } else {
        const Variable input = f.leaf("x.input");
        y = attention.self_attention(input, f["x.lengths"], kind == "causal");
        y.backward(f["dy"]);
        f.check_near(input.grad(), "g.input");
      }
      f.check_near(y.value(), "y");
      check_gradients(attention, f);
    }
}

TEST_CASE("layers are torch's") {
  for (DType dtype : kReal) {
    const auto check_layer = [&](const std::string& name, nn::Module& layer, const auto& run) {
      const Fixture f("layers", dtype, name + ".");
      layer.to(dtype);
      layer.load(f.all("p."));
      const Variable y = run(f);
      f.check_near(y.value(), "y");
      check_gradients(layer, f);
    };
    nn::LayerNorm norm(6);
    check_layer("layer_norm", norm, [&](const Fixture& f) {
      const Variable x = f.leaf("x.input"), y = norm(x);
      y.backward(f["dy"]);
      f.check_near(x.grad(), "g.input");
      return y;
    });
    const std::pair<const char*, std::optional<Unary>> activations[] = {
        {"linear", {}}, {"linear_relu", Unary::relu}, {"linear_gelu", Unary::gelu}};
    for (const auto& [name, activation] : activations) {
      nn::Linear linear(6, 4);
      check_layer(name, linear, [&, op = activation](const Fixture& f) {
        const Variable x = f.leaf("x.input"), y = linear(x, op);
        y.backward(f["dy"]);
        f.check_near(x.grad(), "g.input");
        return y;
      });
    }
    nn::Embedding embedding(7, 4);
    check_layer("embedding", embedding, [&](const Fixture& f) {
      const Variable y = embedding({f["x.ids"], 0, 5});
      y.backward(f["dy"]);
      return y;
    });
  }
}

TEST_CASE("the Transformer is torch.nn.Transformer") {
  const struct {
    const char* file;
    bool norm_first;
    Unary activation;
  } cases[] = {{"transformer_pre", true, Unary::relu},
               {"transformer_post", false, Unary::relu},
               {"transformer_gelu", true, Unary::gelu}};
  for (DType dtype : kReal)
    for (const auto& [file, norm_first, activation] : cases) {
      const std::string which = file;  // clang 14 captures no structured binding
      INFO(which);
      const Fixture f(file, dtype);
      nn::Transformer model({.d_model = 16,
                             .heads = 2,
                             .layers = 2,
                             .ff = 24,
                             .dropout = 0,
                             .norm_first = norm_first,
                             .activation = activation});
      model.to(dtype);
      model.load(f.all("p."));  // strict: all 64 names and no other
      const Variable src = f.leaf("x.src"), tgt = f.leaf("x.tgt");
      const Variable y = model(src, tgt, f["x.src_lengths"], f["x.tgt_lengths"]);
      y.backward(f["dy"]);
      f.check_near(y.value(), "y");
      f.check_near(src.grad(), "g.src");
      f.check_near(tgt.grad(), "g.tgt");
      CHECK(model.parameters().size() == 64);
      check_gradients(model, f);
      for (int64_t b = 0; b < 3; ++b) {  // exactly 0 where there is only padding
        const int64_t length = f["x.src_lengths"].to_vector<int32_t>()[static_cast<size_t>(b)];
        CHECK(largest(values(src.grad().rows(b, b + 1).reshape({6, 16}).rows(length, 6))) == 0);
      }
    }
}
