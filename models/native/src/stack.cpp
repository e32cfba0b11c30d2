#include "stack.h"

#include <algorithm>

namespace speech {

namespace {
int padded(int count) { return (count + kPanel - 1) / kPanel * kPanel; }
}  // namespace

struct Stack::Workspace {
    Workspace(const StackDescription& s, int rows, int threads, int64_t decoded)
        : rows(rows),
          threads(threads),
          qkv(int64_t(rows) * (s.heads + 2 * s.kv_heads) * s.head_dim),
          gate_up(int64_t(rows) * 2 * s.intermediate),
          products(int64_t(rows) * s.hidden),
          normed(rows, s.hidden, threads),
          attended(rows, s.heads * s.head_dim),
          gated(rows, s.intermediate) {
        for (int thread = 0; thread < threads; thread++) {
            scores.emplace_back(2 * padded(s.positions));
            head.emplace_back(std::max(s.heads / s.kv_heads * s.head_dim, 2 * kBlock));
            panel.emplace_back(decoded);
        }
    }

    int rows, threads;
    Buffer<float> qkv;       // [rows, (heads + 2 kv_heads) * head_dim]
    Buffer<float> gate_up;   // [rows, 2 * intermediate]
    Buffer<float> products;  // [rows, hidden], before they are added to the rows
    RowEncoder normed;
    ActivationRows attended, gated;
    std::vector<Buffer<float>> scores;   // for each thread [2, positions]
    std::vector<Buffer<float>> head;     // for each thread: one group of heads, or one gated block
    std::vector<Buffer<uint8_t>> panel;  // for each thread: a decoded panel of weights
};

Stack::Stack(const Kernels& kernels, const StackDescription& description)
    : kernels_(kernels),
      shape_(description),
      layers_(description.layer, description.layer + description.layers) {
    shape_.layer = layers_.data();
}

Stack::~Stack() = default;

void Stack::prepare(int rows, int threads) {
    if (workspace_ && workspace_->rows >= rows && workspace_->threads >= threads) return;
    int64_t decoded = 0;
    for (const LayerDescription& layer : layers_)
        for (const Linear* linear : {&layer.qkv, &layer.output, &layer.gate_up, &layer.down})
            decoded = std::max(decoded, scratch_bytes(*linear));
    if (workspace_) rows = std::max(rows, workspace_->rows), threads = std::max(threads, workspace_->threads);
    workspace_.reset();
    workspace_ = std::make_unique<Workspace>(shape_, rows, threads, decoded);
}

bool Stack::valid(const std::vector<Span>& spans) const {
    std::vector<bool> seen(size_t(shape_.slots), false);
    for (const Span& span : spans) {
        if (span.slot < 0 || span.slot >= shape_.slots || seen[size_t(span.slot)]) return false;
        if (span.start < 0 || span.start > shape_.longest - span.count) return false;
        seen[size_t(span.slot)] = true;
    }
    return true;
}

Memory Stack::memory(int layer, int slot, int kv) const {
    int64_t row = (int64_t(layer) * shape_.slots + slot) * shape_.kv_heads + kv;
    int64_t bytes = row * shape_.positions * shape_.head_dim * (shape_.half_cache ? 2 : 4);
    return {static_cast<char*>(shape_.keys) + bytes, static_cast<char*>(shape_.values) + bytes, shape_.half_cache,
            shape_.head_dim};
}

void Stack::run(const std::vector<Span>& spans, int rows, float* x, float* out, Team team) {
    Workspace& work = *workspace_;
    const int hidden = shape_.hidden;
    auto normed = [&](const float* weight) {
        return [&, weight](int row, float* scratch) {
            kernels_.norm(x + int64_t(row) * hidden, weight, hidden, shape_.norm_eps, scratch);
            return static_cast<const float*>(scratch);
        };
    };
    for (int number = 0; number < shape_.layers; number++) {
        const LayerDescription& layer = layers_[size_t(number)];
        Activations input = work.normed.encode(kernels_, layer.qkv, rows, team, normed(layer.input_norm));
        team.divide(layer.qkv.outputs / kPanel, kGroup, [&](Range panels) {
            kernels_.product(layer.qkv, input, rows, panels.first, panels.last, work.qkv.get(),
                             work.panel[size_t(team.index)].get());
        });
        team.barrier();
        attend(number, spans, team);
        team.barrier();
        add_product(layer.output, work.attended.view(layer.output.inputs), rows, x, team);
        team.barrier();
        input = work.normed.encode(kernels_, layer.gate_up, rows, team, normed(layer.post_norm));
        gated_product(layer.gate_up, input, rows, layer.down.format, team);
        team.barrier();
        add_product(layer.down, work.gated.view(layer.down.inputs), rows, x, team);
        team.barrier();
    }
    for (int row = team.index; row < rows; row += team.size) {
        int64_t at = int64_t(row) * hidden;
        kernels_.norm(x + at, shape_.norm, hidden, shape_.norm_eps, out + at);
    }
    team.barrier();
}

// Every key-value head of every span is one piece of work: it stores the span's keys and values, then attends.
void Stack::attend(int layer, const std::vector<Span>& spans, Team team) {
    team.divide(int(spans.size()) * shape_.kv_heads, 1, [&](Range pieces) {
        for (int piece = pieces.first; piece < pieces.last; piece++) {
            const Span& span = spans[size_t(piece / shape_.kv_heads)];
            int kv = piece % shape_.kv_heads;
            attend_span(memory(layer, span.slot, kv), layers_[size_t(layer)], span, kv, team);
        }
    });
}

void Stack::attend_span(const Memory& memory, const LayerDescription& layer, const Span& span, int kv, Team team) {
    Workspace& work = *workspace_;
    const int dim = shape_.head_dim, group = shape_.heads / shape_.kv_heads, half = dim / 2;
    const int64_t stride = int64_t(shape_.heads + 2 * shape_.kv_heads) * dim;
    auto prepare = [&](float* head, const float* weight, int row) {
        int64_t position = span.start + row;
        if (weight) kernels_.norm(head, weight, dim, shape_.norm_eps, head);
        kernels_.rotate(head, shape_.cosines + position * half, shape_.sines + position * half, dim);
    };
    const Activations to = work.attended.view(shape_.heads * dim);
    for (int row = 0; row < span.count; row++) {
        float* query = work.qkv.get() + (span.first + row) * stride + int64_t(kv) * group * dim;
        float* key = work.qkv.get() + (span.first + row) * stride + int64_t(shape_.heads + kv) * dim;
        prepare(key, layer.key_norm, row);
        kernels_.remember(memory, (span.start + row) % shape_.positions, key, key + shape_.kv_heads * dim);
        for (int head = 0; head < group; head++) prepare(query + head * dim, layer.query_norm, row);
        float* mixed = work.head[size_t(team.index)].get();
        int length = std::min(span.start + row + 1, shape_.positions);
        kernels_.attend(memory, query, group, length, work.scores[size_t(team.index)].get(), mixed);
        kernels_.encode(layer.output.format, mixed, to, span.first + row, kv * group * dim, group * dim);
    }
}

void Stack::add_product(const Linear& linear, const Activations& x, int rows, float* to, Team team) {
    Workspace& work = *workspace_;
    team.divide(linear.outputs / kPanel, kGroup, [&](Range panels) {
        kernels_.product(linear, x, rows, panels.first, panels.last, work.products.get(),
                         work.panel[size_t(team.index)].get());
        for (int row = 0; row < rows; row++) {
            int64_t at = int64_t(row) * linear.outputs + panels.first * kPanel;
            kernels_.add(to + at, work.products.get() + at, (panels.last - panels.first) * kPanel);
        }
    });
}

// Gate and up panels alternate, so a thread that has a block of both finishes that block for the down product.
void Stack::gated_product(const Linear& linear, const Activations& x, int rows, int down_format, Team team) {
    Workspace& work = *workspace_;
    constexpr int chunk = 2 * kBlock / kPanel;
    const Activations to = work.gated.view(shape_.intermediate);
    float* block = work.head[size_t(team.index)].get();
    team.divide(linear.outputs / kPanel, chunk, [&](Range panels) {
        kernels_.product(linear, x, rows, panels.first, panels.last, work.gate_up.get(),
                         work.panel[size_t(team.index)].get());
        for (int row = 0; row < rows; row++) {
            for (int panel = panels.first; panel < panels.last; panel += chunk) {
                int count = std::min(chunk, panels.last - panel) * kPanel / 2;
                kernels_.gate(work.gate_up.get() + int64_t(row) * linear.outputs + panel * kPanel, count, block);
                kernels_.encode(down_format, block, to, row, panel * kPanel / 2, count);
            }
        }
    });
}

std::vector<Span> spans_of(const int32_t* slots, const int32_t* positions, int rows) {
    std::vector<Span> spans;
    for (int row = 0; row < rows; row++) {
        Span* last = spans.empty() ? nullptr : &spans.back();
        if (last && last->slot == slots[row] && last->start + last->count == positions[row])
            last->count++;
        else
            spans.push_back({slots[row], row, 1, positions[row]});
    }
    return spans;
}

}  // namespace speech
