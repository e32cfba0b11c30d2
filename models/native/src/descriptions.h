// What callers hand in; mirrored in ../structures.py. Nothing here is copied or owned: weights may be memory-mapped.
#pragma once
#include "tables.h"

namespace speech {

struct LayerDescription {
    Linear qkv, output, gate_up, down;
    const float *input_norm, *query_norm, *key_norm, *post_norm;  // those of query and key may be null
};

struct StackDescription {
    const LayerDescription* layer;  // [layers]
    const float* norm;              // [hidden]
    const float *cosines, *sines;   // [longest, head_dim / 2]
    void *keys, *values;            // [layers, slots, kv_heads, positions, head_dim]
    int32_t layers, hidden, intermediate, heads, kv_heads, head_dim;
    int32_t slots, positions, half_cache;
    int32_t longest;  // positions a sequence may have; only the last `positions` of them are remembered and seen
    float norm_eps;
};

struct PredictorDescription {
    const Linear* heads;            // [groups]
    const void* const* embeddings;  // [groups] of [vocabulary, talker_hidden]
    const Linear* projection;       // talker hidden -> hidden; null where the two are equal
    const float* projection_bias;   // [hidden]
    int32_t groups, vocabulary, talker_hidden, half_embeddings;
};

// One step of the codec decoder on rows of channels, a row for each moment: a causal convolution, written as a product
// over `taps` rows that lie `dilation` apart. What it makes of a row are `rate` rows of the next step.
struct StepDescription {
    Linear linear;                          // [rate * channels of the next step, taps * channels]; unused if depthwise
    const float *bias, *frequency, *scale;  // [outputs] or null; the last two of the snake that follows
    const float *depthwise, *norm, *norm_bias;  // depthwise convolution: [taps, channels], then a norm over channels
    int32_t channels, taps, dilation, rate;
    int32_t activation;  // Activation of what the next step gets
    int32_t add, keep;   // add the kept rows to the result; keep the result, before the activation, for a later `add`
};

struct CodecDescription {
    const void* const* codebooks;  // [groups] of [codebook_size, codebook_dim / 2]; the first is the semantic one
    const StepDescription* steps;  // entry steps, middle steps, late steps; the last one's first output are samples
    int32_t groups, codebook_size, codebook_width;
    int32_t entry, middle, late;  // numbers of steps: before the transformer, for all slots at once, slot by slot
    int32_t half_codebooks;       // of bfloat16, else float
};

// How one row is drawn from.
struct SamplingRow {
    float temperature;  // 0: the most likely code
    float top_p;        // 1: off
    int32_t top_k;      // 0: off
};

}  // namespace speech
