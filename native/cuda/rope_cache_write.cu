// All between a merged q, k, v projection and attention, in one pass: norm of each q and k head, rotary embedding, q back in
// place, k and v into the paged cache (vllm_native.h has the contract; the steps round as the CPU's do).
// q, k, v [T, heads, D]: F32, F16, BF16, one dtype; norm weights [D] of any; cos_sin [T, rot] F32; the cache F32, F16,
// BF16 or F8_E4M3.
// Grid: token (x), heads (y). `lanes` threads, a power of two, take a head, a thread sixteen elements of it: eight pairs to
// turn, or sixteen elements past the rotated ones (Place). A butterfly sums the squares of a head.
// All of q, k and v that a thread reads is asked for before the first of it is waited for: one trip to memory is most of a decode
// step's time. Where tokens are many a thread takes two or three heads, which have the angles in common.
// kWhole: groups of eight at multiples of 16 bytes everywhere: D, value_dim and rot multiples of 16, as models have them.
// Else element by element, any dimension up to 256. No shared memory.
// Bytes, with H = q heads, K = kv heads, in 16 bits: 2 D (2 H + 4 K) + 4 rot a token: q read and written, k and v read and
// written elsewhere. 8192 tokens of 32/8 heads of 128: 206 MB, 48 us at 4.3 TB/s, predicted 65 (one operation after another
// moves 400 MB). Decode, 128 tokens: 3 MB that lie in L2: the launch, predicted 2 to 3 us.
#include <algorithm>
#include <bit>

#include "cuda/cache_store.cuh"
#include "cuda/dispatch.cuh"
#include "cuda/launch.cuh"
#include "cuda/ops.h"
#include "cuda/reduce.cuh"
#include "cuda/rms.cuh"
#include "cuda/vec.cuh"

namespace vn::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int64_t kMaxGridY = 65535;

// K or V of the cache; strides in bytes.
struct CachePart {
  char* pool;
  int64_t block_stride;
  int64_t head_stride;
  int64_t slot_stride;
  float scale;  // of an fp8 cache
};

struct NormWeight {
  const char* data;  // null: no norm
  int32_t dtype;
};

struct RopeCacheWriteParams {
  Rows q;
  Rows k;
  Rows v;
  NormWeight q_norm;
  NormWeight k_norm;
  const float* cos_sin;
  const int64_t* slots;
  CachePart keys;
  CachePart values;
  int64_t num_slots;
  int32_t block_size;
  int32_t cache_dtype;
  int32_t q_heads;
  int32_t kv_heads;
  int32_t dim;
  int32_t value_dim;
  int32_t half;       // pairs to turn
  int32_t log_lanes;  // of a head
  float inverse_dim;
  float eps;
  float offset;
  bool interleaved;
};

// Where a thread's two groups of a head begin, and where the elements they may cover end.
struct Place {
  int32_t low, low_end;
  int32_t high, high_end;
  bool turned;
};

// Of thread `item` of a head: the first ceil(half / 8) threads have pairs.
__device__ __forceinline__ Place place_of(int item, int half, int dim, bool interleaved) {
  const int pair_items = (half + kGroup - 1) / kGroup, rot = 2 * half;
  if (item >= pair_items) {
    const int low = rot + 2 * kGroup * (item - pair_items);
    return {low, dim, low + kGroup, dim, false};
  }
  if (interleaved) return {2 * kGroup * item, rot, 2 * kGroup * item + kGroup, rot, true};
  return {kGroup * item, half, half + kGroup * item, rot, true};
}

__device__ __forceinline__ void turn(float& a, float& b, float cosine, float sine) {
  const float low = __fsub_rn(__fmul_rn(a, cosine), __fmul_rn(b, sine));
  b = __fadd_rn(__fmul_rn(b, cosine), __fmul_rn(a, sine));
  a = low;
}

__device__ __forceinline__ void turn_pairs(bool interleaved, float (&low)[kGroup], float (&high)[kGroup],
                                           const float (&cosine)[kGroup], const float (&sine)[kGroup]) {
  if (interleaved) {
#pragma unroll
    for (int i = 0; i < kGroup / 2; ++i) {
      turn(low[2 * i], low[2 * i + 1], cosine[i], sine[i]);
      turn(high[2 * i], high[2 * i + 1], cosine[kGroup / 2 + i], sine[kGroup / 2 + i]);
    }
  } else {
#pragma unroll
    for (int i = 0; i < kGroup; ++i) turn(low[i], high[i], cosine[i], sine[i]);
  }
}

__host__ __device__ constexpr int bytes_of(int32_t dtype) { return dtype == VN_DTYPE_F32 ? 4 : 2; }

template <bool kWhole>
__device__ __forceinline__ Group fetch_at(const char* row, int32_t dtype, int first, int end) {
  if constexpr (kWhole) return fetch_whole(row + first * bytes_of(dtype), dtype);
  return fetch(row, dtype, false, first, end);
}

template <bool kWhole>
__device__ __forceinline__ void place_at(char* row, int32_t dtype, int first, int end, const Group& group) {
  if constexpr (kWhole) return place_whole(row + first * bytes_of(dtype), dtype, group);
  place(row, dtype, false, first, end, group);
}

// The one place that knows how a cache keeps its elements: writes a group of kType into a head of the cache.
template <int32_t kType, bool kWhole>
__device__ __forceinline__ void store(char* head, int32_t cache_dtype, float cache_scale, int first, int end,
                                      const Group& group) {
  if (cache_dtype == kType) return place_at<kWhole>(head, kType, first, end, group);
  float values[kGroup];
  widen(group, kType, values);
  if (cache_dtype == VN_DTYPE_F8_E4M3) {
    return put_quantized(reinterpret_cast<uint8_t*>(head), kWhole, first, end, values, cache_scale);
  }
  place_at<kWhole>(head, cache_dtype, first, end, pack(values, cache_dtype));
}

// The sixteen elements of a thread as they lie in memory.
struct Pair {
  Group low;
  Group high;
};

template <bool kWhole>
__device__ __forceinline__ Pair fetch_pair(const char* row, int32_t dtype, const Place& at) {
  return {fetch_at<kWhole>(row, dtype, at.low, at.low_end), fetch_at<kWhole>(row, dtype, at.high, at.high_end)};
}

__device__ __forceinline__ void prefetch_weight(const NormWeight& weight, const Place& at) {
  if (weight.data && at.low < at.low_end) prefetch(weight.data + at.low * bytes_of(weight.dtype));
}

// Where a head of K or V lies in a slot of the pool.
template <bool kFewSlots>
__device__ __forceinline__ char* cached_head(const RopeCacheWriteParams& p, const CachePart& part, int64_t slot, int head) {
  const bool few_slots = kFewSlots || p.num_slots <= UINT32_MAX;  // a division of 64 bits takes a hundred instructions
  const int64_t block = few_slots ? static_cast<uint32_t>(slot) / static_cast<uint32_t>(p.block_size) : slot / p.block_size;
  return part.pool + block * part.block_stride + head * part.head_stride + (slot - block * p.block_size) * part.slot_stride;
}

// Rounds to kType, where the next step reads it.
template <int32_t kType>
__device__ __forceinline__ void round(float (&values)[kGroup]) {
  widen(pack(values, kType), kType, values);
}

// What a kernel knows when it is compiled. kUsual: f32 norm weights, a cache of kType with fewer than 2^32 slots, halves turned
// against each other; with run-time dtypes a thread has three times the instructions.
template <int32_t kType, bool kWhole, bool kUsual>
struct Variant {
  static __device__ int32_t norm_dtype(const NormWeight& weight) { return kUsual ? VN_DTYPE_F32 : weight.dtype; }
  static __device__ int32_t cache_dtype(const RopeCacheWriteParams& p) { return kUsual ? kType : p.cache_dtype; }
  static __device__ bool interleaved(const RopeCacheWriteParams& p) { return !kUsual && p.interleaved; }
};

// A thread's part of one head of q, k or v.
struct Part {
  __device__ Part(const RopeCacheWriteParams& p, int thread, bool interleaved)
      : item(thread & ((1 << p.log_lanes) - 1)) {
    const int head = thread >> p.log_lanes;
    is_q = head < p.q_heads;
    is_v = head >= p.q_heads + p.kv_heads;
    index = is_q ? head : is_v ? head - p.q_heads - p.kv_heads : head - p.q_heads;
    at = place_of(item, is_v ? 0 : p.half, is_v ? p.value_dim : p.dim, interleaved);
    exists = (is_q || index < p.kv_heads) && at.low < at.low_end;
  }
  __device__ NormWeight norm(const RopeCacheWriteParams& p) const {
    return is_v ? NormWeight{} : is_q ? p.q_norm : p.k_norm;
  }
  __device__ char* row(const RopeCacheWriteParams& p, int64_t token) const {
    return is_q ? p.q.head(token, index) : is_v ? p.v.head(token, index) : p.k.head(token, index);
  }

  int item, index;  // index: of the head among those of q, of k or of v
  bool is_q, is_v;
  bool exists;  // the others take part in the sums
  Place at;
};

// Norm, rotation and write of one part. angles: of its pairs.
template <int32_t kType, bool kWhole, bool kUsual>
__device__ __forceinline__ void finish(const RopeCacheWriteParams& p, const Part& part, int64_t token, int64_t slot, Pair x,
                                       const Pair& weight, const Pair& angles) {
  using Is = Variant<kType, kWhole, kUsual>;
  const Place& at = part.at;
  const NormWeight norm = part.norm(p);
  float a[kGroup], b[kGroup];
  widen(x.low, kType, a);
  widen(x.high, kType, b);
  float squares = 0.0f;
  if (p.q_norm.data || p.k_norm.data) squares = lanes_sum(sum_squares(b, sum_squares(a, 0.0f)), 1 << p.log_lanes);
  if (!part.exists) return;

  if (norm.data) {
    const float factor = inverse_rms(squares, p.inverse_dim, p.eps);
    float weights[kGroup];
    widen(weight.low, Is::norm_dtype(norm), weights);
    scale(a, factor, weights, p.offset);
    widen(weight.high, Is::norm_dtype(norm), weights);
    scale(b, factor, weights, p.offset);
    round<kType>(a);
    round<kType>(b);
  }
  if (at.turned) {
    float cosine[kGroup], sine[kGroup];
    widen(angles.low, VN_DTYPE_F32, cosine);
    widen(angles.high, VN_DTYPE_F32, sine);
    turn_pairs(Is::interleaved(p), a, b, cosine, sine);
  }
  if (norm.data || at.turned) x = {pack(a, kType), pack(b, kType)};
  if (part.is_q) {
    char* row = part.row(p, token);
    place_at<kWhole>(row, kType, at.low, at.low_end, x.low);
    place_at<kWhole>(row, kType, at.high, at.high_end, x.high);
  } else if (slot >= 0 && slot < p.num_slots) {
    const CachePart& pool = part.is_v ? p.values : p.keys;
    char* cached = cached_head<kUsual>(p, pool, slot, part.index);
    store<kType, kWhole>(cached, Is::cache_dtype(p), pool.scale, at.low, at.low_end, x.low);
    store<kType, kWhole>(cached, Is::cache_dtype(p), pool.scale, at.high, at.high_end, x.high);
  }
}

template <int32_t kType, bool kWhole, bool kUsual, int kHeads>
__global__ void __launch_bounds__(kThreads) rope_cache_write_kernel(const __grid_constant__ RopeCacheWriteParams p) {
  using Is = Variant<kType, kWhole, kUsual>;
  release_next_kernel();
  const auto part_of = [&](int j) {
    return Part(p, (static_cast<int>(blockIdx.y) * kHeads + j) * kThreads + static_cast<int>(threadIdx.x), Is::interleaved(p));
  };
  const Part first = part_of(0);
  prefetch_weight(first.norm(p), first.at);
  await_earlier_kernels();

  const int64_t token = blockIdx.x;
  const int64_t slot = p.slots[token];
  Pair x[kHeads] = {}, angles{};
#pragma unroll
  for (int j = 0; j < kHeads; ++j) {
    const Part part = part_of(j);
    if (part.exists) x[j] = fetch_pair<kWhole>(part.row(p, token), kType, part.at);
  }
  // All heads of a thread turn by the same angles.
  if (first.at.turned) {
    const char* table = reinterpret_cast<const char*>(p.cos_sin + token * 2 * p.half);
    angles.low = fetch_at<kWhole>(table, VN_DTYPE_F32, first.item * kGroup, p.half);
    angles.high = fetch_at<kWhole>(table, VN_DTYPE_F32, p.half + first.item * kGroup, 2 * p.half);
  }
#pragma unroll
  for (int j = 0; j < kHeads; ++j) {
    const Part part = part_of(j);
    const NormWeight norm = part.norm(p);
    Pair weight{};
    if (part.exists && norm.data) weight = fetch_pair<kWhole>(norm.data, Is::norm_dtype(norm), part.at);
    finish<kType, kWhole, kUsual>(p, part, token, slot, x[j], weight, angles);
  }
}

CachePart part_of(void* pool, int64_t element, int64_t block_stride, int64_t head_stride, int64_t slot_stride, float scale) {
  return {static_cast<char*>(pool), block_stride * element, head_stride * element, slot_stride * element, scale};
}

bool is_wide(const CachePart& part) {
  return reinterpret_cast<uintptr_t>(part.pool) % 16 == 0 && part.block_stride % 16 == 0 && part.head_stride % 16 == 0 &&
         part.slot_stride % 16 == 0;
}

NormWeight weight_of(const vn_tensor& t) { return {static_cast<const char*>(t.data), t.dtype}; }

// Whether every group of eight of these operands begins at a multiple of 16 bytes and is whole.
bool all_whole(const RopeCacheWriteParams& p) {
  const auto aligned = [](const void* data) { return reinterpret_cast<uintptr_t>(data) % 16 == 0; };
  return p.q.wide && p.k.wide && p.v.wide && is_wide(p.keys) && is_wide(p.values) && aligned(p.q_norm.data) &&
         aligned(p.k_norm.data) && (p.half == 0 || aligned(p.cos_sin)) && p.half % kGroup == 0 &&
         p.dim % (2 * kGroup) == 0 && p.value_dim % (2 * kGroup) == 0;
}

// Threads that a head of these dimensions takes.
int items_of(int half, int dim) {
  return static_cast<int>(ceil_div(half, kGroup) + ceil_div(dim - 2 * half, 2 * kGroup));
}

bool is_usual(const RopeCacheWriteParams& p) {
  const auto f32 = [](const NormWeight& weight) { return !weight.data || weight.dtype == VN_DTYPE_F32; };
  return f32(p.q_norm) && f32(p.k_norm) && p.cache_dtype == p.q.dtype && !p.interleaved && p.num_slots <= UINT32_MAX;
}

template <int32_t kType, bool kWhole, bool kUsual, int kHeads>
void launch(const Stream& stream, const RopeCacheWriteParams& p, int64_t tokens, int64_t passes) {
  const dim3 grid(grid_x("rope_cache_write", tokens), static_cast<unsigned>(passes / kHeads));
  launch_overlapped("rope_cache_write: launch", stream, rope_cache_write_kernel<kType, kWhole, kUsual, kHeads>, grid, kThreads, p);
}

// passes: how often a block's threads are as many as a token needs.
template <int32_t kType>
void launch_typed(const Stream& stream, const RopeCacheWriteParams& p, int64_t tokens, int64_t passes) {
  if (!all_whole(p)) return launch<kType, false, false, 1>(stream, p, tokens, passes);
  if (!is_usual(p)) return launch<kType, true, false, 1>(stream, p, tokens, passes);
  const bool many = tokens * passes >= 16 * int64_t{stream.device.state->sms};
  if (many && passes % 3 == 0) return launch<kType, true, true, 3>(stream, p, tokens, passes);
  if (many && passes % 2 == 0) return launch<kType, true, true, 2>(stream, p, tokens, passes);
  launch<kType, true, true, 1>(stream, p, tokens, passes);
}

}  // namespace

void rope_cache_write(const Stream& stream, const vn_rope_cache_write_params& params) {
  const vn_kv_cache& cache = params.cache;
  const int64_t tokens = params.slot_mapping.shape[0], element = dtype_size(cache.dtype);
  RopeCacheWriteParams p{};
  p.q = rows_of(params.q);
  p.k = rows_of(params.k);
  p.v = rows_of(params.v);
  p.q_norm = weight_of(params.q_norm);
  p.k_norm = weight_of(params.k_norm);
  p.cos_sin = static_cast<const float*>(params.cos_sin.data);
  p.slots = static_cast<const int64_t*>(params.slot_mapping.data);
  p.keys = part_of(cache.key, element, cache.key_block_stride, cache.key_head_stride, cache.key_slot_stride, cache.key_scale);
  p.values = part_of(cache.value, element, cache.value_block_stride, cache.value_head_stride, cache.value_slot_stride,
                     cache.value_scale);
  p.num_slots = cache.num_blocks * cache.block_size;
  p.block_size = cache.block_size;
  p.cache_dtype = cache.dtype;
  p.q_heads = static_cast<int32_t>(params.q.shape[1]);
  p.kv_heads = cache.num_heads;
  p.dim = cache.key_dim;
  p.value_dim = cache.value_dim;
  p.half = static_cast<int32_t>(params.cos_sin.shape[1] / 2);
  p.inverse_dim = 1.0f / static_cast<float>(p.dim);
  p.eps = params.eps;
  p.offset = params.weight_offset;
  p.interleaved = params.style == VN_ROPE_INTERLEAVED;
  if (tokens == 0) return;

  const int items = std::max(items_of(p.half, p.dim), items_of(0, p.value_dim));
  p.log_lanes = std::bit_width(static_cast<unsigned>(items - 1));
  const int64_t passes = ceil_div((p.q_heads + 2 * int64_t{p.kv_heads}) << p.log_lanes, kThreads);
  if (passes > kMaxGridY) fail(VN_UNSUPPORTED, "rope_cache_write: %d q heads are too many", p.q_heads);
  switch (params.q.dtype) {
    case VN_DTYPE_F32: return launch_typed<VN_DTYPE_F32>(stream, p, tokens, passes);
    case VN_DTYPE_F16: return launch_typed<VN_DTYPE_F16>(stream, p, tokens, passes);
    default: return launch_typed<VN_DTYPE_BF16>(stream, p, tokens, passes);
  }
}

}  // namespace vn::cuda
