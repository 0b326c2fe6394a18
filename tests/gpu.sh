#!/usr/bin/env bash
# All that needs a GPU: the tests on it, the times beside PyTorch's, the time of each kernel, NVIDIA's sanitizers.
set -euo pipefail
source "$(dirname -- "${BASH_SOURCE[0]}")/../examples/setup.sh"

# shellcheck disable=SC2016  # $PYTHON, $BUILD and $OUT are meant to be read
usage='Usage: bash tests/gpu.sh [--no-build] [--only PART]... [--steps N]

For a machine with an NVIDIA GPU. Builds gradus with CUDA in $BUILD (default build-cuda), and then does these parts, in this order, those
that matter most first. Each has a time limit, and what it prints is also kept in $OUT/PART.txt (default build-cuda/gpu).
  tests       every test that needs a GPU                                                              180 s
  times       a training step of the toy, small and base models, and the time of its products alone     60 s
  torch       what the card can do, then the same beside PyTorch eager and as one CUDA graph; needs
              PyTorch in $PYTHON (default python3)                                            40 s and 150 s
  kernels     how long each kernel takes in three steps, by ncu                           100 s for each model
  sanitizers  every operation and every kernel under compute-sanitizer; racecheck, which is slow: kernels 150 s each
  compiled    PyTorch compiled: default, reduce-overhead and max-autotune                               400 s
  --only PART   this part alone; may be given several times
  --no-build    use what is built in $BUILD: tests/gpu_bundle.sh packs it for a bare machine
  --steps N     how many steps are timed (default 20)
  --help        this text
The last lines say what failed; the status is 1 if anything did.'

all=(tests times torch kernels sanitizers compiled) steps=20 build=true parts=()
while (($#)); do
  case $1 in
    --steps) [[ ${2-} =~ ^[1-9][0-9]*$ ]] || { echo '--steps: expected a whole number' >&2; exit 2; }
      steps=$2; shift ;;
    --only) [[ " ${all[*]} " == *" ${2-} "* && ${2-} ]] || { echo "--only: expected one of: ${all[*]}" >&2; exit 2; }
      parts+=("$2"); shift ;;
    --no-build) build=false ;;
    --help) echo "$usage"; exit ;;
    *) printf "tests/gpu.sh: unknown option '%s'\n\n%s\n" "$1" "$usage" >&2; exit 2 ;;
  esac
  shift
done
((${#parts[@]})) || parts=("${all[@]}")
folder=${BUILD:-$root/build-cuda}

nvidia_smi=$(command -v nvidia-smi) || fail 'tests/gpu.sh: no nvidia-smi, so no NVIDIA driver: this script is for a machine with a GPU.'
card=$("$nvidia_smi" --query-gpu=name,driver_version --format=csv,noheader 2>&1) ||
  fail "tests/gpu.sh: nvidia-smi finds no GPU: $card"
export PATH=$PATH:/usr/local/cuda/bin
if [[ $build == true ]]; then
  command -v nvcc >/dev/null || fail 'tests/gpu.sh: no nvcc: install the CUDA Toolkit, or put its bin folder on the path.'
  ensure_packages tests
  folder=$(build_folder build-cuda)
  configure release "$folder" -DGRADUS_CUDA=ON -DGRADUS_TESTS=ON -DGRADUS_EXAMPLES=ON
  build "$folder" --target cuda_tests benchmark
fi
[[ -x $folder/tests/cuda_tests ]] || fail "tests/gpu.sh: $folder/tests/cuda_tests is missing: BUILD=... names another folder."

# A bundle brings OpenBLAS in lib. cuBLAS is the toolkit's; where there is none, PyTorch's will do.
python=${PYTHON-python3}
cublas=$("$python" -c 'import glob, sysconfig; print(*glob.glob(sysconfig.get_path("purelib") + "/nvidia/c*/lib"), sep=":")' 2>/dev/null) || true
export LD_LIBRARY_PATH=$folder/lib:${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}/usr/local/cuda/lib64:$cublas
out=${OUT-$folder/gpu}
mkdir -p "$out"
printf '%s, %s\n' "$(date -u +%F)" "$card" | tee "$out/machine.txt"

failed=()
run() {  # run NAME SECONDS COMMAND...
  local status=0 start=$SECONDS
  printf '\n== %s\n' "$1"
  timeout --kill-after=10 "$2" "${@:3}" 2>&1 | tee "$out/$1.txt" || status=$?
  printf '(%s: %d s, status %d)\n' "$1" $((SECONDS - start)) "$status"
  if ((status == 124)); then failed+=("$1 (longer than $2 s)"); elif ((status)); then failed+=("$1"); fi
}
compare() { run "$1" "$2" env BUILD="$folder" bash "$root/tests/benchmark/compare.sh" --device cuda --steps "$steps" --modes "$3"; }

# The kernels of three steps of MODEL, by ncu, which reads the times from the GPU: their milliseconds together, those that take longest first.
kernel_times() {
  ncu --clock-control none --cache-control none --metrics gpu__time_duration.sum --csv \
    "$folder/tests/benchmark" train_step --config "$1" --device cuda --steps 1 >"$out/ncu_$1.csv" || return
  "$python" - "$out/ncu_$1.csv" "$1" <<'PYTHON'
import csv, collections, re, sys
rows = csv.reader(line for line in open(sys.argv[1]) if line.startswith('"'))
head = next(rows)
name, unit, value = (head.index(c) for c in ("Kernel Name", "Metric Unit", "Metric Value"))
scale = {"ns": 1e-6, "nsecond": 1e-6, "us": 1e-3, "usecond": 1e-3, "ms": 1, "msecond": 1}
total, count = collections.Counter(), collections.Counter()
for row in rows:
    kernel = re.sub(r"\(.*", "", row[name])[:100]
    total[kernel] += float(row[value].replace(",", "")) * scale[row[unit]]
    count[kernel] += 1
print(f"{sys.argv[2]}: {sum(count.values())} launches in all steps, {sum(total.values()):.2f} ms")
for kernel, ms in total.most_common(40):
    print(f"{ms:9.3f} ms {count[kernel]:6d} x {ms / count[kernel] * 1e3:8.1f} us  {kernel}")
PYTHON
}

# What the card can do, by PyTorch: how fast it copies, and how fast it multiplies in f32. A step is read against both.
ceilings() {
  "$python" - <<'PYTHON'
import torch
def milliseconds(f):
    times = []
    for _ in range(13):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record(); f(); end.record()
        torch.cuda.synchronize()
        times.append(begin.elapsed_time(end))
    return sorted(times[3:])[5]
x = torch.randn(1 << 29, device="cuda"); y = torch.empty_like(x)
print(f"copy: {2 * x.nbytes / milliseconds(lambda: y.copy_(x)) / 1e9:.2f} TB/s, read and written")
n = 8192
a, b = torch.randn(n, n, device="cuda"), torch.randn(n, n, device="cuda")
print(f"product of {n} x {n} x {n} in f32: {2 * n**3 / milliseconds(lambda: torch.mm(a, b, out=y[: n * n].view(n, n))) / 1e9:.1f} TFLOP/s")
PYTHON
}
export -f kernel_times ceilings
export folder out python

for part in "${parts[@]}"; do
  case $part in
    tests) run tests 180 "$folder/tests/cuda_tests" --duration=true ;;  # not through ctest, which skips them where the device cannot be used
    times) compare times 60 '' ;;
    torch)
      run ceilings 40 bash -c ceilings
      compare torch 150 eager,graph ;;
    compiled) compare compiled 400 compile,reduce-overhead,max-autotune ;;
    kernels)
      for model in toy small base; do run "kernels_$model" 100 bash -c "kernel_times $model"; done ;;
    sanitizers)
      for tool in memcheck initcheck synccheck racecheck; do
        cases='cuda kernels:*,cuda: values of every operation*'
        [[ $tool != racecheck ]] || cases='cuda kernels:*'  # it is slow, and these hold every kernel
        run "$tool" 150 env GRADUS_EXACT_BLOCKS=1 compute-sanitizer --tool "$tool" --error-exitcode 1 \
          "$folder/tests/cuda_tests" --test-case="$cases"
      done ;;
  esac
done

if ((${#failed[@]})); then
  printf '\ntests/gpu.sh: FAILED:'
  printf ' %s;' "${failed[@]}"
  echo
  exit 1
fi
printf '\ntests/gpu.sh: all passed\n'
