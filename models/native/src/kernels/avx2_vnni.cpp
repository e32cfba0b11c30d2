#include "../tables.h"

#ifdef __AVXVNNI__

#include "kernels_avx2.inc"

namespace speech {
constexpr Kernels kKernels = {SPEECH_KERNELS("avx2_vnni")};
const Kernels* const avx2_vnni_kernels = &kKernels;
}  // namespace speech

#else  // the compiler does not know these instructions

const speech::Kernels* const speech::avx2_vnni_kernels = nullptr;

#endif
