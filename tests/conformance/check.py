#!/usr/bin/env python3
"""Runs your functions over the cases of the kit, and says what those compute that differ. Needs numpy alone.

    python3 check.py mine.py                     all families that mine.py has a function for
    python3 check.py mine.py --only loss         one family
    python3 check.py mine.py --case NAME         one case, with its numbers
    python3 check.py mine.py --f32               inputs in f32, and the tolerances for that
    python3 check.py mine.py --as LIBRARY        status 0 if all cases pass in which LIBRARY agreed before
    python3 check.py mine.py --record LIBRARY    writes into agreed.json which cases pass

mine.py defines one or more of loss, attention, layer_norm, transformer, optimizer, each (inputs, options) ->
outputs. README.md lists the fields. A function raises NotImplementedError for a case that it does not offer.
"""
import argparse
import importlib.util
import itertools
import json
import os
import sys
import traceback

import numpy as np

import closed_forms
from kit import HERE, Kit, KitError

# What other programs do, by family: options that closed_forms knows, some of which the kit itself has.
ALTERNATIVES = {
    "loss": [
        ("smooths over all V (uniform: PyTorch)", {"convention": "uniform"}),
        ("q of the target is 1 - eps, of the others eps / V (as_printed)", {"convention": "as_printed"}),
        ("smooths over the V - 1 others (others: fairseq)", {"convention": "others"}),
        ("smooths over V - 2, without the pad column (others_not_pad: Annotated Transformer)",
         {"convention": "others_not_pad"}),
        ("does not smooth", {"eps": 0.0}),
        ("computes the cross-entropy, not KL", {"form": "ce"}),
        ("computes KL, not the cross-entropy", {"form": "kl"}),
        ("mean over all rows, pads included", {"divisor": "rows"}),
        ("divides by the number of tokens, not by their weights", {"divisor": "tokens"}),
        ("divides by the batch size", {"divisor": "batch"}),
        ("divides by the number of logits (KLDivLoss's 'mean')", {"divisor": "elements"}),
        ("sums instead of taking the mean", {"reduction": "sum"}),
        ("takes the mean instead of the sum", {"reduction": "mean"}),
        ("does not mask pads: their rows count", {"pads": "count"}),
        ("weights inside the smooth sum (per_class)", {"weighting": "per_class"}),
        ("weights rows by their target (per_target)", {"weighting": "per_target"}),
    ],
    "attention": [
        ("does not scale the scores", {"scale": "none"}),
        ("scales by 1 / sqrt(D), not by the head's width", {"scale": "d_model"}),
        ("aligns the causal mask at the first key, not at the last (torch's is_causal)", {"causal_from": "start"}),
        ("a query does not see its own position", {"causal_self": "excluded"}),
        ("ignores the causal mask", {"causal": False}),
        ("ignores key_lengths", {"lengths": "ignored"}),
        ("a row that sees nothing gets the mean of all values (a large negative number as mask)", {"masked_row": "mean"}),
        ("does not split heads", {"heads": 1}),
    ],
    "layer_norm": [
        ("variance over D - 1", {"variance": "unbiased"}),
        ("eps outside the root", {"eps_place": "outside"}),
        ("no eps", {"eps_place": "none"}),
        ("another eps: 1e-5", {"eps": 1e-5}),
        ("another eps: 1e-6", {"eps": 1e-6}),
    ],
    "transformer": [
        ("norms before the sublayers", {"norm_first": True}),
        ("norms after the sublayers", {"norm_first": False}),
        ("gelu by tanh", {"activation": "gelu_tanh"}),
        ("relu", {"activation": "relu"}),
        ("no final norms", {"final_norm": "none"}),
        ("ignores lengths", {"lengths": "ignored"}),
        ("the decoder sees what comes later", {"decoder": "not causal"}),
    ],
    "optimizer": [
        ("no bias correction", {"correction": "none"}),
        ("eps inside the root", {"eps_place": "inside"}),
        ("eps added before the bias correction", {"eps_place": "uncorrected"}),
        ("adds the decay to the gradient (Adam's)", {"decay": "coupled"}),
        ("shrinks the weight itself (AdamW's)", {"decay": "decoupled"}),
        ("decay is not multiplied by lr", {"decay": "without lr"}),
        ("no decay", {"weight_decay": 0.0}),
    ],
}
FIRST = {"loss": "loss", "optimizer": "trajectory"}  # the output that stands for a family; of the others it is y
ORDER = {"loss": ["loss", "gradient.logits"], "attention": ["y", "gradient.q", "gradient.k", "gradient.v"],
         "layer_norm": ["y", "gradient.x", "gradient.weight", "gradient.bias"], "transformer": ["y"],
         "optimizer": ["trajectory"]}  # of what is returned as a tuple


def error(found, expected):
    """The largest difference, relative to the largest expected number, but at least to 1e-3."""
    found = np.asarray(found, np.float64)
    if found.shape != np.shape(expected):
        return np.inf
    finite = np.isfinite(expected)
    if not np.array_equal(found[~finite], expected[~finite]) or not np.all(np.isfinite(found[finite])):
        return np.inf
    if not finite.any():
        return 0.0
    scale = max(1e-3, np.max(np.abs(expected[finite]), initial=0))
    return np.max(np.abs(found[finite] - expected[finite]), initial=0) / scale


def outputs_of(case, result):
    """What a function returned, by field: a dict, or a tuple in the order of README.md, or the first alone."""
    if isinstance(result, dict):
        unknown = [field for field in result if field not in case["expected"] and field + ".at" not in case["expected"]]
        if unknown:
            raise KitError(f"{case['name']}: {unknown[0]}: no such output; expected some of {', '.join(case['expected'])}")
        return {field: np.asarray(value) for field, value in result.items()}
    values = result if isinstance(result, tuple) else (result,)
    return {field: np.asarray(value) for field, value in zip(ORDER[case["family"]], values)}


def parts(outputs, expected):
    """Pairs of a field and what to compare: of a large gradient some places and its norm."""
    for field, value in outputs.items():
        if field in expected:
            yield field, value, expected[field]
        else:
            flat = np.asarray(value, np.float64).reshape(-1)
            yield field, flat[expected[field + ".at"]], expected[field + ".values"]
            yield field, np.sqrt((flat**2).sum()), expected[field + ".norm"]


def wrong_fields(outputs, expected, tolerance):
    return list(dict.fromkeys(field for field, value, wanted in parts(outputs, expected)
                              if not error(value, wanted) <= tolerance))


def matches(case, inputs, outputs, change, tolerance):
    """Whether these options, instead of the case's, give what was found."""
    options = {**case["options"], **change}
    if options == case["options"]:
        return False
    try:
        with np.errstate(all="ignore"):
            other = closed_forms.FAMILIES[case["family"]](inputs, options)
    except (IndexError, ZeroDivisionError, ValueError):
        return False
    first = FIRST.get(case["family"], "y")
    compared = [first] + (["gradient.logits"] if "gradient.logits" in outputs else [])
    return all(error(outputs[field], np.asarray(other[field])) <= tolerance for field in compared if field in outputs)


def explanations(case, inputs, outputs, expected, wrong, tolerance, f32_tolerance):
    """What was computed instead, by name; empty where nothing known fits."""
    first = FIRST.get(case["family"], "y")
    for field, value, wanted in parts(outputs, expected):
        if field in wrong and np.shape(value) != np.shape(wanted):
            return [f"{field} has another shape: expected {list(np.shape(wanted))}, got {list(np.shape(value))}"]
    known = ALTERNATIVES[case["family"]] if first in wrong or case["family"] == "loss" else []
    found = [text for text, change in known if matches(case, inputs, outputs, change, tolerance)]
    if found or first not in outputs:
        return found
    pairs = [] if np.size(inputs.get("logits", 0)) > 10000 else itertools.combinations(known, 2)
    found = [f"{a}; and {b}" for (a, one), (b, two) in pairs if not set(one) & set(two)
             and matches(case, inputs, outputs, {**one, **two}, tolerance)]
    if found:
        return found[:1]
    said = symptom(case, inputs, outputs, expected, wrong, f32_tolerance)
    return [said] if said else [f"{text}; to f32's digits" for text, change in known
                                if matches(case, inputs, outputs, change, f32_tolerance)]


def symptom(case, inputs, outputs, expected, wrong, f32_tolerance):
    """What can be said of outputs that no known alternative gives, or None."""
    for field, value, wanted in parts(outputs, expected):
        if field in wrong and not np.all(np.isfinite(value) | ~np.isfinite(wanted)):
            if case["family"] == "loss" and expected["sums"][4] == 0:
                return f"{field} is not finite where no row counts (0 / 0)"
            if case["family"] == "loss" and not np.all(np.isfinite(inputs["logits"])):
                return f"{field} is not finite: a masked row or class is multiplied by 0, not left out"
            if case["family"] == "attention":
                return f"{field} is not finite where a query sees no key"
            return f"{field} is not finite: exp without subtracting the largest?"
    if case["tolerance"] in ("far", "offset"):
        return "digits are lost far from 0: E[x^2] - mean^2, or sums at the offset"
    if not wrong_fields(outputs, expected, f32_tolerance):
        return "right to f32's digits: something is computed in f32"
    first = FIRST.get(case["family"], "y")
    if first not in wrong:
        return f"{first} is right, {', '.join(wrong)} not"
    return None


def load_functions(path):
    spec = importlib.util.spec_from_file_location("under_test", path)
    if spec is None or not os.path.exists(path):
        raise KitError(f"{path}: no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, os.path.dirname(os.path.abspath(path)))
    spec.loader.exec_module(module)
    functions = {family: getattr(module, family) for family in ALTERNATIVES if callable(getattr(module, family, None))}
    if not functions:
        raise KitError(f"{path}: expected a function named one of {', '.join(ALTERNATIVES)}")
    return functions


def run_case(kit, case, function, dtype):
    """-> "passes", "not offered", "wrong" or "broken", and the explanations."""
    inputs, expected = kit.load(case)
    tolerances = kit.index["tolerances"][case["tolerance"]]
    tolerance = tolerances[dtype]
    given = {field: x.astype(np.float64) if dtype == "f64" and x.dtype == np.float32 else x.copy()
             for field, x in inputs.items()}
    try:
        with np.errstate(all="ignore"):
            outputs = outputs_of(case, function(given, dict(case["options"])))
    except NotImplementedError:
        return "not offered", []
    except KitError:
        raise
    except Exception:  # whatever the function under test may raise
        return "broken", ["raises " + traceback.format_exc().strip().splitlines()[-1]]
    wrong = wrong_fields(outputs, expected, tolerance)
    if not wrong:
        return "passes", []
    return "wrong", explanations(case, inputs, outputs, expected, wrong, tolerance, tolerances["f32"]) or [
        f"{', '.join(wrong)}: no known alternative matches"]


def report(results, bad):
    """The counts of each family, and each explanation with its cases; one that explains many cases comes first."""
    for family in ALTERNATIVES:
        states = [state for case, state, _ in results if case["family"] == family]
        if states:
            counts = {state: states.count(state) for state in ("passes", "wrong", "broken", "not offered")}
            print(f"{family}: {counts['passes']} pass" + "".join(
                f", {counts[state]} {state}" for state in ("wrong", "broken", "not offered") if counts[state]))
    open_cases = {(case["family"], case["name"]): texts for case, state, texts in results if state in ("wrong", "broken")}
    while open_cases:
        counted = {}
        for (family, name), texts in open_cases.items():
            for text in texts:
                counted.setdefault((family, text), []).append(name)
        (family, text), names = max(counted.items(), key=lambda item: len(item[1]))
        print(f"  {family}: {text}\n    {len(names)} cases: {', '.join(names[:3])}{', ..' if len(names) > 3 else ''}")
        for name in names:
            del open_cases[family, name]
    for text in bad:
        print("bad case:", text)


def show(case, inputs, expected):
    for title, fields in (("options", case["options"]), ("inputs", inputs), ("expected", expected)):
        for field, value in fields.items():
            print(f"{title}: {field} = {np.array2string(value, threshold=30) if isinstance(value, np.ndarray) else value}")


def record(path, library, names):
    with open(path, encoding="utf-8") as file:
        agreed = json.load(file)
    agreed[library] = sorted(names)
    with open(path, "w", encoding="utf-8") as file:
        json.dump(dict(sorted(agreed.items())), file, indent=0)
        file.write("\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("functions", metavar="mine.py")
    parser.add_argument("--only", choices=ALTERNATIVES)
    parser.add_argument("--case", metavar="NAME")
    parser.add_argument("--f32", action="store_true")
    parser.add_argument("--kit", default=HERE, metavar="FOLDER")
    parser.add_argument("--as", dest="library", metavar="LIBRARY")
    parser.add_argument("--record", metavar="LIBRARY")
    arguments = parser.parse_args()
    try:
        kit, functions = Kit(arguments.kit), load_functions(arguments.functions)
    except KitError as problem:
        print(problem, file=sys.stderr)
        return 2
    results, bad = [], []
    for case in kit.cases:
        family = case.get("family")
        if family not in functions and family in ALTERNATIVES or arguments.only not in (None, family) or (
                arguments.case not in (None, case.get("name"))):
            continue
        try:
            if arguments.case:
                show(case, *kit.load(case))
            state, texts = run_case(kit, case, functions.get(family), "f32" if arguments.f32 else "f64")
            results.append((case, state, texts))
        except KitError as problem:
            bad.append(str(problem))
    report(results, bad)
    passed = {case["name"] for case, state, _ in results if state == "passes"}
    if arguments.record:
        record(os.path.join(arguments.kit, "agreed.json"), arguments.record, passed)
    if arguments.library:
        missing = sorted(case["name"] for case, state, _ in results
                         if arguments.library in case["agreed"] and state != "passes")
        print(f"{arguments.library} agreed before, and not now: {', '.join(missing) or 'in no case'}")
        return 1 if missing or bad else 0
    return 1 if bad or not results or any(state in ("wrong", "broken") for _, state, _ in results) else 0


if __name__ == "__main__":
    sys.exit(main())
