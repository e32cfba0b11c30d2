// The code predictor: all passes of a frame, sampling included, in one call.
#pragma once
#include <memory>
#include <vector>

#include "sampling.h"
#include "stack.h"

namespace speech {

struct PredictorCall {
    const float *hidden, *first;  // [rows, talker_hidden]: the talker's state, and the embedding of code 0
    const double* uniforms;       // [rows, groups]
    const SamplingRow* sampling;  // [rows]
    int64_t* codes;               // [rows, groups]
    float* total;                 // [rows, talker_hidden]: sum of the codes' embeddings
    uint8_t* failed;              // [rows]: 1 where a logit is NaN or infinite; such a row's codes mean nothing
    int32_t rows;
};

class Predictor {
public:
    // The stack must outlive the predictor; its cache has a slot for each row and a position for each code group.
    Predictor(Stack& stack, const PredictorDescription& description);
    ~Predictor();

    void run(const PredictorCall& call, int threads);
    bool valid(const PredictorCall& call) const;

private:
    struct Workspace;
    void prepare(int rows, int threads);
    void frame(const PredictorCall& call, Team team);
    void begin(const PredictorCall& call, Team team);
    void pass(const std::vector<Span>& spans, int rows, Team team);
    void choose(const PredictorCall& call, int group, Team team);
    void draw(const PredictorCall& call, int group, int row, Team team);
    void embed(int group, int64_t code, float* to, float* total) const;
    void multiply(const Linear& linear, const float* bias, RowEncoder& encoder, int rows, const float* x,
                  int64_t stride, float* out, Team team);

    Stack& stack_;
    PredictorDescription shape_;
    std::vector<Linear> heads_;
    std::vector<const void*> embeddings_;
    Linear projection_{};
    std::unique_ptr<Workspace> workspace_;
};

}  // namespace speech
