#include "../tables.h"

#ifdef __AVX512BF16__

#include "kernels_avx512.inc"

namespace speech {
constexpr Kernels kKernels = {SPEECH_KERNELS("avx512_bf16")};
const Kernels* const avx512_bf16_kernels = &kKernels;
}  // namespace speech

#else  // the compiler does not know these instructions

const speech::Kernels* const speech::avx512_bf16_kernels = nullptr;

#endif
