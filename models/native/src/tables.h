// What the library is made of: plain structures shared by all translation units; ../structures.py mirrors those that
// cross the interface.
#pragma once
#include <cstdint>

namespace speech {

constexpr int kBlock = 64;  // inputs that share one scale, in int8 and nf4
constexpr int kPanel = 16;  // outputs that are computed together: one lane each
constexpr int kGroup = 6;   // panels that are handed out together: tiles take two or three at a time

enum Format : int32_t { kFloat = 0, kHalf = 1, kInt8 = 2, kNf4 = 3 };  // kHalf is bfloat16

// A matrix [outputs, inputs] in panels of 16 outputs; packing.py writes them and describes the layout of each format.
struct Linear {
    const uint8_t* data;
    int32_t format, outputs, inputs;
};

// Rows as a product reads them; which members are meaningful depends on the format they were encoded for.
struct Activations {
    float* values;         // [rows, inputs]
    uint16_t* halves;      // [rows, inputs], bfloat16
    int8_t* codes;         // [rows, inputs], -127..127
    float* scales;         // [rows, inputs / 64]: value = scale * code
    int32_t* corrections;  // [rows, inputs / 64]: -128 times the sum of the codes, because weights are stored plus 128
    int32_t inputs;
};

struct Range {
    int first, last;
};

// Where the rows of an array of [slots][rows of a slot] begin; strides in bytes.
struct RowMap {
    uint8_t* start;
    int64_t slot_stride, row_stride;
    int per_slot;
};

// Static, as every function that is compiled once for each instruction set must be: of one that is not, the linker
// keeps whichever copy it likes, and other processors would run into its instructions.
static inline uint8_t* row_of(const RowMap& map, int index) {
    return map.start + index / map.per_slot * map.slot_stride + index % map.per_slot * map.row_stride;
}

// What a product reads of a row: `taps` stretches of `width` values, `step` values apart. A plain product has one, a
// convolution one for each element of its kernel.
struct Window {
    int32_t taps, width;
    int64_t step;
};

enum Activation : int32_t { kNone = 0, kSnake = 1, kGelu = 2 };

// What follows a product of the codec decoder. All arrays [outputs] or null.
struct Finish {
    const float *bias, *frequency, *scale;  // the last two of a snake: x + scale * sin(frequency * x)^2
    int32_t activation, half;               // half: encode as bfloat16
};

// Keys and values of one slot and one key-value head: [positions, head_dim], float or bfloat16.
struct Memory {
    void *keys, *values;
    int32_t half, head_dim;
};

// The arithmetic, once for each instruction set. Every function computes whole outputs: how the work is divided
// over threads and how many rows come together changes no result.
struct Kernels {
    const char* name;
    bool half_products;  // bfloat16 products take bfloat16 activations, otherwise float
    // Encode x[0 .. count) as inputs first .. first + count of a row; whole blocks for int8 and nf4.
    void (*encode)(int format, const float* x, const Activations& to, int row, int first, int count);
    // out [rows, outputs], panels first .. last only. `scratch` holds scratch_bytes(linear).
    void (*product)(const Linear&, const Activations&, int rows, int first, int last, float* out, uint8_t* scratch);
    // Root mean square norm of one row; all NaN where x holds a NaN or an infinity, or its squares overflow.
    void (*norm)(const float* x, const float* weight, int size, float eps, float* out);
    // Rotary embedding of one head in place; angles: [head_dim / 2] each.
    void (*rotate)(float* head, const float* cosines, const float* sines, int head_dim);
    // out[i] = silu(gate[i]) * up[i]; gate and up come as alternating panels, count is that of out.
    void (*gate)(const float* gate_up, int count, float* out);
    void (*add)(float* x, const float* y, int count);
    void (*remember)(const Memory&, int position, const float* key, const float* value);
    // Softmax attention of `group` query heads over positions 0 .. length; scratch: [2, length rounded up to 16].
    void (*attend)(const Memory&, const float* query, int group, int length, float* scratch, float* out);
    // A float or bfloat16 product whose inputs are windows: out [rows, stride], column 0 is the first of `panels`.
    void (*slide)(const Linear&, const RowMap&, const Window&, Range rows, Range panels, float* out, int64_t stride);
    // See waveform.h.
    void (*finish)(const Finish&, const float* x, int channel, int count, const float* residual, float* raw,
                   void* encoded);
    void (*depthwise)(const float* x, const float* weights, const float* bias, int taps, int channels, float* out);
    void (*layer_norm)(float* x, const float* weight, const float* bias, int size, float eps);
};

// Bytes a product may need to decode two panels.
static inline int64_t scratch_bytes(const Linear& linear) {
    return linear.format == kNf4 ? int64_t(linear.inputs) / kBlock * 2 * (kBlock * kPanel + 2 * kPanel) : 0;
}

// Null where the compiler knows no such instructions. Whether the processor has them is for dispatch.cpp to say: these
// are data, so that nothing compiled for them runs before it was asked.
extern const Kernels* const amx_bf16_kernels;
extern const Kernels* const amx_emulated_kernels;
extern const Kernels* const avx512_bf16_kernels;
extern const Kernels* const avx512_vnni_kernels;
extern const Kernels* const avx2_vnni_kernels;
extern const Kernels* const avx2_kernels;
extern const Kernels* const portable_kernels;

}  // namespace speech
