#include "kernels_avx512.inc"

namespace speech {
const Kernels* avx512_vnni_kernels() {
    static const Kernels kernels = {SPEECH_KERNELS("avx512_vnni")};
    return &kernels;
}
}  // namespace speech
