#include "sampling.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace speech {

namespace {
constexpr float kDropped = -std::numeric_limits<float>::infinity();
}

Sampler::Sampler(int vocabulary)
    : vocabulary_(vocabulary),
      scores_(2 * int64_t(vocabulary)),
      order_(vocabulary),
      cumulative_(vocabulary) {}

int Sampler::draw(const float* logits, const SamplingRow& row, double uniform) {
    int best = int(std::max_element(logits, logits + vocabulary_) - logits);
    if (row.temperature == 0) return best;
    for (int i = 0; i < vocabulary_; i++) scores_[i] = logits[i] / row.temperature;
    const double most = scores_[best];
    if (row.top_k > 0 && row.top_k < vocabulary_) keep_top_k(row.top_k);
    if (row.top_p < 1) keep_top_p(row.top_p);
    double total = 0;
    for (int i = 0; i < vocabulary_; i++) {
        cumulative_[i] = scores_[i] == kDropped ? 0 : std::exp(double(scores_[i]) - most);
        total += cumulative_[i];
    }
    double sum = 0;
    for (int i = 0; i < vocabulary_; i++) cumulative_[i] = sum += cumulative_[i] / total;
    const double *first = cumulative_.get(), *last = first + vocabulary_;
    // Rounding can put the target at the total itself; the last code that has any probability is then meant.
    const double* end = std::lower_bound(first, last, sum);
    return int(std::min(std::upper_bound(first, last, uniform * sum), end) - first);
}

// Drop what is below the wanted-th largest score.
void Sampler::keep_top_k(int wanted) {
    float *copy = scores_.get() + vocabulary_, *kth = copy + wanted - 1;
    std::copy(scores_.get(), scores_.get() + vocabulary_, copy);
    std::nth_element(copy, kth, copy + vocabulary_, [](float a, float b) { return a > b; });
    for (int i = 0; i < vocabulary_; i++)
        if (scores_[i] < *kth) scores_[i] = kDropped;
}

// Drop the least likely codes whose joint probability is at most 1 - top_p; the most likely one always stays.
void Sampler::keep_top_p(float top_p) {
    int count = 0;
    for (int i = 0; i < vocabulary_; i++)
        if (scores_[i] != kDropped) order_[count++] = i;
    std::stable_sort(order_.get(), order_.get() + count, [&](int a, int b) { return scores_[a] < scores_[b]; });
    float most = scores_[order_[count - 1]], total = 0;
    float* likely = scores_.get() + vocabulary_;
    for (int i = 0; i < count; i++) total += likely[i] = std::exp(scores_[order_[i]] - most);
    double sum = 0;
    for (int i = 0; i + 1 < count; i++) {
        sum += likely[i] / total;
        if (float(sum) <= 1 - top_p) scores_[order_[i]] = kDropped;
    }
}

}  // namespace speech
