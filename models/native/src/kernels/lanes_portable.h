// Sixteen floats as a compiler vector: any processor.
#pragma once
#include <cstring>

#include "../tables.h"

namespace speech {
namespace {

typedef float Floats __attribute__((vector_size(64)));
typedef int32_t Words __attribute__((vector_size(64)));

constexpr int kMixed = 1;  // registers' worth of a head that attention sums up at a time, for two heads

struct Lanes {
    Floats v;
};

template <class To, class From>
inline To bits_as(From x) {
    static_assert(sizeof(To) == sizeof(From), "same size");
    To y;
    std::memcpy(&y, &x, sizeof(y));
    return y;
}

inline Lanes splat(float x) { return {Floats{} + x}; }
inline Lanes load(const float* p) {
    Lanes x;
    std::memcpy(&x.v, p, sizeof(x.v));
    return x;
}
inline void store(float* p, Lanes x) { std::memcpy(p, &x.v, sizeof(x.v)); }
inline Lanes operator+(Lanes a, Lanes b) { return {a.v + b.v}; }
inline Lanes operator-(Lanes a, Lanes b) { return {a.v - b.v}; }
inline Lanes operator*(Lanes a, Lanes b) { return {a.v * b.v}; }
inline Lanes operator/(Lanes a, Lanes b) { return {a.v / b.v}; }
inline Lanes fma(Lanes a, Lanes b, Lanes c) { return {a.v * b.v + c.v}; }
inline Lanes smaller(Lanes a, Lanes b) { return {a.v < b.v ? a.v : b.v}; }
inline Lanes larger(Lanes a, Lanes b) { return {a.v > b.v ? a.v : b.v}; }
inline Lanes magnitude(Lanes a) { return {bits_as<Floats>(bits_as<Words>(a.v) & 0x7fffffff)}; }
// Adding 1.5 * 2^23 leaves no bits for a fraction; right for magnitudes below 2^22.
inline Lanes nearest(Lanes a) { return {(a.v + 12582912.0f) - 12582912.0f}; }
inline Words whole(Lanes a) { return bits_as<Words>(a.v + 12582912.0f) - 0x4b400000; }
// x * 2^n for whole n of -126..127.
inline Lanes scaled(Lanes x, Lanes n) { return {x.v * bits_as<Floats>((whole(n) + 127) << 23)}; }

// The order of these sums is the same on every instruction set: halves of 8, of 4, of 2, of 1.
inline float sum(Lanes x) {
    for (int half = 8; half > 0; half /= 2)
        for (int i = 0; i < half; i++) x.v[i] += x.v[i + half];
    return x.v[0];
}
inline void sums(const Lanes x[8], float out[8]) {
    for (int i = 0; i < 8; i++) out[i] = sum(x[i]);
}
inline float largest(Lanes x) {
    float most = x.v[0];
    for (int i = 1; i < kPanel; i++) most = x.v[i] > most ? x.v[i] : most;
    return most;
}

// Of magnitudes, compared as whole numbers: there a NaN is larger than everything and is not lost.
inline Lanes wider(Lanes a, Lanes b) {
    Words x = bits_as<Words>(a.v), y = bits_as<Words>(b.v);
    return {bits_as<Floats>(x > y ? x : y)};
}
inline float widest(Lanes x) {
    Words bits = bits_as<Words>(x.v);
    int32_t most = bits[0];
    for (int i = 1; i < kPanel; i++) most = bits[i] > most ? bits[i] : most;
    return bits_as<float>(most);
}

inline Lanes load_half(const uint16_t* p) {
    Words wide;
    for (int i = 0; i < kPanel; i++) wide[i] = int32_t(uint32_t(p[i]) << 16);
    return {bits_as<Floats>(wide)};
}
// The even and the odd element of sixteen bfloat16 pairs.
inline void load_pairs(const uint8_t* p, Lanes& even, Lanes& odd) {
    uint16_t pairs[2 * kPanel];
    std::memcpy(pairs, p, sizeof(pairs));
    Words low, high;
    for (int i = 0; i < kPanel; i++) {
        low[i] = int32_t(uint32_t(pairs[2 * i]) << 16);
        high[i] = int32_t(uint32_t(pairs[2 * i + 1]) << 16);
    }
    even = {bits_as<Floats>(low)};
    odd = {bits_as<Floats>(high)};
}
// Round to nearest even; a NaN stays one.
inline void store_half(uint16_t* p, Lanes x) {
    for (int i = 0; i < kPanel; i++) {
        uint32_t bits = bits_as<uint32_t>(float(x.v[i]));
        bool nan = (bits & 0x7fffffffu) > 0x7f800000u;
        p[i] = nan ? 0x7fc0 : uint16_t((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
    }
}
// Write whole numbers -128..127 as bytes and return their sum.
inline int store_codes(int8_t* p, Lanes x) {
    Words codes = whole(larger(smaller(x, splat(127.0f)), splat(-128.0f)));  // a NaN becomes 127
    int total = 0;
    for (int i = 0; i < kPanel; i++) {
        p[i] = int8_t(codes[i]);
        total += codes[i];
    }
    return total;
}

}  // namespace
}  // namespace speech
