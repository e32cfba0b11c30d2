#include "interface.h"

#include <new>
#include <string>

#include "dispatch.h"

using namespace speech;

namespace {

constexpr int kLayoutVersion = 3;  // of the packed weights
constexpr int kPiece = 128;  // rows that go through the layers together

template <class Call>
int guarded(const Call& call) {
    try {
        return call();
    } catch (const std::bad_alloc&) {
        return kSpeechNoMemory;
    }
}

template <class Object, class... Arguments>
Object* created(Arguments&... arguments) {
    try {
        return new Object(arguments...);
    } catch (const std::bad_alloc&) {
        return nullptr;
    }
}

}  // namespace

const char* speech_abi() {
    static const std::string abi = [] {
        std::string parts = "sources=" SPEECH_SOURCES;
        auto add = [&](const std::string& name, size_t number) { parts += " " + name + "=" + std::to_string(number); };
        add("layout", kLayoutVersion);
        add("Linear", sizeof(Linear));
        add("LayerDescription", sizeof(LayerDescription));
        add("StackDescription", sizeof(StackDescription));
        add("PredictorDescription", sizeof(PredictorDescription));
        add("StepDescription", sizeof(StepDescription));
        add("CodecDescription", sizeof(CodecDescription));
        add("CodecCall", sizeof(CodecCall));
        add("SamplingRow", sizeof(SamplingRow));
        add("PredictorCall", sizeof(PredictorCall));
        return parts;
    }();
    return abi.c_str();
}

const char* speech_instruction_sets() {
    static const std::string names = [] {
        std::string joined;
        for (const Kernels* kernels : runnable_kernels())
            joined += (joined.empty() ? "" : ",") + std::string(kernels->name);
        return joined;
    }();
    return names.c_str();
}

const Kernels* speech_kernels(const char* name) { return named_kernels(name); }

int speech_multiply(const Kernels* kernels, const Linear* linear, const float* x, int rows, float* out, int threads) {
    return guarded([&]() -> int {
        RowEncoder encoder(rows, linear->inputs, threads);
        std::vector<Buffer<uint8_t>> panel;
        for (int thread = 0; thread < threads; thread++) panel.emplace_back(scratch_bytes(*linear));
        together(threads, [&](Team team) {
            auto source = [&](int row, float*) { return x + int64_t(row) * linear->inputs; };
            Activations input = encoder.encode(*kernels, *linear, rows, team, source);
            team.divide(linear->outputs / kPanel, kGroup, [&](Range panels) {
                kernels->product(*linear, input, rows, panels.first, panels.last, out, panel[size_t(team.index)].get());
            });
        });
        return kSpeechDone;
    });
}

Stack* speech_stack_create(const Kernels* kernels, const StackDescription* description) {
    return created<Stack>(*kernels, *description);
}

void speech_stack_destroy(Stack* stack) { delete stack; }

int speech_stack_forward(Stack* stack, float* x, float* out, const int32_t* slots, const int32_t* positions, int rows,
                         int threads) {
    return guarded([&]() -> int {
        if (rows < 1 || threads < 1 || !stack->valid(spans_of(slots, positions, rows))) return kSpeechBadArgument;
        const int64_t hidden = stack->shape().hidden;
        for (int row = 0; row < rows; row += kPiece) {
            const int count = rows - row < kPiece ? rows - row : kPiece;
            const std::vector<Span> spans = spans_of(slots + row, positions + row, count);
            stack->prepare(count, threads);
            together(threads, [&](Team team) { stack->run(spans, count, x + row * hidden, out + row * hidden, team); });
        }
        return kSpeechDone;
    });
}

Predictor* speech_predictor_create(Stack* stack, const PredictorDescription* description) {
    return created<Predictor>(*stack, *description);
}

void speech_predictor_destroy(Predictor* predictor) { delete predictor; }

int speech_predictor_run(Predictor* predictor, const PredictorCall* call, int threads) {
    return guarded([&]() -> int {
        if (threads < 1 || !predictor->valid(*call)) return kSpeechBadArgument;
        predictor->run(*call, threads);
        return kSpeechDone;
    });
}

Codec* speech_codec_create(Stack* stack, const CodecDescription* description) {
    return created<Codec>(*stack, *description);
}

void speech_codec_destroy(Codec* codec) { delete codec; }

int64_t speech_codec_state(const Codec* codec) { return codec->state_bytes(); }

int speech_codec_run(Codec* codec, const CodecCall* call, int threads) {
    return guarded([&]() -> int {
        if (threads < 1 || !codec->valid(*call)) return kSpeechBadArgument;
        codec->run(*call, threads);
        return kSpeechDone;
    });
}

int speech_sample(const float* logits, int vocabulary, const SamplingRow* row, double uniform) {
    return guarded([&] { return Sampler(vocabulary).draw(logits, *row, uniform); });
}
