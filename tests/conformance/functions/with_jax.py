"""optax's smoothing and optimisers, jax.nn's attention and standardize. Padding is the caller's: optax has none."""
import jax
import jax.numpy as jnp
import optax

jax.config.update("jax_enable_x64", True)


def back(function, dy, *leaves):
    y, pullback = jax.vjp(function, *leaves)
    return (y, *pullback(jnp.asarray(dy, y.dtype)))


def loss(inputs, options):
    if options["form"] != "ce" or options["convention"] != "uniform" or "class_weight" in inputs or "prior" in inputs:
        raise NotImplementedError
    y = inputs["target"]
    counts = jnp.full(y.shape, True) if options["pad"] is None else y != options["pad"]

    def value(z):
        labels = optax.smooth_labels(jax.nn.one_hot(y, z.shape[-1], dtype=z.dtype), options["eps"])
        rows = jnp.where(counts, optax.softmax_cross_entropy(z, labels), 0)
        mean = rows.sum() / jnp.maximum(counts.sum(), 1)
        return {"none": rows, "sum": rows.sum(), "mean": mean}[options["reduction"]]

    z = jnp.asarray(inputs["logits"])
    return back(value, inputs.get("dy", jnp.ones_like(value(z))), z)


def attention(inputs, options):
    def value(q, k, v):
        split = lambda x: x.reshape(*x.shape[:2], options["heads"], -1)
        y = jax.nn.dot_product_attention(split(q), split(k), split(v), is_causal=options["causal"],
                                         key_value_seq_lengths=inputs.get("key_lengths"))
        return y.reshape(q.shape)

    return back(value, inputs["dy"], *(jnp.asarray(inputs[name]) for name in "qkv"))


def layer_norm(inputs, options):
    def value(x, weight, bias):
        return jax.nn.standardize(x, epsilon=options["eps"]) * weight + bias

    return back(value, inputs["dy"], *(jnp.asarray(inputs[name]) for name in ("x", "weight", "bias")))


def optimizer(inputs, options):
    settings = {"b1": options["beta1"], "b2": options["beta2"], "eps": options["eps"]}
    decay, lr = options["weight_decay"], options["lr"]
    if options["method"] == "adam":
        method = optax.chain(optax.add_decayed_weights(decay), optax.adam(lr, **settings))
    else:
        method = optax.adamw(lr, weight_decay=decay, **settings)
    w, trajectory = jnp.asarray(inputs["parameter"]), []
    state = method.init(w)
    for gradient in inputs["gradients"]:
        updates, state = method.update(jnp.asarray(gradient), state, w)
        w = optax.apply_updates(w, updates)
        trajectory.append(w)
    return jnp.stack(trajectory)
