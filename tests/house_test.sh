#!/usr/bin/env bash
# The rooms of examples/ include each other in one direction only, as examples/README.md draws it.
set -euo pipefail
cd "$(dirname -- "${BASH_SOURCE[0]}")/../examples"

# room: the rooms whose headers its files may include
declare -A may=(
  [data]='data'
  [measure]='measure data'
  [page]='page measure data'
  [program]='program data'
  [translate]='translate program page measure data training_step'
  [label_smoothing]='label_smoothing program page measure data training_step'
  [reference]='reference program data'
)
failures=0
for room in "${!may[@]}"; do
  while IFS=: read -r file included; do
    [[ " ${may[$room]} " == *" $included "* ]] && continue
    echo "$file includes from $included; $room may include from: ${may[$room]}"
    failures=$((failures + 1))
  done < <(grep -ro '^#include "examples/[a-z_]*' "$room" | sed 's|#include "examples/||')
done
exit $((failures > 0))
