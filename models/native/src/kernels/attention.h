// Attention of the query heads that share one key-value head, over everything one slot remembers.
// The order of every sum depends on the position alone, so a prefill in pieces equals one row at a time.
#pragma once
#include "elementwise.h"
#include "../tables.h"

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

// Ask for `count` elements sixteen positions on: the cache is many short streams, over before the processor follows
// one.
template <class Element>
void ask_ahead(const Element* from, int count, int dim) {
    const char* at = reinterpret_cast<const char*>(from + 16 * dim);
    for (int byte = 0; byte < count * int(sizeof(Element)); byte += 64) __builtin_prefetch(at + byte);
}

// scores[head][p] = query[head] . keys[p], and very little up to a whole panel. Keys are read once for all heads,
// eight products of a head and a key are summed up together.
template <int Width, int Heads, class Element>
void score(const Element* keys, const float* query, int length, float* const* scores) {
    constexpr int block = 8 / Heads, dim = Width * kPanel;
    for (int first = 0; first < length; first += block) {
        Lanes total[8];
        for (int i = 0; i < 8; i++) total[i] = splat(0.0f);
        for (int i = 0; i < Width; i++) {
            for (int p = 0; p < block; p++) {
                const int position = first + p < length ? first + p : length - 1;
                const Lanes key = load_any(keys + int64_t(position) * dim + i * kPanel);
                for (int h = 0; h < Heads; h++)
                    total[h * block + p] = fma(load(query + h * dim + i * kPanel), key, total[h * block + p]);
            }
        }
        for (int p = 0; p < block; p++) ask_ahead(keys + int64_t(first + p) * dim, dim, dim);
        float out[8];
        sums(total, out);
        for (int h = 0; h < Heads; h++) __builtin_memcpy(scores[h] + first, out + h * block, sizeof(float) * block);
    }
    for (int h = 0; h < Heads; h++)
        for (int p = length; p % kPanel; p++) scores[h][p] = -3e38f;
}

// Scores to weights that add up to one, the panel's tail as good as zero; all NaN where one score is not finite, minus
// infinity too, which a key that is not finite gives as well as plus infinity.
inline void softmax(float* scores, int length, float scale) {
    Lanes most = load(scores);
    for (int p = kPanel; p < length; p += kPanel) most = larger(most, load(scores + p));
    Lanes top = splat(largest(most) * scale), total = splat(0.0f);
    for (int p = 0; p < length; p += kPanel) {
        const Lanes below = fma(load(scores + p), splat(scale), splat(0.0f) - top);
        const Lanes weight = fma(below, splat(0.0f), exponential(below));
        store(scores + p, weight);
        total = total + weight;
    }
    Lanes factor = splat(1.0f / sum(total));
    for (int p = 0; p < length; p += kPanel) store(scores + p, load(scores + p) * factor);
}

// out[head] = sum over positions of weights[head][p] * values[p]. Values are read once for all heads.
template <int Width, int Heads, class Element>
void mix(const Element* values, const float* const* weights, int length, float* out) {
    constexpr int some = Width < kMixed ? Width : kMixed, dim = Width * kPanel;
    for (int first = 0; first < Width; first += some) {
        Lanes total[Heads][some];
        for (int h = 0; h < Heads; h++)
            for (int i = 0; i < some; i++) total[h][i] = splat(0.0f);
        for (int p = 0; p < length; p++) {
            Lanes weight[Heads];
            for (int h = 0; h < Heads; h++) weight[h] = splat(weights[h][p]);
            ask_ahead(values + int64_t(p) * dim + first * kPanel, some * kPanel, dim);
            for (int i = 0; i < some; i++) {
                const Lanes value = load_any(values + int64_t(p) * dim + (first + i) * kPanel);
                for (int h = 0; h < Heads; h++) total[h][i] = fma(weight[h], value, total[h][i]);
            }
        }
        for (int h = 0; h < Heads; h++)
            for (int i = 0; i < some; i++) store(out + h * dim + (first + i) * kPanel, total[h][i]);
    }
}

template <int Width, int Heads, class Element>
void attend_heads(const Memory& memory, const float* query, int length, float* scratch, float* out) {
    float* scores[Heads];
    for (int h = 0; h < Heads; h++) scores[h] = scratch + h * ((length + kPanel - 1) / kPanel * kPanel);
    score<Width, Heads>(static_cast<const Element*>(memory.keys), query, length, scores);
    for (int h = 0; h < Heads; h++) softmax(scores[h], length, 1.0f / __builtin_sqrtf(float(memory.head_dim)));
    mix<Width, Heads>(static_cast<const Element*>(memory.values), scores, length, out);
}

template <int Width, class Element>
void attend_as(const Memory& memory, const float* query, int group, int length, float* scratch, float* out) {
    constexpr int dim = Width * kPanel;
    int head = 0;
    for (; head + 2 <= group; head += 2)
        attend_heads<Width, 2, Element>(memory, query + head * dim, length, scratch, out + head * dim);
    if (head < group) attend_heads<Width, 1, Element>(memory, query + head * dim, length, scratch, out + head * dim);
}

template <int Width>
void attend_with(const Memory& memory, const float* query, int group, int length, float* scratch, float* out) {
    if (memory.half)
        attend_as<Width, uint16_t>(memory, query, group, length, scratch, out);
    else
        attend_as<Width, float>(memory, query, group, length, scratch, out);
}

void attend(const Memory& memory, const float* query, int group, int length, float* scratch, float* out) {
    switch (memory.head_dim) {
        case 32:
            return attend_with<2>(memory, query, group, length, scratch, out);
        case 64:
            return attend_with<4>(memory, query, group, length, scratch, out);
        case 128:
            return attend_with<8>(memory, query, group, length, scratch, out);
    }
}

}  // namespace
}  // namespace speech
