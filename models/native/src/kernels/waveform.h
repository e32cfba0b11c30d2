// What the codec decoder does between its products, on rows of channels. Included after elementwise.h.
#pragma once
#include "elementwise.h"
#include "../tables.h"

namespace speech {
namespace {

// sin(x)^2 to 3e-7 for |x| below 30,000: reduced by whole multiples of pi, whose sign the square forgets.
inline Lanes squared_sine(Lanes x) {
    Lanes n = nearest(x * splat(0.318309886f));
    Lanes r = fma(n, splat(-3.140625f), x);  // pi in three parts, the first short enough for exact products
    r = fma(n, splat(-9.67502593994140625e-4f), r);
    r = fma(n, splat(-1.509957990978376432e-7f), r);
    Lanes square = r * r;
    Lanes p = fma(splat(2.6000548e-6f), square, splat(-1.98066147e-4f));
    p = fma(p, square, splat(8.33301712e-3f));
    p = fma(p, square, splat(-1.66666567e-1f));
    Lanes sine = fma(p * square, r, r);
    return sine * sine;
}

// x times the normal distribution's cumulative probability; erf from Abramowitz and Stegun, 7.1.26, to 1.5e-7.
inline Lanes gelu(Lanes x) {
    Lanes z = magnitude(x) * splat(0.70710678f);
    Lanes t = splat(1.0f) / fma(splat(0.3275911f), z, splat(1.0f));
    Lanes p = fma(splat(1.061405429f), t, splat(-1.453152027f));
    p = fma(p, t, splat(1.421413741f));
    p = fma(p, t, splat(-0.284496736f));
    p = fma(p, t, splat(0.254829592f));
    Lanes tail = p * t * exponential(splat(0.0f) - z * z);  // 1 - erf(z)
    // x / 2 * (1 + erf(x)): for negative x the tail itself.
    return larger(x, splat(0.0f)) - splat(0.5f) * magnitude(x) * tail;
}

inline Lanes activated(const Finish& finish, Lanes x, int channel) {
    if (finish.activation == kSnake) {
        Lanes sine = squared_sine(x * load(finish.frequency + channel));
        return fma(load(finish.scale + channel), sine, x);
    }
    return finish.activation == kGelu ? gelu(x) : x;
}

// Channels channel .. channel + count of one row of a product: bias, residual (or null), then the value as it is to
// `raw` (or null) and the activated one to `encoded` (or null). The pointers refer to the first of these channels.
void finish_row(const Finish& finish, const float* x, int channel, int count, const float* residual, float* raw,
                void* encoded) {
    for (int i = 0; i < count; i += kPanel) {
        Lanes value = load(x + i);
        if (finish.bias) value = value + load(finish.bias + channel + i);
        if (residual) value = value + load(residual + i);
        if (raw) store(raw + i, value);
        if (!encoded) continue;
        value = activated(finish, value, channel + i);
        if (finish.half)
            store_half(static_cast<uint16_t*>(encoded) + i, value);
        else
            store(static_cast<float*>(encoded) + i, value);
    }
}

// out[c] = bias[c] + sum over taps of weights[tap][c] * x[tap][c]; rows of x and of weights lie `channels` apart.
void depthwise(const float* x, const float* weights, const float* bias, int taps, int channels, float* out) {
    for (int c = 0; c < channels; c += kPanel) {
        Lanes total = load(bias + c);
        for (int tap = 0; tap < taps; tap++)
            total = fma(load(weights + int64_t(tap) * channels + c), load(x + int64_t(tap) * channels + c), total);
        store(out + c, total);
    }
}

void layer_norm(float* x, const float* weight, const float* bias, int size, float eps) {
    Lanes total = splat(0.0f), squares = splat(0.0f);
    for (int i = 0; i < size; i += kPanel) total = total + load(x + i);
    Lanes mean = splat(sum(total) / float(size));
    for (int i = 0; i < size; i += kPanel) {
        Lanes centred = load(x + i) - mean;
        squares = fma(centred, centred, squares);
    }
    Lanes factor = inverse_root(sum(squares), size, eps);
    for (int i = 0; i < size; i += kPanel)
        store(x + i, fma((load(x + i) - mean) * factor, load(weight + i), load(bias + i)));
}

}  // namespace
}  // namespace speech
