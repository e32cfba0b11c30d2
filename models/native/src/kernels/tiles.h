// Covers a product with tiles: many panels together for few rows, few panels for many rows.
#pragma once
#include "../tables.h"

namespace speech {
namespace {

// Tile<Rows, Panels>::run for a number of rows that is known only now; `wide`: Shape::panels(Rows), else one panel.
template <template <int, int> class Tile, class Shape, int Rows = Shape::rows, class... Arguments>
void run_tile(int rows, bool wide, const Arguments&... arguments) {
    if constexpr (Rows > 0) {
        if (rows != Rows) return run_tile<Tile, Shape, Rows - 1>(rows, wide, arguments...);
        if (wide)
            Tile<Rows, Shape::panels(Rows)>::run(arguments...);
        else
            Tile<Rows, 1>::run(arguments...);
    }
}

// out [rows, stride] receives panels first .. last of the product; its column 0 is the first output of panel `first`.
template <template <int, int> class Tile, class Shape>
void cover(const Linear& linear, const RowMap& map, const Window& window, Range rows, Range panels, float* out,
           int64_t stride) {
    using Value = typename Tile<1, 1>::Value;
    const int64_t bytes = int64_t(linear.inputs) * kPanel * (linear.format == kFloat ? 4 : 2);
    for (int panel = panels.first; panel < panels.last;) {
        int most = rows.last - rows.first < Shape::rows ? rows.last - rows.first : Shape::rows;
        int together = panel + Shape::panels(most) <= panels.last ? Shape::panels(most) : 1;
        for (int row = rows.first; row < rows.last; row += Shape::rows) {
            int count = rows.last - row < Shape::rows ? rows.last - row : Shape::rows;
            const Value* values[Shape::rows];
            for (int r = 0; r < count; r++) values[r] = reinterpret_cast<const Value*>(row_of(map, row + r));
            bool wide = together > 1 && Shape::panels(count) == together;
            for (int p = 0; p < together; p += wide ? together : 1) {
                float* to = out + (row - rows.first) * stride + (panel + p - panels.first) * kPanel;
                run_tile<Tile, Shape>(count, wide, linear.data + (panel + p) * bytes, values, window, to, stride);
            }
        }
        panel += together;
    }
}

}  // namespace
}  // namespace speech
