#!/usr/bin/env bash
# The program `tiny_gpt` from outside: what it learns and writes, and what it refuses in which words.
# Usage: tiny_gpt_test.sh TINY_GPT
set -euo pipefail
tiny_gpt=$1
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
cd "$work"
failures=0

# expect STATUS TEXT ARGUMENT...: what tiny_gpt prints, both kinds together, holds the text.
expect() {
  local status=0
  "$tiny_gpt" "${@:3}" >output 2>&1 || status=$?
  if [[ $status != "$1" || $(<output) != *"$2"* ]]; then
    printf 'line %s: expected status %s and "%s", got status %s and:\n%s\n' "${BASH_LINENO[0]}" "$1" "$2" "$status" "$(<output)"
    failures=$((failures + 1))
  fi
}

# In this text each character follows from the three before it. Writing goes on beyond the context of 16.
for _ in {1..40}; do printf 'one two six ten\n'; done >text
small=(--text text --context 16 --width 32 --heads 2 --layers 2 --steps 150 --batch 8 --length 50)
written=$'one two six ten\none two six ten\none two six ten\none '
expect 0 "$written" "${small[@]}" --prompt on --top-k 1
losses=$(sed -n 's/.*loss //p' output)
expect 0 "$written" "${small[@]}" --prompt on --temperature 0.001
[[ $(sed -n 's/.*loss //p' output) == "$losses" ]] || { echo 'the same seed gave another loss'; failures=$((failures + 1)); }
expect 0 '640 characters, 10 different' "${small[@]}" --steps 1 --length 0

# What --dump-config prints is a run that --config repeats.
expect 0 'steps = 150' "${small[@]}" --prompt on --top-k 1 --dump-config
mv output run.conf
expect 0 "$written" --config run.conf

printf 'ab\n' >short
printf '\xff\n' >bytes
: >empty
expect 2 'say which text to read: --text FILE'
expect 1 'none: cannot be opened: No such file or directory' --text none
expect 1 'empty: the file is empty' --text empty
expect 1 'bytes, line 1, byte 1: not valid UTF-8' --text bytes
expect 2 'short has 3 characters, and a piece has 64: take a longer text or a smaller --context' --text short
expect 2 '--heads: expected a divisor of --width 32, got 3' "${small[@]}" --heads 3
expect 2 "--prompt: 'z' does not occur in the text, so the model does not know it" "${small[@]}" --prompt zoo
expect 2 '--top-k: expected at most 10, the number of different characters in the text, got 11' "${small[@]}" --top-k 11

exit $((failures > 0))
