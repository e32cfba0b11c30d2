#include "kernels_avx2.inc"

namespace speech {
const Kernels* avx2_vnni_kernels() {
    static const Kernels kernels = {SPEECH_KERNELS("avx2_vnni")};
    return &kernels;
}
}  // namespace speech
