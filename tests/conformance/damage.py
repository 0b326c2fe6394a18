"""For test.sh: copies of the kit, each with one thing wrong. Usage: damage.py FOLDER"""
import json
import os
import shutil
import sys

import numpy as np

from kit import HERE, read_safetensors, write_safetensors

NAME = "uniform-ce-mean-some-pads"


def copy(folder, name, change):
    """change(tensors, metadata) alters what loss.safetensors holds."""
    to = os.path.join(folder, name)
    os.makedirs(to)
    for file in os.listdir(HERE):
        if file.endswith((".safetensors", ".json")):
            shutil.copy(os.path.join(HERE, file), to)
    tensors, metadata = read_safetensors(os.path.join(to, "loss.safetensors"))
    change(tensors, metadata)
    write_safetensors(os.path.join(to, "loss.safetensors"), tensors, metadata)
    return to


def setting(field, value):
    return lambda tensors, metadata: tensors.update({f"{NAME}.{field}": value})


folder = sys.argv[1]
copy(folder, "missing", lambda tensors, metadata: tensors.pop(NAME + ".target"))
copy(folder, "no-expected", lambda tensors, metadata: tensors.pop(NAME + ".expected.loss"))
copy(folder, "dtype", setting("logits", np.zeros((2, 3, 7))))
copy(folder, "shape", setting("logits", np.zeros((2, 3, 6), np.float32)))
copy(folder, "id", setting("target", np.array([[3, 1, 0], [7, 0, 0]], np.int32)))
copy(folder, "option", lambda tensors, metadata: metadata.update({NAME + ".eps": "0.2"}))
copy(folder, "file-version", lambda tensors, metadata: metadata.update(kit="2"))
index = os.path.join(copy(folder, "index-version", lambda tensors, metadata: None), "index.json")
with open(index, encoding="utf-8") as file:
    content = json.load(file)
content["kit"] = 2
with open(index, "w", encoding="utf-8") as file:
    json.dump(content, file)
cut = os.path.join(copy(folder, "cut", lambda tensors, metadata: None), "loss.safetensors")
with open(cut, "r+b") as file:
    file.truncate(1000)
