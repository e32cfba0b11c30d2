// Products with bfloat16 weights and activations on AMX: 16 rows by 16 outputs by 32 inputs an instruction. 32 inputs
// of a panel of bfloat16 weights are just what a tile register wants.
//
// A sum is made in the order of the inputs whatever the block, but not quite as vdpbf16ps makes it: so this path serves
// one row as it does many, and a row's result does not depend on the rows beside it.
#pragma once
#include "amx_tiles.h"
#include "int_formats.h"
#include "../tables.h"

namespace speech {
namespace {

constexpr int kTileSide = 16;           // rows of a tile
constexpr int kTileInputs = 32;         // bfloat16 values in a row of a tile
constexpr int kTileBytes = 16 * 64;     // of a whole tile
constexpr int kRows = 4, kWeights = 6;  // registers: sums are 0 to 3, then two of rows and two of weights

// Two tiles of rows, one below the other, by two panels; `low` may be 0.
inline void configure_block(int high, int low) {
    TileConfiguration configuration;
    for (int tile = 0; tile < 8; tile++) {
        const bool below = tile == 2 || tile == 3 || tile == kRows + 1;
        configuration.rows[tile] = uint8_t(tile >= kWeights ? kTileSide : below ? low : high);
        configuration.row_bytes[tile] = configuration.rows[tile] ? 64 : 0;
    }
    configure_tiles(configuration);
}

// Rows that lie evenly in memory are loaded where they are.
struct EvenRows {
    const uint8_t* start;
    int64_t stride;

    template <int Tile>
    void load(int64_t offset) const {
        load_tile<kRows + Tile>(start + Tile * kTileSide * stride + offset, stride);
    }
};

// Other rows, up to 16, are brought together first.
struct ScatteredRows {
    const RowMap& map;
    int first, count;

    template <int Tile>
    void load(int64_t offset) const {
        alignas(64) uint8_t together[kTileBytes];
        for (int r = 0; r < count; r++) std::memcpy(together + r * 64, row_of(map, first + r) + offset, 64);
        load_tile<kRows + Tile>(together, 64);
    }
};

// out [rows, stride] = one or two tiles of rows times one or two panels.
template <int Heights, int Widths, class Rows>
void amx_block(const uint8_t* weights, int64_t panel_bytes, const Rows& rows, const Window& window, float* out,
               int64_t stride) {
    clear_tile<0>();
    if constexpr (Widths > 1) clear_tile<1>();
    if constexpr (Heights > 1) clear_tile<2>();
    if constexpr (Heights > 1 && Widths > 1) clear_tile<3>();
    for (int tap = 0; tap < window.taps; tap++) {
        for (int64_t k = 0; k < window.width; k += kTileInputs, weights += kTileBytes) {
            const int64_t offset = (tap * window.step + k) * 2;
            if (Heights == 1)  // few rows: memory is the limit
                for (int w = 0; w < Widths; w++) ask_for(weights + w * panel_bytes + 4 * kTileBytes, kTileBytes);
            load_tile<kWeights>(weights, 64);
            rows.template load<0>(offset);
            multiply_tiles<0, kRows, kWeights>();
            if constexpr (Widths > 1) {
                load_tile<kWeights + 1>(weights + panel_bytes, 64);
                multiply_tiles<1, kRows, kWeights + 1>();
            }
            if constexpr (Heights > 1) {
                rows.template load<1>(offset);
                multiply_tiles<2, kRows + 1, kWeights>();
                if constexpr (Widths > 1) multiply_tiles<3, kRows + 1, kWeights + 1>();
            }
        }
    }
    float* below = out + kTileSide * stride;
    store_tile<0>(out, stride * 4);
    if constexpr (Widths > 1) store_tile<1>(out + kPanel, stride * 4);
    if constexpr (Heights > 1) store_tile<2>(below, stride * 4);
    if constexpr (Heights > 1 && Widths > 1) store_tile<3>(below + kPanel, stride * 4);
}

// All panels for one block of rows.
template <int Heights, class Rows>
void amx_rows(const Linear& linear, const Rows& rows, const Window& window, Range panels, float* out, int64_t stride) {
    const int64_t bytes = int64_t(linear.inputs) * kPanel * 2;
    for (int panel = panels.first; panel < panels.last; panel += 2) {
        const uint8_t* weights = linear.data + panel * bytes;
        float* to = out + (panel - panels.first) * kPanel;
        if (panel + 1 < panels.last)
            amx_block<Heights, 2>(weights, bytes, rows, window, to, stride);
        else
            amx_block<Heights, 1>(weights, bytes, rows, window, to, stride);
    }
}

// As cover() does: in blocks of up to 32 rows of one slot, or of up to 16 of several.
void cover_amx(const Linear& linear, const RowMap& map, const Window& window, Range rows, Range panels, float* out,
               int64_t stride) {
    for (int row = rows.first; row < rows.last;) {
        const int left = rows.last - row, even = map.per_slot - row % map.per_slot;
        const bool scattered = even < left && even < kTileSide;
        const int most = scattered ? kTileSide : even < 2 * kTileSide ? even : 2 * kTileSide;
        const int count = left < most ? left : most, high = count < kTileSide ? count : kTileSide;
        configure_block(high, count - high);
        float* to = out + (row - rows.first) * stride;
        if (scattered)
            amx_rows<1>(linear, ScatteredRows{map, row, count}, window, panels, to, stride);
        else if (count > kTileSide)
            amx_rows<2>(linear, EvenRows{row_of(map, row), map.row_stride}, window, panels, to, stride);
        else
            amx_rows<1>(linear, EvenRows{row_of(map, row), map.row_stride}, window, panels, to, stride);
        row += count;
    }
    release_tiles();
}

}  // namespace
}  // namespace speech
