"""A loss of one's own in numpy: PyTorch's smoothing, the mean over the rows that are not padding."""
import numpy as np


def loss(inputs, options):
    offered = {"form": "ce", "convention": "uniform", "reduction": "mean"}
    if any(options[name] != value for name, value in offered.items()) or "class_weight" in inputs or "prior" in inputs:
        raise NotImplementedError
    classes, eps = inputs["logits"].shape[-1], options["eps"]
    z, y = inputs["logits"].reshape(-1, classes), inputs["target"].reshape(-1)
    z, y = z[y != options["pad"]], y[y != options["pad"]]
    log_p = z - z.max(-1, keepdims=True)
    log_p -= np.log(np.exp(log_p).sum(-1, keepdims=True))
    nll = -log_p[np.arange(len(y)), y]
    rows = (1 - eps) * nll - eps * log_p.mean(-1) if eps > 0 else nll
    return rows.sum() / max(len(y), 1)
