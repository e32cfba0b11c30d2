// The C interface that ../library.py calls. Results below zero are errors, null pointers mean no memory; no exception
// leaves the library. An object may be used by one thread at a time.
#pragma once
#include "codec.h"
#include "predictor.h"
#include "stack.h"

enum SpeechResult : int { kSpeechDone = 0, kSpeechBadArgument = -1, kSpeechNoMemory = -2 };

#pragma GCC visibility push(default)
extern "C" {

// What was compiled, separated by spaces: a digest of the sources (../sources.py), the version of the packed weights'
// layout (../packing.py), and the bytes of every structure that callers hand in. Who expects another must not call
// anything else.
const char* speech_abi();
// Names of the instruction sets this processor has kernels for, best first, separated by commas.
const char* speech_instruction_sets();
// Null for one that is not among them; "amx_emulated" is there for tests.
const speech::Kernels* speech_kernels(const char* name);

// x [rows, inputs] -> out [rows, outputs].
int speech_multiply(const speech::Kernels* kernels, const speech::Linear* linear, const float* x, int rows, float* out,
                    int threads);

speech::Stack* speech_stack_create(const speech::Kernels* kernels, const speech::StackDescription* description);
void speech_stack_destroy(speech::Stack* stack);
// x [rows, hidden] is overwritten; out [rows, hidden] is NaN in a row where a NaN or an infinity appeared.
int speech_stack_forward(speech::Stack* stack, float* x, float* out, const int32_t* slots, const int32_t* positions,
                         int rows, int threads);

speech::Predictor* speech_predictor_create(speech::Stack* stack, const speech::PredictorDescription* description);
void speech_predictor_destroy(speech::Predictor* predictor);
int speech_predictor_run(speech::Predictor* predictor, const speech::PredictorCall* call, int threads);

speech::Codec* speech_codec_create(speech::Stack* stack, const speech::CodecDescription* description);
void speech_codec_destroy(speech::Codec* codec);
// Bytes of past that each slot carries, besides the transformer's cache.
int64_t speech_codec_state(const speech::Codec* codec);
int speech_codec_run(speech::Codec* codec, const speech::CodecCall* call, int threads);

// One code from logits [vocabulary], as the predictor draws it.
int speech_sample(const float* logits, int vocabulary, const speech::SamplingRow* row, double uniform);

}  // extern "C"
#pragma GCC visibility pop
