// One code from logits: the function of models/language/sampling.py.
#pragma once
#include "descriptions.h"
#include "memory.h"

namespace speech {

class Sampler {
public:
    explicit Sampler(int vocabulary);

    // `uniform` in [0, 1): the smallest code whose cumulative probability exceeds it.
    int draw(const float* logits, const SamplingRow& row, double uniform);

private:
    void keep_top_k(int wanted);
    void keep_top_p(float top_p);

    int vocabulary_;
    Buffer<float> scores_;
    Buffer<int32_t> order_;
    Buffer<double> cumulative_;
};

}  // namespace speech
