#include "tables.h"

#ifdef __AVXVNNI__

#include "kernels_avx2.inc"

const speech::Kernels* speech::avx2_vnni_kernels() {
    static const Kernels kernels = {SPEECH_KERNELS("avx2_vnni")};
    return &kernels;
}

#else  // the compiler does not know these instructions

const speech::Kernels* speech::avx2_vnni_kernels() { return nullptr; }

#endif
