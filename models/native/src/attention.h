// Attention of the query heads that share one key-value head, over everything one slot remembers.
// The order of every sum depends on the position alone, so a prefill in pieces equals one row at a time.
#pragma once
#include "elementwise.h"
#include "tables.h"

namespace speech {
namespace {

inline Lanes load_any(const float* p) { return load(p); }
inline Lanes load_any(const uint16_t* p) { return load_half(p); }
inline void store_any(float* p, Lanes x) { store(p, x); }
inline void store_any(uint16_t* p, Lanes x) { store_half(p, x); }

template <class Element>
void remember_as(const Memory& memory, int position, const float* key, const float* value) {
    Element* keys = static_cast<Element*>(memory.keys) + int64_t(position) * memory.head_dim;
    Element* values = static_cast<Element*>(memory.values) + int64_t(position) * memory.head_dim;
    for (int i = 0; i < memory.head_dim; i += kPanel) {
        store_any(keys + i, load(key + i));
        store_any(values + i, load(value + i));
    }
}

void remember(const Memory& memory, int position, const float* key, const float* value) {
    if (memory.half)
        remember_as<uint16_t>(memory, position, key, value);
    else
        remember_as<float>(memory, position, key, value);
}

// scores[p] = query . keys[p], and minus infinity up to a whole panel.
template <int Width, class Element>
void score(const Element* keys, int stride, const float* query, int length, float* scores) {
    Lanes q[Width];
    for (int i = 0; i < Width; i++) q[i] = load(query + i * kPanel);
    for (int p = 0; p < length; p++) {
        const Element* key = keys + int64_t(p) * stride;
        Lanes total = q[0] * load_any(key);
        for (int i = 1; i < Width; i++) total = fma(q[i], load_any(key + i * kPanel), total);
        scores[p] = sum(total);
    }
    for (int p = length; p % kPanel; p++) scores[p] = -__builtin_inff();
}

// Scores to weights that add up to one; the panel's tail becomes zero.
inline void softmax(float* scores, int length, float scale) {
    Lanes most = load(scores);
    for (int p = kPanel; p < length; p += kPanel) most = larger(most, load(scores + p));
    Lanes top = splat(largest(most) * scale), total = splat(0.0f);
    for (int p = 0; p < length; p += kPanel) {
        Lanes weight = exponential(fma(load(scores + p), splat(scale), splat(0.0f) - top));
        store(scores + p, weight);
        total = total + weight;
    }
    Lanes factor = splat(1.0f / sum(total));
    for (int p = 0; p < length; p += kPanel) store(scores + p, load(scores + p) * factor);
}

template <int Width, class Element>
void mix(const Element* values, int stride, const float* weights, int length, float* out) {
    Lanes total[Width];
    for (int i = 0; i < Width; i++) total[i] = splat(0.0f);
    for (int p = 0; p < length; p++) {
        const Element* value = values + int64_t(p) * stride;
        Lanes weight = splat(weights[p]);
        for (int i = 0; i < Width; i++) total[i] = fma(weight, load_any(value + i * kPanel), total[i]);
    }
    for (int i = 0; i < Width; i++) store(out + i * kPanel, total[i]);
}

template <int Width, class Element>
void attend_as(const Memory& memory, const float* query, int group, int length, float* scores, float* out) {
    const Element* keys = static_cast<const Element*>(memory.keys);
    const Element* values = static_cast<const Element*>(memory.values);
    float scale = 1.0f / __builtin_sqrtf(float(memory.head_dim));
    for (int head = 0; head < group; head++) {
        score<Width>(keys, memory.head_dim, query + head * memory.head_dim, length, scores);
        softmax(scores, length, scale);
        mix<Width>(values, memory.head_dim, scores, length, out + head * memory.head_dim);
    }
}

template <int Width>
void attend_with(const Memory& memory, const float* query, int group, int length, float* scores, float* out) {
    if (memory.half)
        attend_as<Width, uint16_t>(memory, query, group, length, scores, out);
    else
        attend_as<Width, float>(memory, query, group, length, scores, out);
}

void attend(const Memory& memory, const float* query, int group, int length, float* scores, float* out) {
    switch (memory.head_dim) {
        case 32: return attend_with<2>(memory, query, group, length, scores, out);
        case 64: return attend_with<4>(memory, query, group, length, scores, out);
        case 128: return attend_with<8>(memory, query, group, length, scores, out);
    }
}

}  // namespace
}  // namespace speech
