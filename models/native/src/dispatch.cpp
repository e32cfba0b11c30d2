#include "dispatch.h"

#ifdef __x86_64__
#include <cpuid.h>
#endif
#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>
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

// Compilers of 2022 know no name for AMX either: leaf 7, bits 22 (bfloat16) and 24 (tiles) of edx. Its registers are
// 8 KB a thread, so the system wants to be asked before they are used.
bool may_use_amx() {
#if defined(__x86_64__) && defined(__linux__)
    constexpr long request_permission = 0x1023, tile_data = 18;
    unsigned eax, ebx, ecx, edx;
    const unsigned wanted = (1u << 22) | (1u << 24);
    return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) && (edx & wanted) == wanted &&
           syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
#else
    return false;
#endif
}

// What the processor and the system have of everything that setup.py compiles for.
struct Features {
    bool avx2 = false, avx2_vnni = false, avx512 = false, avx512_bf16 = false;

    Features() {
#ifdef __x86_64__
        __builtin_cpu_init();
        avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
        avx2_vnni = avx2 && has_avx_vnni();
        avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                 __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
                 __builtin_cpu_supports("avx512vnni");
        avx512_bf16 = avx512 && __builtin_cpu_supports("avx512bf16");
#endif
    }
};

// `kernels` is null where the compiler knew no such instructions.
void add(std::vector<const Kernels*>& found, bool supported, const Kernels* kernels) {
    if (supported && kernels) found.push_back(kernels);
}

std::vector<const Kernels*> detect() {
    const Features features;
    std::vector<const Kernels*> found;
    add(found, features.avx512_bf16 && may_use_amx(), amx_bf16_kernels);
    add(found, features.avx512_bf16, avx512_bf16_kernels);
    add(found, features.avx512, avx512_vnni_kernels);
    add(found, features.avx2_vnni, avx2_vnni_kernels);
    add(found, features.avx2, avx2_kernels);
    add(found, true, portable_kernels);
    return found;
}

// Of the kernels that are not listed.
const Kernels* test_kernels() { return Features().avx512_bf16 ? amx_emulated_kernels : nullptr; }

}  // namespace

const std::vector<const Kernels*>& runnable_kernels() {
    static const std::vector<const Kernels*> kernels = detect();
    return kernels;
}

const Kernels* named_kernels(const std::string& name) {
    for (const Kernels* kernels : runnable_kernels())
        if (name == kernels->name) return kernels;
    const Kernels* hidden = test_kernels();
    return hidden && name == hidden->name ? hidden : nullptr;
}

}  // namespace speech
