#include "tables.h"

#ifdef __AVX2__

#include "kernels_avx2.inc"

const speech::Kernels* speech::avx2_kernels() {
    static const Kernels kernels = {SPEECH_KERNELS("avx2")};
    return &kernels;
}

#else  // the compiler does not know these instructions

const speech::Kernels* speech::avx2_kernels() { return nullptr; }

#endif
