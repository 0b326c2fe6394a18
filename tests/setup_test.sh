#!/usr/bin/env bash
# The set-up scripts on machines that are not this one: stand-ins for the tools say what is there and who is asking.
set -euo pipefail
tests=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
machine=$(mktemp -d)
run=gradus/tests/run.sh quickstart=gradus/examples/quickstart.sh
trap 'rm -rf -- "$machine"' EXIT
cd "$machine"
unset CXX CI BUILD
failures=0

# has TOOL SCRIPT: puts a stand-in on the machine.
# (Without rm it would write through a link, into the real tool.)
has() {
  rm -f "$machine/bin/$1"
  printf '#!%s\n%s\n' "$BASH" "$2" >"$machine/bin/$1"
  chmod +x "$machine/bin/$1"
}

# A machine with the scripts and the small tools every Debian has, used by this user id.
bare_machine() {
  rm -rf "${machine:?}"/*
  mkdir -p bin gradus/tests gradus/examples
  cp "$tests/run.sh" gradus/tests/
  cp "$tests/../examples/quickstart.sh" gradus/examples/
  cp "$tests/../examples/setup.sh" gradus/examples/
  for tool in bash dirname env head mkdir nproc rm sed uname; do ln -s "$(command -v "$tool")" bin/; done
  has id "echo $1"
  has apt-get "echo \"\$*\" >>'$machine/apt.log'"
}

# expect STATUS TEXT SCRIPT ARGUMENT...: runs the script there, without a terminal.
expect() {
  local status=0
  HOME=$machine/home PATH=$machine/bin "$BASH" "${@:3}" >output 2>&1 </dev/null || status=$?
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
expect 1 'sudo dnf install gcc-c++ cmake ninja-build openblas-devel doctest-devel' "$run"
has uname 'echo Darwin'
expect 1 'gradus needs Linux, not Darwin: on Windows through WSL2' "$quickstart"

# All is there: straight to the tests, whose failure is passed on.
bare_machine 0
has c++ 'exit 0'
has make 'exit 0'
has cmake 'echo cmake version 3.22.1; echo "-- gradus: a BLAS"; echo "$*" >>"$0.log"'
has ctest 'exit 0'
expect 0 'Found: a BLAS' "$run"
expect 0 'all tests passed (asan' "$run" --asan
has ctest 'exit 8'
expect 8 'TESTS FAILED' "$run"
apt_was ''
has cmake 'echo cmake version 3.18.4'
expect 1 'CMake 3.22 or newer (here: cmake version 3.18.4)' "$run"
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
  expect 0 'new enough' -c "source gradus/examples/setup.sh; has_compiler && echo new enough"
fi
has c++ 'exit 1'
CXX=c++ expect 1 "CXX is set to 'c++', which cannot compile" "$run"

# Where to build: in the source tree, where BUILD says, or, where nothing can be written there, in the user's cache.
# (A file in the way of the folder, because root may write into a folder of any mode.)
cmake_was() {
  if [[ $(cat bin/cmake.log 2>/dev/null) != *"$1"* ]]; then
    printf 'line %s: cmake was called with:\n%s\n' "${BASH_LINENO[0]}" "$(cat bin/cmake.log 2>/dev/null)"
    failures=$((failures + 1))
  fi
  rm -f bin/cmake.log
}
complete_machine() {
  bare_machine 0
  has c++ 'exit 0'
  has make 'exit 0'
  has cmake 'echo cmake version 3.22.1; echo "$*" >>"$0.log"'
  has ctest 'echo "ctest $*"'
}
complete_machine
expect 0 "--test-dir $machine/gradus/build-asan" "$run" --asan
cmake_was "--preset asan -B $machine/gradus/build-asan"
BUILD=elsewhere expect 0 "--test-dir $machine/elsewhere" "$run"
cmake_was "--preset release -B $machine/elsewhere"
touch gradus/build
expect 0 "Nothing can be written in $machine/gradus/build; building in $machine/home/.cache/gradus/build" "$run"
cmake_was "--build $machine/home/.cache/gradus/build"
touch taken
BUILD=taken expect 1 'Nothing can be written in taken. BUILD=FOLDER' "$run"

# A build folder that is configured for a tree elsewhere starts afresh; another project's is left alone.
complete_machine
mkdir -p gradus/build/CMakeFiles
printf 'CMAKE_PROJECT_NAME:STATIC=%s\nCMAKE_HOME_DIRECTORY:INTERNAL=/nowhere\n' garden >gradus/build/CMakeCache.txt
expect 1 'is the build folder of another project (/nowhere)' "$run"
[[ -d gradus/build/CMakeFiles ]] || { echo "another project's build folder was cleared"; failures=$((failures + 1)); }
sed -i 's/garden/gradus/' gradus/build/CMakeCache.txt
expect 0 'all tests passed' "$run"
[[ ! -e gradus/build/CMakeFiles ]] || { echo 'a moved tree was not configured afresh'; failures=$((failures + 1)); }

# The quickstart leaves earlier models alone, and makes the graders of the exercises reachable without doctest.
complete_machine
has c++ '[[ $* != *DOCTEST* ]]'
mkdir -p gradus/build/examples gradus/build/quickstart
touch gradus/build/quickstart/notes.txt
printf '#!%s\necho "translate $*"\n' "$BASH" >gradus/build/examples/translate
chmod +x gradus/build/examples/translate
expect 0 'train --toy --out gradus/build/quickstart-2' "$quickstart"
cmake_was '-DGRADUS_TESTS=ON'
[[ -e gradus/build/quickstart/notes.txt ]] || { echo "the quickstart deleted a file"; failures=$((failures + 1)); }

exit $((failures > 0))
