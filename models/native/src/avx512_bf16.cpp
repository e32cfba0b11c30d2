#include "kernels_avx512.inc"

namespace speech {
const Kernels* avx512_bf16_kernels() {
    static const Kernels kernels = {SPEECH_KERNELS("avx512_bf16")};
    return &kernels;
}
}  // namespace speech
