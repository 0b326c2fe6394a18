"""What the cases expect, in numpy and f64, by formulas from paper. Nothing here comes from gradus.

Each function takes the inputs and options of a case and returns its outputs by field. Options that the kit does not
have (divisor, scale, variance, ..) stand for what other programs do instead; check.py recognises them by name.
"""
import math

import numpy as np


def f64(inputs):
    return {name: x.astype(np.float64) if x.dtype == np.float32 else x for name, x in inputs.items()}


# ---- losses ----------------------------------------------------------------------------------------------------------

def target_distribution(y, classes, eps, convention, pad, prior=None):
    """q [N, V] for targets y [N]."""
    off = {"uniform": eps / classes, "as_printed": eps / classes, "others": eps / max(classes - 1, 1)}.get(convention)
    pad_is_class = pad is not None and 0 <= pad < classes
    if convention == "others_not_pad":
        off = eps / (classes - 2) if pad_is_class else eps / (classes - 1)
    q = np.full((len(y), classes), off) if prior is None else np.tile(eps * prior, (len(y), 1))
    if convention == "others_not_pad" and pad_is_class:
        q[:, pad] = 0
    rows = np.arange(len(y))
    if prior is not None or convention == "uniform":
        q[rows, y] += 1 - eps
    else:
        q[rows, y] = 1 - eps
    if eps == 0:
        q[:] = 0
        q[rows, y] = 1
    return q


def log_softmax(z):
    """ln p. The largest term of the sum is exactly 1; log1p keeps the digits of the rest where that is small."""
    top = z.argmax(-1)[..., None]
    shifted = z - np.take_along_axis(z, top, -1)
    terms = np.exp(shifted)
    np.put_along_axis(terms, top, 0, -1)
    return shifted - np.log1p(terms.sum(-1, keepdims=True))


def times(a, b):
    """a b, and 0 where a is 0, even where b is infinite."""
    with np.errstate(invalid="ignore"):
        return np.where(a == 0, 0, a * b)


def loss(inputs, options):
    """Row n of weight w: -sum_j Q_j ln p_j with Q = w q. Its gradient is (sum Q) p - Q. Both over the divisor."""
    x = f64(inputs)
    shape, classes = x["target"].shape, x["logits"].shape[-1]
    z, target = x["logits"].reshape(-1, classes), x["target"].reshape(-1)
    eps, pad = options["eps"], options["pad"]
    counted = np.full(len(target), True) if pad is None or options.get("pads") == "count" else target != pad
    z, y = z[counted], target[counted]
    w = x.get("class_weight", np.ones(classes))
    weighting = options.get("weighting", "per_target")
    w_row = w[y]

    q = target_distribution(y, classes, eps, options["convention"], pad, x.get("prior"))
    Q = q * (w if weighting == "per_class" else w_row[:, None])
    with np.errstate(invalid="ignore", divide="ignore"):
        log_p = log_softmax(z)
    rows = -times(Q, log_p).sum(-1)
    if options["form"] == "kl":
        rows += times(w_row[:, None] * q, np.log(np.where(q > 0, q, 1))).sum(-1)
    nll = -times(w_row, log_p[np.arange(len(y)), y])

    # sum Q - Q_y is exactly 0 for a hard target; so is no digit of a small 1 - p_y lost.
    p, total = np.exp(log_p), Q.sum(-1, keepdims=True)
    gradient = times(total, p) - Q
    at = np.arange(len(y))
    rest = Q.copy()
    rest[at, y] = 0
    gradient[at, y] = times(total[:, 0], np.expm1(log_p[at, y])) + rest.sum(-1)

    weights, reduction = w_row.sum(), options["reduction"]
    if reduction == "none":
        upstream = x.get("dy", np.ones(shape)).reshape(-1)[counted]
        value, nll_value = np.zeros(len(target)), np.zeros(len(target))
        value[counted], nll_value[counted] = rows, nll
        value, nll_value = value.reshape(shape), nll_value.reshape(shape)
        gradient = gradient * upstream[:, None]
    else:
        divisor = 1 if reduction == "sum" else divisor_of(options.get("divisor", "weights"), shape, classes, weights,
                                                          len(y))
        value, nll_value = rows.sum() / divisor, nll.sum() / divisor
        gradient = gradient / divisor
    whole = np.zeros((len(target), classes))
    whole[counted] = gradient
    correct = (z.argmax(-1) == y).sum() if len(y) else 0
    return {"loss": np.float64(value) if np.ndim(value) == 0 else value,
            "nll": np.float64(nll_value) if np.ndim(nll_value) == 0 else nll_value,
            "sums": np.array([rows.sum(), nll.sum(), correct, len(y), weights], np.float64),
            "gradient.logits": whole.reshape(x["logits"].shape)}


def divisor_of(divisor, shape, classes, weights, tokens):
    """What the mean divides by. The kit's divisor is the weights of the rows that count, or 1 where there are none."""
    rows = math.prod(shape)
    return {"weights": weights if weights > 0 else 1, "rows": rows, "tokens": max(tokens, 1), "batch": shape[0],
            "elements": rows * classes}[divisor]


# ---- attention -------------------------------------------------------------------------------------------------------

def split(x, heads):  # [B, T, D] -> [B, H, T, D / H]
    return x.reshape(*x.shape[:2], heads, -1).transpose(0, 2, 1, 3)


def join(x):  # and back
    return x.transpose(0, 2, 1, 3).reshape(x.shape[0], x.shape[2], -1)


def seen_keys(options, lengths, batch, queries, keys):
    """Booleans [B, 1, Tq, Tk]: which keys a query sees."""
    seen = np.full((batch, 1, queries, keys), True)
    if lengths is not None and options.get("lengths") != "ignored":
        seen &= np.arange(keys) < lengths.reshape(-1, 1, 1, 1)
    if options["causal"]:
        last = np.arange(queries)[:, None] + (0 if options.get("causal_from") == "start" else keys - queries)
        seen &= np.arange(keys) <= last - (options.get("causal_self") == "excluded")
    return seen


def attend(q, k, v, options, lengths):
    """softmax(q k^T / sqrt(d_head)) v over the keys that are seen; 0 where there are none. -> y, its gradients."""
    heads = options["heads"]
    q, k, v = split(q, heads), split(k, heads), split(v, heads)
    width = {"none": 1, "d_model": q.shape[-1] * heads}.get(options.get("scale"), q.shape[-1])
    scale = 1 / math.sqrt(width)
    seen = seen_keys(options, lengths, q.shape[0], q.shape[2], k.shape[2])
    scores = np.where(seen, scale * (q @ k.swapaxes(-1, -2)), -1e30)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    if options.get("masked_row") != "mean":
        weights = np.where(seen, weights, 0)

    def backward(dy):
        dy = split(dy, heads)
        dweights = dy @ v.swapaxes(-1, -2)
        dscores = weights * (dweights - (weights * dweights).sum(-1, keepdims=True)) * scale
        return join(dscores @ k), join(dscores.swapaxes(-1, -2) @ q), join(weights.swapaxes(-1, -2) @ dy)

    return join(weights @ v), backward


def attention(inputs, options):
    x = f64(inputs)
    y, backward = attend(x["q"], x["k"], x["v"], options, x.get("key_lengths"))
    dq, dk, dv = backward(x["dy"])
    return {"y": y, "gradient.q": dq, "gradient.k": dk, "gradient.v": dv}


# ---- layer norm ------------------------------------------------------------------------------------------------------

def normalise(x, weight, bias, options):
    """weight (x - mean) / sqrt(variance + eps) + bias. Differences to the first element have no offset to lose."""
    size = x.shape[-1]
    shifted = x - x[..., :1]
    centred = shifted - shifted.mean(-1, keepdims=True)
    divisor = size - 1 if options.get("variance") == "unbiased" else size
    variance = (centred**2).sum(-1, keepdims=True) / divisor
    if options.get("variance") == "of squares":
        variance = (x**2).mean(-1, keepdims=True) - x.mean(-1, keepdims=True) ** 2
    eps = options["eps"]
    deviation = {"outside": np.sqrt(variance) + eps, "none": np.sqrt(variance)}.get(
        options.get("eps_place"), np.sqrt(variance + eps))
    rstd = 1 / deviation
    h = centred * rstd

    def backward(dy):
        u = weight * dy
        dx = rstd * (u - u.mean(-1, keepdims=True) - h * (u * h).sum(-1, keepdims=True) / divisor)
        axes = tuple(range(x.ndim - 1))
        return dx, (dy * h).sum(axes), dy.sum(axes)

    return weight * h + bias, backward


def layer_norm(inputs, options):
    x = f64(inputs)
    y, backward = normalise(x["x"], x["weight"], x["bias"], options)
    dx, dweight, dbias = backward(x["dy"])
    return {"y": y, "gradient.x": dx, "gradient.weight": dweight, "gradient.bias": dbias}


# ---- the Transformer of torch.nn -------------------------------------------------------------------------------------

erf = np.vectorize(math.erf, otypes=[np.float64])


def activate(x, name):
    """-> value, derivative"""
    if name == "relu":
        return np.maximum(x, 0), (x > 0).astype(np.float64)
    if name == "gelu_tanh":
        inner = np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))
        return x * (1 + inner) / 2, np.full(x.shape, np.nan)  # for a diagnosis of the value alone
    cdf = (1 + erf(x / math.sqrt(2))) / 2
    return x * cdf, cdf + x * np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)


class Layers:
    """torch.nn.Transformer with parameters by torch's names. Each function returns a value and a function backward,
    which takes the gradient of the value to those of its inputs and adds those of parameters to `gradients`."""

    def __init__(self, parameters, options):
        self.p, self.options = parameters, options
        self.gradients = {name: np.zeros(value.shape) for name, value in parameters.items()}

    def linear(self, x, weight, bias, rows=slice(None)):
        def backward(dy):
            flat = dy.reshape(-1, dy.shape[-1])
            self.gradients[weight][rows] += flat.T @ x.reshape(-1, x.shape[-1])
            self.gradients[bias][rows] += flat.sum(0)
            return dy @ self.p[weight][rows]
        return x @ self.p[weight][rows].T + self.p[bias][rows], backward

    def norm(self, x, name):
        value, normalised_backward = normalise(x, self.p[name + ".weight"], self.p[name + ".bias"], {"eps": 1e-5})

        def backward(dy):
            dx, dweight, dbias = normalised_backward(dy)
            self.gradients[name + ".weight"] += dweight
            self.gradients[name + ".bias"] += dbias
            return dx
        return value, backward

    def attention(self, x, memory, name, lengths, causal):
        """Queries of x, keys and values of memory, which may be x."""
        d = x.shape[-1]
        weight, bias = name + ".in_proj_weight", name + ".in_proj_bias"
        q, back_q = self.linear(x, weight, bias, slice(0, d))
        k, back_k = self.linear(memory, weight, bias, slice(d, 2 * d))
        v, back_v = self.linear(memory, weight, bias, slice(2 * d, 3 * d))
        y, back_attend = attend(q, k, v, {**self.options, "causal": causal}, lengths)
        out, back_out = self.linear(y, name + ".out_proj.weight", name + ".out_proj.bias")

        def backward(dy):
            dq, dk, dv = back_attend(back_out(dy))
            return back_q(dq), back_k(dk) + back_v(dv)
        return out, backward

    def feed_forward(self, x, name):
        pre, back_1 = self.linear(x, name + ".linear1.weight", name + ".linear1.bias")
        h, slope = activate(pre, self.options["activation"])
        y, back_2 = self.linear(h, name + ".linear2.weight", name + ".linear2.bias")
        return y, lambda dy: back_1(back_2(dy) * slope)

    def residual(self, x, norm, function):
        """x + f(norm(x)), or norm(x + f(x))"""
        if self.options["norm_first"]:
            h, back_norm = self.norm(x, norm)
            y, back = function(h)
            return x + y, lambda dy: dy + back_norm(back(dy))
        y, back = function(x)
        out, back_norm = self.norm(x + y, norm)

        def backward(dy):
            d = back_norm(dy)
            return d + back(d)
        return out, backward

    def self_attention(self, name, lengths, causal):
        def function(h):
            y, back = self.attention(h, h, name, lengths, causal)
            return y, lambda dy: sum(back(dy))
        return function

    def encoder(self, x, lengths):
        backs = []
        for i in range(self.options["layers"]):
            name = f"encoder.layers.{i}"
            x, back = self.residual(x, name + ".norm1", self.self_attention(name + ".self_attn", lengths, False))
            backs.append(back)
            x, back = self.residual(x, name + ".norm2", lambda h, n=name: self.feed_forward(h, n))
            backs.append(back)
        return self.finish(x, "encoder.norm", backs)

    def decoder(self, x, memory, lengths, memory_lengths):
        dmemory = np.zeros(memory.shape)
        causal = self.options.get("decoder") != "not causal"

        def cross_attention(name):
            def function(h):
                y, back = self.attention(h, memory, name, memory_lengths, False)

                def backward(dy):
                    dh, dm = back(dy)
                    np.add(dmemory, dm, out=dmemory)
                    return dh
                return y, backward
            return function

        backs = []
        for i in range(self.options["layers"]):
            name = f"decoder.layers.{i}"
            x, back = self.residual(x, name + ".norm1", self.self_attention(name + ".self_attn", lengths, causal))
            backs.append(back)
            x, back = self.residual(x, name + ".norm2", cross_attention(name + ".multihead_attn"))
            backs.append(back)
            x, back = self.residual(x, name + ".norm3", lambda h, n=name: self.feed_forward(h, n))
            backs.append(back)
        y, backward = self.finish(x, "decoder.norm", backs)
        return y, lambda dy: (backward(dy), dmemory)

    def finish(self, x, norm, backs):
        if self.options.get("final_norm") != "none":
            x, back = self.norm(x, norm)
            backs.append(back)

        def backward(dy):
            for step in reversed(backs):
                dy = step(dy)
            return dy
        return x, backward


PARAMETER = "parameter."


def transformer(inputs, options):
    x = f64(inputs)
    layers = Layers({name[len(PARAMETER):]: value for name, value in x.items() if name.startswith(PARAMETER)}, options)
    memory, back_encoder = layers.encoder(x["src"], x.get("src_lengths"))
    y, back_decoder = layers.decoder(x["tgt"], memory, x.get("tgt_lengths"), x.get("src_lengths"))
    dtgt, dmemory = back_decoder(x["dy"])
    outputs = {"y": y, "gradient.src": back_encoder(dmemory), "gradient.tgt": dtgt}
    outputs.update({"gradient." + name: value for name, value in layers.gradients.items()})
    return outputs


# ---- Adam and AdamW --------------------------------------------------------------------------------------------------

def optimizer(inputs, options):
    """Kingma & Ba 2015, algorithm 1; Loshchilov & Hutter 2019, algorithm 2 with a constant schedule."""
    x = f64(inputs)
    w, m, v, trajectory = x["parameter"], 0, 0, []
    lr, b1, b2, eps, decay = (options[name] for name in ("lr", "beta1", "beta2", "eps", "weight_decay"))
    kind = options.get("decay", "coupled" if options["method"] == "adam" else "decoupled")
    for t, gradient in enumerate(x["gradients"], start=1):
        g = gradient + decay * w if kind == "coupled" else gradient
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
        c1, c2 = (1, 1) if options.get("correction") == "none" else (1 - b1**t, 1 - b2**t)
        denominator = {"inside": np.sqrt(v / c2 + eps), "uncorrected": (np.sqrt(v) + eps) / math.sqrt(c2)}.get(
            options.get("eps_place"), np.sqrt(v / c2) + eps)
        shrink = {"decoupled": lr * decay, "without lr": decay}.get(kind, 0)
        w = w - shrink * w - lr * (m / c1) / denominator
        trajectory.append(w)
    return {"trajectory": np.stack(trajectory)}


FAMILIES = {"loss": loss, "attention": attention, "layer_norm": layer_norm, "transformer": transformer,
            "optimizer": optimizer}
