// Rows made ready for products. Few rows are encoded by every thread for itself, which is cheaper than to wait for
// each other; many are divided over the team.
#pragma once
#include <vector>

#include "memory.h"
#include "tables.h"
#include "team.h"

namespace speech {

// Storage of Activations, for any format; what a format does not use is never touched and costs no memory.
class ActivationRows {
public:
    ActivationRows(int rows, int inputs)
        : values_(int64_t(rows) * inputs),
          halves_(int64_t(rows) * inputs),
          codes_(int64_t(rows) * inputs),
          scales_(int64_t(rows) * inputs / kBlock + 1),
          corrections_(int64_t(rows) * inputs / kBlock + 1) {}

    Activations view(int inputs) const {
        return {values_.get(), halves_.get(), codes_.get(), scales_.get(), corrections_.get(), inputs};
    }

private:
    Buffer<float> values_;
    Buffer<uint16_t> halves_;
    Buffer<int8_t> codes_;
    Buffer<float> scales_;
    Buffer<int32_t> corrections_;
};

class RowEncoder {
public:
    static constexpr int kPrivate = 4;  // rows up to which every thread encodes all

    RowEncoder(int rows, int inputs, int threads) {
        shared_.emplace_back(rows, inputs);
        for (int thread = 0; thread < threads; thread++) {
            private_.emplace_back(rows < kPrivate ? rows : kPrivate, inputs);
            scratch_.emplace_back(inputs);
        }
    }

    // source(row, scratch) -> the row's values, in `scratch` [inputs] or elsewhere.
    template <class Source>
    Activations encode(const Kernels& kernels, const Linear& linear, int rows, Team team, const Source& source) {
        bool alone = rows <= kPrivate;
        Activations to = (alone ? private_[team.index] : shared_[0]).view(linear.inputs);
        for (int row = alone ? 0 : team.index; row < rows; row += alone ? 1 : team.size) {
            const float* values = source(row, scratch_[team.index].get());
            kernels.encode(linear.format, values, to, row, 0, linear.inputs);
        }
        if (!alone) team.barrier();
        return to;
    }

private:
    std::vector<ActivationRows> shared_, private_;
    std::vector<Buffer<float>> scratch_;
};

}  // namespace speech
