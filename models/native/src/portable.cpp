// Any processor.
#include "lanes_portable.h"
#include "tables.h"

namespace speech {
namespace {
constexpr bool kHalfProducts = false;
struct FloatShape {
    static constexpr int rows = 4;
    static constexpr int panels(int) { return 1; }
};
using HalfShape = FloatShape;
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
template <int Rows, int Panels>
using BestHalfTile = PairTile<Rows, Panels>;
}  // namespace
}  // namespace speech

#include "product.h"

const speech::Kernels* speech::portable_kernels() {
    static const Kernels kernels = {SPEECH_KERNELS("portable")};
    return &kernels;
}
