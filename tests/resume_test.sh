#!/usr/bin/env bash
# A training run that is stopped, killed, starved of disk or moved to other threads ends in the same bytes as one that
# nothing happened to. Usage: resume_test.sh TRANSLATE [KILLS [FAULTS]], where FAULTS is the library made of faults.cpp
set -euo pipefail
translate=$1 kills=${2-15} faults=${3-}
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
cd "$work"
RANDOM=${SEED:=$RANDOM}
echo "SEED=$SEED"
export OMP_NUM_THREADS=2
failures=0
fail() { printf 'line %s: %s\n' "${BASH_LINENO[0]}" "$*"; failures=$((failures + 1)); }

# A corpus of our own making: numbers, and the same numbers backwards.
for ((i = 0; i < 400; ++i)); do
  a=$((RANDOM % 10)) b=$((RANDOM % 10)) c=$((RANDOM % 10))
  echo "say $a then $b then $c" >>source
  echo "$c, $b, $a." >>target
done
model=(--d-model 16 --heads 2 --layers 1 --ff 32 --dropout 0.2 --batch-tokens 256)
corpus=(--source source --target target --vocab-size 270 --min-count 1)
# shellcheck disable=SC2034  # named by $task below
text=("${corpus[@]}" --accumulate 2 --epochs 12 --validate-every 10 "${model[@]}")
short=("${corpus[@]}" --steps 4 --validate-every 2 "${model[@]}")
toy=(--toy --steps 65 --validate-every 10 "${model[@]}")

log() { grep "$1" "$2/log.jsonl" | sed 's/, "tokens_per_second.*//'; }

# same FOLDER: it holds what the undisturbed run made. (Ctrl-C between two reports divides the numbers of one.)
same() {
  local kind=${2-kind} file
  [[ -s undisturbed-$task/log.jsonl ]] || fail 'no log'
  for file in last best; do
    cmp -s "undisturbed-$task/$file.safetensors" "$1/$file.safetensors" || fail "$1/$file.safetensors differs"
  done
  cmp -s <(log "$kind" "undisturbed-$task") <(log "$kind" "$1") || fail "$1/log.jsonl differs"
  [[ $kind != kind ]] || cmp -s "undisturbed-$task/report.html" "$1/report.html" || fail "$1/report.html differs"
  [[ ! -e $(echo "$1"/*.tmp.*) ]] || fail "$1 holds $(echo "$1"/*.tmp.*)"
}

# Begins in the folder `current`, or goes on, whatever a run left there: options and output must not name what differs
# between runs. Takes the place of its shell, so that a signal reaches it.
begin_or_go_on() {
  if [[ -e current/last.safetensors ]]; then set -- --resume; fi
  exec "$translate" train "$@" --out current
}

# disturbed SIGNAL STATUS TIMES OPTION...: begun, stopped by the signal after a while and gone on with, so many times;
# more often while it never came in time, as on a machine that has become faster.
disturbed() {
  local signal=$1 expected=$2 times=$3 hit=0 i status
  shift 3
  for ((i = 0; i < times || (hit == 0 && i < 10 * times); ++i)); do
    (begin_or_go_on "$@") >output 2>&1 &
    sleep "$(awk "BEGIN { srand($RANDOM); print $seconds * rand() }")"
    kill "-$signal" $! 2>/dev/null || true
    status=0
    wait $! 2>/dev/null || status=$?
    if [[ $status == "$expected" ]]; then hit=$((hit + 1)); elif [[ $status != 0 ]]; then fail "status $status: $(tail -n 1 output)"; fi
    [[ $status != 0 ]] || mv current "finished-$i"  # ended before the signal came: the next one begins anew
  done
  [[ -e current ]] || cp -r undisturbed-$task current
  (begin_or_go_on "$@") >output 2>&1 || fail "$(tail -n 1 output)"
  ((hit > 0)) || fail "no $signal came in time"
}

# A run that is killed at any of its calls for files, or whose call fails, leaves what one of the two commands goes on from.
if [[ -n $faults ]]; then
  task=short
  "$translate" train "${short[@]}" --out undisturbed-short >/dev/null
  for fault in kill fail; do
    for ((call = 1; ; ++call)); do
      export FAULT=$fault FAULT_AT=$call FAULT_TOLD=told
      { LD_PRELOAD=$faults "$translate" train "${short[@]}" --out current >output 2>&1 || true; } 2>/dev/null
      rm told 2>/dev/null || break  # it makes fewer calls than that
      (begin_or_go_on "${short[@]}") >output 2>&1 || fail "after $fault at call $call: $(tail -n 1 output)"
      same current
      rm -r current
    done
    ((call > 24)) || fail "$fault: only $call calls, then: $(tail -n 1 output)"
    same current
    rm -r current
  done
fi

for task in text toy; do
  declare -n options=$task
  begun=$(date +%s%N)
  "$translate" train "${options[@]}" --out current >/dev/null
  seconds=$((($(date +%s%N) - begun) / 1000000))e-3
  mv current undisturbed-$task

  for threads in 1 4; do
    OMP_NUM_THREADS=$threads "$translate" train "${options[@]}" --out current >/dev/null
    mv current threads-$task-$threads
    same threads-$task-$threads
  done

  disturbed KILL 137 "$kills" "${options[@]}"
  mv current killed-$task
  same killed-$task
  rm -rf finished-*
  disturbed TERM 143 3 "${options[@]}"
  mv current stopped-$task
  same stopped-$task valid
  rm -rf finished-*
done

# Bytes do not depend on how many threads were asked for, nor on the name of the folder.
"$translate" train "${toy[@]}" --steps 30 --threads 1 --out elsewhere >/dev/null
mv elsewhere moved
"$translate" train --resume --steps 65 --threads 2 --out moved >output
"$translate" train "${toy[@]}" --steps 30 --out here >/dev/null
"$translate" train --resume --steps 65 --out here >output
cmp -s moved/best.safetensors here/best.safetensors || fail 'other threads and folder, other bytes'
"$translate" train --resume --out here >output
[[ $(<output) == *'all is done'* ]] || fail 'a finished run does not say so'

# Ctrl-C: it says how to go on. Meanwhile nobody else may write there.
"$translate" train "${toy[@]}" --steps 100000 --out stopped >output 2>&1 &
while kill -0 $! && [[ ! -e stopped/last.safetensors ]]; do sleep 0.1; done
if "$translate" train --resume --out stopped >second 2>&1 || [[ $(<second) != *'another training'* ]]; then
  fail "two trainings in one folder: $(<second)"
fi
kill -INT $!
status=0
wait $! || status=$?
[[ $status == 130 && $(<output) == *'train --resume --out stopped'* ]] || fail "Ctrl-C: status $status, $(tail -n 1 output)"

# A second one does not wait for the end of the step, which here takes many seconds.
"$translate" train --toy --d-model 512 --heads 8 --batch-tokens 30000 --out impatient >output 2>&1 &
while sleep 0.5 && kill -0 $! && [[ $(<output) != *threads* ]]; do :; done
sleep 1
# Again and again: two signals that come before a busy machine has delivered the first are one.
while kill -INT $! 2>/dev/null; do sleep 0.2; done
wait $! || true
[[ $(<output) != *'To go on'* ]] || fail 'a second Ctrl-C: it finished the step'

# refused TEXT ARGUMENT...
refused() {
  if "$translate" train "${@:2}" >output 2>&1 || [[ $(<output) != *"$1"* ]]; then fail "expected '$1', got: $(<output)"; fi
}
refused 'is there already' "${toy[@]}" --out stopped
refused 'was made with `lr = 0.002`, now it says `lr = 0.5`' --resume --out stopped --lr 0.5
refused 'there is no stopped/absent/last.safetensors to go on from' --resume --out stopped/absent
cp -r undisturbed-text current
echo 'say nothing' >>source
echo 'nothing.' >>target
refused 'content hashes source ' --resume --out current
rm -r current

# A full disk: the checkpoint from before is kept, and from there it goes on.
"$translate" train "${toy[@]}" --out current >/dev/null &
while kill -0 $! && [[ ! -e current/last.safetensors ]]; do sleep 0.01; done
kill -9 $! 2>/dev/null || true
wait $! || true
cp current/last.safetensors before
if (ulimit -f 20; trap '' XFSZ; exec "$translate" train --resume --out current) >output 2>&1; then
  fail 'a full disk went unnoticed'
fi
[[ $(<output) == *'cannot write'* ]] || fail "a full disk: $(tail -n 1 output)"
cmp -s before current/last.safetensors || fail 'a full disk spoilt the checkpoint'
"$translate" train --resume --out current >/dev/null
same current

((failures == 0)) && echo "resumed and undisturbed runs end alike; $kills kills each"
