#include "tables.h"

#ifdef __AVX512BF16__

#include "kernels_avx512.inc"

const speech::Kernels* speech::avx512_bf16_kernels() {
    static const Kernels kernels = {SPEECH_KERNELS("avx512_bf16")};
    return &kernels;
}

#else  // the compiler does not know these instructions

const speech::Kernels* speech::avx512_bf16_kernels() { return nullptr; }

#endif
