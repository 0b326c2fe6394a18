#!/usr/bin/env bash
# From a bare Debian 12 to a translator of one's own: what is missing is installed, a small Transformer trained, and asked
# to translate sentences it has never seen.
set -euo pipefail
source "$(dirname -- "${BASH_SOURCE[0]}")/support/setup.sh"

usage='Usage: bash examples/quickstart.sh

Builds gradus, trains a small Transformer for about a minute on a toy language (English to French, made up by a grammar), measures
it on sentences it has never seen, and translates some. Installs what is missing first (it asks, unless you are root).
The model is kept in build/quickstart.
  --help   this text'

case ${1-} in
  '') ;;
  --help) echo "$usage"; exit ;;
  *) printf "examples/quickstart.sh: unknown option '%s'\n\n%s\n" "$1" "$usage" >&2; exit 2 ;;
esac

step() { printf '\n%s\n\n' "--- $* ---"; }

prefix=
[[ $PWD -ef $root ]] || prefix=$root/
cd "$root"
step 'Set-up'
ensure_packages
tests=OFF
if has_doctest; then tests=ON; fi
configure release build "-DGRADUS_TESTS=$tests" -DGRADUS_EXAMPLES=ON
build build --target translate

translate=build/examples/translate model=build/quickstart/best.safetensors
rm -rf build/quickstart  # of an earlier run
step 'Training, a little over a minute'
"$translate" train --toy --out build/quickstart --max-minutes 1.4
step 'How good is it, on sentences it has never seen?'
"$translate" evaluate --model "$model"

printf '\nDone in %d s. To type sentences of your own:\n\n  %q translate --model %q\n\n' "$SECONDS" "$prefix$translate" "$prefix$model"
