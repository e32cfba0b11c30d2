// The transformer stack: all layers of a step, or of a piece of prefill, in one call.
#pragma once
#include <memory>
#include <vector>

#include "descriptions.h"
#include "rows.h"

namespace speech {

// Rows of one slot that stand together: positions start .. start + count.
struct Span {
    int slot, first, count, start;
};

class Stack {
public:
    Stack(const Kernels& kernels, const StackDescription& description);
    ~Stack();

    // Room for calls of up to `rows` rows on `threads` threads; before run, outside of the team.
    void prepare(int rows, int threads);
    // x [rows, hidden] is overwritten; out [rows, hidden] is what the final norm gives, NaN in a row where a NaN or an
    // infinity appeared. Called by every thread of a team; returns after a barrier.
    void run(const std::vector<Span>& spans, int rows, float* x, float* out, Team team);

    bool valid(const std::vector<Span>& spans) const;
    const Kernels& kernels() const { return kernels_; }
    const StackDescription& shape() const { return shape_; }

private:
    struct Workspace;
    void attend(int layer, const std::vector<Span>& spans, Team team);
    void attend_span(const Memory& memory, const LayerDescription& layer, const Span& span, int kv, Team team);
    void add_product(const Linear& linear, const Activations& x, int rows, float* to, Team team);
    void gated_product(const Linear& linear, const Activations& x, int rows, int down_format, Team team);
    Memory memory(int layer, int slot, int kv) const;

    const Kernels& kernels_;
    StackDescription shape_;
    std::vector<LayerDescription> layers_;
    std::unique_ptr<Workspace> workspace_;
};

std::vector<Span> spans_of(const int32_t* slots, const int32_t* positions, int rows);

}  // namespace speech
