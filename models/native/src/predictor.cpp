#include "predictor.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace speech {

struct Predictor::Workspace {
    Workspace(const StackDescription& stack, const PredictorDescription& shape, int rows, int threads, int64_t decoded)
        : rows(rows),
          threads(threads),
          embedded(shape.projection ? 2 * int64_t(rows) * shape.talker_hidden : 0),
          x(2 * int64_t(rows) * stack.hidden),
          state(2 * int64_t(rows) * stack.hidden),
          logits(int64_t(rows) * shape.vocabulary),
          projected(2 * rows, shape.talker_hidden, threads),
          scored(rows, stack.hidden, threads) {
        for (int thread = 0; thread < threads; thread++) {
            samplers.emplace_back(shape.vocabulary);
            panel.emplace_back(decoded);
        }
    }

    int rows, threads;
    Buffer<float> embedded;  // [2 rows, talker_hidden], where there is a projection
    Buffer<float> x;         // [2 rows, hidden]
    Buffer<float> state;     // [2 rows, hidden]
    Buffer<float> logits;    // [rows, vocabulary]
    RowEncoder projected, scored;
    std::vector<Sampler> samplers;       // one a thread
    std::vector<Buffer<uint8_t>> panel;  // one a thread
    std::vector<Span> pairs, singles;    // the first pass has two positions a row, the others one
};

Predictor::Predictor(Stack& stack, const PredictorDescription& description)
    : stack_(stack),
      shape_(description),
      heads_(description.heads, description.heads + description.groups),
      embeddings_(description.embeddings, description.embeddings + description.groups) {
    if (shape_.projection) {
        projection_ = *shape_.projection;
        shape_.projection = &projection_;
    }
}

Predictor::~Predictor() = default;

bool Predictor::valid(const PredictorCall& call) const {
    return call.rows > 0 && call.rows <= stack_.shape().slots && shape_.groups < stack_.shape().positions + 1;
}

void Predictor::prepare(int rows, int threads) {
    stack_.prepare(2 * rows, threads);
    if (!workspace_ || workspace_->rows < rows || workspace_->threads < threads) {
        int64_t decoded = shape_.projection ? scratch_bytes(projection_) : 0;
        for (const Linear& head : heads_) decoded = std::max(decoded, scratch_bytes(head));
        workspace_ = std::make_unique<Workspace>(stack_.shape(), shape_, rows, threads, decoded);
    }
    workspace_->pairs.clear();
    workspace_->singles.clear();
    for (int row = 0; row < rows; row++) {
        workspace_->pairs.push_back({row, 2 * row, 2, 0});
        workspace_->singles.push_back({row, row, 1, 2});
    }
}

void Predictor::run(const PredictorCall& call, int threads) {
    prepare(call.rows, threads);
    together(threads, [&](Team team) { frame(call, team); });
}

void Predictor::frame(const PredictorCall& call, Team team) {
    Workspace& work = *workspace_;
    begin(call, team);
    pass(work.pairs, 2 * call.rows, team);
    choose(call, 0, team);
    for (int group = 1; group < shape_.groups; group++) {
        pass(work.singles, call.rows, team);
        choose(call, group, team);
        if (team.index == 0)
            for (Span& span : work.singles) span.start++;
        team.barrier();
    }
}

// The talker's state and the embedding of code 0 are the first two positions.
void Predictor::begin(const PredictorCall& call, Team team) {
    Workspace& work = *workspace_;
    const int64_t width = shape_.talker_hidden;
    float* to = (shape_.projection ? work.embedded : work.x).get();
    for (int64_t row = team.index; row < call.rows; row += team.size) {
        std::memcpy(to + 2 * row * width, call.hidden + row * width, sizeof(float) * size_t(width));
        std::memcpy(to + (2 * row + 1) * width, call.first + row * width, sizeof(float) * size_t(width));
        std::memset(call.total + row * width, 0, sizeof(float) * size_t(width));
        call.failed[row] = 0;
    }
    team.barrier();
}

void Predictor::pass(const std::vector<Span>& spans, int rows, Team team) {
    Workspace& work = *workspace_;
    if (shape_.projection) {
        multiply(projection_, shape_.projection_bias, work.projected, rows, work.embedded.get(), shape_.talker_hidden,
                 work.x.get(), team);
        team.barrier();
    }
    stack_.run(spans, rows, work.x.get(), work.state.get(), team);
}

// Logits of one group from the last position of each row, and a code from them.
void Predictor::choose(const PredictorCall& call, int group, Team team) {
    Workspace& work = *workspace_;
    const int hidden = stack_.shape().hidden, positions = group == 0 ? 2 : 1;
    const float* last = work.state.get() + (positions - 1) * hidden;
    multiply(heads_[size_t(group)], nullptr, work.scored, call.rows, last, int64_t(positions) * hidden,
             work.logits.get(), team);
    team.barrier();
    for (int row = team.index; row < call.rows; row += team.size) draw(call, group, row, team);
    team.barrier();
}

void Predictor::draw(const PredictorCall& call, int group, int row, Team team) {
    Workspace& work = *workspace_;
    const float* logits = work.logits.get() + int64_t(row) * shape_.vocabulary;
    bool finite = std::all_of(logits, logits + shape_.vocabulary, [](float x) { return std::isfinite(x); });
    int code = finite ? work.samplers[size_t(team.index)].draw(logits, call.sampling[row],
                                                               call.uniforms[int64_t(row) * shape_.groups + group])
                      : 0;
    if (!finite) call.failed[row] = 1;
    call.codes[int64_t(row) * shape_.groups + group] = code;
    float* to = (shape_.projection ? work.embedded : work.x).get();
    embed(group, code, to + int64_t(row) * shape_.talker_hidden, call.total + int64_t(row) * shape_.talker_hidden);
}

void Predictor::embed(int group, int64_t code, float* to, float* total) const {
    const int64_t width = shape_.talker_hidden;
    const void* table = embeddings_[size_t(group)];
    if (shape_.half_embeddings) {
        const uint16_t* halves = static_cast<const uint16_t*>(table) + code * width;
        for (int64_t i = 0; i < width; i++) {
            uint32_t bits = uint32_t(halves[i]) << 16;
            std::memcpy(to + i, &bits, sizeof(bits));
        }
    } else {
        std::memcpy(to, static_cast<const float*>(table) + code * width, sizeof(float) * size_t(width));
    }
    for (int64_t i = 0; i < width; i++) total[i] += to[i];
}

// out [rows, outputs] = x times linear, plus bias unless that is null; rows of x lie `stride` apart.
void Predictor::multiply(const Linear& linear, const float* bias, RowEncoder& encoder, int rows, const float* x,
                         int64_t stride, float* out, Team team) {
    const Kernels& kernels = stack_.kernels();
    auto source = [&](int row, float*) { return x + row * stride; };
    Activations input = encoder.encode(kernels, linear, rows, team, source);
    team.divide(linear.outputs / kPanel, kGroup, [&](Range panels) {
        kernels.product(linear, input, rows, panels.first, panels.last, out,
                        workspace_->panel[size_t(team.index)].get());
        for (int row = 0; bias && row < rows; row++)
            kernels.add(out + int64_t(row) * linear.outputs + panels.first * kPanel, bias + panels.first * kPanel,
                        (panels.last - panels.first) * kPanel);
    });
}

}  // namespace speech
