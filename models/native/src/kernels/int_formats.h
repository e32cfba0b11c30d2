// Layout of the formats with 8-bit arithmetic. Two panels lie together (a last odd one alone), so that a product reads
// one stream: for each 64 inputs the block of one panel, that of the other, and then their 16 bfloat16 scales each.
#pragma once
#include "../tables.h"

namespace speech {
namespace {

// int8: byte 64 s + 4 r + b is input 4 s + b of output r, plus 128.
constexpr int kInt8BlockBytes = kBlock * kPanel;
// nf4: byte 64 s + 4 r + b holds input 8 s + b (low nibble) and 8 s + 4 + b (high nibble) of output r.
constexpr int kNf4BlockBytes = kBlock * kPanel / 2;
constexpr int kScaleBytes = 2 * kPanel;  // of a block

// Panels that lie together: all blocks of the same inputs, then their scales.
template <class Decode>
struct PanelPair {
    const uint8_t* data;
    int panels;

    int64_t stride() const { return int64_t(panels) * (Decode::bytes + kScaleBytes); }
    const uint8_t* block(int64_t number, int panel) const { return data + number * stride() + panel * Decode::bytes; }
    const uint16_t* scales(int64_t number, int panel) const {
        return reinterpret_cast<const uint16_t*>(block(number, panels) + panel * kScaleBytes);
    }
};

constexpr int kBlocksAhead = 8;  // how early weights are asked for, which are read faster than processors foresee

inline void ask_for(const uint8_t* data, int bytes) {
    for (int line = 0; line < bytes; line += 64) __builtin_prefetch(data + line);
}

// NF4's sixteen values times 123.26, plus 128: the factor for which rounding to whole numbers costs least: at most 0.0029 of a
// block's largest weight, 0.0020 on average where NF4 itself is 0.036 off. packing.py divides the scales by it.
alignas(16) constexpr uint8_t kNf4Unsigned[16] = {5,   42,  63,  79,  93,  105, 117, 128,
                                                  138, 148, 158, 170, 182, 197, 217, 251};

}  // namespace
}  // namespace speech
