// vn_logits_mask: what a bit mask does not allow becomes -inf; native/cpu/logits_mask.cpp is the definition, equal to the last
// bit. Block (part of the vocabulary, mask); a thread takes four ids, a warp reads a word of the mask for 32 neighbours at
// once. No shared memory. Bound: bytes, 4 V written a row where little is allowed.
#include <cmath>

#include "cuda/dispatch.cuh"
#include "cuda/ops.h"

namespace vn::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kUnroll = 4;
constexpr int64_t kPart = int64_t{kThreads} * kUnroll;  // ids of a block

struct MaskParams {
  float* logits;
  int64_t stride;
  int64_t rows;
  int64_t vocab;
  const int32_t* mask_rows;
  const uint32_t* bits;
  int64_t words;
};

__global__ void __launch_bounds__(kThreads) logits_mask_kernel(const MaskParams p) {
  const int64_t target = p.mask_rows[blockIdx.y];
  if (target < 0 || target >= p.rows) return;
  float* row = p.logits + target * p.stride;
  const uint32_t* mask = p.bits + blockIdx.y * p.words;
  const int64_t first = blockIdx.x * kPart + threadIdx.x;
#pragma unroll
  for (int i = 0; i < kUnroll; ++i) {
    const int64_t id = first + i * kThreads;
    if (id < p.vocab && (mask[id / 32] >> (id % 32) & 1) == 0) row[id] = -INFINITY;
  }
}

}  // namespace

void logits_mask(const Stream& stream, const vn_logits_mask_params& params) {
  MaskParams p{};
  p.logits = static_cast<float*>(params.logits.data);
  p.stride = params.logits.stride[0];
  p.rows = params.logits.shape[0];
  p.vocab = params.logits.shape[1];
  p.mask_rows = static_cast<const int32_t*>(params.rows.data);
  p.bits = static_cast<const uint32_t*>(params.bits.data);
  p.words = params.bits.shape[1];
  if (p.rows == 0 || params.num_masks == 0) return;
  if (params.num_masks > 65535) fail(VN_UNSUPPORTED, "logits_mask: %d masks, expected up to 65535", params.num_masks);
  const dim3 grid(static_cast<unsigned>(ceil_div(p.vocab, kPart)), static_cast<unsigned>(params.num_masks));
  logits_mask_kernel<<<grid, kThreads, 0, stream.handle>>>(p);
  check(cudaGetLastError(), "logits_mask: launch");
}

}  // namespace vn::cuda
