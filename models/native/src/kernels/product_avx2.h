// Products with 8-bit and 4-bit weights on AVX2, eight outputs a register. Where the processor has AVX-VNNI, unsigned
// weights (plus 128) meet signed activations as on AVX-512. Where it has not, the signs of the weights move to the
// activations, because vpmaddubsw takes one unsigned side and saturates beyond 127 * 127 * 2. The sums are the same.
#pragma once
#include "int_formats.h"

namespace speech {
namespace {

inline __m256 eight_halves(const uint16_t* p) {
    __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}

inline __m256i load_bytes(const uint8_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }

inline __m256i four(const int8_t* codes) {
    int32_t word;
    __builtin_memcpy(&word, codes, sizeof(word));
    return _mm256_set1_epi32(word);
}

#ifdef __AVXVNNI__
struct Weights {
    __m256i bytes;  // plus 128
    explicit Weights(__m256i unsigned_bytes) : bytes(unsigned_bytes) {}
    __m256i add_to(__m256i sum, __m256i codes) const { return _mm256_dpbusd_avx_epi32(sum, bytes, codes); }
};
inline __m256i first_sum(int32_t correction) { return _mm256_set1_epi32(correction); }
#else
struct Weights {
    __m256i bytes, magnitudes;
    explicit Weights(__m256i unsigned_bytes)
        : bytes(_mm256_xor_si256(unsigned_bytes, _mm256_set1_epi8(-128))),
          magnitudes(_mm256_abs_epi8(bytes)) {}
    __m256i add_to(__m256i sum, __m256i codes) const {
        __m256i pairs = _mm256_maddubs_epi16(magnitudes, _mm256_sign_epi8(codes, bytes));
        return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
    }
};
inline __m256i first_sum(int32_t) { return _mm256_setzero_si256(); }
#endif

struct Bytes {  // int8
    static constexpr int bytes = kInt8BlockBytes;
    void weights(const uint8_t* block, int step, __m256i& low, __m256i& high) const {
        low = load_bytes(block + step * 128);
        high = load_bytes(block + step * 128 + 64);
    }
};

struct Nibbles {  // nf4
    static constexpr int bytes = kNf4BlockBytes;
    const __m256i levels = _mm256_broadcastsi128_si256(_mm_load_si128(reinterpret_cast<const __m128i*>(kNf4Unsigned)));
    const __m256i mask = _mm256_set1_epi8(15);
    void weights(const uint8_t* block, int step, __m256i& low, __m256i& high) const {
        __m256i pairs = load_bytes(block + step * 64);
        low = _mm256_shuffle_epi8(levels, _mm256_and_si256(pairs, mask));
        high = _mm256_shuffle_epi8(levels, _mm256_and_si256(_mm256_srli_epi16(pairs, 4), mask));
    }
};

// `Halves` halves of a panel (8 outputs each) for `Rows` rows.
template <class Decode, int Rows, int Halves>
void half_panel(const PanelPair<Decode>& pair, int panel, int first_half, const Activations& x, int row, float* out,
                int64_t outputs) {
    const int64_t inputs = x.inputs, count = inputs / kBlock;
    const int8_t* codes = x.codes + row * inputs;
    const float* scales = x.scales + row * count;
    const int32_t* corrections = x.corrections + row * count;
    const Decode decode;
    __m256 total[Halves][Rows];
    for (int h = 0; h < Halves; h++)
        for (int r = 0; r < Rows; r++) total[h][r] = _mm256_setzero_ps();
    for (int64_t block = 0; block < count; block++, codes += kBlock) {
        const uint8_t* data = pair.block(block, panel) + first_half * 32;
        __m256i dot[Halves][Rows];
        for (int h = 0; h < Halves; h++)
            for (int r = 0; r < Rows; r++) dot[h][r] = first_sum(corrections[r * count + block]);
#pragma GCC unroll 2
        for (int step = 0; step < 8; step++) {
            for (int h = 0; h < Halves; h++) {
                __m256i low, high;
                decode.weights(data + h * 32, step, low, high);
                const Weights first(low), second(high);
                for (int r = 0; r < Rows; r++) {
                    dot[h][r] = first.add_to(dot[h][r], four(codes + r * inputs + step * 8));
                    dot[h][r] = second.add_to(dot[h][r], four(codes + r * inputs + step * 8 + 4));
                }
            }
        }
        // Whoever reads the pair first asks for all of it.
        if (panel + first_half == 0) ask_for(pair.block(block + kBlocksAhead, 0), int(pair.stride()));
        const uint16_t* scale = pair.scales(block, panel) + first_half * 8;
        for (int h = 0; h < Halves; h++) {
            for (int r = 0; r < Rows; r++) {
                __m256 factor = _mm256_mul_ps(eight_halves(scale + h * 8), _mm256_set1_ps(scales[r * count + block]));
                total[h][r] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot[h][r]), factor, total[h][r]);
            }
        }
    }
    for (int h = 0; h < Halves; h++)
        for (int r = 0; r < Rows; r++) _mm256_storeu_ps(out + r * outputs + (first_half + h) * 8, total[h][r]);
}

constexpr int kIntRows = 4;

template <class Decode>
void int_panel(const PanelPair<Decode>& pair, int panel, const Activations& x, int rows, float* out, int64_t outputs) {
    for (int row = 0; row < rows; row += kIntRows, out += kIntRows * outputs) {
        switch (rows - row) {
            case 1:
                half_panel<Decode, 1, 2>(pair, panel, 0, x, row, out, outputs);
                break;
            case 2:
                half_panel<Decode, 2, 2>(pair, panel, 0, x, row, out, outputs);
                break;
            case 3:
                half_panel<Decode, 3, 1>(pair, panel, 0, x, row, out, outputs);
                half_panel<Decode, 3, 1>(pair, panel, 1, x, row, out, outputs);
                break;
            default:
                half_panel<Decode, 4, 1>(pair, panel, 0, x, row, out, outputs);
                half_panel<Decode, 4, 1>(pair, panel, 1, x, row, out, outputs);
        }
    }
}

template <class Decode>
void int_panels(const PanelPair<Decode>& pair, const Activations& x, int rows, float* out, int64_t outputs) {
    for (int panel = 0; panel < pair.panels; panel++) int_panel(pair, panel, x, rows, out + panel * kPanel, outputs);
}

// Blocks of nibbles as blocks of bytes: for more rows than one tile, decoding once is cheaper.
inline void expand(const PanelPair<Nibbles>& from, int64_t blocks, uint8_t* to) {
    const Nibbles decode;
    for (int64_t block = 0; block < blocks; block++) {
        for (int half = 0; half < 2 * from.panels; half++) {
            uint8_t* bytes = to + half / 2 * Bytes::bytes + half % 2 * 32;
            for (int step = 0; step < 8; step++) {
                __m256i low, high;
                decode.weights(from.block(block, 0) + half / 2 * Nibbles::bytes + half % 2 * 32, step, low, high);
                _mm256_storeu_si256(reinterpret_cast<__m256i*>(bytes + step * 128), low);
                _mm256_storeu_si256(reinterpret_cast<__m256i*>(bytes + step * 128 + 64), high);
            }
        }
        to += from.panels * Bytes::bytes;
        std::memcpy(to, from.scales(block, 0), size_t(from.panels * kScaleBytes));
        to += from.panels * kScaleBytes;
    }
}

}  // namespace
}  // namespace speech
