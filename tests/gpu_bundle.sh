#!/usr/bin/env bash
# Packs what tests/gpu.sh needs on a bare machine with a GPU: no compiler, no packages, no network.
set -euo pipefail
source "$(dirname -- "${BASH_SOURCE[0]}")/../examples/setup.sh"

# shellcheck disable=SC2016  # $BUILD is meant to be read
usage='Usage: bash tests/gpu_bundle.sh FOLDER

Builds gradus with CUDA in $BUILD (default build-gpu-bundle), for any x86-64 CPU with AVX2, and puts into FOLDER the stripped programs,
OpenBLAS with what it needs, and the scripts. Copy FOLDER to the machine with the GPU, and there run

  bash FOLDER/tests/gpu.sh --no-build

That machine needs an NVIDIA driver, and cuBLAS from the CUDA Toolkit or from PyTorch. The parts "kernels" and
"sanitizers" also need ncu and compute-sanitizer, and "torch" and "compiled" need PyTorch.'
if [[ $# != 1 || $1 == -* ]]; then
  echo "$usage"
  [[ ${1-} == --help ]] && exit
  exit 2
fi
mkdir -p -- "$1"
target=$(cd -- "$1" && pwd)
export PATH=$PATH:/usr/local/cuda/bin
command -v nvcc >/dev/null || fail 'tests/gpu_bundle.sh: no nvcc: install the CUDA Toolkit, or put its bin folder on the path.'
ensure_packages tests
folder=$(build_folder build-gpu-bundle)
configure release "$folder" -DGRADUS_CUDA=ON -DGRADUS_TESTS=ON -DGRADUS_EXAMPLES=ON -DGRADUS_ARCH=x86-64-v3
build "$folder" --target cuda_tests benchmark

mkdir -p "$target"/{build-cuda/tests,build-cuda/lib,tests/benchmark,examples}
cp "$root/examples/setup.sh" "$target/examples/"
cp "$root/tests/gpu.sh" "$target/tests/"
cp "$root"/tests/benchmark/{compare.sh,torch_train_step.py} "$target/tests/benchmark/"
for program in cuda_tests benchmark; do
  strip -o "$target/build-cuda/tests/$program" "$folder/tests/$program"
done
# The C and C++ libraries are the machine's own; OpenBLAS and the runtimes of its Fortran and of OpenMP may be missing there.
ldd "$folder/tests/cuda_tests" | sed -nE 's/.*=> (.*\/lib(openblas|gfortran|quadmath|gomp|omp)\.so[^ ]*).*/\1/p' |
  xargs -I{} cp -L {} "$target/build-cuda/lib/"
du -sh "$target"
