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

# A parent that asks for nothing gets fast kernels all the same, and keeps its own settings.
configure() { cmake -S "$here" -B "$work/plain" -DHOW=subdirectory -DGRADUS_SOURCE="$source" -DGRADUS_CUDA=OFF \
  -DCMAKE_CXX_COMPILER="$(cached CMAKE_CXX_COMPILER)" -DCMAKE_EXPORT_COMPILE_COMMANDS=ON "$@" 2>&1; }
flags_of() { grep -e "-c [^ ]*$1" "$work/plain/compile_commands.json"; }
fail() { printf 'consumer without options: %s\n' "$1"; exit 1; }
configure >/dev/null
[[ $(flags_of tensor/cpu/gemm.cpp) == *-O3* ]] || fail 'the kernels are not optimised'
if [[ $(uname -m) == x86_64 ]]; then
  [[ $(flags_of tensor/cpu/gemm.cpp) == *-march=x86-64-v3* ]] || fail 'the kernels do not use AVX2'
  [[ $(flags_of tensor/ops.cpp) != *-march=* ]] || fail 'code outside tensor/cpu is compiled for some CPUs only'
  said=$(configure -DGRADUS_ARCH=i-am-no-cpu) && fail 'an unknown GRADUS_ARCH is taken'
  [[ $said == *'does not know -march=i-am-no-cpu'* ]] || fail "of an unknown GRADUS_ARCH it says: $said"
  [[ $(configure -DGRADUS_ARCH=baseline -DGRADUS_NATIVE=ON) == *'GRADUS_NATIVE is gone'* ]] || fail 'GRADUS_NATIVE goes unnoticed'
  [[ $(flags_of tensor/cpu/gemm.cpp) != *-march=* ]] || fail 'baseline has an -march'
fi
[[ $(flags_of consumer/main.cpp) != *-O[23]* ]] || fail "the parent's own code is optimised"
echo 'without options: fast kernels, and the parent as it was'
