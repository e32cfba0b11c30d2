// Products with 8-bit and 4-bit weights in plain C++: the same whole-number sums, so the same results.
#pragma once
#include "int_formats.h"

namespace speech {
namespace {

struct Bytes {  // int8
    static constexpr int bytes = kInt8BlockBytes;
    // Weight of input k of output r, plus 128.
    static int weight(const uint8_t* block, int k, int r) { return block[k / 4 * 64 + r * 4 + k % 4]; }
};

struct Nibbles {  // nf4
    static constexpr int bytes = kNf4BlockBytes;
    static int weight(const uint8_t* block, int k, int r) {
        uint8_t pair = block[k / 8 * 64 + r * 4 + k % 4];
        return kNf4Unsigned[k % 8 < 4 ? pair & 15 : pair >> 4];
    }
};

constexpr int kIntRows = 1 << 30;  // rows are computed one after the other: expanding never pays

template <class Decode>
void int_panel(const PanelPair<Decode>& pair, int panel, const Activations& x, int rows, float* out, int64_t outputs) {
    const int64_t inputs = x.inputs, count = inputs / kBlock;
    for (int64_t row = 0; row < rows; row++) {
        Lanes total = splat(0.0f);
        for (int64_t block = 0; block < count; block++) {
            const uint8_t* data = pair.block(block, panel);
            const int8_t* codes = x.codes + row * inputs + block * kBlock;
            Words dot = Words{} + x.corrections[row * count + block];
            for (int k = 0; k < kBlock; k++)
                for (int r = 0; r < kPanel; r++) dot[r] += Decode::weight(data, k, r) * codes[k];
            Lanes factor = load_half(pair.scales(block, panel)) * splat(x.scales[row * count + block]);
            total = fma(Lanes{__builtin_convertvector(dot, Floats)}, factor, total);
        }
        store(out + row * outputs, total);
    }
}

template <class Decode>
void int_panels(const PanelPair<Decode>& pair, const Activations& x, int rows, float* out, int64_t outputs) {
    for (int panel = 0; panel < pair.panels; panel++)
        int_panel(pair, panel, x, rows, out + panel * kPanel, outputs);
}

inline void expand(const PanelPair<Nibbles>&, int64_t, uint8_t*) {}

}  // namespace
}  // namespace speech
