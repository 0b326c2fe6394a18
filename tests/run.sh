#!/usr/bin/env bash
# Builds everything and runs all tests.
set -euo pipefail
source "$(dirname -- "${BASH_SOURCE[0]}")/../examples/setup.sh"

usage='Usage: bash tests/run.sh [--asan]

Builds the library, the examples and the tests, and runs all tests; installs what is missing first (it asks, unless you are root).
  --asan   build in build-asan with the address and undefined-behaviour sanitizers instead of in build
  --help   this text
BUILD=FOLDER in the environment names another folder to build in. With CI=true in the environment, compiler warnings are errors.'

preset=release name=build options=(-DGRADUS_TESTS=ON -DGRADUS_EXAMPLES=ON)
for argument; do
  case $argument in
    --asan) preset=asan name=build-asan ;;
    --help) echo "$usage"; exit ;;
    *) printf "tests/run.sh: unknown option '%s'\n\n%s\n" "$argument" "$usage" >&2; exit 2 ;;
  esac
done
if [[ ${CI-} == true ]]; then options+=(-DGRADUS_WERROR=ON -DCMAKE_CUDA_ARCHITECTURES=90); fi  # one GPU, for time

ensure_packages tests
folder=$(build_folder "$name")
configure "$preset" "$folder" "${options[@]}"
build "$folder"
built=$SECONDS

status=0
ctest --test-dir "$folder" --output-on-failure --label-exclude '^exercise$' --parallel "$jobs" || status=$?
printf '\ntests/run.sh: %s (%s build in %d s, tests in %d s)\n' \
  "$([[ $status == 0 ]] && echo 'all tests passed' || echo 'TESTS FAILED')" "$preset" "$built" $((SECONDS - built))
exit "$status"
