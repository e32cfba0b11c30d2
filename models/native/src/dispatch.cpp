#include "dispatch.h"

#ifdef SPEECH_X86
#include <cpuid.h>
#endif

namespace speech {

namespace {

#ifdef SPEECH_X86
// Compilers of 2022 know no name for AVX-VNNI: leaf 7, subleaf 1, bit 4 of eax.
bool has_avx_vnni() {
    unsigned eax, ebx, ecx, edx;
    return __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) && (eax & (1u << 4));
}
#endif

std::vector<const Kernels*> detect() {
    std::vector<const Kernels*> found;
#ifdef SPEECH_X86
    __builtin_cpu_init();
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
                  __builtin_cpu_supports("avx512vnni");
    if (avx512 && __builtin_cpu_supports("avx512bf16")) found.push_back(avx512_bf16_kernels());
    if (avx512) found.push_back(avx512_vnni_kernels());
    if (avx2 && has_avx_vnni()) found.push_back(avx2_vnni_kernels());
    if (avx2) found.push_back(avx2_kernels());
#endif
    found.push_back(portable_kernels());
    return found;
}

}  // namespace

const std::vector<const Kernels*>& runnable_kernels() {
    static const std::vector<const Kernels*> kernels = detect();
    return kernels;
}

}  // namespace speech
