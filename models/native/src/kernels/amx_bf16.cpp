#include "../tables.h"

#if defined(__AVX512BF16__) && defined(__AMX_BF16__)

#define SPEECH_AMX
#include "kernels_avx512.inc"

namespace speech {
constexpr Kernels kKernels = {SPEECH_KERNELS("amx_bf16")};
const Kernels* const amx_bf16_kernels = &kKernels;
}  // namespace speech

#else  // the compiler does not know these instructions

const speech::Kernels* const speech::amx_bf16_kernels = nullptr;

#endif
