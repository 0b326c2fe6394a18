// The instruction sets that the kernels of tensor/cpu/ were compiled to use, and the question whether this
// CPU has them. Asked before the first kernel runs, because a CPU without them would end the process instead.
#pragma once

#include <string>

namespace gradus::cpu {

struct InstructionSets {
  bool avx2 = false, bmi2 = false, fma = false;
  bool avx512f = false, avx512bw = false, avx512dq = false, avx512vl = false, avx512vbmi = false;
};

// Data alone, in tensor/cpu/compiled_for.cpp, which is compiled as the kernels are.
extern const InstructionSets kCompiledFor;

// Those that `needed` has and `here` lacks, by name; empty when nothing is missing.
std::string missing_instructions(const InstructionSets& needed, const InstructionSets& here);
InstructionSets instructions_of_this_cpu();

}  // namespace gradus::cpu
