#include "tables.h"

#if defined(__AVX512BF16__) && defined(__AMX_BF16__)

#define SPEECH_AMX
#include "kernels_avx512.inc"

const speech::Kernels* speech::amx_bf16_kernels() {
    static const Kernels kernels = {SPEECH_KERNELS("amx_bf16")};
    return &kernels;
}

#else  // the compiler does not know these instructions

const speech::Kernels* speech::amx_bf16_kernels() { return nullptr; }

#endif
