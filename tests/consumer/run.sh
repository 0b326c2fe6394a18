#!/usr/bin/env bash
# run.sh BUILD_DIR: installs that build into a temporary folder, then builds and runs a program that uses gradus, once
# with each of find_package, add_subdirectory and FetchContent.
set -euo pipefail
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
source=$(dirname -- "$(dirname -- "$here")")
build=${1:?usage: run.sh BUILD_DIR}
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT

cached() { sed -n "s/^$1:[A-Z]*=//p" "$build/CMakeCache.txt"; }

# The compiler and the flags (sanitizers, say) of the build, but little optimisation: it is compiled twice more.
common=(-DCMAKE_CXX_COMPILER="$(cached CMAKE_CXX_COMPILER)" -DCMAKE_CXX_FLAGS="$(cached CMAKE_CXX_FLAGS) -O1"
  -DCMAKE_BUILD_TYPE=None)
if command -v ninja >/dev/null; then common+=(-G Ninja); fi

# consume HOW OPTION...
consume() {
  local how=$1 log=$work/$1.log
  if ! { cmake -S "$here" -B "$work/$how" -DHOW="$how" "${common[@]}" "${@:2}" &&
    cmake --build "$work/$how" --target consumer --parallel "$(nproc)"; } >"$log" 2>&1; then
    printf 'consumer by %s does not build:\n%s\n' "$how" "$(<"$log")"
    return 1
  fi
  local said
  said=$(cd "$work" && "$how/consumer")
  printf '%s: %s\n' "$how" "$said"
  [[ $said == 'consumer ok' ]]
}

cmake --install "$build" --prefix "$work/prefix" >/dev/null
consume package -DCMAKE_PREFIX_PATH="$work/prefix"
if grep -qF -e "$source" -r "$work/prefix"/lib*/cmake; then
  echo "the installed package points back at the source tree"
  exit 1
fi
# nvcc would double the time and show nothing new: the package above has its objects, if there are any.
consume subdirectory -DGRADUS_SOURCE="$source" -DGRADUS_CUDA=OFF
consume fetch -DFETCHCONTENT_SOURCE_DIR_GRADUS="$source" -DGRADUS_CUDA=OFF
