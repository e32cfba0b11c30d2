// Everything between the products, row by row. Included once for each instruction set, after its lanes.
#pragma once
#include <cstring>

#include "../tables.h"

namespace speech {
namespace {

// e^x to 2 units in the last place for x above -87, and 0 to 1e-38 below: Cephes' expf (Moshier).
inline Lanes exponential(Lanes x) {
    x = larger(splat(-87.0f), smaller(splat(88.0f), x));  // in this order a NaN stays one
    Lanes n = nearest(x * splat(1.44269504088896341f));
    Lanes r = fma(n, splat(-0.693359375f), x);
    r = fma(n, splat(2.12194440e-4f), r);
    Lanes p = splat(1.9875691500e-4f);
    p = fma(p, r, splat(1.3981999507e-3f));
    p = fma(p, r, splat(8.3334519073e-3f));
    p = fma(p, r, splat(4.1665795894e-2f));
    p = fma(p, r, splat(1.6666665459e-1f));
    p = fma(p, r, splat(5.0000001201e-1f));
    p = fma(p, r * r, r + splat(1.0f));
    return scaled(p, n);
}

inline void encode_block(const float* x, int8_t* codes, float* scale, int32_t* correction) {
    Lanes most = magnitude(load(x));
    for (int i = kPanel; i < kBlock; i += kPanel) most = wider(most, magnitude(load(x + i)));
    float range = widest(most);  // a NaN or an infinity makes the scale one, and so every output of the row
    Lanes inverse = splat(range > 1e-30f ? 127.0f / range : 0.0f);
    int64_t total = 0;
    for (int i = 0; i < kBlock; i += kPanel) total += store_codes(codes + i, load(x + i) * inverse);
    *scale = range * (1.0f / 127.0f);
    *correction = int32_t(-128 * total);
}

void encode(int format, const float* x, const Activations& to, int row, int first, int count) {
    int64_t start = int64_t(row) * to.inputs + first;
    if (format == kFloat || (format == kHalf && !kHalfProducts)) {
        std::memcpy(to.values + start, x, sizeof(float) * count);
    } else if (format == kHalf) {
        for (int i = 0; i < count; i += kPanel) store_half(to.halves + start + i, load(x + i));
    } else {
        for (int i = 0; i < count; i += kBlock)
            encode_block(x + i, to.codes + start + i, to.scales + (start + i) / kBlock,
                         to.corrections + (start + i) / kBlock);
    }
}

// One over the root of the mean square of `size` numbers; a NaN where their squares' sum is one or overflowed, so that
// what cannot be right is seen in everything that follows.
inline Lanes inverse_root(float squares, int size, float eps) {
    return splat(squares <= 3.0e38f ? 1.0f / __builtin_sqrtf(squares / float(size) + eps) : __builtin_nanf(""));
}

void norm(const float* x, const float* weight, int size, float eps, float* out) {
    Lanes squares = splat(0.0f);
    for (int i = 0; i < size; i += kPanel) {
        Lanes v = load(x + i);
        squares = fma(v, v, squares);
    }
    Lanes factor = inverse_root(sum(squares), size, eps);
    for (int i = 0; i < size; i += kPanel) store(out + i, load(weight + i) * (load(x + i) * factor));
}

void rotate(float* head, const float* cosines, const float* sines, int head_dim) {
    int half = head_dim / 2;
    for (int i = 0; i < half; i += kPanel) {
        Lanes low = load(head + i), high = load(head + half + i), c = load(cosines + i), s = load(sines + i);
        store(head + i, low * c - high * s);
        store(head + half + i, high * c + low * s);
    }
}

void gate(const float* gate_up, int count, float* out) {
    for (int i = 0; i < count; i += kPanel) {
        Lanes x = load(gate_up + 2 * i);
        Lanes silu = x / (splat(1.0f) + exponential(splat(0.0f) - x));
        store(out + i, silu * load(gate_up + 2 * i + kPanel));
    }
}

void add(float* x, const float* y, int count) {
    for (int i = 0; i < count; i += kPanel) store(x + i, load(x + i) + load(y + i));
}

}  // namespace
}  // namespace speech
