#include "kernels_avx2.inc"

namespace speech {
const Kernels* avx2_kernels() {
    static const Kernels kernels = {SPEECH_KERNELS("avx2")};
    return &kernels;
}
}  // namespace speech
