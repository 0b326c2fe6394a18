#!/usr/bin/env bash
# stub_fails.sh GRADER: an exercise that nobody has solved fails by its checks, each with a hint; not by an exception, and
# not by a crash.
set -euo pipefail
status=0
said=$("$1") || status=$?
printf '%s\n(status %d)\n' "$said" "$status"
wrong=$(grep -c '^  WRONG' <<<"$said")
[[ $status == 1 && $wrong -gt 0 && $(grep -c '^           hint' <<<"$said") == "$wrong" ]]
