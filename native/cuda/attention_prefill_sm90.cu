// Tiled attention for long rows on Hopper (sm_90a): the contract of attention_prefill_kernel.cuh, for 16-bit caches, head
// dimensions 64 and 128 and blocks of a multiple of 8 tokens.
//
// A block of threads has three warpgroups and stays on its multiprocessor: it takes units (a tile of kRows packed rows of one
// KV head, attention_units.cuh) until there are none. The first warpgroup fetches (attention_prefill_sm90_producer.cuh), the
// other two compute (attention_prefill_sm90_consumer.cuh); in which order, says attention_prefill_sm90_units.cuh.
// Where the batch has too few tiles for the multiprocessors and long contexts, the second variant of the kernel takes parts of
// units (attention_split.cuh) instead.
// A NaN in the V of a token reaches earlier tokens of the same row in this tile; never another row.
// Bound: tensor operations. Shared memory: Shared in attention_prefill_sm90_shared.cuh.
// Ideas: FlashAttention-3 (Shah et al.): warp specialisation, turns between warpgroups, products ahead of the softmax.
#include <algorithm>
#include <numeric>

#include "cuda/attention_prefill_sm90_consumer.cuh"
#include "cuda/attention_prefill_sm90_producer.cuh"
#include "cuda/attention_split.cuh"
#include "cuda/attention_tile.cuh"
#include "cuda/attention_units.cuh"
#include "cuda/launch.cuh"
#include "cuda/tensor_maps.h"

namespace vn::cuda {
namespace {

using namespace prefill_sm90;

// Compiled for sm_90a alone; elsewhere it is empty and never launched. kSplit: takes parts of units.
template <typename T, int kDim, bool kSplit>
__global__ void __launch_bounds__(kThreads, 1)
    attention_prefill_sm90_kernel(const __grid_constant__ AttentionArgs a, const __grid_constant__ CUtensorMap keys,
                                  const __grid_constant__ CUtensorMap values, int box_slots) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  constexpr int kProducerRegisters = 56, kConsumerRegisters = 224;
  extern __shared__ __align__(wgmma::kAtomBytes) unsigned char memory[];
  Shared<kDim>& s = *reinterpret_cast<Shared<kDim>*>(memory);
  if (threadIdx.x == 0) init_barriers(s);
  if constexpr (kSplit) {
    release_next_kernel();
    WgmmaSplitLine(a).find_run<kThreads>(a, false, s.share, s.totals);
    await_earlier_kernels();
  } else {
    __syncthreads();
  }
  const int warpgroup = threadIdx.x / kWarpgroup;
  if (warpgroup == 0) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kProducerRegisters));
    const int warp = threadIdx.x / 32;
    if (warp < kConsumers) {
      fetch_queries<T, kDim, kSplit>(a, s, warp);
    } else if (warp == kConsumers) {
      fetch_cache<kDim, false, kSplit>(a, keys, box_slots, s);
    } else {
      fetch_cache<kDim, true, kSplit>(a, values, box_slots, s);
    }
  } else {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kConsumerRegisters));
    compute<T, kDim, kSplit>(a, s, warpgroup - 1);
  }
#endif
}

template <int kDim>
constexpr int kSharedBytes = sizeof(Shared<kDim>);

constexpr int kMaxUnits = 1 << 30;

// Slots of a page: pages divide blocks, and tiles.
int page_slots(const AttentionArgs& a) { return std::gcd(a.block_size, kKeys); }

PoolBoxes key_boxes(const AttentionArgs& a) {
  return {a.key,          a.key_dim,         a.block_size,       a.kv_heads,
          a.num_blocks,   a.key_slot_stride, a.key_head_stride,  a.key_block_stride,
          page_slots(a)};
}

PoolBoxes value_boxes(const AttentionArgs& a) {
  return {a.value,        a.value_dim,         a.block_size,        a.kv_heads,
          a.num_blocks,   a.value_slot_stride, a.value_head_stride, a.value_block_stride,
          page_slots(a)};
}

template <typename T, int kDim>
void launch(const AttentionArgs& a, TensorMaps& maps, int multiprocessors, cudaStream_t stream) {
  const int64_t units = tile_slots(a, kRows) * a.kv_heads;
  if (units > kMaxUnits) {
    fail(VN_UNSUPPORTED, "attention_paged: %d tokens of %d heads are %lld tiles, expected at most %d", a.tokens, a.q_heads,
         static_cast<long long>(units), kMaxUnits);
  }
  const auto blocks = static_cast<unsigned>(std::min<int64_t>(units, multiprocessors));
  allow_shared_memory(attention_prefill_sm90_kernel<T, kDim, false>, kSharedBytes<kDim>);
  attention_prefill_sm90_kernel<T, kDim, false><<<blocks, kThreads, kSharedBytes<kDim>, stream>>>(
      a, maps.find(key_boxes(a)), maps.find(value_boxes(a)), page_slots(a));
  check(cudaGetLastError(), "attention_paged: Hopper launch");
}

template <typename T, int kDim>
void launch_split(const AttentionArgs& a, TensorMaps& maps, int multiprocessors, cudaStream_t stream) {
  const auto kernel = attention_prefill_sm90_kernel<T, kDim, true>;
  allow_shared_memory(kernel, kSharedBytes<kDim>);
  launch_overlapped("attention_paged: split Hopper launch", stream, a.overlap, kernel, static_cast<unsigned>(multiprocessors), kThreads,
                    kSharedBytes<kDim>, a, maps.find(key_boxes(a)), maps.find(value_boxes(a)), page_slots(a));
  launch_wgmma_split_merge(a, multiprocessors, stream);
}

// Calls body with the types of q and the head dimension as constants.
template <typename Body>
void with_variant(const AttentionArgs& a, Body&& body) {
  using Dim64 = std::integral_constant<int, 64>;
  using Dim128 = std::integral_constant<int, 128>;
  const bool half = a.q_dtype == VN_DTYPE_F16;
  if (a.key_dim == 64) {
    half ? body(__half(), Dim64()) : body(__nv_bfloat16(), Dim64());
  } else {
    half ? body(__half(), Dim128()) : body(__nv_bfloat16(), Dim128());
  }
}

}  // namespace

bool prefill_sm90_supports(const AttentionArgs& a, int capability) {
  constexpr int kHopper = 90;  // code for sm_90a runs nowhere else
  return capability == kHopper && a.cache_dtype == a.q_dtype && (a.key_dim == 64 || a.key_dim == 128) && kSharedBytes<128> <= a.shared_limit &&
         a.block_size % 8 == 0 && a.scale > 0.0f &&  // the largest score is found before scaling
         aligned_for_tiles(a) && can_map(key_boxes(a)) && can_map(value_boxes(a));
}

bool prefill_sm90_fills(const AttentionArgs& a) { return static_cast<int64_t>(a.max_query_len) * a.group >= kRows; }

void launch_attention_prefill_sm90(AttentionArgs a, TensorMaps& maps, int multiprocessors, cudaStream_t stream) {
  if (a.rows == 1) a.counter = nullptr;
  if (a.counter) check(cudaMemsetAsync(a.counter, 0, sizeof *a.counter, stream), "attention_paged: cudaMemsetAsync");
  with_variant(a, [&](auto type, auto dim) { launch<decltype(type), dim>(a, maps, multiprocessors, stream); });
}

void launch_attention_prefill_sm90_split(const AttentionArgs& a, TensorMaps& maps, int multiprocessors, cudaStream_t stream) {
  with_variant(a, [&](auto type, auto dim) { launch_split<decltype(type), dim>(a, maps, multiprocessors, stream); });
}

}  // namespace vn::cuda
