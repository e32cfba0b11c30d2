// Any product, by format. Included once for each instruction set, after its tiles.
#pragma once
#include "../tables.h"

// The members of a Kernels, in their order.
#define SPEECH_KERNELS(name)                                                                                       \
    name, kHalfProducts, encode, product, norm, rotate, gate, add, remember, attend, slide, finish_row, depthwise, \
        layer_norm

namespace speech {
namespace {

// The pair that begins with `panel`, an even one, of which every work has both: see kGroup.
template <class Decode>
PanelPair<Decode> pair_of(const Linear& linear, int panel) {
    const int64_t bytes = linear.inputs / kBlock * int64_t(Decode::bytes + kScaleBytes);
    return {linear.data + panel * bytes, linear.outputs / kPanel - panel > 1 ? 2 : 1};
}

void int8_product(const Linear& linear, const Activations& x, int rows, int first, int last, float* out) {
    for (int panel = first; panel < last; panel += 2)
        int_panels(pair_of<Bytes>(linear, panel), x, rows, out + panel * kPanel, linear.outputs);
}

void nf4_product(const Linear& linear, const Activations& x, int rows, int first, int last, float* out,
                 uint8_t* scratch) {
    for (int panel = first; panel < last; panel += 2, out += 2 * kPanel) {
        const PanelPair<Nibbles> pair = pair_of<Nibbles>(linear, panel);
        if (rows <= kIntRows) {
            int_panels(pair, x, rows, out + first * kPanel, linear.outputs);
        } else {
            expand(pair, linear.inputs / kBlock, scratch);
            int_panels(PanelPair<Bytes>{scratch, pair.panels}, x, rows, out + first * kPanel, linear.outputs);
        }
    }
}

// Float and bfloat16 products, with any window.
void slide(const Linear& linear, const RowMap& map, const Window& window, Range rows, Range panels, float* out,
           int64_t stride) {
    if (linear.format == kFloat)
        cover<FloatTile, FloatShape>(linear, map, window, rows, panels, out, stride);
    else
        half_product(linear, map, window, rows, panels, out, stride);
}

template <class Value>
void plain(const Linear& linear, const Value* values, int rows, Range panels, float* out) {
    const int64_t bytes = int64_t(linear.inputs) * int64_t(sizeof(Value));
    const RowMap map = {reinterpret_cast<uint8_t*>(const_cast<Value*>(values)), 0, bytes, rows};
    slide(linear, map, {1, linear.inputs, 0}, {0, rows}, panels, out + panels.first * kPanel, linear.outputs);
}

void product(const Linear& linear, const Activations& x, int rows, int first, int last, float* out, uint8_t* scratch) {
    if (linear.format == kInt8)
        int8_product(linear, x, rows, first, last, out);
    else if (linear.format == kNf4)
        nf4_product(linear, x, rows, first, last, out, scratch);
    else if (linear.format == kHalf && kHalfProducts)
        plain(linear, x.halves, rows, {first, last}, out);
    else
        plain(linear, x.values, rows, {first, last}, out);
}

}  // namespace
}  // namespace speech
