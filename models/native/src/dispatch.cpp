#include "dispatch.h"

#ifdef __x86_64__
#include <cpuid.h>
#endif

namespace speech {

namespace {

#ifdef __x86_64__
// Compilers of 2022 know no name for AVX-VNNI: leaf 7, subleaf 1, bit 4 of eax.
bool has_avx_vnni() {
    unsigned eax, ebx, ecx, edx;
    return __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) && (eax & (1u << 4));
}
#endif

// `kernels` is null where the compiler knew no such instructions.
void add(std::vector<const Kernels*>& found, bool supported, const Kernels* kernels) {
    if (supported && kernels) found.push_back(kernels);
}

std::vector<const Kernels*> detect() {
    std::vector<const Kernels*> found;
#ifdef __x86_64__
    __builtin_cpu_init();
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
                        __builtin_cpu_supports("avx512vnni");
    add(found, avx512 && __builtin_cpu_supports("avx512bf16"), avx512_bf16_kernels());
    add(found, avx512, avx512_vnni_kernels());
    add(found, avx2 && has_avx_vnni(), avx2_vnni_kernels());
    add(found, avx2, avx2_kernels());
#endif
    add(found, true, portable_kernels());
    return found;
}

}  // namespace

const std::vector<const Kernels*>& runnable_kernels() {
    static const std::vector<const Kernels*> kernels = detect();
    return kernels;
}

}  // namespace speech
