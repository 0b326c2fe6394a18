#!/usr/bin/env bash
# All that needs a GPU: the tests on it, NVIDIA's sanitizers over every operation, and one table of times.
set -euo pipefail
source "$(dirname -- "${BASH_SOURCE[0]}")/../examples/support/setup.sh"

# shellcheck disable=SC2016  # $PYTHON is meant to be read
usage='Usage: bash tests/gpu.sh [--steps N] [--quick]

For a machine with an NVIDIA GPU and the CUDA Toolkit. Builds gradus with CUDA in build-cuda, and then:
  1. runs the tests that need a GPU (ctest -L gpu);
  2. runs every operation of tests/op_cases.h under the four tools of compute-sanitizer;
  3. times a training step of the toy, small and base models, each beside the time of its products alone in cuBLAS and,
     where $PYTHON (default python3) has PyTorch, beside PyTorch eager, compiled, reduce-overhead, max-autotune and as one
     CUDA graph: one table.
  --steps N   how many steps are timed (default 20)
  --quick     without the sanitizers, which take many times longer than the tests
  --help      this text
It says at the end what failed; the status is 1 if anything did.'

steps=20 quick=false folder=build-cuda
while (($#)); do
  case $1 in
    --steps) [[ ${2-} =~ ^[1-9][0-9]*$ ]] || { echo '--steps: expected a whole number' >&2; exit 2; }
      steps=$2; shift ;;
    --quick) quick=true ;;
    --help) echo "$usage"; exit ;;
    *) printf "tests/gpu.sh: unknown option '%s'\n\n%s\n" "$1" "$usage" >&2; exit 2 ;;
  esac
  shift
done

nvidia_smi=$(command -v nvidia-smi) || fail 'tests/gpu.sh: no nvidia-smi, so no NVIDIA driver: this script is for a machine with a GPU.'
card=$("$nvidia_smi" --query-gpu=name,driver_version --format=csv,noheader 2>&1) ||
  fail "tests/gpu.sh: nvidia-smi finds no GPU: $card"
export PATH=$PATH:/usr/local/cuda/bin
if [[ $quick == false ]] && ! command -v compute-sanitizer >/dev/null; then
  fail 'tests/gpu.sh: no compute-sanitizer: it is a part of the CUDA Toolkit (cuda-sanitizer-*); or leave it out by --quick.'
fi
command -v nvcc >/dev/null || fail 'tests/gpu.sh: no nvcc: install the CUDA Toolkit, or put its bin folder on the path.'

ensure_packages tests
configure release "$folder" -B "$root/$folder" -DGRADUS_CUDA=ON -DGRADUS_TESTS=ON -DGRADUS_EXAMPLES=ON
build "$folder" --target cuda_tests benchmark
printf '\n%s, %s\n%s\n' "$(date -u +%F)" "$card" "$(nvcc --version | tail -n 1)"

failed=()
part() {  # part NAME COMMAND...
  printf '\n== %s\n' "$1"
  "${@:2}" || failed+=("$1")
}

# ctest counts a test as skipped where the device cannot be used. Here it must be: this run fails where it cannot.
part 'the device' "$root/$folder/tests/cuda_tests" --test-case='cuda: values of every operation*'
part 'tests on the GPU' ctest --test-dir "$root/$folder" -L gpu --no-tests=error --output-on-failure
if [[ $quick == false ]]; then
  for tool in memcheck racecheck initcheck synccheck; do
    part "compute-sanitizer $tool" env GRADUS_EXACT_BLOCKS=1 compute-sanitizer --tool "$tool" --error-exitcode 1 "$root/$folder/tests/cuda_tests" \
      --test-case='cuda: values of every operation*'
  done
fi
part 'times' env BUILD="$root/$folder" bash "$root/tests/benchmark/compare.sh" --device cuda --steps "$steps"

if ((${#failed[@]})); then
  printf '\ntests/gpu.sh: FAILED:'
  printf ' %s;' "${failed[@]}"
  echo
  exit 1
fi
printf '\ntests/gpu.sh: all passed\n'
