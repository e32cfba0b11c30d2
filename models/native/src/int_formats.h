// Layout of the formats with 8-bit arithmetic. A block is 64 inputs of 16 outputs, then their 16 float scales.
#pragma once
#include "tables.h"

namespace speech {
namespace {

// int8: byte 64 s + 4 r + b is input 4 s + b of output r, plus 128.
constexpr int kInt8BlockBytes = kBlock * kPanel + 4 * kPanel;
// nf4: byte 64 s + 4 r + b holds input 8 s + b (low nibble) and 8 s + 4 + b (high nibble) of output r.
constexpr int kNf4BlockBytes = kBlock * kPanel / 2 + 4 * kPanel;

// Processors follow one stream of weights well, not several or half of one: those are asked for early.
inline void ask_for(const uint8_t* data, int bytes) {
    for (int line = 0; line < bytes; line += 64) __builtin_prefetch(data + line);
}

// NF4's sixteen values times 123.26, the factor for which rounding to whole numbers costs least: at most 0.0029 of a
// block's largest weight, 0.0020 on average where NF4 itself is 0.036 off. packing.py divides the scales by it.
alignas(16) constexpr int8_t kNf4Signed[16] = {-123, -86, -65, -49, -35, -23, -11, 0, 10, 20, 30, 42, 54, 69, 89, 123};
alignas(16) constexpr uint8_t kNf4Unsigned[16] = {5,   42,  63,  79,  93,  105, 117, 128,
                                                  138, 148, 158, 170, 182, 197, 217, 251};

}  // namespace
}  // namespace speech
