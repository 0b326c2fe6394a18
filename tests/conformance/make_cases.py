#!/usr/bin/env python3
"""Writes the cases of the kit: index.json and one safetensors file for each family. The expected values come from
closed_forms.py. Twice the same bytes on one machine.

    python3 make_cases.py                write into this folder
    python3 make_cases.py --out FOLDER   write elsewhere
    python3 make_cases.py --check        write nothing; compare with this folder, names exactly and numbers to 1e-13
"""
import argparse
import itertools
import json
import os
import sys
import tempfile

import numpy as np

import closed_forms
from kit import HERE, VERSION, Kit, KitError, describe, metadata_of, seeded, write_safetensors

CONVENTIONS = ("uniform", "as_printed", "others", "others_not_pad")
FORMULAS = {
    "loss": "row: -sum_j w q_j ln p_j, for form kl + sum_j w q_j ln q_j; gradient: (sum_j w q_j) p - w q; for a mean both "
            "over the sum of w[target] of the rows that count",
    "attention": "softmax(q k^T / sqrt(D / heads)) v over the keys that are seen, 0 where none is",
    "layer_norm": "weight (x - mean) / sqrt(mean((x - mean)^2) + eps) + bias",
    "transformer": "torch.nn.Transformer: Vaswani et al. 2017, with norm_first Xiong et al. 2020; decoder causal, final norms",
    "optimizer": "Kingma & Ba 2015, algorithm 1; AdamW: Loshchilov & Hutter 2019, algorithm 2",
}
TOLERANCES = {  # relative to the largest number of the expected tensor, and at least to 1e-3
    "row": {"f64": 1e-12, "f32": 1e-5, "why": "some roundings in a row: 1e-15 and 1e-6, with room for sums in another order"},
    "wide": {"f64": 1e-11, "f32": 5e-5, "why": "sums over 1,000 classes and more, whose roundings add up"},
    "offset": {"f64": 1e-11, "f32": 2e-3, "why": "logits near 1e4: where x - max is not formed first, or max + ln sum is "
                                                  "rounded, 1e4 times the dtype's epsilon is lost"},
    "far": {"f64": 1e-8, "f32": 1e-1, "why": "x far from 0: a mean rounded to the dtype moves x - mean by offset times epsilon"},
    "cancels": {"f64": 1e-9, "f32": 1e-1, "why": "the gradient is nearly 0 by cancellation; layer norm then multiplies by up to 316"},
    "saturated": {"f64": 1e-11, "f32": 1e-1, "why": "scores in the hundreds and thousands: their rounding moves exp"},
    "deep": {"f64": 1e-11, "f32": 1e-4, "why": "roundings through all sublayers, forward and backward"},
    "steps": {"f64": 1e-12, "f32": 1e-5, "why": "20 updates, each with some roundings"},
}


class Cases:
    def __init__(self, agreed):
        self.agreed, self.entries, self.tensors = agreed, [], {}

    def add(self, name, family, options, inputs, tolerance, formulas=None):
        """formulas: inputs that are not stored, but made by kit.seeded."""
        name, formulas = name.replace(".", "_"), formulas or {}  # a dot parts the name from the field
        given = {**inputs, **{field: seeded(**formula) for field, formula in formulas.items()}}
        expected = closed_forms.FAMILIES[family](given, options)
        if "logits" in formulas:
            expected = with_probe(expected, given)
        expected = {field: np.asarray(value, value.dtype) for field, value in expected.items()}
        entry = {"name": name, "family": family, "file": family + ".safetensors", "options": options,
                 "inputs": {field: describe(value) for field, value in inputs.items()}, "seeded": formulas,
                 "expected": {field: describe(value) for field, value in expected.items()}, "formula": family,
                 "agreed": sorted(library for library, names in self.agreed.items() if name in names),
                 "tolerance": tolerance}
        if any(entry["name"] == other["name"] for other in self.entries):
            raise KitError(f"two cases with the name {name}")
        self.entries.append(entry)
        stored = self.tensors.setdefault(family, {})
        stored.update({f"{name}.{field}": value for field, value in inputs.items()})
        stored.update({f"{name}.expected.{field}": value for field, value in expected.items()})

    def write(self, folder):
        for family, tensors in self.tensors.items():
            metadata = {"kit": str(VERSION)}
            for entry in self.entries:
                if entry["family"] == family:
                    metadata.update(metadata_of({**entry, "tolerance": TOLERANCES[entry["tolerance"]]}))
            write_safetensors(os.path.join(folder, family + ".safetensors"), tensors, metadata)
        lines = ",\n".join(json.dumps(entry) for entry in self.entries)
        with open(os.path.join(folder, "index.json"), "w", encoding="utf-8") as file:
            file.write(f'{{"kit": {VERSION},\n"formulas": {json.dumps(FORMULAS, indent=1)},\n'
                       f'"tolerances": {json.dumps(TOLERANCES, indent=1)},\n"cases": [\n{lines}\n]}}\n')


def with_probe(expected, given):
    """Of a large gradient some places, by their number in the flattened tensor, and the root of its sum of squares."""
    gradient, classes = expected.pop("gradient.logits"), given["logits"].shape[-1]
    at = set(np.linspace(0, gradient.size - 1, 41).astype(int).tolist())
    at |= {row * classes + int(y) for row, y in enumerate(given["target"]) if y >= 0}
    at = np.array(sorted(at), np.int32)
    return {**expected, "gradient.logits.at": at, "gradient.logits.values": gradient.reshape(-1)[at],
            "gradient.logits.norm": np.sqrt((gradient**2).sum())}


def ids(values):
    return np.array(values, np.int32)


# Two sentences of three words. The target that the tests pad is 0, or 6, or an id outside the vocabulary.
TARGETS = {"some": ids([[3, 1, 0], [6, 0, 0]]), "nothing": ids([[3, 1, 5], [6, 2, 4]]), "all": ids([[0, 0, 0], [0, 0, 0]])}


def add_losses(cases):
    number = itertools.count(1)
    logits = seeded(100, (2, 3, 7), scale=4)

    def add(name, z=logits, target=TARGETS["some"], tolerance="row", **rest):
        options = {"form": "ce", "convention": "uniform", "eps": 0.1, "pad": 0, "reduction": "mean"}
        inputs = {} if isinstance(z, dict) else {"logits": z}
        inputs["target"] = target
        for field, value in rest.items():
            (inputs if isinstance(value, np.ndarray) else options)[field] = value
        if "class_weight" in inputs:
            options.setdefault("weighting", "per_target")
        cases.add(name, "loss", options, inputs, tolerance, {"logits": z} if isinstance(z, dict) else {})

    for convention, form, reduction in itertools.product(CONVENTIONS, ("ce", "kl"), ("mean", "sum", "none")):
        settings = {"convention": convention, "form": form, "reduction": reduction}
        name = f"{convention}-{form}-{reduction}"
        add(f"{name}-some-pads", **settings)
        add(f"{name}-no-pads", target=TARGETS["nothing"], pad=None, **settings)
        if form == "ce" or reduction == "mean":
            add(f"{name}-only-pads", target=TARGETS["all"], **settings)
    for convention in CONVENTIONS:
        add(f"{convention}-pad-last", target=ids([[3, 1, 6], [2, 6, 6]]), pad=6, convention=convention)
        add(f"{convention}-pad-minus-100", target=ids([[3, 1, -100], [2, -100, -100]]), pad=-100, convention=convention)
        add(f"{convention}-pad-minus-1-sum", target=ids([[3, 1, -1], [2, -1, -1]]), pad=-1, convention=convention,
            reduction="sum")
        add(f"{convention}-upstream", reduction="none", convention=convention, dy=seeded(next(number), (2, 3)))
        for classes in (2, 3, 5, 10, 100):
            if classes == 2 and convention == "others_not_pad":
                continue  # nothing is left to smooth to
            z = seeded(200 + classes, (4, classes), scale=4)
            add(f"{convention}-classes-{classes}", z, ids([1, classes - 1, 0, classes // 2]), convention=convention)
        for classes in (1000, 32000, 50000):
            formula = {"seed": 200 + classes, "shape": [3, classes], "scale": 8, "offset": 0}
            add(f"{convention}-classes-{classes}", formula, ids([1, classes - 1, 0]), "wide", convention=convention)
        for eps, form in itertools.product((0.0, 1e-6, 0.5, 1.0), ("ce", "kl")):
            add(f"{convention}-{form}-eps-{eps:g}", convention=convention, form=form, eps=eps)
        add(f"{convention}-offset-1e4", seeded(7, (2, 3, 7), 4, 10000), tolerance="offset", convention=convention)
        add(f"{convention}-offset-minus-1e4", seeded(8, (2, 3, 7), 4, -10000), tolerance="offset", convention=convention)
        add(f"{convention}-spread-1e4", seeded(9, (2, 3, 7), 8192), tolerance="offset", convention=convention)
    add("kl-offset-1e4", seeded(7, (2, 3, 7), 4, 10000), tolerance="offset", form="kl")
    add("hard-spread-1e4", seeded(9, (2, 3, 7), 8192), tolerance="offset", eps=0.0)

    pads = TARGETS["some"] == 0
    for text, value in (("nan", np.nan), ("minus-inf", -np.inf), ("inf", np.inf), ("huge", 3e38)):
        z = logits.copy()
        z[pads] = value
        for convention in ("uniform", "others_not_pad"):
            add(f"{convention}-{text}-under-pads", z, convention=convention)
        add(f"hard-none-{text}-under-pads", z, eps=0.0, reduction="none")
    forbidden = logits.copy()
    forbidden[..., 5] = -np.inf  # no target, so a hard loss is finite
    pad_column = logits.copy()
    pad_column[..., 0] = -np.inf
    add("hard-forbidden-class", forbidden, eps=0.0)
    add("uniform-forbidden-class", forbidden)  # infinite: q is not 0 there
    add("others_not_pad-forbidden-pad-column", pad_column, convention="others_not_pad")
    add("others_not_pad-kl-forbidden-pad-column", pad_column, convention="others_not_pad", form="kl")

    weight = np.array([1, 0.5, 0, 2, 1, 0, 0.25], np.float32)  # class 2 and 5 weigh nothing
    for reduction in ("mean", "sum", "none"):
        for convention in CONVENTIONS:
            add(f"{convention}-per-target-{reduction}", target=TARGETS["nothing"], pad=0, convention=convention,
                reduction=reduction, class_weight=weight)
        add(f"hard-weighted-{reduction}", class_weight=weight, reduction=reduction, eps=0.0, target=ids([[3, 1, 2], [6, 0, 0]]))
        add(f"uniform-per-class-{reduction}", class_weight=weight, reduction=reduction, weighting="per_class")
    add("uniform-per-class-eps-1", class_weight=weight, weighting="per_class", eps=1.0)
    only_weightless = ids([[2, 5, 0], [5, 2, 0]])
    add("uniform-per-target-only-weightless", target=only_weightless, class_weight=weight)
    add("hard-only-weightless", target=only_weightless, class_weight=weight, eps=0.0)

    prior = np.array([0, 0.5, 0.125, 0.125, 0.125, 0, 0.125], np.float32)
    for reduction, eps in itertools.product(("mean", "sum", "none"), (0.1, 1.0)):
        add(f"prior-{reduction}-eps-{eps:g}", prior=prior, reduction=reduction, eps=eps)
    add("prior-forbidden-class", forbidden, prior=prior)  # the prior is 0 there

    ties = np.zeros((4, 5), np.float32)
    add("ties", ties, ids([0, 1, 0, 4]), pad=None)  # of equal logits the lowest index is the answer
    add("one-row", seeded(11, (1, 5), 2), ids([2]))
    add("long-row-of-pads", seeded(12, (64, 5), 2), ids([3] + [0] * 63))


def add_attention(cases):
    number = itertools.count(1000)

    def add(name, batch=2, queries=5, keys=5, width=8, heads=2, causal=False, lengths=None, scale=1,
            tolerance="row"):
        draw = lambda *shape, s=1: seeded(next(number), shape, s)
        inputs = {"q": draw(batch, queries, width, s=scale), "k": draw(batch, keys, width, s=scale),
                  "v": draw(batch, keys, width), "dy": draw(batch, queries, width)}
        if lengths is not None:
            inputs["key_lengths"] = ids(lengths)
        cases.add(name, "attention", {"heads": heads, "causal": causal}, inputs, tolerance)

    for heads, causal, lengths in itertools.product((1, 2, 8), (False, True), (None, [5, 3])):
        add(f"heads-{heads}{'-causal' if causal else ''}{'-lengths' if lengths else ''}", heads=heads, causal=causal,
            lengths=lengths)
    add("cross", queries=3, keys=7)
    add("cross-lengths", queries=3, keys=7, lengths=[7, 4])
    add("fewer-queries-causal", queries=3, keys=5, causal=True)
    add("fewer-queries-causal-lengths", queries=3, keys=5, causal=True, lengths=[5, 2])
    add("more-queries-causal", queries=5, keys=3, causal=True)  # the first two queries see nothing
    add("masked-sentence", lengths=[5, 0])
    add("masked-sentence-causal", lengths=[0, 4], causal=True)
    add("cross-masked-sentence", queries=2, keys=4, lengths=[0, 4])
    add("one-key", queries=3, keys=1, tolerance="cancels")
    add("one-query-causal", queries=1, keys=6, causal=True)
    add("large-scores", scale=64, tolerance="saturated")
    add("large-scores-causal-lengths", scale=64, causal=True, lengths=[4, 5], tolerance="saturated")


def add_layer_norm(cases):
    number = itertools.count(2000)

    def add(name, shape=(3, 6), scale=1, offset=0, eps=1e-5, x=None, tolerance="row"):
        x = seeded(next(number), shape, scale, offset) if x is None else x
        inputs = {"x": x, "weight": seeded(next(number), shape[-1:], 1, 1), "bias": seeded(next(number), shape[-1:]),
                  "dy": seeded(next(number), shape)}
        cases.add(name, "layer_norm", {"eps": eps}, inputs, tolerance)

    add("plain")
    add("three-axes", (2, 3, 4))
    add("wide", (2, 512))
    add("two-columns", (3, 2), tolerance="cancels")
    add("one-column", (3, 1), tolerance="cancels")
    add("eps-1e-12", eps=1e-12)
    add("eps-1", eps=1.0)
    add("small", scale=2.0**-10)
    add("large", scale=1024)
    add("offset-100", offset=100, tolerance="far")
    add("offset-1e4", offset=10000, tolerance="far")
    add("offset-minus-1e6", scale=64, offset=-1000000, tolerance="far")
    add("offset-1e4-wide", (2, 512), offset=10000, tolerance="far")
    add("constant-rows", x=np.full((3, 6), 3, np.float32), tolerance="cancels")
    add("one-outlier", x=np.array([[0, 0, 0, 0, 0, 1000], [1, 2, 3, 4, 5, 6]], np.float32), shape=(2, 6))


def transformer_shapes(width, ff, layers):
    """The names and shapes of torch.nn.Transformer's state_dict."""
    norm = lambda name: {name + ".weight": [width], name + ".bias": [width]}
    attention = lambda name: {name + ".in_proj_weight": [3 * width, width], name + ".in_proj_bias": [3 * width],
                              name + ".out_proj.weight": [width, width], name + ".out_proj.bias": [width]}
    shapes = {}
    for stack, attentions, norms in (("encoder", ["self_attn"], 2), ("decoder", ["self_attn", "multihead_attn"], 3)):
        for i in range(layers):
            layer = f"{stack}.layers.{i}."
            for name in attentions:
                shapes.update(attention(layer + name))
            shapes.update({layer + "linear1.weight": [ff, width], layer + "linear1.bias": [ff],
                           layer + "linear2.weight": [width, ff], layer + "linear2.bias": [width]})
            for n in range(norms):
                shapes.update(norm(f"{layer}norm{n + 1}"))
        shapes.update(norm(stack + ".norm"))
    return shapes


def add_transformers(cases):
    number = itertools.count(3000)
    for norm_first, activation, padded in itertools.product((True, False), ("relu", "gelu"), (True, False)):
        layers = 2 if norm_first and padded and activation == "relu" else 1
        inputs = {}
        for name, shape in transformer_shapes(width=8, ff=12, layers=layers).items():
            gain = ".norm" in name and name.endswith("weight")
            inputs[closed_forms.PARAMETER + name] = seeded(next(number), shape, 0.5, 1 if gain else 0)
        inputs.update({"src": seeded(next(number), (2, 4, 8)), "tgt": seeded(next(number), (2, 3, 8)),
                       "dy": seeded(next(number), (2, 3, 8))})
        if padded:
            inputs.update({"src_lengths": ids([4, 2]), "tgt_lengths": ids([3, 2])})
        name = f"{'pre' if norm_first else 'post'}-norm-{activation}{'-lengths' if padded else ''}"
        cases.add(name, "transformer", {"heads": 2, "layers": layers, "ff": 12, "norm_first": norm_first,
                                        "activation": activation}, inputs, "deep")


def add_optimizers(cases):
    number = itertools.count(4000)

    def add(name, scale=1, gradients=None, shape=(2, 3), tolerance="steps", **changed):
        for method in ("adam", "adamw"):
            options = {"method": method, "lr": 0.01, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0,
                       **changed}
            if gradients is None:
                drawn = seeded(next(number), (20, *shape), scale)
            else:
                drawn = gradients
            cases.add(f"{method}-{name}", "optimizer", options,
                      {"parameter": seeded(next(number), shape), "gradients": drawn}, tolerance)

    add("defaults")
    add("transformer", beta2=0.98, eps=1e-9)
    add("decay", weight_decay=0.1)
    add("decay-large-lr", weight_decay=0.5, lr=0.5)
    add("tiny-gradients", scale=2.0**-27)  # about 1e-8: eps counts
    add("large-gradients", scale=2.0**20)
    add("no-momentum", beta1=0.0)
    add("large-eps", eps=0.1)
    add("vector", shape=(5,))
    zeros = np.zeros((20, 2, 3), np.float32)
    zeros[0] = 1
    add("one-gradient-then-none", gradients=zeros)


def make(folder):
    with open(os.path.join(HERE, "agreed.json"), encoding="utf-8") as file:
        cases = Cases(json.load(file))
    add_losses(cases)
    add_attention(cases)
    add_layer_norm(cases)
    add_transformers(cases)
    add_optimizers(cases)
    cases.write(folder)
    return len(cases.entries)


def compare(made, stored):
    """What differs between two kits, a line each. Another CPU or libm may round the last digit otherwise."""
    if [case["name"] for case in made.cases] != [case["name"] for case in stored.cases]:
        return ["index.json: other cases"]
    differences = []
    for new, old in zip(made.cases, stored.cases):
        if new != old:
            differences.append(f"index.json, case {new['name']}: differs")
            continue
        for fields, others in zip(made.load(new), stored.load(old)):
            differences += [f"{new['file']}, case {new['name']}: {field}: differs" for field, value in fields.items()
                            if not np.allclose(value, others[field], rtol=1e-13, atol=1e-16, equal_nan=True)]
    return differences


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default=HERE, metavar="FOLDER")
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    if not arguments.check:
        print(make(arguments.out), "cases")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        make(folder)
        differences = compare(Kit(folder), Kit(HERE))
    print("\n".join(differences) or "the stored cases are those that the formulas give")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
