// Outside of tensor/cpu/, and so compiled for any CPU: this must run where the kernels cannot.
#include "tensor/instructions.h"

namespace gradus::cpu {

std::string missing_instructions(const InstructionSets& needed, const InstructionSets& here) {
  std::string missing;
  const auto compare = [&](const char* name, bool InstructionSets::*set) {
    if (needed.*set && !(here.*set)) missing += (missing.empty() ? "" : ", ") + std::string(name);
  };
  compare("AVX2", &InstructionSets::avx2);
  compare("BMI2", &InstructionSets::bmi2);
  compare("FMA", &InstructionSets::fma);
  compare("AVX-512F", &InstructionSets::avx512f);
  compare("AVX-512BW", &InstructionSets::avx512bw);
  compare("AVX-512DQ", &InstructionSets::avx512dq);
  compare("AVX-512VL", &InstructionSets::avx512vl);
  compare("AVX-512VBMI", &InstructionSets::avx512vbmi);
  return missing;
}

InstructionSets instructions_of_this_cpu() {
  InstructionSets sets;
#if defined(__x86_64__)
  sets.avx2 = __builtin_cpu_supports("avx2");
  sets.bmi2 = __builtin_cpu_supports("bmi2");
  sets.fma = __builtin_cpu_supports("fma");
  sets.avx512f = __builtin_cpu_supports("avx512f");
  sets.avx512bw = __builtin_cpu_supports("avx512bw");
  sets.avx512dq = __builtin_cpu_supports("avx512dq");
  sets.avx512vl = __builtin_cpu_supports("avx512vl");
  sets.avx512vbmi = __builtin_cpu_supports("avx512vbmi");
#endif
  return sets;
}

}  // namespace gradus::cpu
