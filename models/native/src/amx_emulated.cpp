// The AMX kernels on a processor that has everything else they need: for tests.
#include "tables.h"

#ifdef __AVX512BF16__

#define SPEECH_AMX
#define SPEECH_EMULATE_AMX
#include "kernels_avx512.inc"

const speech::Kernels* speech::amx_emulated_kernels() {
    static const Kernels kernels = {SPEECH_KERNELS("amx_emulated")};
    return &kernels;
}

#else  // the compiler does not know these instructions

const speech::Kernels* speech::amx_emulated_kernels() { return nullptr; }

#endif
