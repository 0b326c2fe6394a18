"""A mistake: rows of padding count in the divisor of the mean."""
from mine import smoothed


def loss(inputs, options):
    return smoothed(inputs, options).sum() / inputs["target"].size
