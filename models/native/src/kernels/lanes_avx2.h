// Sixteen floats in two AVX registers, so that results agree lane by lane with AVX-512.
#pragma once
#include <immintrin.h>

#include "../tables.h"

namespace speech {
namespace {

constexpr int kMixed = 2;  // registers' worth of a head that attention sums up at a time, for two heads

struct Lanes {
    __m256 a, b;
};

inline Lanes splat(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
inline Lanes load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
inline void store(float* p, Lanes x) {
    _mm256_storeu_ps(p, x.a);
    _mm256_storeu_ps(p + 8, x.b);
}
inline Lanes operator+(Lanes x, Lanes y) { return {_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)}; }
inline Lanes operator-(Lanes x, Lanes y) { return {_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)}; }
inline Lanes operator*(Lanes x, Lanes y) { return {_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)}; }
inline Lanes operator/(Lanes x, Lanes y) { return {_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)}; }
inline Lanes fma(Lanes x, Lanes y, Lanes z) { return {_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)}; }
inline Lanes smaller(Lanes x, Lanes y) { return {_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b)}; }
inline Lanes larger(Lanes x, Lanes y) { return {_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)}; }
inline Lanes magnitude(Lanes x) {
    const __m256 mask = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff));
    return {_mm256_and_ps(x.a, mask), _mm256_and_ps(x.b, mask)};
}
inline Lanes nearest(Lanes x) {
    constexpr int mode = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
    return {_mm256_round_ps(x.a, mode), _mm256_round_ps(x.b, mode)};
}
inline __m256 scaled(__m256 x, __m256 n) {
    __m256i exponent = _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23);
    return _mm256_mul_ps(x, _mm256_castsi256_ps(exponent));
}
// x * 2^n for whole n of -126..127.
inline Lanes scaled(Lanes x, Lanes n) { return {scaled(x.a, n.a), scaled(x.b, n.b)}; }

// The order of these sums is the same on every instruction set: halves of 8, of 4, of 2, of 1.
inline float sum(Lanes x) {
    __m256 a = _mm256_add_ps(x.a, x.b);
    __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
}
// out[i] = sum(x[i]): each step folds two registers into one.
inline void sums(const Lanes x[8], float out[8]) {
    auto fold = [](Lanes a, Lanes b) {
        __m256 first = _mm256_add_ps(a.a, a.b), second = _mm256_add_ps(b.a, b.b);
        return _mm256_add_ps(_mm256_permute2f128_ps(first, second, 0x20), _mm256_permute2f128_ps(first, second, 0x31));
    };
    auto pairs = [](__m256 a, __m256 b) {
        return _mm256_add_ps(_mm256_shuffle_ps(a, b, 0x44), _mm256_shuffle_ps(a, b, 0xee));
    };
    __m256 a = pairs(fold(x[0], x[1]), fold(x[2], x[3]));  // two partial sums each of x[0], x[2], then x[1], x[3]
    __m256 b = pairs(fold(x[4], x[5]), fold(x[6], x[7]));
    __m256 total = _mm256_add_ps(_mm256_shuffle_ps(a, b, 0x88), _mm256_shuffle_ps(a, b, 0xdd));  // 0 2 4 6, 1 3 5 7
    _mm256_storeu_ps(out, _mm256_permutevar8x32_ps(total, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7)));
}
inline float largest(Lanes x) {
    __m256 a = _mm256_max_ps(x.a, x.b);
    __m128 b = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_max_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_max_ss(b, _mm_movehdup_ps(b)));
}

// Of magnitudes, compared as whole numbers: there a NaN is larger than everything and is not lost.
inline __m256 wider(__m256 a, __m256 b) {
    return _mm256_castsi256_ps(_mm256_max_epu32(_mm256_castps_si256(a), _mm256_castps_si256(b)));
}
inline Lanes wider(Lanes x, Lanes y) { return {wider(x.a, y.a), wider(x.b, y.b)}; }
inline float widest(Lanes x) {
    __m256i a = _mm256_castps_si256(wider(x.a, x.b));
    __m128i b = _mm_max_epu32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    b = _mm_max_epu32(b, _mm_unpackhi_epi64(b, b));
    return _mm_cvtss_f32(_mm_castsi128_ps(_mm_max_epu32(b, _mm_shuffle_epi32(b, 1))));
}

inline __m256 widened(__m128i halves) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
}
inline Lanes load_half(const uint16_t* p) {
    const __m128i* from = reinterpret_cast<const __m128i*>(p);
    return {widened(_mm_loadu_si128(from)), widened(_mm_loadu_si128(from + 1))};
}
// The even and the odd element of sixteen bfloat16 pairs.
inline void load_pairs(const uint8_t* p, Lanes& even, Lanes& odd) {
    const __m256i high = _mm256_set1_epi32(int(0xffff0000u));
    __m256i a = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    __m256i b = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p) + 1);
    even = {_mm256_castsi256_ps(_mm256_slli_epi32(a, 16)), _mm256_castsi256_ps(_mm256_slli_epi32(b, 16))};
    odd = {_mm256_castsi256_ps(_mm256_and_si256(a, high)), _mm256_castsi256_ps(_mm256_and_si256(b, high))};
}
inline __m256i rounded_half(__m256 x) {
    __m256i bits = _mm256_castps_si256(x);
    __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    __m256i rounded = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    __m256 nan = _mm256_cmp_ps(x, x, _CMP_UNORD_Q);
    rounded = _mm256_blendv_epi8(rounded, _mm256_set1_epi32(0x7fc00000), _mm256_castps_si256(nan));
    return _mm256_srli_epi32(rounded, 16);
}
// Round to nearest even; a NaN stays one.
inline void store_half(uint16_t* p, Lanes x) {
    __m256i packed = _mm256_packus_epi32(rounded_half(x.a), rounded_half(x.b));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm256_permute4x64_epi64(packed, 0xd8));
}
// Write whole numbers -128..127 as bytes and return their sum.
inline int store_codes(int8_t* p, Lanes x) {
    __m256i a = _mm256_cvtps_epi32(x.a), b = _mm256_cvtps_epi32(x.b);
    __m256i shorts = _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xd8);
    __m128i bytes = _mm_packs_epi16(_mm256_castsi256_si128(shorts), _mm256_extracti128_si256(shorts, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), bytes);
    __m256i both = _mm256_add_epi32(a, b);
    __m128i four = _mm_add_epi32(_mm256_castsi256_si128(both), _mm256_extracti128_si256(both, 1));
    four = _mm_add_epi32(four, _mm_unpackhi_epi64(four, four));
    return _mm_cvtsi128_si32(four) + _mm_extract_epi32(four, 1);
}

}  // namespace
}  // namespace speech
