"""The files of the kit: safetensors, tensors that a formula makes, and the index. Needs numpy alone."""
import json
import os
import struct

import numpy as np

VERSION = 1
HERE = os.path.dirname(os.path.abspath(__file__))
DTYPES = {"F64": np.float64, "F32": np.float32, "I32": np.int32}
NAMES = {np.dtype(dtype): name for name, dtype in DTYPES.items()}


class KitError(Exception):
    """A file of the kit is not what it should be. The text names the case and the field."""


def read_safetensors(path):
    """-> tensors by name, metadata. Eight bytes of header length, a JSON header, then the numbers."""
    try:
        with open(path, "rb") as file:
            content = file.read()
        end = 8 + struct.unpack("<Q", content[:8])[0]
        header = json.loads(content[8:end])
        metadata = header.pop("__metadata__", {})
        tensors = {}
        for name, entry in header.items():
            first, last = entry["data_offsets"]
            if entry["dtype"] not in DTYPES:
                tensors[name] = entry["dtype"]  # load_case says which case wanted it
                continue
            numbers = np.frombuffer(content[end + first:end + last], "<" + np.dtype(DTYPES[entry["dtype"]]).str[1:])
            tensors[name] = numbers.reshape(entry["shape"])
        return tensors, metadata
    except OSError as error:
        raise KitError(f"{path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise KitError(f"{path}: no safetensors file, or a damaged one ({error})") from None


def write_safetensors(path, tensors, metadata):
    """The same content always gives the same bytes: wide numbers first, then by name, data at a multiple of 8."""
    header, data = {"__metadata__": dict(sorted(metadata.items()))}, b""
    for name in sorted(tensors, key=lambda name: (-tensors[name].dtype.itemsize, name)):
        numbers = np.ascontiguousarray(tensors[name]).tobytes()
        header[name] = {"dtype": NAMES[tensors[name].dtype], "shape": list(tensors[name].shape),
                        "data_offsets": [len(data), len(data) + len(numbers)]}
        data += numbers
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


def seeded(seed, shape, scale=1, offset=0):
    """f32 numbers around `offset`, up to `scale` away from it. Element i, from 0, is made of the 64-bit number
    that splitmix64 (Steele, Lea and Flood 2014) draws as number i + 1 after `seed`; its upper 24 bits count."""
    x = np.uint64(seed) + np.uint64(0x9E3779B97F4A7C15) * np.arange(1, int(np.prod(shape)) + 1, dtype=np.uint64)
    x = (x ^ x >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ x >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    x = x ^ x >> np.uint64(31)
    uniform = (x >> np.uint64(40)).astype(np.float64) / 2**24  # in [0, 1)
    return (offset + scale * (2 * uniform - 1)).astype(np.float32).reshape(shape)


def describe(tensor):
    """A tensor in the index: its dtype and shape."""
    return [NAMES[tensor.dtype], list(tensor.shape)]


def read_index(folder=HERE):
    path = os.path.join(folder, "index.json")
    try:
        with open(path, encoding="utf-8") as file:
            index = json.load(file)
    except OSError as error:
        raise KitError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise KitError(f"{path}: no JSON ({error})") from None
    if not isinstance(index, dict) or index.get("kit") != VERSION:
        found = index.get("kit") if isinstance(index, dict) else None
        raise KitError(f"{path}: kit: expected version {VERSION}, got {found}")
    return index


def metadata_of(case):
    """What the file says of a case, in its metadata: the options of the index, as text, under the case's name."""
    def text(value):
        return value if isinstance(value, str) else "none" if value is None else json.dumps(value)

    entries = {"family": case["family"], "tolerance": text(case["tolerance"]["f64"])}
    entries.update({field: text(value) for field, value in case["options"].items()})
    for field, formula in case["seeded"].items():
        entries.update({f"{field}.{part}": text(value) for part, value in formula.items()})
        entries[f"{field}.shape"] = " ".join(map(str, formula["shape"]))
    return {f"{case['name']}.{field}": value for field, value in entries.items()}


class Kit:
    """The cases of a folder. Each file is read once."""

    def __init__(self, folder=HERE):
        self.folder, self.files = folder, {}
        self.index = read_index(folder)
        self.cases = self.index["cases"]

    def load(self, case):
        """-> inputs, expected: tensors by field. Raises KitError where a field is not what the index says."""
        for field in ("name", "family", "file", "options", "inputs", "seeded", "expected", "tolerance"):
            if field not in case:
                raise KitError(f"index.json, case {case.get('name', '?')}: {field}: missing")
        where = f"{case['file']}, case {case['name']}"
        if case["file"] not in self.files:
            self.files[case["file"]] = read_safetensors(os.path.join(self.folder, case["file"]))
        tensors, metadata = self.files[case["file"]]
        if metadata.get("kit") != str(VERSION):
            raise KitError(f"{where}: kit: expected version {VERSION}, got {metadata.get('kit')}")
        tolerance = self.index["tolerances"][case["tolerance"]]
        for name, value in metadata_of({**case, "tolerance": tolerance}).items():
            if metadata.get(name) != value:
                raise KitError(f"{where}: {name[len(case['name']) + 1:]}: the index has {value}, "
                               f"the file {metadata.get(name)}")

        def read(field, description):
            tensor = tensors.get(f"{case['name']}.{field}")
            if tensor is None:
                raise KitError(f"{where}: {field}: missing")
            found = [tensor, "?"] if isinstance(tensor, str) else describe(tensor)
            if found != description:
                raise KitError(f"{where}: {field}: expected {description[0]} {description[1]}, "
                               f"got {found[0]} {found[1]}")
            return tensor

        inputs = {field: read(field, description) for field, description in case["inputs"].items()}
        inputs.update({field: seeded(**formula) for field, formula in case["seeded"].items()})
        expected = {field: read("expected." + field, description) for field, description in case["expected"].items()}
        if "target" in inputs:
            ids, classes, pad = inputs["target"], inputs["logits"].shape[-1], case["options"]["pad"]
            wrong = ids[((ids < 0) | (ids >= classes)) & (np.full(ids.shape, pad is None) | (ids != pad))]
            if wrong.size:
                raise KitError(f"{where}: target: expected ids in [0, {classes}) or the pad id ({pad}), got {wrong[0]}")
        return inputs, expected
