// Any processor.
#include "lanes_portable.h"
#include "../tables.h"

namespace speech {
namespace {
constexpr bool kHalfProducts = false;
struct FloatShape {
    static constexpr int rows = 4;
    static constexpr int panels(int) { return 1; }
};
}  // namespace
}  // namespace speech

#include "attention.h"
#include "elementwise.h"
#include "product_float.h"
#include "product_portable.h"
#include "tiles.h"
#include "waveform.h"

namespace speech {
namespace {

void half_product(const Linear& linear, const RowMap& map, const Window& window, Range rows, Range panels, float* out,
                  int64_t stride) {
    cover<PairTile, FloatShape>(linear, map, window, rows, panels, out, stride);
}

}  // namespace
}  // namespace speech

#include "product.h"

namespace speech {
constexpr Kernels kKernels = {SPEECH_KERNELS("portable")};
const Kernels* const portable_kernels = &kKernels;
}  // namespace speech
