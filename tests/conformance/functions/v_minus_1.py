"""A mistake where PyTorch's smoothing is meant: eps goes to the V - 1 other classes."""
from mine import counted_rows


def loss(inputs, options):
    log_p, nll = counted_rows(inputs, options)
    eps, others = options["eps"], log_p.shape[-1] - 1
    rows = (1 - eps) * nll + eps * (-log_p.sum(-1) - nll) / others if eps > 0 else nll
    return rows.sum() / max(len(rows), 1)
