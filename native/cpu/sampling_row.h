// One row of vn_sample.
#pragma once

#include <cstdint>

#include "cpu/logits_kernels.h"
#include "vllm_native.h"

namespace vn::cpu {

// Scratch of one row in work, carved out of the caller's workspace.
struct SampleScratch {
  float* lanes;    // [blocks, 16] maxima
  uint64_t* sums;  // [blocks] masses
  float* values;   // [vocab] candidates: logits
  float* masses;   // [vocab] and their masses
  int32_t* ids;    // [vocab] and their ids, ascending
};

int64_t sample_scratch_bytes(int64_t vocab);
SampleScratch carve_sample_scratch(void* memory, int64_t vocab);

struct SampledToken {
  int32_t id;
  int32_t flags;
};

// sampling null = greedy.
SampledToken sample_row(const LogitKernels& kernels, const float* logits, int64_t vocab, const vn_sampling_row* sampling,
                        int32_t position, const SampleScratch& scratch);

}  // namespace vn::cpu
