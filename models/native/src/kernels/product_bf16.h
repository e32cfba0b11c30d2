// Products with bfloat16 weights and activations on AVX-512 BF16: two inputs a lane and instruction.
#pragma once
#include <immintrin.h>

#include "product_float.h"
#include "../tables.h"

namespace speech {
namespace {

template <int Rows, int Panels>
struct HalfTile {
    using Value = uint16_t;

    static __m512bh pair(const uint16_t* halves) {
        int32_t word;
        __builtin_memcpy(&word, halves, sizeof(word));
        return (__m512bh)_mm512_set1_epi32(word);
    }

    static void run(const uint8_t* weights, const uint16_t* const* rows, const Window& window, float* out,
                    int64_t stride) {
        const int64_t inputs = int64_t(window.taps) * window.width;
        __m512 total[Panels][Rows];
        for (int p = 0; p < Panels; p++)
            for (int r = 0; r < Rows; r++) total[p][r] = _mm512_setzero_ps();
        for (int tap = 0; tap < window.taps; tap++) {
            const uint16_t* halves[Rows];
            for (int r = 0; r < Rows; r++) halves[r] = rows[r] + tap * window.step;
            for (int64_t k = 0; k < window.width; k += 2, weights += 4 * kPanel) {
                __m512bh weight[Panels];
                for (int p = 0; p < Panels; p++) {
                    weight[p] = (__m512bh)_mm512_loadu_si512(weights + p * inputs * kPanel * 2);
                    __builtin_prefetch(weights + p * inputs * kPanel * 2 + kAhead);
                }
                for (int r = 0; r < Rows; r++) {
                    const __m512bh value = pair(halves[r] + k);
                    for (int p = 0; p < Panels; p++) total[p][r] = _mm512_dpbf16_ps(total[p][r], weight[p], value);
                }
            }
        }
        for (int r = 0; r < Rows; r++)
            for (int p = 0; p < Panels; p++) _mm512_storeu_ps(out + r * stride + p * kPanel, total[p][r]);
    }
};

}  // namespace
}  // namespace speech
