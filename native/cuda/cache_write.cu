// reshape-and-cache: cache[slot_mapping[t]] = (cache dtype)key[t], value[t]; F32, F16, BF16 each way, to nearest even, equal
// dtypes bit by bit; or into an fp8 cache, divided by its scale first. key [T, heads, key_dim], value [T, heads, value_dim] with any token and head stride; slot_mapping [T]
// i64; a slot outside the pool is skipped.
// Grid: x = token, y = 0 for K, 1 for V (a launch for each where their dtypes differ); threads run over the token's heads
// and dimensions. No shared memory.
// Equal dtypes move in the widest unit (16, 4 or 2 bytes) that pointers, strides and the dimension allow. An fp8 cache is
// written in groups of eight elements, 8 bytes at once where pointers and strides allow that.
// Bound: bytes (source read once, cache written once), or the launch: a decode step's tokens are a few hundred KB.
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <algorithm>
#include <type_traits>

#include "core/dtype.h"
#include "cuda/cache_store.cuh"
#include "cuda/check.h"
#include "cuda/ops.h"
#include "cuda/vec.cuh"

namespace vn::cuda {
namespace {

constexpr int kMaxThreads = 256;

// One of K and V. Strides and the dimension count units of the kernel: elements, or wider.
struct Part {
  const void* source;
  void* pool;
  int64_t token_stride, source_head_stride;
  int64_t block_stride, head_stride, slot_stride;
  int32_t dim;
};

struct CacheWriteArgs {
  Part parts[2];
  int32_t num_parts;
  const int64_t* slots;
  int64_t num_slots;
  int32_t block_size, heads;
};

template <typename Out, typename In>
__device__ Out converted(In x) {
  if constexpr (std::is_same_v<Out, In>) {
    return x;
  } else {
    float f;
    if constexpr (std::is_same_v<In, float>) f = x;
    if constexpr (std::is_same_v<In, __half>) f = __half2float(x);
    if constexpr (std::is_same_v<In, __nv_bfloat16>) f = __bfloat162float(x);
    if constexpr (std::is_same_v<Out, float>) return f;
    if constexpr (std::is_same_v<Out, __half>) return __float2half_rn(f);
    if constexpr (std::is_same_v<Out, __nv_bfloat16>) return __float2bfloat16_rn(f);
  }
}

template <typename In, typename Out>
__global__ void __launch_bounds__(kMaxThreads) cache_write_kernel(const CacheWriteArgs a) {
  const int64_t token = blockIdx.x;
  const int64_t slot = a.slots[token];
  if (slot < 0 || slot >= a.num_slots) return;
  const Part& part = a.parts[blockIdx.y];
  const In* source = static_cast<const In*>(part.source) + token * part.token_stride;
  Out* out = static_cast<Out*>(part.pool) + slot / a.block_size * part.block_stride +
             slot % a.block_size * part.slot_stride;
  for (int i = static_cast<int>(threadIdx.x); i < a.heads * part.dim; i += static_cast<int>(blockDim.x)) {
    const int head = i / part.dim, d = i % part.dim;
    out[head * part.head_stride + d] = converted<Out>(source[head * part.source_head_stride + d]);
  }
}

// One of K and V on its way into an fp8 cache. Strides count elements, which are bytes.
struct QuantizedPart {
  Rows source;
  uint8_t* pool;
  int64_t block_stride, head_stride, slot_stride;
  int32_t dim;
  float scale;
  bool wide;  // heads begin at multiples of 8 bytes
};

struct QuantizedWriteArgs {
  QuantizedPart parts[2];
  const int64_t* slots;
  int64_t num_slots;
  int32_t block_size, heads;
};

__global__ void __launch_bounds__(kMaxThreads) cache_quantize_kernel(const QuantizedWriteArgs a) {
  const int64_t token = blockIdx.x;
  const int64_t slot = a.slots[token];
  if (slot < 0 || slot >= a.num_slots) return;
  const QuantizedPart& part = a.parts[blockIdx.y];
  const int groups = (part.dim + kGroup - 1) / kGroup;
  uint8_t* out = part.pool + slot / a.block_size * part.block_stride + slot % a.block_size * part.slot_stride;
  for (int i = static_cast<int>(threadIdx.x); i < a.heads * groups; i += static_cast<int>(blockDim.x)) {
    const int head = i / groups, first = i % groups * kGroup;
    float x[kGroup];
    widen(fetch(part.source.head(token, head), part.source.dtype, part.source.wide, first, part.dim), part.source.dtype, x);
    put_quantized(out + head * part.head_stride, part.wide, first, part.dim, x, part.scale);
  }
}

// Calls body with a null pointer to the element type.
template <typename Body>
void with_float_type(int32_t dtype, Body&& body) {
  switch (dtype) {
    case VN_DTYPE_F32: return body(static_cast<float*>(nullptr));
    case VN_DTYPE_F16: return body(static_cast<__half*>(nullptr));
    case VN_DTYPE_BF16: return body(static_cast<__nv_bfloat16*>(nullptr));
    default: fail(VN_UNSUPPORTED, "cache_write: dtype is %s (%d), expected F32, F16 or BF16", dtype_name(dtype), dtype);
  }
}

Part part_of(const vn_tensor& source, void* pool, int64_t block_stride, int64_t head_stride, int64_t slot_stride) {
  return {source.data,  pool,        source.stride[0], source.stride[1],
          block_stride, head_stride, slot_stride,      static_cast<int32_t>(source.shape[2])};
}

// Whether everything of a part is a multiple of `unit` bytes.
bool allows(const Part& part, int64_t element, int64_t unit) {
  const auto aligned = [&](int64_t bytes) { return bytes % unit == 0; };
  return aligned(static_cast<int64_t>(reinterpret_cast<uintptr_t>(part.source))) &&
         aligned(static_cast<int64_t>(reinterpret_cast<uintptr_t>(part.pool))) && aligned(part.token_stride * element) &&
         aligned(part.source_head_stride * element) && aligned(part.block_stride * element) &&
         aligned(part.head_stride * element) && aligned(part.slot_stride * element) && aligned(part.dim * element);
}

Part in_units(Part part, int64_t elements) {
  part.token_stride /= elements;
  part.source_head_stride /= elements;
  part.block_stride /= elements;
  part.head_stride /= elements;
  part.slot_stride /= elements;
  part.dim = static_cast<int32_t>(part.dim / elements);
  return part;
}

template <typename In, typename Out>
void launch_kernel(const CacheWriteArgs& args, int64_t tokens, cudaStream_t stream) {
  const int work = args.heads * std::max(args.parts[0].dim, args.parts[args.num_parts - 1].dim);
  const auto threads = static_cast<unsigned>(std::clamp((work + 31) / 32 * 32, 32, kMaxThreads));
  const dim3 grid(static_cast<unsigned>(tokens), static_cast<unsigned>(args.num_parts));
  cache_write_kernel<In, Out><<<grid, threads, 0, stream>>>(args);
  check(cudaGetLastError(), "cache_write: launch");
}

// Equal dtypes: the widest unit that fits all parts.
void launch_copy(CacheWriteArgs args, int64_t element, int64_t tokens, cudaStream_t stream) {
  const auto fits = [&](int64_t unit) {
    return allows(args.parts[0], element, unit) && allows(args.parts[args.num_parts - 1], element, unit);
  };
  const int64_t unit = fits(16) ? 16 : fits(4) ? 4 : element;
  for (Part& part : args.parts) part = in_units(part, unit / element);
  switch (unit) {
    case 16: return launch_kernel<uint4, uint4>(args, tokens, stream);
    case 4: return launch_kernel<uint32_t, uint32_t>(args, tokens, stream);
    default: return launch_kernel<uint16_t, uint16_t>(args, tokens, stream);
  }
}

void launch_cache_write(const CacheWriteArgs& args, int32_t source_dtype, int32_t cache_dtype, int64_t tokens,
                        cudaStream_t stream) {
  if (source_dtype == cache_dtype) return launch_copy(args, dtype_size(cache_dtype), tokens, stream);
  with_float_type(source_dtype, [&]<typename In>(In*) {
    with_float_type(cache_dtype, [&]<typename Out>(Out*) {
      if constexpr (!std::is_same_v<In, Out>) launch_kernel<In, Out>(args, tokens, stream);
    });
  });
}

QuantizedPart quantized_part_of(const vn_tensor& source, void* pool, int64_t block_stride, int64_t head_stride,
                                int64_t slot_stride, float scale) {
  const auto wide = [](int64_t bytes) { return bytes % kGroup == 0; };
  return {rows_of(source),
          static_cast<uint8_t*>(pool),
          block_stride,
          head_stride,
          slot_stride,
          static_cast<int32_t>(source.shape[2]),
          scale,
          wide(static_cast<int64_t>(reinterpret_cast<uintptr_t>(pool))) && wide(block_stride) && wide(head_stride) &&
              wide(slot_stride)};
}

void launch_cache_quantize(const vn_cache_write_params& p, cudaStream_t stream) {
  const vn_kv_cache& cache = p.cache;
  QuantizedWriteArgs args{};
  args.parts[0] = quantized_part_of(p.key, cache.key, cache.key_block_stride, cache.key_head_stride, cache.key_slot_stride,
                                    cache.key_scale);
  args.parts[1] = quantized_part_of(p.value, cache.value, cache.value_block_stride, cache.value_head_stride,
                                    cache.value_slot_stride, cache.value_scale);
  args.slots = static_cast<const int64_t*>(p.slot_mapping.data);
  args.num_slots = cache.num_blocks * cache.block_size;
  args.block_size = cache.block_size;
  args.heads = cache.num_heads;
  const int work = args.heads * ((std::max(args.parts[0].dim, args.parts[1].dim) + kGroup - 1) / kGroup);
  const auto threads = static_cast<unsigned>(std::clamp((work + 31) / 32 * 32, 32, kMaxThreads));
  const dim3 grid(static_cast<unsigned>(p.slot_mapping.shape[0]), 2);
  cache_quantize_kernel<<<grid, threads, 0, stream>>>(args);
  check(cudaGetLastError(), "cache_write: launch");
}

}  // namespace

void cache_write(const Stream& stream, const vn_cache_write_params& p) {
  const int64_t tokens = p.slot_mapping.shape[0];
  if (tokens == 0) return;
  const vn_kv_cache& cache = p.cache;
  if (cache.dtype == VN_DTYPE_F8_E4M3) return launch_cache_quantize(p, stream.handle);
  const Part key = part_of(p.key, cache.key, cache.key_block_stride, cache.key_head_stride, cache.key_slot_stride);
  const Part value =
      part_of(p.value, cache.value, cache.value_block_stride, cache.value_head_stride, cache.value_slot_stride);
  CacheWriteArgs args{};
  args.slots = static_cast<const int64_t*>(p.slot_mapping.data);
  args.num_slots = cache.num_blocks * cache.block_size;
  args.block_size = cache.block_size;
  args.heads = cache.num_heads;
  if (p.key.dtype == p.value.dtype) {
    args.parts[0] = key;
    args.parts[1] = value;
    args.num_parts = 2;
    return launch_cache_write(args, p.key.dtype, cache.dtype, tokens, stream.handle);
  }
  args.num_parts = 1;
  args.parts[0] = key;
  launch_cache_write(args, p.key.dtype, cache.dtype, tokens, stream.handle);
  args.parts[0] = value;
  launch_cache_write(args, p.value.dtype, cache.dtype, tokens, stream.handle);
}

}  // namespace vn::cuda
