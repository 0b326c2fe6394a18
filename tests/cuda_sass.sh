#!/usr/bin/env bash
# What nvcc made of the kernels, by NVIDIA's disassembler: no GPU is needed.
set -euo pipefail

usage='Usage: bash tests/cuda_sass.sh LIBRARY

Takes the machine code for sm_90 out of LIBRARY (build/libgradus_tensor.a) and holds each kernel against its bounds:
  no spills      no register goes to memory, and no array of a thread lies there
  registers      so few that as many blocks share a processor as their shared memory allows
  reads          so many are under way at once, before the first value is used
  divisions      none of 64 bits, which take about 100 instructions, where elements lie side by side
Prints a line for each kernel, those of f64 aside. Needs cuobjdump and nvdisasm, which belong to the CUDA Toolkit; pip has
them, too: nvidia-cuda-cuobjdump, nvidia-cuda-nvdisasm. Without them the status is 77.'

[[ ${1-} != --help ]] || { echo "$usage"; exit; }
(($# == 1)) || { echo "$usage" >&2; exit 2; }
export PATH=$PATH:/usr/local/cuda/bin
for tool in cuobjdump nvdisasm; do
  command -v "$tool" >/dev/null || { echo "tests/cuda_sass.sh: no $tool, so the kernels were not looked at"; exit 77; }
done
library=$(realpath -- "$1")
folder=$(mktemp -d)
trap 'rm -rf -- "$folder"' EXIT
cd "$folder"
ar x "$library"
for object in *.cu.o; do cuobjdump --extract-elf all "$object" >/dev/null; done
compgen -G '*.sm_90.cubin' >/dev/null || { echo "tests/cuda_sass.sh: $library holds nothing for sm_90"; exit 77; }

# A line for each kernel of `nvdisasm -c`: reads under way, divisions, accesses to a thread's own memory, name. A read is
# under way from its LDG to the first instruction that takes its register, or writes over it, in the order of addresses.
cat >kernels.awk <<'AWK'
function end_read(of) { if (of in under_way) { delete under_way[of]; --reads } }
function print_kernel() { if (name) print most + 0, divisions + 0, local_memory + 0, name }
/^\.text\./ {
  print_kernel()
  name = substr($1, 7, length($1) - 7)
  most = divisions = local_memory = reads = subroutine = 0
  delete read_into; delete under_way
}
/^\$__/ { subroutine = 1 }  # behind the kernel: a division, for instance
name && /\/\*[0-9a-f]+\*\// {
  sub(/^[^*]*\*[0-9a-f]+\*\/ */, ""); sub(/;.*/, ""); sub(/^@!?U?P[0-9T]+ +/, "")
  operation = $1
  if (operation ~ /^(STL|LDL)/) ++local_memory
  if (/CALL.*(div|rem)_[su]64/) ++divisions
  if (subroutine) next
  sub(/^[^ ]+ +/, "")
  target = sources = $0
  if (operation ~ /^(ST|RED|ATOM|BRA|CALL|EXIT)/) target = ""
  else { sub(/,.*/, "", target); if (!sub(/^[^,]*,/, "", sources)) sources = "" }
  for (; match(sources, /R[0-9]+/); sources = substr(sources, RSTART + RLENGTH)) {
    register = substr(sources, RSTART, RLENGTH)
    if (register in read_into) end_read(read_into[register])
  }
  if (!match(target, /^R[0-9]+/)) next
  first = substr(target, 2, RLENGTH - 1)
  width = operation ~ /\.128/ ? 4 : operation ~ /\.64/ ? 2 : 1
  if (operation !~ /^LDG/) width = 1
  for (i = first; i < first + width; ++i) {
    if ("R" i in read_into) end_read(read_into["R" i])
    delete read_into["R" i]
    if (operation ~ /^LDG/) read_into["R" i] = NR
  }
  if (operation ~ /^LDG/) { under_way[NR]; if (++reads > most) most = reads }
}
END { print_kernel() }
AWK
for cubin in *.sm_90.cubin; do
  nvdisasm -c "$cubin" | awk -f kernels.awk
  cuobjdump --dump-resource-usage "$cubin" 2>&1 | awk '
    $1 == "Function" { name = substr($2, 1, length($2) - 1) }
    /REG:/ { match($0, /REG:[0-9]+/); registers = substr($0, RSTART + 4, RLENGTH - 4)
             match($0, /STACK:[0-9]+/); print "usage", registers, substr($0, RSTART + 6, RLENGTH - 6), name }'
done >lines
# The names as in the source, without namespaces and parameters.
c++filt <lines | sed -E 's/gradus::|cuda::|\(anonymous namespace\)::|[a-z0-9_]*_GLOBAL__N__[a-z0-9_]*:://g; s/\(.*//; s/ void / /' >named

# The bounds: the first pattern that a name matches. Registers at most, reads at least, divisions at most; - is no bound.
# A processor has 65,536 registers; blocks have 256 threads.
cat >bounds <<'BOUNDS'
attend<float>                        64  8  -
attend_backward<float>               64  8  -
map_kernel<float,.Pairwise<float,.(Add|Sub|Mul),.OneAxis  32  8  0
map_kernel<float,.Choice<float,.OneAxis  32  3  0
map_kernel<.*OneAxis                 32  -  0
map_kernel<float,.Forward<float,.Relu  32  4  0
map_kernel<float,.Backward<float,.Relu 32  7  0
map_kernel<float,.(Cast|Constant|Forward|Backward) - - 0
dropout_kernel<float>                40  8  0
bias_activation<float,.(Identity|Relu)  64  7  0
bias_activation<float,.Gelu          64  3  0
layer_norm_rows<float>               64  8  0
layer_norm_dx<float>                 64  8  0
layer_norm_parameters<float>         64  8  0
cross_entropy_rows<float>            64  7  0
cross_entropy_backward_rows<float>   64  8  1
update_kernel<Adam<float>            64  4  0
copy_columns_kernel<(float|int)>     32  4  0
sum_runs<float,.float>               64  7  -
BOUNDS
awk '
  FILENAME == "bounds" { pattern[++count] = $1; registers[count] = $2; reads[count] = $3; divisions[count] = $4; next }
  $1 == "usage" { used = $2; stack = $3; $1 = $2 = $3 = ""; sub(/^ +/, ""); regs[$0] = used; frame[$0] = stack; next }
  { most = $1; div = $2; local_memory = $3; $1 = $2 = $3 = ""; sub(/^ +/, "")
    under_way[$0] = most; divides[$0] = div; memory[$0] = local_memory }
  function fail(name, what) { print "FAILED: " name ": " what; failed = 1 }
  END {
    for (name in under_way) {
      if (memory[name] + frame[name]) fail(name, "spills, or has a stack of " frame[name] " bytes")
      if (name !~ /double/)
        printf "%3d registers  %2d reads  %2d divisions  %s\n", regs[name], under_way[name], divides[name], name | "sort -k7"
      for (i = 1; i <= count && name !~ pattern[i]; ++i) {}
      if (i > count) continue
      ++met[i]
      if (registers[i] != "-" && regs[name] > registers[i]) fail(name, regs[name] " registers, at most " registers[i])
      if (reads[i] != "-" && under_way[name] < reads[i]) fail(name, under_way[name] " reads under way, at least " reads[i])
      if (divisions[i] != "-" && divides[name] > divisions[i]) fail(name, divides[name] " divisions, at most " divisions[i])
    }
    close("sort -k7")
    for (i = 1; i <= count; ++i) if (!met[i]) fail(pattern[i], "no kernel of this name")
    exit failed
  }' bounds named named
