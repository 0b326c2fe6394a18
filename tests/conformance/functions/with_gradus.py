"""gradus, asked through files: GRADUS_REFERENCE names its program `reference`. So may any case be asked."""
import json
import os
import subprocess
import tempfile

from kit import read_safetensors, write_safetensors


def ask(family, inputs, options):
    def text(value):
        return value if isinstance(value, str) else "none" if value is None else json.dumps(value)

    with tempfile.TemporaryDirectory() as folder:
        case, answer = os.path.join(folder, "case.safetensors"), os.path.join(folder, "answer.safetensors")
        write_safetensors(case, inputs, {"family": family, **{name: text(value) for name, value in options.items()}})
        subprocess.run([os.environ["GRADUS_REFERENCE"], case, answer], check=True)
        return read_safetensors(answer)[0]


def loss(inputs, options):
    return ask("loss", inputs, options)


def attention(inputs, options):
    return ask("attention", inputs, options)


def layer_norm(inputs, options):
    return ask("layer_norm", inputs, options)


def transformer(inputs, options):
    return ask("transformer", inputs, options)


def optimizer(inputs, options):
    return ask("optimizer", inputs, options)
