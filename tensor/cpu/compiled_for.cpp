#include "tensor/instructions.h"

namespace gradus::cpu {

constexpr InstructionSets compiled_for() {
  InstructionSets sets;
#ifdef __AVX2__
  sets.avx2 = true;
#endif
#ifdef __BMI2__
  sets.bmi2 = true;
#endif
#ifdef __FMA__
  sets.fma = true;
#endif
#ifdef __AVX512F__
  sets.avx512f = true;
#endif
#ifdef __AVX512BW__
  sets.avx512bw = true;
#endif
#ifdef __AVX512DQ__
  sets.avx512dq = true;
#endif
#ifdef __AVX512VL__
  sets.avx512vl = true;
#endif
#ifdef __AVX512VBMI__
  sets.avx512vbmi = true;
#endif
  return sets;
}

constexpr InstructionSets kCompiledFor = compiled_for();

}  // namespace gradus::cpu
