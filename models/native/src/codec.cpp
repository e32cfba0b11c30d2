#include "codec.h"

#include <algorithm>
#include <cstring>

namespace speech {

namespace {
constexpr int kTileRows = 64, kTilePanels = 6;  // a product of this size is finished while it is in the cache
constexpr int kPieceFrames = 16;                // frames, over all slots, that go through the middle steps together
constexpr int kBuffers = 4;
}  // namespace

// What calls of some number of slots and frames need.
struct Codec::Sizes {
    int64_t buffers[kBuffers] = {};  // bytes
    int64_t kept = 0, rows = 0;

    void grow(const Sizes& other) {
        for (int i = 0; i < kBuffers; i++) buffers[i] = std::max(buffers[i], other.buffers[i]);
        kept = std::max(kept, other.kept);
        rows = std::max(rows, other.rows);
    }
    bool cover(const Sizes& other) const {
        for (int i = 0; i < kBuffers; i++)
            if (buffers[i] < other.buffers[i]) return false;
        return kept >= other.kept && rows >= other.rows;
    }
};

struct Codec::Workspace {
    Workspace(const Sizes& sizes, int threads, int64_t widest, int hidden)
        : sizes(sizes),
          threads(threads),
          kept(sizes.kept),
          normed(sizes.rows * hidden) {
        for (int64_t bytes : sizes.buffers) buffers.emplace_back(bytes);
        for (int thread = 0; thread < threads; thread++) {
            tiles.emplace_back(kTileRows * kTilePanels * kPanel);
            channels.emplace_back(widest);
        }
    }

    Sizes sizes;
    int threads;
    std::vector<Buffer<uint8_t>> buffers;        // inputs of steps: [slots, past + rows, channels]
    Buffer<float> kept;                          // what a later step adds: [slots, rows, channels]
    Buffer<float> normed;                        // what the transformer gives
    std::vector<Buffer<float>> tiles, channels;  // for each thread
    std::vector<Span> spans;                     // of the transformer
};

Codec::Codec(Stack& stack, const CodecDescription& description)
    : stack_(stack),
      shape_(description),
      codebooks_(description.codebooks, description.codebooks + description.groups) {
    const int total = shape_.entry + shape_.middle + shape_.late;
    for (int i = 0; i < total; i++) {
        Step step{};
        static_cast<StepDescription&>(step) = description.steps[i];
        bool half = !step.depthwise && step.linear.format == kHalf && stack.kernels().half_products;
        step.width = half ? 2 : 4;
        step.past = (step.taps - 1) * step.dilation;
        step.state = state_bytes_;
        state_bytes_ += (step.past * step.row_bytes() + 63) / 64 * 64;
        // Inputs alternate between two buffers. Late steps read the first one's over and over: it has its own.
        step.buffer = i == shape_.entry + shape_.middle ? 3 : step.depthwise ? 2 : i % 2;
        if (i > 0 && step.buffer == steps_.back().buffer) step.buffer = 1 - step.buffer;
        steps_.push_back(step);
    }
}

Codec::~Codec() = default;

// Rows that steps first .. last make of one.
int Codec::rate(int first, int last) const {
    int rows = 1;
    for (int i = first; i < last; i++) rows *= steps_[size_t(i)].rate;
    return rows;
}

bool Codec::valid(const CodecCall& call) const {
    if (call.count < 1 || call.frames < 1) return false;
    std::vector<bool> seen(size_t(stack_.shape().slots), false);
    for (int i = 0; i < call.count; i++) {
        const int slot = call.slots[i];
        if (slot < 0 || slot >= stack_.shape().slots || seen[size_t(slot)]) return false;
        if (call.done[i] < 0 || call.done[i] > stack_.shape().longest - call.frames) return false;
        seen[size_t(slot)] = true;
    }
    const int64_t codes = int64_t(call.count) * call.frames * shape_.groups;
    return std::all_of(call.codes, call.codes + codes,
                       [&](int64_t code) { return code >= 0 && code < shape_.codebook_size; });
}

Codec::Sizes Codec::sizes(int slots, int frames) const {
    Sizes sizes;
    int64_t count = slots, rows = frames;
    sizes.rows = count * rows;
    for (int i = 0; i < int(steps_.size()); i++) {
        const Step& step = steps_[size_t(i)];
        int64_t& bytes = sizes.buffers[step.buffer];
        bytes = std::max(bytes, count * (step.past + rows) * step.row_bytes());
        if (i == shape_.entry + shape_.middle) count = 1, rows /= frames;
        if (step.keep) sizes.kept = std::max(sizes.kept, count * rows * step.linear.outputs);
        rows *= step.rate;
    }
    return sizes;
}

void Codec::prepare(int slots, int frames, int threads) {
    stack_.prepare(slots * frames, threads);
    Sizes wanted = sizes(slots, frames);
    if (workspace_ && workspace_->threads >= threads && workspace_->sizes.cover(wanted)) return;
    if (workspace_) {
        wanted.grow(workspace_->sizes);
        threads = std::max(threads, workspace_->threads);
    }
    int64_t widest = 0;
    for (const Step& step : steps_) widest = std::max(widest, int64_t(step.channels));
    workspace_.reset();
    workspace_ = std::make_unique<Workspace>(wanted, threads, widest, stack_.shape().hidden);
}

void Codec::run(const CodecCall& call, int threads) {
    const int most = std::max(1, kPieceFrames / call.count);
    for (int frame = 0; frame < call.frames; frame += most) {
        const int frames = std::min(most, call.frames - frame);
        prepare(call.count, frames, threads);
        workspace_->spans.clear();
        for (int i = 0; i < call.count; i++)
            workspace_->spans.push_back({call.slots[i], i * frames, frames, call.done[i] + frame});
        together(threads, [&](Team team) { play(call, frame, frames, team); });
    }
}

void Codec::play(const CodecCall& call, int frame, int frames, Team team) {
    const int middle = shape_.entry + shape_.middle;
    const Piece piece{call, 0, call.count, frames, 0, nullptr};
    look_up(call, frame, frames, team);
    execute(0, shape_.entry, piece, team);
    transform(call, frames, team);
    if (!call.samples) return;
    execute(shape_.entry, middle, piece, team);
    sound(call, frame, frames, team);
}

void Codec::add_entry(int group, int64_t code, float* to) const {
    const int64_t width = shape_.codebook_width;
    if (!shape_.half_codebooks)
        return stack_.kernels().add(to, static_cast<const float*>(codebooks_[size_t(group)]) + code * width, int(width));
    const uint16_t* halves = static_cast<const uint16_t*>(codebooks_[size_t(group)]) + code * width;
    for (int64_t i = 0; i < width; i++) {
        const uint32_t bits = uint32_t(halves[i]) << 16;
        float value;
        std::memcpy(&value, &bits, sizeof(value));
        to[i] += value;
    }
}

// The first step's input: the semantic code's entry, and beside it the sum of the others'.
void Codec::look_up(const CodecCall& call, int frame, int frames, Team team) {
    const int64_t width = shape_.codebook_width;
    float* out = reinterpret_cast<float*>(workspace_->buffers[size_t(steps_[0].buffer)].get());
    for (int64_t row = team.index; row < int64_t(call.count) * frames; row += team.size) {
        const int64_t* codes = call.codes + (row / frames * call.frames + frame + row % frames) * shape_.groups;
        float* to = out + row * 2 * width;
        std::memset(to, 0, sizeof(float) * size_t(2 * width));
        for (int group = 0; group < shape_.groups; group++) add_entry(group, codes[group], group ? to + width : to);
    }
    team.barrier();
}

void Codec::transform(const CodecCall& call, int frames, Team team) {
    Workspace& work = *workspace_;
    const int rows = call.count * frames, hidden = stack_.shape().hidden;
    stack_.run(work.spans, rows, work.kept.get(), work.normed.get(), team);
    if (!call.samples) return;
    const Step& next = steps_[size_t(shape_.entry)];
    const Finish plain = {nullptr, nullptr, nullptr, kNone, next.width == 2};
    for (int row = team.index; row < rows; row += team.size)
        stack_.kernels().finish(plain, work.normed.get() + int64_t(row) * hidden, 0, hidden, nullptr, nullptr,
                                work.buffers[size_t(next.buffer)].get() + row * next.row_bytes());
    team.barrier();
}

// Late steps, one slot and frame after the other.
void Codec::sound(const CodecCall& call, int frame, int frames, Team team) {
    const int middle = shape_.entry + shape_.middle, all = int(steps_.size());
    const int rows = rate(shape_.entry, middle), samples = rows * rate(middle, all), past = steps_[size_t(middle)].past;
    for (int slot = 0; slot < call.count; slot++) {
        for (int i = 0; i < frames; i++) {
            float* out = call.samples + (int64_t(slot) * call.frames + frame + i) * samples;
            execute(middle, all, {call, slot, 1, rows, (slot * frames + i) * rows + slot * past, out}, team);
        }
    }
}

void Codec::execute(int first, int last, Piece piece, Team team) {
    for (int i = first; i < last; i++) {
        const Step& step = steps_[size_t(i)];
        const bool after = i + 1 < last || i + 1 == shape_.entry + shape_.middle;
        const Step* next = after ? &steps_[size_t(i + 1)] : nullptr;
        carry(step, piece, false, team);
        if (next) {
            Piece coming = piece;
            coming.rows *= step.rate;
            coming.skip = 0;
            carry(*next, coming, true, team);
        }
        if (step.depthwise)
            mix_channels(step, *next, piece, team);
        else
            convolve(step, next, piece, team);
        team.barrier();
        piece.rows *= step.rate;
        piece.skip = 0;
    }
}

// Where the rows of a step's input begin, the past included.
RowMap Codec::rows_of(const Step& step, const Piece& piece) const {
    const int64_t row = step.row_bytes();
    return {workspace_->buffers[size_t(step.buffer)].get() + piece.skip * row, (step.past + piece.rows) * row, row,
            piece.rows};
}

// Copy the past from the state to the head of a step's input, or the end of its input to the state.
void Codec::carry(const Step& step, const Piece& piece, bool in, Team team) const {
    const RowMap map = rows_of(step, piece);
    const size_t bytes = size_t(step.past * step.row_bytes());
    for (int i = team.index; bytes && i < piece.slots; i += team.size) {
        uint8_t* head = map.start + i * map.slot_stride;
        uint8_t* state = piece.call.state + piece.call.slots[piece.first + i] * state_bytes_ + step.state;
        if (in)
            std::memcpy(head, state, bytes);
        else
            std::memcpy(state, head + piece.rows * step.row_bytes(), bytes);
    }
}

void Codec::convolve(const Step& step, const Step* next, const Piece& piece, Team team) {
    const int rows = piece.slots * piece.rows, panels = step.linear.outputs / kPanel;
    const int heights = (rows + kTileRows - 1) / kTileRows, widths = (panels + kTilePanels - 1) / kTilePanels;
    // Neighbouring tiles share their weights.
    team.divide(heights * widths, 1, [&](Range tiles) {
        for (int tile = tiles.first; tile < tiles.last; tile++) {
            const int row = tile % heights * kTileRows, panel = tile / heights * kTilePanels;
            convolve_tile(step, next, piece, {row, std::min(row + kTileRows, rows)},
                          {panel, std::min(panel + kTilePanels, panels)}, team);
        }
    });
}

void Codec::convolve_tile(const Step& step, const Step* next, const Piece& piece, Range rows, Range panels, Team team) {
    const Kernels& kernels = stack_.kernels();
    Workspace& work = *workspace_;
    const int columns = (panels.last - panels.first) * kPanel, first = panels.first * kPanel;
    float* tile = work.tiles[size_t(team.index)].get();
    const Window window = {step.taps, step.channels, int64_t(step.dilation) * step.channels};
    kernels.slide(step.linear, rows_of(step, piece), window, rows, panels, tile, columns);
    RowMap to{};
    if (next) {
        to = rows_of(*next, {piece.call, piece.first, piece.slots, piece.rows * step.rate, 0, nullptr});
        to.start += next->past * next->row_bytes();
        to.per_slot = piece.rows;
        to.row_stride *= step.rate;
    }
    const Finish finish = {step.bias, step.frequency, step.scale, step.activation, next && next->width == 2};
    for (int row = rows.first; row < rows.last; row++) {
        const float* x = tile + int64_t(row - rows.first) * columns;
        float* kept = work.kept.get() + int64_t(row) * step.linear.outputs + first;
        uint8_t* encoded = next ? row_of(to, row) + first * next->width : nullptr;
        if (next || step.keep)
            kernels.finish(finish, x, first, columns, step.add ? kept : nullptr, step.keep ? kept : nullptr, encoded);
        else if (first == 0)
            piece.samples[row] = x[0] + step.bias[0];
    }
}

// A depthwise convolution and the norm over channels after it.
void Codec::mix_channels(const Step& step, const Step& next, const Piece& piece, Team team) {
    const Kernels& kernels = stack_.kernels();
    const RowMap from = rows_of(step, piece);
    const Finish plain = {nullptr, nullptr, nullptr, kNone, next.width == 2};
    float* channels = workspace_->channels[size_t(team.index)].get();
    uint8_t* to = workspace_->buffers[size_t(next.buffer)].get();
    for (int row = team.index; row < piece.slots * piece.rows; row += team.size) {
        kernels.depthwise(reinterpret_cast<const float*>(row_of(from, row)), step.depthwise, step.bias, step.taps,
                          step.channels, channels);
        kernels.layer_norm(channels, step.norm, step.norm_bias, step.channels, 1e-6f);
        kernels.finish(plain, channels, 0, step.channels, nullptr, nullptr, to + row * next.row_bytes());
    }
}

}  // namespace speech
