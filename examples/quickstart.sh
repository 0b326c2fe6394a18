#!/usr/bin/env bash
# From a bare Debian or Ubuntu to a translator of one's own: what is missing is installed, a small Transformer trained, and asked
# to translate sentences it has never seen.
set -euo pipefail
source "$(dirname -- "${BASH_SOURCE[0]}")/setup.sh"

usage='Usage: bash examples/quickstart.sh

Builds gradus, trains a small Transformer for about a minute on a toy language (English to French, made up by a grammar), measures
it on sentences it has never seen, and translates some. Installs what is missing first (it asks, unless you are root).
The model is kept in build/quickstart, that of a second run in build/quickstart-2, and so on.
  BUILD=FOLDER in the environment: use that folder instead of build
  --help   this text'

case ${1-} in
  '') ;;
  --help) echo "$usage"; exit ;;
  *) printf "examples/quickstart.sh: unknown option '%s'\n\n%s\n" "$1" "$usage" >&2; exit 2 ;;
esac

step() { printf '\n%s\n\n' "--- $* ---"; }

step 'Set-up'
ensure_packages
folder=$(build_folder build)
configure release "$folder" -DGRADUS_TESTS=ON -DGRADUS_EXAMPLES=ON
build "$folder" --target translate

folder=${folder#"$PWD/"}
translate=$folder/examples/translate out=$folder/quickstart number=1
while [[ -e $out ]]; do  # an earlier run's model may be wanted
  number=$((number + 1))
  out=$folder/quickstart-$number
done
model=$out/best.safetensors
step 'Training, a little over a minute'
"$translate" train --toy --out "$out" --max-minutes 1.4
step 'How good is it, on sentences it has never seen?'
"$translate" evaluate --model "$model"

printf '\nDone in %d s. To type sentences of your own:\n\n  %q translate --model %q\n\n' "$SECONDS" "$translate" "$model"
