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
void vnni_tile(const uint8_t* data, const Activations& x, int row, float* out, int64_t outputs) {
    const int64_t inputs = x.inputs, count = inputs / kBlock;
    const PanelPair<Decode> pair = {data, Panels};
    const int8_t* codes = x.codes + row * inputs;
    const float* scales = x.scales + row * count;
    const int32_t* corrections = x.corrections + row * count;
    const Decode decode;
    __m512 total[Panels][Rows];
    for (int p = 0; p < Panels; p++)
        for (int r = 0; r < Rows; r++) total[p][r] = _mm512_setzero_ps();
    for (int64_t block = 0; block < count; block++, codes += kBlock) {
        __m512i dot[Panels][Rows];
        for (int r = 0; r < Rows; r++)
            for (int p = 0; p < Panels; p++) dot[p][r] = _mm512_set1_epi32(corrections[r * count + block]);
#pragma GCC unroll 8
        for (int step = 0; step < 8; step++) {
            __m512i low[Panels], high[Panels];
            for (int p = 0; p < Panels; p++) decode.weights(pair.block(block, p), step, low[p], high[p]);
            for (int r = 0; r < Rows; r++) {
                const __m512i first = four(codes + r * inputs + step * 8),
                              second = four(codes + r * inputs + step * 8 + 4);
                for (int p = 0; p < Panels; p++) {
                    dot[p][r] = _mm512_dpbusd_epi32(dot[p][r], low[p], first);
                    dot[p][r] = _mm512_dpbusd_epi32(dot[p][r], high[p], second);
                }
            }
        }
        ask_for(pair.block(block + kBlocksAhead, 0), int(pair.stride()));
        for (int p = 0; p < Panels; p++) {
            const __m512 scale = load_half(pair.scales(block, p)).v;
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

constexpr int kIntRows = 8;

template <class Decode, int Rows = kIntRows>
void vnni_rows(int rows, const PanelPair<Decode>& pair, const Activations& x, int row, float* out, int64_t outputs) {
    if constexpr (Rows > 0) {
        if (rows != Rows) return vnni_rows<Decode, Rows - 1>(rows, pair, x, row, out, outputs);
        if (pair.panels == 2)
            vnni_tile<Decode, Rows, 2>(pair.data, x, row, out, outputs);
        else
            vnni_tile<Decode, Rows, 1>(pair.data, x, row, out, outputs);
    }
}

template <class Decode>
void int_panels(const PanelPair<Decode>& pair, const Activations& x, int rows, float* out, int64_t outputs) {
    for (int row = 0; row < rows; row += kIntRows, out += kIntRows * outputs)
        vnni_rows(rows - row < kIntRows ? rows - row : kIntRows, pair, x, row, out, outputs);
}

// Blocks of nibbles as blocks of bytes: for more rows than one tile, decoding once is cheaper.
inline void expand(const PanelPair<Nibbles>& from, int64_t blocks, uint8_t* to) {
    const Nibbles decode;
    for (int64_t block = 0; block < blocks; block++) {
        for (int panel = 0; panel < from.panels; panel++, to += Bytes::bytes) {
            for (int step = 0; step < 8; step++) {
                __m512i low, high;
                decode.weights(from.block(block, panel), step, low, high);
                _mm512_storeu_si512(to + step * 128, low);
                _mm512_storeu_si512(to + step * 128 + 64, high);
            }
        }
        std::memcpy(to, from.scales(block, 0), size_t(from.panels * kScaleBytes));
        to += from.panels * kScaleBytes;
    }
}

}  // namespace
}  // namespace speech
