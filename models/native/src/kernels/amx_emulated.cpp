// The AMX kernels on a processor that has everything else they need: for tests.
#include "../tables.h"

#ifdef __AVX512BF16__

#define SPEECH_AMX
#define SPEECH_EMULATE_AMX
#include "kernels_avx512.inc"

namespace speech {
constexpr Kernels kKernels = {SPEECH_KERNELS("amx_emulated")};
const Kernels* const amx_emulated_kernels = &kKernels;
}  // namespace speech

#else  // the compiler does not know these instructions

const speech::Kernels* const speech::amx_emulated_kernels = nullptr;

#endif
