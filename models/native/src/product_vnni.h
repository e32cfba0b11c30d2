// Products with 8-bit and 4-bit weights on AVX-512 VNNI: unsigned weights (plus 128) times signed activations, four
// inputs a lane and instruction. The sum over a block is exact in 32 bits, so only the order of blocks matters.
#pragma once
#include "int_formats.h"

namespace speech {
namespace {

inline __m512i four(const int8_t* codes) {
    int32_t word;
    __builtin_memcpy(&word, codes, sizeof(word));
    return _mm512_set1_epi32(word);
}

// Rows of neighbouring panels, block by block: Decode supplies a block's unsigned weights, 64 bytes for each 4 inputs.
// Two panels share each broadcast of activations, of which the processor does fewer than of products.
template <class Decode, int Rows, int Panels>
void vnni_tile(const uint8_t* blocks, const Activations& x, int row, float* out, int64_t outputs) {
    const int64_t inputs = x.inputs, count = inputs / kBlock, stride = count * Decode::bytes;
    const int8_t* codes = x.codes + row * inputs;
    const float* scales = x.scales + row * count;
    const int32_t* corrections = x.corrections + row * count;
    const Decode decode;
    __m512 total[Panels][Rows];
    for (int p = 0; p < Panels; p++)
        for (int r = 0; r < Rows; r++) total[p][r] = _mm512_setzero_ps();
    for (int64_t block = 0; block < count; block++, blocks += Decode::bytes, codes += kBlock) {
        __m512i dot[Panels][Rows];
        for (int r = 0; r < Rows; r++)
            for (int p = 0; p < Panels; p++) dot[p][r] = _mm512_set1_epi32(corrections[r * count + block]);
#pragma GCC unroll 8
        for (int step = 0; step < 8; step++) {
            __m512i low[Panels], high[Panels];
            for (int p = 0; p < Panels; p++) decode.weights(blocks + p * stride, step, low[p], high[p]);
            for (int r = 0; r < Rows; r++) {
                const __m512i first = four(codes + r * inputs + step * 8),
                              second = four(codes + r * inputs + step * 8 + 4);
                for (int p = 0; p < Panels; p++) {
                    dot[p][r] = _mm512_dpbusd_epi32(dot[p][r], low[p], first);
                    dot[p][r] = _mm512_dpbusd_epi32(dot[p][r], high[p], second);
                }
            }
        }
        for (int p = 0; p < Panels; p++) {
            if (Panels > 1) ask_for(blocks + p * stride + 4 * Decode::bytes, Decode::bytes);
            const __m512 scale = _mm512_loadu_ps(blocks + p * stride + Decode::bytes - 4 * kPanel);
            for (int r = 0; r < Rows; r++) {
                __m512 factor = _mm512_mul_ps(scale, _mm512_set1_ps(scales[r * count + block]));
                total[p][r] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot[p][r]), factor, total[p][r]);
            }
        }
    }
    for (int p = 0; p < Panels; p++)
        for (int r = 0; r < Rows; r++) _mm512_storeu_ps(out + r * outputs + p * kPanel, total[p][r]);
}

struct Bytes {  // int8
    static constexpr int bytes = kInt8BlockBytes;
    void weights(const uint8_t* block, int step, __m512i& low, __m512i& high) const {
        low = _mm512_loadu_si512(block + step * 128);
        high = _mm512_loadu_si512(block + step * 128 + 64);
    }
};

struct Nibbles {  // nf4
    static constexpr int bytes = kNf4BlockBytes;
    const __m512i levels = _mm512_broadcast_i32x4(_mm_load_si128(reinterpret_cast<const __m128i*>(kNf4Unsigned)));
    const __m512i mask = _mm512_set1_epi8(15);
    void weights(const uint8_t* block, int step, __m512i& low, __m512i& high) const {
        __m512i pairs = _mm512_loadu_si512(block + step * 64);
        low = _mm512_shuffle_epi8(levels, _mm512_and_si512(pairs, mask));
        high = _mm512_shuffle_epi8(levels, _mm512_and_si512(_mm512_srli_epi16(pairs, 4), mask));
    }
};

constexpr int kIntRows = 8, kIntPanels = 2;
constexpr int kFewRows = 4;  // up to here memory is the limit, and one stream at a time the fastest

template <class Decode, int Panels, int Rows = kIntRows>
void vnni_rows(int rows, const uint8_t* blocks, const Activations& x, int row, float* out, int64_t outputs) {
    if constexpr (Rows > 0) {
        if (rows == Rows) return vnni_tile<Decode, Rows, Panels>(blocks, x, row, out, outputs);
        vnni_rows<Decode, Panels, Rows - 1>(rows, blocks, x, row, out, outputs);
    }
}

template <class Decode>
void int_panels(const uint8_t* blocks, int panels, const Activations& x, int rows, float* out, int64_t outputs) {
    for (int row = 0; row < rows; row += kIntRows, out += kIntRows * outputs) {
        int count = rows - row < kIntRows ? rows - row : kIntRows;
        if (panels == kIntPanels && count > kFewRows) {
            vnni_rows<Decode, kIntPanels>(count, blocks, x, row, out, outputs);
        } else {
            const int64_t stride = x.inputs / kBlock * Decode::bytes;
            for (int p = 0; p < panels; p++)
                vnni_rows<Decode, 1>(count, blocks + p * stride, x, row, out + p * kPanel, outputs);
        }
    }
}

// Blocks of nibbles as blocks of bytes: for more rows than one tile, decoding once is cheaper.
inline void expand(const uint8_t* from, int64_t blocks, uint8_t* to) {
    const Nibbles decode;
    for (int64_t block = 0; block < blocks; block++, from += Nibbles::bytes, to += Bytes::bytes) {
        for (int step = 0; step < 8; step++) {
            __m512i low, high;
            decode.weights(from, step, low, high);
            _mm512_storeu_si512(to + step * 128, low);
            _mm512_storeu_si512(to + step * 128 + 64, high);
        }
        _mm512_storeu_si512(to + Bytes::bytes - 64, _mm512_loadu_si512(from + Nibbles::bytes - 64));
    }
}

}  // namespace
}  // namespace speech
