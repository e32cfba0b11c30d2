#include "../tables.h"

#ifdef __AVX2__

#include "kernels_avx2.inc"

namespace speech {
constexpr Kernels kKernels = {SPEECH_KERNELS("avx2")};
const Kernels* const avx2_kernels = &kKernels;
}  // namespace speech

#else  // the compiler does not know these instructions

const speech::Kernels* const speech::avx2_kernels = nullptr;

#endif
