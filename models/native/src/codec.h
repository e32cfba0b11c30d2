// The streaming codec decoder: codes to samples, each frame decoded once, the past of every slot kept in one state.
//
// Everything but the transformer is a list of steps on rows of channels, a row for each moment. Entry steps come before
// the transformer. Middle steps work on all slots and frames of a call together, because there the weights are large
// and the rows few. Late steps have small weights and many rows: they go frame by frame, so that rows stay in the
// cache.
#pragma once
#include <memory>
#include <vector>

#include "descriptions.h"
#include "stack.h"

namespace speech {

struct CodecCall {
    const int64_t* codes;         // [count, frames, groups]
    const int32_t *slots, *done;  // [count]: rows of the state, and frames each has decoded before
    uint8_t* state;               // [all slots, state_bytes]
    float* samples;               // [count, frames * samples a frame]; null: only move the transformer on
    int32_t count, frames;
};

class Codec {
public:
    // `stack` is the transformer and must outlive the codec.
    Codec(Stack& stack, const CodecDescription& description);
    ~Codec();

    void run(const CodecCall& call, int threads);
    bool valid(const CodecCall& call) const;
    int64_t state_bytes() const { return state_bytes_; }

private:
    // A step, and where its input lies.
    struct Step : StepDescription {
        int past = 0;       // rows carried from call to call, ahead of the new ones
        int width = 4;      // bytes of a value
        int buffer = 0;     // which of the workspace's buffers
        int64_t state = 0;  // place of the past in a slot's state

        int64_t row_bytes() const { return int64_t(channels) * width; }
    };
    // Some slots of a call, and the rows each has as input of a step.
    struct Piece {
        const CodecCall& call;
        int first, slots;  // which of the call's slots
        int rows;          // new rows of each slot
        int skip;          // rows of the buffer before the first slot's
        float* samples;    // where the last step writes
    };
    struct Sizes;
    struct Workspace;

    Sizes sizes(int slots, int frames) const;
    void prepare(int slots, int frames, int threads);
    void play(const CodecCall& call, int frame, int frames, Team team);
    void add_entry(int group, int64_t code, float* to) const;
    void look_up(const CodecCall& call, int frame, int frames, Team team);
    void transform(const CodecCall& call, int frames, Team team);
    void sound(const CodecCall& call, int frame, int frames, Team team);
    void execute(int first, int last, Piece piece, Team team);
    void convolve(const Step& step, const Step* next, const Piece& piece, Team team);
    void convolve_tile(const Step& step, const Step* next, const Piece& piece, Range rows, Range panels, Team team);
    void mix_channels(const Step& step, const Step& next, const Piece& piece, Team team);
    void carry(const Step& step, const Piece& piece, bool in, Team team) const;
    RowMap rows_of(const Step& step, const Piece& piece) const;
    int rate(int first, int last) const;

    Stack& stack_;
    CodecDescription shape_;
    std::vector<const void*> codebooks_;
    std::vector<Step> steps_;
    int64_t state_bytes_ = 0;
    std::unique_ptr<Workspace> workspace_;
};

}  // namespace speech
