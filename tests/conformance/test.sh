#!/usr/bin/env bash
# The conformance kit: its cases are those of the formulas, check.py names mistakes and bad files, and the program `reference`
# answers every case. Usage: test.sh REFERENCE. Exits with 77 (skipped) where no python3 with numpy is found; PYTHON names another.
set -euo pipefail
export GRADUS_REFERENCE=$1 PYTHONDONTWRITEBYTECODE=1
python=${PYTHON-python3}
if ! "$python" -c 'import numpy' 2>/dev/null; then echo 'skipped: no python3 with numpy'; exit 77; fi
cd -- "$(dirname -- "${BASH_SOURCE[0]}")"
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
failures=0

# expect STATUS TEXT COMMAND...: its output, both kinds together, holds the text.
expect() {
  local status=0
  "${@:3}" >"$work/output" 2>&1 || status=$?
  if [[ $status != "$1" || $(<"$work/output") != *"$2"* ]]; then
    printf 'line %s: expected status %s and "%s", got status %s and:\n%s\n' "${BASH_LINENO[0]}" "$1" "$2" "$status" "$(<"$work/output")"
    failures=$((failures + 1))
  fi
}
check() { "$python" check.py "$@"; }

expect 0 'the stored cases are those' "$python" make_cases.py --check
mkdir "$work/one" "$work/two"
expect 0 'cases' "$python" make_cases.py --out "$work/one"
expect 0 'cases' "$python" make_cases.py --out "$work/two"
expect 0 '' diff -r "$work/one" "$work/two"
size=$(cat ./*.safetensors index.json | wc -c)
if ((size > 2000000)); then echo "the vectors have $size bytes, more than 2 MB"; failures=$((failures + 1)); fi

expect 0 'loss: 30 pass, 174 not offered' check functions/mine.py
expect 1 'loss: mean over all rows, pads included' check functions/mean_over_all_rows.py
expect 1 'loss: smooths over the V - 1 others (others: fairseq)' check functions/v_minus_1.py
expect 0 'optimizer: 20 pass' check functions/with_gradus.py
expect 0 'expected: loss = ' check functions/mine.py --case uniform-ce-mean-some-pads

printf 'def loss(inputs, options):\n    return inputs["logit"]\n' >"$work/raises.py"
expect 1 "loss: raises KeyError: 'logit'" check "$work/raises.py"
printf 'def loss(inputs, options):\n    return {"los": 1}\n' >"$work/misnamed.py"
expect 1 'los: no such output; expected some of loss, nll, sums, gradient.logits' check "$work/misnamed.py"
printf 'def los(inputs, options):\n    return 1\n' >"$work/nothing.py"
expect 2 'expected a function named one of loss, attention' check "$work/nothing.py"
expect 2 'nowhere.py: no Python file' check "$work/nowhere.py"

# A bad case is named, and the others are checked all the same.
"$python" damage.py "$work"
damaged() {
  expect 1 "bad case: loss.safetensors, case uniform-ce-mean-some-pads: $2" check functions/mine.py --kit "$work/$1"
  [[ $(<"$work/output") == *'loss: 29 pass'* ]] || { echo "$1: the other cases were not checked"; failures=$((failures + 1)); }
}
damaged missing 'target: missing'
damaged no-expected 'expected.loss: missing'
damaged dtype 'logits: expected F32 [2, 3, 7], got F64 [2, 3, 7]'
damaged shape 'logits: expected F32 [2, 3, 7], got F32 [2, 3, 6]'
damaged id 'target: expected ids in [0, 7) or the pad id (0), got 7'
damaged option 'eps: the index has 0.1, the file 0.2'
expect 1 'case uniform-ce-mean-some-pads: kit: expected version 1, got 2' check functions/mine.py --kit "$work/file-version"
expect 2 'index.json: kit: expected version 1, got 2' check functions/mine.py --kit "$work/index-version"
expect 1 'no safetensors file, or a damaged one' check functions/mine.py --kit "$work/cut"

for family in loss attention layer_norm transformer optimizer; do
  expect 0 '' "$GRADUS_REFERENCE" $family.safetensors "$work/$family.safetensors"
done
expect 0 'family = attention' "$GRADUS_REFERENCE" --help
expect 2 'expected two files, got 1 arguments' "$GRADUS_REFERENCE" loss.safetensors
expect 2 'case uniform-ce-mean-some-pads: target: missing' "$GRADUS_REFERENCE" "$work/missing/loss.safetensors" "$work/answer"
expect 2 'kit: expected version 1, got 2' "$GRADUS_REFERENCE" "$work/file-version/loss.safetensors" "$work/answer"
expect 1 'cut/loss.safetensors' "$GRADUS_REFERENCE" "$work/cut/loss.safetensors" "$work/answer"
if [[ -e $work/answer ]]; then echo 'a refused file left an answer'; failures=$((failures + 1)); fi

if "$python" -c 'import torch' 2>/dev/null; then
  expect 0 'agreed before, and not now: in no case' check functions/with_torch.py --as 'PyTorch 2.15.0'
fi
if "$python" -c 'import jax, optax' 2>/dev/null; then
  expect 0 'agreed before, and not now: in no case' check functions/with_jax.py --as 'JAX 0.10.2, optax 0.2.8'
fi
if ((failures > 0)); then exit 1; fi
echo 'the kit is as its README.md says'
