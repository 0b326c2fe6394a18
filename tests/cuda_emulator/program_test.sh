#!/usr/bin/env bash
# `translate` on the emulated device: it learns what it learns on the CPU, goes on there, and translates alike.
# Usage: program_test.sh TRANSLATE
set -euo pipefail
translate=$1
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
cd "$work"
fail() { printf 'cuda_emulator/program_test.sh: %s\n' "$@" >&2; exit 1; }

printf 'one two\nthree four five\nsix\n' >source
printf 'eins zwei\ndrei vier fuenf\nsechs\n' >target
options=(--source source --target target --valid-source source --valid-target target --vocab-size 260 --d-model 16
  --heads 2 --layers 1 --ff 32 --dropout 0.1 --validate-every 4 --longest 20)

for device in cpu cuda; do "$translate" train "${options[@]}" --steps 12 --device $device --out $device >$device.txt; done
grep -q '^cuda: ' cuda.txt || fail 'training does not say where it runs' "$(<cuda.txt)"

# The held-out nll of each validation, in both logs.
nll() { sed -nE 's/.*"kind": *"valid".*"nll": *([0-9.e-]+).*/\1/p' "$1/log.jsonl"; }
[[ $(nll cpu | wc -l) == 3 ]] || fail "not three validations: $(<cpu/log.jsonl)"
paste <(nll cpu) <(nll cuda) | awk '{ d = $1 - $2; if (d > 1e-4 || d < -1e-4) { print; bad = 1 } } END { exit bad }' ||
  fail 'the losses differ'

# The reports: the same words, and numbers that are equal but for rounding.
for device in cpu cuda; do
  sed '/^device = /d' $device/report.html >report.$device
  grep -oE '[0-9]+(\.[0-9]+)?' report.$device >numbers.$device
done
cmp <(sed -E 's/[0-9.]+/#/g' report.cpu) <(sed -E 's/[0-9.]+/#/g' report.cuda) || fail 'the reports differ'
paste numbers.cpu numbers.cuda | awk '{ d = $1 - $2; if (d * d > 1e-4 * (1 + $1 * $1)) { print; bad = 1 } } END { exit bad }' ||
  fail 'numbers in the reports differ'

for device in cpu cuda; do
  "$translate" translate --model cuda/best.safetensors --device $device <source >translated.$device
  "$translate" evaluate --model cuda/best.safetensors --source source --target target --device $device |
    grep -E '^(BLEU|exact)' >measured.$device
done
cmp translated.cpu translated.cuda || fail 'the translations differ'
cmp measured.cpu measured.cuda || fail 'the measures differ'

cp cpu/last.safetensors cuda/  # a run may go on elsewhere
"$translate" train --resume --out cuda --device cuda >resumed.txt
grep -q 'going on after step 12' resumed.txt || fail 'no resuming on another device' "$(<resumed.txt)"
echo 'the same program on the emulated device'
