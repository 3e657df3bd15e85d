// pool[pairs[i][1]] = pool[pairs[i][0]], whole blocks of block_bytes bytes. A pair with an id outside the pool is skipped.
// No destination is a source and destinations are distinct, so pairs may run in any order.
// Grid: x = piece of kPiece bytes, y = pair (in a stride loop); a thread moves 16 bytes (1 where the pool or block_bytes is
// not aligned), kPiece / 16 / kThreads at a time. No shared memory. Bound: bytes, each block read once and written once.
#include <algorithm>

#include "cuda/check.h"
#include "cuda/ops.h"

namespace vn::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kPerThread = 4;                         // units, all loaded before the first store
constexpr int64_t kPiece = kThreads * kPerThread;     // units of a block of threads
constexpr int64_t kMaxGridY = 65535;

struct BlockCopyArgs {
  void* pool;
  const int32_t* pairs;
  int64_t pair_stride;  // elements
  int64_t block_units;
  int64_t num_blocks;
  int32_t num_pairs;
};

template <typename Unit>
__global__ void __launch_bounds__(kThreads) block_copy_kernel(const BlockCopyArgs a) {
  const int64_t first = blockIdx.x * kPiece + threadIdx.x;
  for (int64_t pair = blockIdx.y; pair < a.num_pairs; pair += gridDim.y) {
    const int64_t from = a.pairs[pair * a.pair_stride], to = a.pairs[pair * a.pair_stride + 1];
    if (from < 0 || from >= a.num_blocks || to < 0 || to >= a.num_blocks || from == to) continue;
    const Unit* source = static_cast<const Unit*>(a.pool) + from * a.block_units;
    Unit* destination = static_cast<Unit*>(a.pool) + to * a.block_units;
    Unit units[kPerThread];
#pragma unroll
    for (int i = 0; i < kPerThread; ++i) {
      if (first + i * kThreads < a.block_units) units[i] = source[first + i * kThreads];
    }
#pragma unroll
    for (int i = 0; i < kPerThread; ++i) {
      if (first + i * kThreads < a.block_units) destination[first + i * kThreads] = units[i];
    }
  }
}

template <typename Unit>
void launch_block_copy(BlockCopyArgs args, int64_t block_bytes, cudaStream_t stream) {
  args.block_units = block_bytes / static_cast<int64_t>(sizeof(Unit));
  const int64_t pieces = (args.block_units + kPiece - 1) / kPiece;
  const dim3 grid(static_cast<unsigned>(pieces), static_cast<unsigned>(std::min<int64_t>(args.num_pairs, kMaxGridY)));
  block_copy_kernel<Unit><<<grid, kThreads, 0, stream>>>(args);
  check(cudaGetLastError(), "block_copy: launch");
}

}  // namespace

void block_copy(const Stream& stream, const vn_block_copy_params& p) {
  if (p.num_pairs == 0 || p.block_bytes == 0) return;
  const BlockCopyArgs args{p.pool, static_cast<const int32_t*>(p.pairs.data), p.pairs.stride[0], 0, p.num_blocks,
                           p.num_pairs};
  const bool aligned = reinterpret_cast<uintptr_t>(p.pool) % sizeof(uint4) == 0 &&
                       p.block_bytes % static_cast<int64_t>(sizeof(uint4)) == 0;
  aligned ? launch_block_copy<uint4>(args, p.block_bytes, stream.handle)
          : launch_block_copy<unsigned char>(args, p.block_bytes, stream.handle);
}

}  // namespace vn::cuda
