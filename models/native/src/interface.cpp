// The C interface that ../library.py calls. Errors are negative results, never exceptions.
#include <new>
#include <string>

#include "codec.h"
#include "dispatch.h"
#include "predictor.h"
#include "stack.h"

using namespace speech;

namespace {

enum Result : int { kDone = 0, kBadArgument = -1, kNoMemory = -2 };

constexpr int kPiece = 128;  // rows that go through the layers together

template <class Call>
int guarded(const Call& call) {
    try {
        return call();
    } catch (const std::bad_alloc&) {
        return kNoMemory;
    }
}

void forward_piece(Stack& stack, const std::vector<Span>& spans, int rows, float* x, float* out, uint8_t* failed, int threads) {
    stack.prepare(rows, threads);
    together(threads, [&](Team team) { stack.run(spans, rows, x, out, failed, team); });
}

}  // namespace

#pragma GCC visibility push(default)
extern "C" {

// Names of the instruction sets this processor has kernels for, best first, separated by commas.
const char* speech_instruction_sets() {
    static const std::string names = [] {
        std::string joined;
        for (const Kernels* kernels : runnable_kernels()) joined += (joined.empty() ? "" : ",") + std::string(kernels->name);
        return joined;
    }();
    return names.c_str();
}

const Kernels* speech_kernels(const char* name) {
    for (const Kernels* kernels : runnable_kernels())
        if (std::string(kernels->name) == name) return kernels;
    return nullptr;
}

// x [rows, inputs] -> out [rows, outputs].
int speech_multiply(const Kernels* kernels, const Linear* linear, const float* x, int rows, float* out, int threads) {
    return guarded([&] {
        RowEncoder encoder(rows, linear->inputs, threads);
        std::vector<Buffer<uint8_t>> panel;
        for (int thread = 0; thread < threads; thread++) panel.emplace_back(scratch_bytes(*linear));
        together(threads, [&](Team team) {
            auto source = [&](int row, float*, bool) { return x + int64_t(row) * linear->inputs; };
            Activations input = encoder.encode(*kernels, *linear, rows, team, source);
            team.divide(linear->outputs / kPanel, 2, [&](Range panels) {
                kernels->product(*linear, input, rows, panels.first, panels.last, out, panel[size_t(team.index)].get());
            });
        });
        return int(kDone);
    });
}

Stack* speech_stack_create(const Kernels* kernels, const StackDescription* description) {
    return new (std::nothrow) Stack(*kernels, *description);
}

void speech_stack_destroy(Stack* stack) { delete stack; }

int64_t speech_stack_workspace(const Stack* stack) { return stack->workspace_bytes(); }

// x [rows, hidden] is overwritten, out [rows, hidden], failed [rows].
int speech_stack_forward(Stack* stack, float* x, float* out, uint8_t* failed, const int32_t* slots, const int32_t* positions,
                         int rows, int threads) {
    return guarded([&]() -> int {
        if (rows < 1 || threads < 1 || !stack->valid(spans_of(slots, positions, rows))) return kBadArgument;
        const int64_t hidden = stack->shape().hidden;
        for (int row = 0; row < rows; row += kPiece) {
            int count = rows - row < kPiece ? rows - row : kPiece;
            std::vector<Span> spans = spans_of(slots + row, positions + row, count);
            forward_piece(*stack, spans, count, x + row * hidden, out + row * hidden, failed + row, threads);
        }
        return kDone;
    });
}

Predictor* speech_predictor_create(Stack* stack, const PredictorDescription* description) {
    return new (std::nothrow) Predictor(*stack, *description);
}

void speech_predictor_destroy(Predictor* predictor) { delete predictor; }

int64_t speech_predictor_workspace(const Predictor* predictor) { return predictor->workspace_bytes(); }

int speech_predictor_run(Predictor* predictor, const PredictorCall* call, int threads) {
    return guarded([&]() -> int {
        if (threads < 1 || !predictor->valid(*call)) return kBadArgument;
        predictor->run(*call, threads);
        return kDone;
    });
}

Codec* speech_codec_create(Stack* stack, const CodecDescription* description) {
    return new (std::nothrow) Codec(*stack, *description);
}

void speech_codec_destroy(Codec* codec) { delete codec; }

int64_t speech_codec_workspace(const Codec* codec) { return codec->workspace_bytes(); }

// Bytes of past that each slot carries, besides the transformer's cache.
int64_t speech_codec_state(const Codec* codec) { return codec->state_bytes(); }

int speech_codec_run(Codec* codec, const CodecCall* call, int threads) {
    return guarded([&]() -> int {
        if (threads < 1 || !codec->valid(*call)) return kBadArgument;
        codec->run(*call, threads);
        return kDone;
    });
}

// One code from logits [vocabulary], as the predictor draws it.
int speech_sample(const float* logits, int vocabulary, const SamplingRow* row, double uniform) {
    return guarded([&] { return Sampler(vocabulary).draw(logits, *row, uniform); });
}

}  // extern "C"
#pragma GCC visibility pop
