#include "../tables.h"

#ifdef __AVX512VNNI__

#include "kernels_avx512.inc"

namespace speech {
constexpr Kernels kKernels = {SPEECH_KERNELS("avx512_vnni")};
const Kernels* const avx512_vnni_kernels = &kKernels;
}  // namespace speech

#else  // the compiler does not know these instructions

const speech::Kernels* const speech::avx512_vnni_kernels = nullptr;

#endif
