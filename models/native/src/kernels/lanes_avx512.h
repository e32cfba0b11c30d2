// Sixteen floats in one AVX-512 register.
#pragma once
#include <immintrin.h>

#include "../tables.h"

namespace speech {
namespace {

constexpr int kMixed = 8;  // registers' worth of a head that attention sums up at a time, for two heads

struct Lanes {
    __m512 v;
};

inline Lanes splat(float x) { return {_mm512_set1_ps(x)}; }
inline Lanes load(const float* p) { return {_mm512_loadu_ps(p)}; }
inline void store(float* p, Lanes x) { _mm512_storeu_ps(p, x.v); }
inline Lanes operator+(Lanes a, Lanes b) { return {_mm512_add_ps(a.v, b.v)}; }
inline Lanes operator-(Lanes a, Lanes b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline Lanes operator*(Lanes a, Lanes b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline Lanes operator/(Lanes a, Lanes b) { return {_mm512_div_ps(a.v, b.v)}; }
inline Lanes fma(Lanes a, Lanes b, Lanes c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
inline Lanes smaller(Lanes a, Lanes b) { return {_mm512_min_ps(a.v, b.v)}; }
inline Lanes larger(Lanes a, Lanes b) { return {_mm512_max_ps(a.v, b.v)}; }
inline Lanes magnitude(Lanes a) { return {_mm512_abs_ps(a.v)}; }
inline Lanes nearest(Lanes a) { return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }
// x * 2^n for whole n.
inline Lanes scaled(Lanes x, Lanes n) { return {_mm512_scalef_ps(x.v, n.v)}; }

// The order of these sums is the same on every instruction set: halves of 8, of 4, of 2, of 1.
inline float sum(Lanes x) {
    __m256 a = _mm256_add_ps(_mm512_castps512_ps256(x.v), _mm512_extractf32x8_ps(x.v, 1));
    __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
}
// out[i] = sum(x[i]): each step folds two registers into one.
inline void sums(const Lanes x[8], float out[8]) {
    auto fold = [](__m512 a, __m512 b) {  // [a low + a high, b low + b high], halves of 8
        return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee));
    };
    auto quarters = [](__m512 a, __m512 b) {
        return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
    };
    __m512 a =
        quarters(fold(x[0].v, x[1].v), fold(x[2].v, x[3].v));  // four partial sums each of x[0], x[1], x[2], x[3]
    __m512 b = quarters(fold(x[4].v, x[5].v), fold(x[6].v, x[7].v));
    __m512 pairs = _mm512_add_ps(_mm512_shuffle_ps(a, b, 0x44), _mm512_shuffle_ps(a, b, 0xee));
    __m512 total = _mm512_add_ps(pairs, _mm512_movehdup_ps(pairs));  // elements 4 i and 4 i + 2: x[i] and x[4 + i]
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 2, 6, 10, 14, 0, 0, 0, 0, 0, 0, 0, 0);
    _mm256_storeu_ps(out, _mm512_castps512_ps256(_mm512_permutexvar_ps(order, total)));
}
inline float largest(Lanes x) { return _mm512_reduce_max_ps(x.v); }
// Of magnitudes, compared as whole numbers: there a NaN is larger than everything and is not lost.
inline Lanes wider(Lanes a, Lanes b) {
    return {_mm512_castsi512_ps(_mm512_max_epu32(_mm512_castps_si512(a.v), _mm512_castps_si512(b.v)))};
}
inline float widest(Lanes x) {
    return _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128(int(_mm512_reduce_max_epu32(_mm512_castps_si512(x.v))))));
}

inline Lanes load_half(const uint16_t* p) {
    __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
    return {_mm512_castsi512_ps(_mm512_slli_epi32(wide, 16))};
}
// The even and the odd element of sixteen bfloat16 pairs.
inline void load_pairs(const uint8_t* p, Lanes& even, Lanes& odd) {
    __m512i pairs = _mm512_loadu_si512(p);
    even.v = _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16));
    odd.v = _mm512_castsi512_ps(_mm512_and_si512(pairs, _mm512_set1_epi32(int(0xffff0000u))));
}
// Round to nearest even; a NaN stays one.
inline void store_half(uint16_t* p, Lanes x) {
    __m512i bits = _mm512_castps_si512(x.v);
    __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    __mmask16 nan = _mm512_cmp_ps_mask(x.v, x.v, _CMP_UNORD_Q);
    rounded = _mm512_mask_blend_epi32(nan, rounded, _mm512_set1_epi32(0x7fc00000));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded, 16)));
}
// Write whole numbers -128..127 as bytes and return their sum.
inline int store_codes(int8_t* p, Lanes x) {
    __m512i whole = _mm512_cvtps_epi32(x.v);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtsepi32_epi8(whole));
    return _mm512_reduce_add_epi32(whole);
}

}  // namespace
}  // namespace speech
