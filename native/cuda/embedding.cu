// out[t] = table[ids[t]] * scale: ids [T] i32, table [vocab, H] row-major, out [T, H]; any floating dtypes; one f32 product,
// rounded once. An id outside the table reads row 0.
// Grid: one block a token, threads over the row in chunks of 8 elements (16 or 32 bytes) where rows are 16-byte aligned, else
// single elements. Bound: T * H elements read and written; at decode sizes, the launch.
#include <algorithm>

#include "core/handles.h"
#include "cuda/gemm_values.cuh"
#include "cuda/launch.cuh"
#include "cuda/ops.h"
#include "cuda/weight.h"

namespace vn::cuda {
namespace {

constexpr int kWide = 8;
constexpr int kMaxThreads = 256;

struct EmbeddingParams {
  const void* table;
  const int32_t* ids;
  void* out;
  int64_t vocab;
  int64_t columns;
  int64_t id_stride;
  int64_t out_stride;
  float scale;
};

template <typename T, int kCount>
struct alignas(kCount == 1 ? sizeof(T) : 16) Chunk {
  T value[kCount];
};

template <typename From, typename To, int kCount>
__global__ void embedding_kernel(const EmbeddingParams p) {
  release_next_kernel();
  await_earlier_kernels();
  const int64_t token = blockIdx.x;
  const int32_t id = p.ids[token * p.id_stride];
  const int64_t row = id >= 0 && id < p.vocab ? id : 0;
  const auto* from = reinterpret_cast<const Chunk<From, kCount>*>(static_cast<const From*>(p.table) + row * p.columns);
  auto* to = reinterpret_cast<Chunk<To, kCount>*>(static_cast<To*>(p.out) + token * p.out_stride);
  for (int64_t c = threadIdx.x; c < p.columns / kCount; c += blockDim.x) {
    const Chunk<From, kCount> in = from[c];
    Chunk<To, kCount> out;
#pragma unroll
    for (int i = 0; i < kCount; ++i) out.value[i] = rounded<To>(__fmul_rn(value_of(in.value[i]), p.scale));
    to[c] = out;
  }
}

bool aligned(const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; }

}  // namespace

void embedding(const Stream& stream, const vn_embedding_params& params) {
  const Weight& table = *static_cast<const Weight*>(params.table->impl);
  const int64_t tokens = params.ids.shape[0];
  if (tokens == 0) return;
  const EmbeddingParams p{table.data,
                          static_cast<const int32_t*>(params.ids.data),
                          params.out.data,
                          table.rows,
                          table.columns,
                          params.ids.stride[0],
                          params.out.stride[0],
                          params.scale == 0.0f ? 1.0f : params.scale};
  const bool wide =
      table.columns % kWide == 0 && p.out_stride % kWide == 0 && aligned(p.table) && aligned(p.out);
  const int64_t chunks = wide ? p.columns / kWide : p.columns;
  const auto threads = static_cast<unsigned>(std::min<int64_t>((chunks + 31) / 32 * 32, kMaxThreads));
  const auto blocks = static_cast<unsigned>(tokens);
  with_value_type("embedding", table.dtype, [&]<typename From>(From*) {
    with_value_type("embedding", params.out.dtype, [&]<typename To>(To*) {
      const auto kernel = wide ? embedding_kernel<From, To, kWide> : embedding_kernel<From, To, 1>;
      launch_overlapped("embedding: launch", stream, kernel, dim3(blocks), threads, p);
    });
  });
}

}  // namespace vn::cuda
