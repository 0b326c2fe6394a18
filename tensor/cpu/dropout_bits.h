// The random half-words of dropout, one group of 128 elements at a time, sixteen Philox counters side by side
// in vector registers. random.h says which element gets which bits; a test holds this against philox() one by
// one.
#pragma once

#include "tensor/random.h"

namespace gradus::cpu {

// bits[i] for element group * 128 + i.
inline void dropout_bits(uint64_t group, const Draw& draw, uint16_t* bits) {
  constexpr int64_t kLanes = kDropoutLanes;
  uint32_t c0[kLanes], c1[kLanes], c2[kLanes], c3[kLanes];
  for (int lane = 0; lane < kLanes; ++lane) {
    const uint64_t block = group * kLanes + lane;
    c0[lane] = block, c1[lane] = block >> 32, c2[lane] = draw.number, c3[lane] = draw.step;
  }
  uint32_t k0 = draw.seed, k1 = draw.seed >> 32;
  for (int round = 0; round < 10; ++round, k0 += 0x9E3779B9, k1 += 0xBB67AE85) {
#pragma omp simd
    for (int lane = 0; lane < kLanes; ++lane) {
      const uint64_t a = uint64_t{0xD2511F53} * c0[lane], b = uint64_t{0xCD9E8D57} * c2[lane];
      c0[lane] = uint32_t(b >> 32) ^ c1[lane] ^ k0, c1[lane] = b;
      c2[lane] = uint32_t(a >> 32) ^ c3[lane] ^ k1, c3[lane] = a;
    }
  }
  const uint32_t* words[] = {c0, c1, c2, c3};
  for (int half = 0; half < 8; ++half) {
    const uint32_t* word = words[half / 2];
    const int shift = half % 2 * 16;
#pragma omp simd
    for (int lane = 0; lane < kLanes; ++lane) bits[half * kLanes + lane] = word[lane] >> shift;
  }
}

}  // namespace gradus::cpu
