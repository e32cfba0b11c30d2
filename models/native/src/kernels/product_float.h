// Products with float and bfloat16 weights. An output is one chain of fused multiply-adds in the order of the inputs,
// whatever the shape of the tile that computes it: a row's result does not depend on the rows beside it.
#pragma once
#include "../tables.h"

namespace speech {
namespace {

// Bytes by which weights are asked for early: processors follow one stream well, not the several of a tile.
constexpr int kAhead = 2048;

// A tile reads the weights of `Panels` panels once for `Rows` rows and keeps all sums in registers.
template <int Rows, int Panels>
struct FloatTile {
    using Value = float;

    static void run(const uint8_t* weights, const float* const* rows, const Window& window, float* out,
                    int64_t stride) {
        const int64_t inputs = int64_t(window.taps) * window.width;
        const float* panel = reinterpret_cast<const float*>(weights);
        Lanes total[Panels][Rows];
        for (int p = 0; p < Panels; p++)
            for (int r = 0; r < Rows; r++) total[p][r] = splat(0.0f);
        for (int tap = 0; tap < window.taps; tap++) {
            const float* values[Rows];
            for (int r = 0; r < Rows; r++) values[r] = rows[r] + tap * window.step;
            for (int64_t k = 0; k < window.width; k++, panel += kPanel) {
                Lanes weight[Panels];
                for (int p = 0; p < Panels; p++) {
                    weight[p] = load(panel + p * inputs * kPanel);
                    __builtin_prefetch(panel + p * inputs * kPanel + kAhead / 4);
                }
                for (int r = 0; r < Rows; r++) {
                    Lanes value = splat(values[r][k]);
                    for (int p = 0; p < Panels; p++) total[p][r] = fma(weight[p], value, total[p][r]);
                }
            }
        }
        for (int r = 0; r < Rows; r++)
            for (int p = 0; p < Panels; p++) store(out + r * stride + p * kPanel, total[p][r]);
    }
};

// bfloat16 weights lie in pairs of inputs; a bfloat16 becomes a float by a shift.
template <int Rows, int Panels>
struct PairTile {
    using Value = float;

    static void run(const uint8_t* weights, const float* const* rows, const Window& window, float* out,
                    int64_t stride) {
        const int64_t inputs = int64_t(window.taps) * window.width;
        Lanes total[Panels][Rows];
        for (int p = 0; p < Panels; p++)
            for (int r = 0; r < Rows; r++) total[p][r] = splat(0.0f);
        for (int tap = 0; tap < window.taps; tap++) {
            const float* values[Rows];
            for (int r = 0; r < Rows; r++) values[r] = rows[r] + tap * window.step;
            for (int64_t k = 0; k < window.width; k += 2, weights += 4 * kPanel) {
                Lanes even[Panels], odd[Panels];
                for (int p = 0; p < Panels; p++) {
                    load_pairs(weights + p * inputs * kPanel * 2, even[p], odd[p]);
                    __builtin_prefetch(weights + p * inputs * kPanel * 2 + kAhead);
                }
                for (int r = 0; r < Rows; r++) {
                    Lanes first = splat(values[r][k]), second = splat(values[r][k + 1]);
                    for (int p = 0; p < Panels; p++)
                        total[p][r] = fma(odd[p], second, fma(even[p], first, total[p][r]));
                }
            }
        }
        for (int r = 0; r < Rows; r++)
            for (int p = 0; p < Panels; p++) store(out + r * stride + p * kPanel, total[p][r]);
    }
};

}  // namespace
}  // namespace speech
