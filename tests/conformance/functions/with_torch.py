"""PyTorch's own losses, attention, layer norm, Transformer and optimisers."""
import torch
import torch.nn.functional as F


def leaf(x):
    return torch.tensor(x, requires_grad=True)


def back(outputs, dy, leaves):
    outputs.backward(torch.as_tensor(dy))
    return tuple([outputs.detach().numpy()] + [x.grad.numpy() for x in leaves])


def loss(inputs, options):
    weight = inputs.get("class_weight")
    if options["form"] != "ce" or options["convention"] != "uniform" or "prior" in inputs:
        raise NotImplementedError
    if weight is not None and options["eps"] > 0 and options["weighting"] != "per_class":
        raise NotImplementedError
    z, y = leaf(inputs["logits"]), torch.tensor(inputs["target"]).long()
    value = F.cross_entropy(z.reshape(-1, z.shape[-1]), y.reshape(-1), label_smoothing=options["eps"],
                            weight=None if weight is None else torch.tensor(weight), reduction=options["reduction"],
                            ignore_index=-100 if options["pad"] is None else options["pad"])
    value = value.reshape(y.shape) if options["reduction"] == "none" else value
    return back(value, inputs.get("dy", torch.ones_like(value)), [z])


def attention(inputs, options):
    q, k, v = leaf(inputs["q"]), leaf(inputs["k"]), leaf(inputs["v"])
    heads = lambda x: x.unflatten(-1, (options["heads"], -1)).transpose(1, 2)
    seen = torch.ones(1, 1, q.shape[1], k.shape[1], dtype=torch.bool)
    if options["causal"]:
        seen = seen.tril(k.shape[1] - q.shape[1])
    if "key_lengths" in inputs:
        seen = seen & (torch.arange(k.shape[1]) < torch.tensor(inputs["key_lengths"])[:, None, None, None])
    y = F.scaled_dot_product_attention(heads(q), heads(k), heads(v), attn_mask=seen)
    return back(y.transpose(1, 2).flatten(2), inputs["dy"], [q, k, v])


def layer_norm(inputs, options):
    x, weight, bias = leaf(inputs["x"]), leaf(inputs["weight"]), leaf(inputs["bias"])
    return back(F.layer_norm(x, x.shape[-1:], weight, bias, options["eps"]), inputs["dy"], [x, weight, bias])


def transformer(inputs, options):
    parameters = {name[10:]: torch.tensor(x) for name, x in inputs.items() if name.startswith("parameter.")}
    src, tgt = leaf(inputs["src"]), leaf(inputs["tgt"])
    model = torch.nn.Transformer(src.shape[-1], options["heads"], options["layers"], options["layers"], options["ff"], 0,
                                 options["activation"], norm_first=options["norm_first"], batch_first=True).to(src.dtype)
    model.load_state_dict(parameters)

    def padding(x, field):
        return torch.arange(x.shape[1]) >= torch.tensor(inputs[field])[:, None] if field in inputs else None

    later = torch.ones(tgt.shape[1], tgt.shape[1], dtype=torch.bool).triu(1)
    y = model(src, tgt, tgt_mask=later, src_key_padding_mask=padding(src, "src_lengths"),
              memory_key_padding_mask=padding(src, "src_lengths"), tgt_key_padding_mask=padding(tgt, "tgt_lengths"))
    y.backward(torch.tensor(inputs["dy"]))
    outputs = {"y": y.detach().numpy(), "gradient.src": src.grad.numpy(), "gradient.tgt": tgt.grad.numpy()}
    outputs.update({"gradient." + name: p.grad.numpy() for name, p in model.named_parameters()})
    return outputs


def optimizer(inputs, options):
    w, trajectory = leaf(inputs["parameter"]), []
    method = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[options["method"]](
        [w], lr=options["lr"], betas=(options["beta1"], options["beta2"]), eps=options["eps"],
        weight_decay=options["weight_decay"])
    for gradient in torch.tensor(inputs["gradients"]):
        w.grad = gradient.clone()
        method.step()
        trajectory.append(w.detach().clone())
    return torch.stack(trajectory).numpy()
