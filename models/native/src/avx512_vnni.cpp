#include "tables.h"

#ifdef __AVX512VNNI__

#include "kernels_avx512.inc"

const speech::Kernels* speech::avx512_vnni_kernels() {
    static const Kernels kernels = {SPEECH_KERNELS("avx512_vnni")};
    return &kernels;
}

#else  // the compiler does not know these instructions

const speech::Kernels* speech::avx512_vnni_kernels() { return nullptr; }

#endif
