// AMX's tile registers; or, with SPEECH_EMULATE_AMX, the same in plain C++, so that the code around them can be tested
// on machines without. The sums of a real processor differ from the emulation's in the last bits.
#pragma once
#include <cstdint>
#include <cstring>

namespace speech {
namespace {

// What tileloadd and tdpbf16ps are told: how many rows and bytes a row each of the eight registers has.
struct alignas(64) TileConfiguration {
    uint8_t palette = 1, start_row = 0, reserved[14] = {};
    uint16_t row_bytes[16] = {};
    uint8_t rows[16] = {};
};
static_assert(sizeof(TileConfiguration) == 64, "as the processor reads it");

#ifndef SPEECH_EMULATE_AMX

// Inline assembly, because the compilers' intrinsics do not tell them which memory is read.
inline void configure_tiles(const TileConfiguration& configuration) {
    asm volatile("ldtilecfg %0" ::"m"(configuration) : "memory");
}
inline void release_tiles() { asm volatile("tilerelease" ::: "memory"); }
template <int Tile>
void clear_tile() {
    asm volatile("tilezero %%tmm%c0" ::"i"(Tile));
}
template <int Tile>
void load_tile(const void* from, int64_t stride) {
    asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(from), "r"(stride), "i"(Tile) : "memory");
}
template <int Tile>
void store_tile(void* to, int64_t stride) {
    asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(to), "r"(stride), "i"(Tile) : "memory");
}
// sums[m][n] += a[m][2 k] * b[k][2 n] + a[m][2 k + 1] * b[k][2 n + 1], for all k in their order.
template <int Sums, int A, int B>
void multiply_tiles() {
    asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(Sums), "i"(A), "i"(B));
}

#else

thread_local TileConfiguration emulated_configuration;
thread_local uint8_t emulated_tiles[8][16][64];

inline void configure_tiles(const TileConfiguration& configuration) {
    emulated_configuration = configuration;
    std::memset(emulated_tiles, 0, sizeof(emulated_tiles));
}
inline void release_tiles() { emulated_configuration = TileConfiguration(); }

// The processor faults on a register that has no rows.
inline int emulated_rows(int tile) {
    if (!emulated_configuration.rows[tile]) __builtin_trap();
    return emulated_configuration.rows[tile];
}
template <int Tile>
void clear_tile() {
    for (int row = 0; row < emulated_rows(Tile); row++) std::memset(emulated_tiles[Tile][row], 0, 64);
}
template <int Tile>
void load_tile(const void* from, int64_t stride) {
    const uint8_t* bytes = static_cast<const uint8_t*>(from);
    for (int row = 0; row < emulated_rows(Tile); row++)
        std::memcpy(emulated_tiles[Tile][row], bytes + row * stride, emulated_configuration.row_bytes[Tile]);
}
template <int Tile>
void store_tile(void* to, int64_t stride) {
    uint8_t* bytes = static_cast<uint8_t*>(to);
    for (int row = 0; row < emulated_rows(Tile); row++)
        std::memcpy(bytes + row * stride, emulated_tiles[Tile][row], emulated_configuration.row_bytes[Tile]);
}
inline float emulated_value(const uint8_t* half) {
    const uint8_t bytes[4] = {0, 0, half[0], half[1]};
    float value;
    std::memcpy(&value, bytes, sizeof(value));
    return value;
}
template <int Sums, int A, int B>
void multiply_tiles() {
    if (emulated_rows(Sums) != emulated_rows(A) || emulated_configuration.row_bytes[A] != 4 * emulated_rows(B))
        __builtin_trap();
    for (int m = 0; m < emulated_rows(A); m++) {
        float totals[16];
        std::memcpy(totals, emulated_tiles[Sums][m], sizeof(totals));
        for (int k = 0; k < emulated_rows(B); k++) {
            const uint8_t *a = emulated_tiles[A][m] + 4 * k, *b = emulated_tiles[B][k];
            for (int n = 0; n < 16; n++)
                totals[n] += emulated_value(a) * emulated_value(b + 4 * n) +
                             emulated_value(a + 2) * emulated_value(b + 4 * n + 2);
        }
        std::memcpy(emulated_tiles[Sums][m], totals, sizeof(totals));
    }
}

#endif

}  // namespace
}  // namespace speech
