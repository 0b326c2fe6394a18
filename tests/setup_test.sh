#!/usr/bin/env bash
# The set-up scripts on machines that are not this one: stand-ins for the tools say what is there and who is asking.
set -euo pipefail
tests=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
run=$tests/run.sh quickstart=$tests/../examples/quickstart.sh
machine=$(mktemp -d)
trap 'rm -rf -- "$machine"' EXIT
cd "$machine"
unset CXX CI
failures=0

# has TOOL SCRIPT: puts a stand-in on the machine.
has() { printf '#!%s\n%s\n' "$BASH" "$2" >"$machine/bin/$1" && chmod +x "$machine/bin/$1"; }

# A machine with the small tools every Debian has, used by this user id.
bare_machine() {
  rm -rf "${machine:?}"/*
  mkdir bin
  for tool in bash dirname env head nproc sed; do ln -s "$(command -v "$tool")" bin/; done
  has id "echo $1"
  has apt-get "echo \"\$*\" >>'$machine/apt.log'"
}

# expect STATUS TEXT SCRIPT ARGUMENT...: runs the script there, without a terminal.
expect() {
  local status=0
  PATH=$machine/bin "$BASH" "${@:3}" >output 2>&1 </dev/null || status=$?
  if [[ $status != "$1" || $(<output) != *"$2"* ]]; then
    printf 'line %s: expected status %s and "%s", got status %s and:\n%s\n' "${BASH_LINENO[0]}" "$1" "$2" "$status" "$(<output)"
    failures=$((failures + 1))
  fi
}

apt_was() {
  if [[ $(cat apt.log 2>/dev/null) != "$1" ]]; then
    printf 'line %s: apt-get was called with:\n%s\n' "${BASH_LINENO[0]}" "$(cat apt.log 2>/dev/null)"
    failures=$((failures + 1))
  fi
}

bare_machine 1000
for script in "$run" "$quickstart"; do
  expect 0 'Usage: bash ' "$script" --help
  expect 2 "unknown option '--fast'" "$script" --fast
done

# Not root and nobody to ask: the line is printed, nothing happens.
needed='g++ cmake ninja-build libopenblas-openmp-dev'
expect 1 "apt-get update && apt-get install -y --no-install-recommends $needed" "$quickstart"
expect 1 'no sudo here' "$quickstart"
has sudo 'exit 1'
expect 1 "sudo apt-get update && sudo apt-get install -y --no-install-recommends $needed doctest-dev" "$run"
expect 1 'there is no terminal' "$run"
apt_was ''

# Root: the line is run, and an installation that did not help is told.
bare_machine 0
expect 1 'Installed, and yet not usable: g++ cmake' "$quickstart"
apt_was "update
install -y --no-install-recommends $needed"
has apt-get '[[ $1 == update ]]'
expect 1 'apt-get could not install' "$quickstart"
rm bin/apt-get
expect 1 'no apt-get here' "$quickstart"

# All is there: straight to the tests, whose failure is passed on.
bare_machine 0
has c++ 'exit 0'
has make 'exit 0'
has cmake 'echo cmake version 3.25.0; echo "-- gradus: a BLAS"'
has ctest 'exit 0'
expect 0 'Found: a BLAS' "$run"
expect 0 'all tests passed (asan' "$run" --asan
has ctest 'exit 8'
expect 8 'TESTS FAILED' "$run"
apt_was ''
has cmake 'echo cmake version 3.18.4'
expect 1 'CMake 3.25 or newer (here: cmake version 3.18.4)' "$run"
apt_was 'update
install -y --no-install-recommends cmake'

# A compiler that is too old for CMakeLists.txt is not one that is there. (The real one, which lies about its age.)
calls_itself() {  # GCC CLANG
  has c++ "PATH='$PATH' exec '$(command -v c++)' -U__GNUC__ -D__GNUC__=$1 -U__clang_major__ -D__clang_major__=$2 \"\$@\""
}
if command -v c++ >/dev/null; then
  calls_itself 10 13
  expect 1 'Installed, and yet not usable: g++' "$run"
  expect 1 'gradus needs GCC 11 or clang 14 or newer' "$run"
  calls_itself 11 14
  expect 0 'new enough' -c "source '$tests/../examples/support/setup.sh'; has_compiler && echo new enough"
fi
has c++ 'exit 1'
CXX=c++ expect 1 "CXX is set to 'c++', which cannot compile" "$run"

exit $((failures > 0))
