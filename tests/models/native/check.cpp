// Runs every kernel on buffers of exactly the size they are promised, for the sanitizers to watch: products, stack,
// code predictor and codec decoder, for each format, instruction set and number of threads. Values are not checked
// here.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "../../../models/native/src/interface.h"

using namespace speech;

namespace {

std::mt19937 generator(0);

void require(bool condition, const char* what) {
    if (condition) return;
    std::fprintf(stderr, "failed: %s\n", what);
    std::exit(1);
}

std::vector<float> random_floats(size_t count, float scale = 1.0f, float mean = 0.0f) {
    std::normal_distribution<float> normal(mean, scale);
    std::vector<float> values(count);
    for (float& value : values) value = normal(generator);
    return values;
}

bool finite(const std::vector<float>& values) {
    for (float value : values)
        if (!std::isfinite(value)) return false;
    return true;
}

// A packed matrix with random weights.
class Matrix {
public:
    Matrix(Format format, int outputs, int inputs) {
        const size_t weights = size_t(outputs) * size_t(inputs);
        if (format == kFloat) {
            append(random_floats(weights, 0.1f));
        } else if (format == kHalf) {
            append_halves(random_floats(weights, 0.1f));
        } else {
            for (int panel = 0; panel < outputs / kPanel; panel += 2)
                for (int block = 0; block < inputs / kBlock; block++)
                    append_blocks(format == kInt8 ? 1024 : 512, outputs / kPanel - panel > 1 ? 2 : 1);
        }
        data_.shrink_to_fit();
        linear = {data_.data(), format, outputs, inputs};
    }
    Matrix(Matrix&&) = default;

    Linear linear;

private:
    void append(const std::vector<float>& values) {
        const uint8_t* bytes = reinterpret_cast<const uint8_t*>(values.data());
        data_.insert(data_.end(), bytes, bytes + values.size() * sizeof(float));
    }
    void append_halves(const std::vector<float>& values) {
        for (float value : values) {
            uint32_t bits;
            __builtin_memcpy(&bits, &value, sizeof(bits));
            data_.push_back(uint8_t(bits >> 16));
            data_.push_back(uint8_t(bits >> 24));
        }
    }
    // The same inputs of one or two panels, and their scales.
    void append_blocks(int bytes, int panels) {
        for (int byte = 0; byte < panels * bytes; byte++) data_.push_back(uint8_t(1 + generator() % 255));
        append_halves(random_floats(size_t(panels) * kPanel, 0.001f));
    }
    std::vector<uint8_t> data_;
};

// A stack with its weights and cache.
struct Model {
    static constexpr int layers = 2, hidden = 128, intermediate = 192, heads = 4, kv_heads = 2, dim = 64, slots = 5;

    Model(const Kernels* kernels, Format format, int positions, int longest, bool head_norms)
        : keys(size_t(layers) * slots * kv_heads * size_t(positions) * dim * (format == kFloat ? 4 : 2)),
          values(keys.size()),
          hidden_norm(random_floats(hidden, 0.1f, 1.0f)),
          head_norm(random_floats(dim, 0.1f, 1.0f)),
          angles(random_floats(size_t(longest) * dim / 2)) {
        for (int layer = 0; layer < layers; layer++) {
            matrices.emplace_back(format, (heads + 2 * kv_heads) * dim, hidden);
            matrices.emplace_back(format, hidden, heads * dim);
            matrices.emplace_back(format, 2 * intermediate, hidden);
            matrices.emplace_back(format, hidden, intermediate);
        }
        const float* head = head_norms ? head_norm.data() : nullptr;
        for (size_t layer = 0; layer < layers; layer++) {
            const Matrix* m = &matrices[4 * layer];
            descriptions.push_back({m[0].linear, m[1].linear, m[2].linear, m[3].linear, hidden_norm.data(), head, head,
                                    hidden_norm.data()});
        }
        const StackDescription description = {
            descriptions.data(),
            hidden_norm.data(),
            angles.data(),
            angles.data(),
            keys.data(),
            values.data(),
            layers,
            hidden,
            intermediate,
            heads,
            kv_heads,
            dim,
            slots,
            positions,
            format != kFloat,
            longest,
            1e-6f,
        };
        stack = speech_stack_create(kernels, &description);
        require(stack, "stack");
    }
    ~Model() { speech_stack_destroy(stack); }

    std::vector<Matrix> matrices;
    std::vector<LayerDescription> descriptions;
    std::vector<uint8_t> keys, values;
    std::vector<float> hidden_norm, head_norm, angles;
    Stack* stack;
};

void check_products(const Kernels* kernels, Format format, int threads) {
    const Matrix matrix(format, 80, 192);
    for (int rows : {1, 2, 3, 4, 5, 7, 8, 9, 17}) {
        const std::vector<float> x = random_floats(size_t(rows) * 192);
        std::vector<float> out(size_t(rows) * 80);
        require(speech_multiply(kernels, &matrix.linear, x.data(), rows, out.data(), threads) == 0, "product");
        require(finite(out), "finite products");
    }
}

void check_stack(const Kernels* kernels, Format format, int threads) {
    Model model(kernels, format, 40, 40, true);
    std::vector<int32_t> slots, positions;
    for (int position = 0; position < 33; position++) slots.push_back(4), positions.push_back(position);
    slots.push_back(0), positions.push_back(39);
    const int rows = int(slots.size());
    std::vector<float> x = random_floats(size_t(rows) * Model::hidden), out(x.size());
    auto forward = [&] {
        return speech_stack_forward(model.stack, x.data(), out.data(), slots.data(), positions.data(), rows, threads);
    };
    require(forward() == 0 && finite(out), "stack");
    x[3] = NAN;
    require(forward() == 0 && std::isnan(out[0]), "a NaN comes out as one");
    positions.back() = 40;
    require(forward() == kSpeechBadArgument, "a position too many");
}

void check_predictor(const Kernels* kernels, Format format, int threads) {
    constexpr int groups = 4, vocabulary = 96, wide = 192, rows = 3;
    Model model(kernels, format, groups + 1, groups + 1, true);
    std::vector<Matrix> heads;
    std::vector<Linear> linears;
    std::vector<std::vector<float>> tables;
    std::vector<const void*> embeddings;
    for (int group = 0; group < groups; group++) {
        heads.emplace_back(format, vocabulary, Model::hidden);
        linears.push_back(heads.back().linear);
        tables.push_back(random_floats(vocabulary * wide));
        embeddings.push_back(tables.back().data());
    }
    const Matrix projection(format, Model::hidden, wide);
    const std::vector<float> bias = random_floats(Model::hidden);
    const PredictorDescription description = {
        linears.data(), embeddings.data(), &projection.linear, bias.data(), groups, vocabulary, wide, 0};
    Predictor* predictor = speech_predictor_create(model.stack, &description);
    const std::vector<float> hidden = random_floats(rows * wide), first = random_floats(rows * wide);
    const std::vector<double> uniforms(rows * groups, 0.7);
    const std::vector<SamplingRow> sampling = {{0, 1, 0}, {0.9f, 1, 5}, {1, 0.5f, 0}};
    std::vector<int64_t> codes(rows * groups);
    std::vector<float> total(rows * wide);
    std::vector<uint8_t> failed(rows);
    const PredictorCall call = {hidden.data(), first.data(), uniforms.data(), sampling.data(),
                                codes.data(),  total.data(), failed.data(),   rows};
    require(speech_predictor_run(predictor, &call, threads) == 0 && finite(total), "predictor");
    speech_predictor_destroy(predictor);
}

// A decoder of the published structure, one upsampling and two blocks long.
struct Decoder {
    static constexpr int latent = 64, groups = 3, book = 20, width = 32;

    Decoder(const Kernels* kernels, Format format)
        : model(kernels, format, 9, 30, false),
          vectors(random_floats(8192, 0.1f, 1.0f)) {
        const float* v = vectors.data();
        add(kFloat, {{}, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, 2 * width, 1, 1, 1, kNone, 0, 0},
            2 * width);
        add(format, {{}, v, nullptr, nullptr, nullptr, nullptr, nullptr, 2 * width, 3, 1, 1, kNone, 0, 0}, latent);
        add(format, {{}, v, nullptr, nullptr, nullptr, nullptr, nullptr, latent, 1, 1, 1, kNone, 0, 1}, Model::hidden);
        add(format, {{}, v, nullptr, nullptr, nullptr, nullptr, nullptr, Model::hidden, 1, 1, 1, kNone, 0, 0}, latent);
        add(format, {{}, v, nullptr, nullptr, nullptr, nullptr, nullptr, latent, 1, 1, 2, kNone, 0, 1}, 2 * latent);
        add(format, {{}, v, nullptr, nullptr, v, v, v, latent, 7, 1, 1, kNone, 0, 0}, latent);
        add(format, {{}, v, nullptr, nullptr, nullptr, nullptr, nullptr, latent, 1, 1, 1, kGelu, 0, 0}, 4 * latent);
        add(format, {{}, v, nullptr, nullptr, nullptr, nullptr, nullptr, 4 * latent, 1, 1, 1, kNone, 1, 0}, latent);
        add(format, {{}, v, v, v, nullptr, nullptr, nullptr, latent, 7, 1, 1, kSnake, 0, 0}, 64);
        for (int inputs : {64, 32}) {
            const int channels = inputs / 2;
            add(format, {{}, v, v, v, nullptr, nullptr, nullptr, inputs, 2, 1, 3, kSnake, 0, 1}, 3 * channels);
            for (int dilation : {1, 3, 9}) {
                add(format, {{}, v, v, v, nullptr, nullptr, nullptr, channels, 7, dilation, 1, kSnake, 0, 0}, channels);
                add(format, {{}, v, v, v, nullptr, nullptr, nullptr, channels, 1, 1, 1, kSnake, 1, 1}, channels);
            }
        }
        add(format, {{}, v, nullptr, nullptr, nullptr, nullptr, nullptr, 16, 7, 1, 1, kNone, 0, 0}, 16);
        for (size_t i = 0; i < steps.size(); i++) steps[i].linear = matrices[i].linear;
        for (int group = 0; group < groups; group++) tables.emplace_back(format, book, width);
        for (const Matrix& table : tables) books.push_back(table.linear.data);
        const CodecDescription description = {
            books.data(), steps.data(), groups, book, width, 3, 13, 8, format == kHalf};
        codec = speech_codec_create(model.stack, &description);
        require(codec, "codec");
    }
    ~Decoder() { speech_codec_destroy(codec); }

    void add(Format format, StepDescription step, int outputs) {
        matrices.emplace_back(format, outputs, step.taps * step.channels);
        steps.push_back(step);
    }

    Model model;
    std::vector<float> vectors;
    std::vector<Matrix> matrices, tables;
    std::vector<StepDescription> steps;
    std::vector<const void*> books;
    Codec* codec;
};

void check_codec(const Kernels* kernels, Format format, int threads) {
    constexpr int samples = 2 * 3 * 3;
    Decoder decoder(kernels, format);
    std::vector<uint8_t> state(size_t(Model::slots) * size_t(speech_codec_state(decoder.codec)));
    const std::vector<int32_t> slots = {4, 0, 2};
    for (int frames : {1, 3, 19}) {
        const std::vector<int64_t> codes(slots.size() * size_t(frames) * Decoder::groups, Decoder::book - 1);
        std::vector<int32_t> done(slots.size(), 30 - frames);
        std::vector<float> out(slots.size() * size_t(frames) * samples);
        CodecCall call = {codes.data(), slots.data(),          done.data(), state.data(),
                          out.data(),   int32_t(slots.size()), frames};
        require(speech_codec_run(decoder.codec, &call, threads) == 0 && finite(out), "codec");
        call.samples = nullptr;
        require(speech_codec_run(decoder.codec, &call, threads) == 0, "codec without samples");
        done[0]++;
        require(speech_codec_run(decoder.codec, &call, threads) == kSpeechBadArgument, "a frame too many");
    }
}

void check_sampling() {
    std::vector<float> logits = random_floats(50);
    logits[7] = logits[9] = 9.0f;
    for (int top_k : {0, 1, 50, 51}) {
        for (float top_p : {1.0f, 0.5f, 1e-9f}) {
            for (float temperature : {0.0f, 0.01f, 1.0f}) {
                const SamplingRow row = {temperature, top_p, top_k};
                for (double uniform : {0.0, 0.5, 1.0 - 1e-16}) {
                    const int code = speech_sample(logits.data(), 50, &row, uniform);
                    require(code >= 0 && code < 50, "code in range");
                }
            }
        }
    }
}

}  // namespace

int main() {
    std::string names = speech_instruction_sets();
    if (speech_kernels("amx_emulated")) names += ",amx_emulated";
    for (size_t at = 0; at < names.size();) {
        const size_t end = names.find(',', at) == std::string::npos ? names.size() : names.find(',', at);
        const std::string name = names.substr(at, end - at);
        const Kernels* kernels = speech_kernels(name.c_str());
        for (int threads : {1, 3}) {
            for (Format format : {kFloat, kHalf, kInt8, kNf4}) {
                check_products(kernels, format, threads);
                check_stack(kernels, format, threads);
                check_predictor(kernels, format, threads);
                if (format == kFloat || format == kHalf) check_codec(kernels, format, threads);
            }
        }
        std::printf("%s\n", name.c_str());
        at = end + 1;
    }
    check_sampling();
    require(speech_kernels("none") == nullptr, "unknown instruction set");
    std::printf("done\n");
}
