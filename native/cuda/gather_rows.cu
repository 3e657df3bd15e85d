// out[i] = x[rows[i]], an index outside x reads row 0. x [T, H], out [S, H] of one dtype; rows [S] i32 of any stride.
// Bytes are copied in units of 16 where both sides are aligned, else of the element. Grid (S, column blocks); no shared memory.
// Bound: bytes, 2 S H elements.
#include <algorithm>

#include "cuda/dispatch.cuh"
#include "cuda/ops.h"
#include "cuda/vec.cuh"

namespace vn::cuda {
namespace {

constexpr int kThreads = 128;

struct GatherParams {
  Rows x;
  Rows out;
  const int32_t* rows;
  int64_t rows_stride;
  int64_t source_rows;
  int64_t units;  // of a row
};

template <typename Unit>
__global__ void __launch_bounds__(kThreads) gather_rows_kernel(const GatherParams p) {
  const int64_t wanted = p.rows[static_cast<int64_t>(blockIdx.x) * p.rows_stride];
  const int64_t row = wanted >= 0 && wanted < p.source_rows ? wanted : 0;
  const Unit* source = reinterpret_cast<const Unit*>(p.x.row(row));
  Unit* out = reinterpret_cast<Unit*>(p.out.row(blockIdx.x));
  const int64_t step = static_cast<int64_t>(gridDim.y) * kThreads;
  for (int64_t i = static_cast<int64_t>(blockIdx.y) * kThreads + threadIdx.x; i < p.units; i += step) out[i] = source[i];
}

template <typename Unit>
void launch_gather(GatherParams p, int64_t out_rows, int64_t row_bytes, cudaStream_t stream) {
  p.units = row_bytes / static_cast<int64_t>(sizeof(Unit));
  const auto columns = static_cast<unsigned>(std::clamp<int64_t>(ceil_div(p.units, kThreads), 1, 64));
  gather_rows_kernel<Unit><<<dim3(grid_x("gather_rows", out_rows), columns), kThreads, 0, stream>>>(p);
  check(cudaGetLastError(), "gather_rows: launch");
}

}  // namespace

void gather_rows(const Stream& stream, const vn_gather_rows_params& params) {
  GatherParams p{};
  p.x = rows_of(params.x);
  p.out = rows_of(params.out);
  p.rows = static_cast<const int32_t*>(params.rows.data);
  p.rows_stride = params.rows.stride[0];
  p.source_rows = params.x.shape[0];
  const int64_t out_rows = params.out.shape[0];
  const int64_t size = dtype_size(params.x.dtype), bytes = params.x.shape[1] * size;
  if (out_rows == 0 || bytes == 0 || p.source_rows == 0) return;
  if (p.x.wide && p.out.wide && bytes % 16 == 0) return launch_gather<uint4>(p, out_rows, bytes, stream.handle);
  if (size == 4) return launch_gather<uint32_t>(p, out_rows, bytes, stream.handle);
  launch_gather<uint16_t>(p, out_rows, bytes, stream.handle);
}

}  // namespace vn::cuda
