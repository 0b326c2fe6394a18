#!/usr/bin/env bash
# One training step in gradus and in PyTorch, in one sitting, as one table.
set -euo pipefail
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
root=$(cd -- "$here/../.." && pwd)

# shellcheck disable=SC2016  # $PYTHON is meant to be read
usage='Usage: bash tests/benchmark/compare.sh [--device cpu|cuda] [--steps N] [--threads N] [--precision f32|tf32] [--modes LIST] [toy] [small] [base]

Times a training step of the toy and the small model (on a GPU of base, too) in gradus and, where $PYTHON (default
python3) has PyTorch, in PyTorch; gradus once more at the end, so that a change in the machine shows. "floor" is the time
of the products alone (benchmark --help). LIST names modes of PyTorch, with commas (eager, compile, reduce-overhead,
max-autotune, graph; default eager,compile, on a GPU all; an empty list leaves PyTorch out).
Build the target "benchmark" first, and keep the machine idle.
PyTorch gets its best settings: no pin of OpenBLAS kernels, the OpenMP build of OpenBLAS, a malloc that keeps its memory.'
steps=20 threads=$(nproc) device=cpu configs=() list=default precision=f32
while (($#)); do
  case $1 in
    --help) echo "$usage"; exit ;;
    --steps | --threads)
      [[ ${2-} =~ ^[1-9][0-9]*$ ]] || { printf '%s: expected a whole number\n' "$1" >&2; exit 2; }
      declare "${1#--}=$2"; shift ;;
    --device)
      [[ ${2-} == cpu || ${2-} == cuda ]] || { echo '--device: expected cpu or cuda' >&2; exit 2; }
      device=$2; shift ;;
    --precision)
      [[ ${2-} == f32 || ${2-} == tf32 ]] || { echo '--precision: expected f32 or tf32' >&2; exit 2; }
      precision=$2; shift ;;
    --modes)
      (($# > 1)) || { echo '--modes: expected a list' >&2; exit 2; }
      list=$2; shift ;;
    toy | small | base) configs+=("$1") ;;
    *) printf "compare.sh: unknown argument '%s'\n\n%s\n" "$1" "$usage" >&2; exit 2 ;;
  esac
  shift
done
all=(toy small)
if [[ $device == cuda ]]; then all+=(base); fi
case $list-$device in
  default-cpu) list=eager,compile ;;
  default-cuda) list=eager,compile,reduce-overhead,max-autotune,graph ;;
esac
IFS=, read -ra modes <<<"$list"
((${#configs[@]})) || configs=("${all[@]}")

benchmark=${BUILD-$root/build}/tests/benchmark python=${PYTHON-python3}
[[ -x $benchmark ]] || { echo 'compare.sh: build/tests/benchmark is missing; cmake --build build --target benchmark (BUILD=... names another folder)' >&2; exit 1; }

common=(env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE OMP_NUM_THREADS="$threads")
openblas=$(ldd "$benchmark" | sed -nE 's|.*=> (.*)/libopenblas.*|\1|p')  # PyTorch from Debian takes the first it finds
gradus() { "${common[@]}" "$benchmark" train_step --config "$1" --steps "$steps" --device "$device" --precision "$precision"; }
torch() {
  "${common[@]}" LD_LIBRARY_PATH="$openblas${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" MALLOC_MMAP_THRESHOLD_=1073741824 \
    MALLOC_TRIM_THRESHOLD_=4294967295 MALLOC_TOP_PAD_=268435456 \
    "$python" "$here/torch_train_step.py" --config "$1" --mode "$2" --threads "$threads" --steps "$steps" \
    --device "$device" --dtype "$precision"
}
value() { sed -nE "s/.*\"($1)\": \"?([^,\"}]*).*/\2/p" <<<"$line"; }
status=0  # 1 when a row of ours has failed
row() {  # row NAME COMMAND...
  if ! line=$("${@:2}" 2>"$log"); then
    printf '%-36s failed: %s\n' "$1" "$(tail -n 1 "$log")"
    if [[ $1 == gradus* ]]; then status=1; fi
    return
  fi
  printf '%-36s %-6s %9s %9s %9s %12s %9s\n' "$1" "$(value config)" "$(value step_ms)" "$(value min_ms)" \
    "$(value gemm_floor_ms)" "$(value 'tokens_per_second|target_tokens_per_s')" "$(value 'peak_memory_mb|peak_mb')"
}
log=$(mktemp)
trap 'rm -f "$log"' EXIT

version=
((${#modes[@]} == 0)) || version=$("$python" -c 'import torch; print(torch.__version__)' 2>/dev/null) ||
  echo "($python has no PyTorch: gradus alone. PYTHON=... names another.)"
printf '%s, %s, %d threads, %d steps\n%-36s %-6s %9s %9s %9s %12s %9s\n' "$device" "$precision" "$threads" "$steps" '' model 'step ms' 'min ms' 'floor ms' \
  'tokens/s' 'peak MB'
for config in "${configs[@]}"; do
  row gradus gradus "$config"
  if [[ $version ]]; then
    for mode in "${modes[@]}"; do row "torch $version $mode" torch "$config" "$mode"; done
    row 'gradus again' gradus "$config"
  fi
done
exit "$status"
