#!/usr/bin/env bash
# Usage: runs.sh PATH/TO/benchmark. Says that the benchmark runs and prints what it should; no time is looked at.
set -euo pipefail
benchmark=$1
fail() { printf 'benchmark/runs.sh: %s\n' "$1" >&2; exit 1; }

ops=$("$benchmark" ops --config toy --size 2 --quick)
numbers='( +[0-9]+\.[0-9]+){4}'
for row in "linear: output +1$numbers GFLOP/s \[2, 16, 128\] \[1000, 128\]" \
           "layer_norm +12$numbers GB/s +\[2, 16, 128\] \[128\] \[128\]" \
           "adam +1$numbers GB/s +" \
           "attention: everything +0$numbers GB/s +\[2, 5, 12\]" \
           '[0-9]+ rows timed'; do
  grep -qE "^$row\$" <<<"$ops" || fail "ops: no line like $row"
done

step=$("$benchmark" train_step --config toy --steps 1)
grep -qE '^\{"who": "gradus", "config": "toy", "parameters": 1182208, "step_ms": [0-9.]+, .*"steps": 1\}$' <<<"$step" ||
  fail "train_step: not its line: $step"
grep -qE '^attention +6 ' <<<"$("$benchmark" profile --config toy --steps 1)" || fail 'profile: no six attentions'

"$benchmark" --help | grep -q train_step || fail '--help does not teach'
for wrong in 'ops --steps 3' 'train_step --config huge' 'train_step --steps 0' 'growth --steps' 'row'; do
  status=0
  "$benchmark" $wrong >/dev/null 2>&1 || status=$?
  [[ $status == 2 ]] || fail "'$wrong' was not refused"
done
