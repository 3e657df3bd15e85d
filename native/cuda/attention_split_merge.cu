// Merges the partial results of long rows whose K and V were divided among blocks (attention_split.cuh).
//
// A block of this kernel has the boundary between its team's run and the next one, for its tile. Where that lies inside the
// tile's part of the line, the tile's packed rows are divided among the boundaries inside of it; a warp has one row at a
// time. Nothing is to be done at other boundaries.
// Bound: latency; 2 parts of each boundary's rows are read once, mostly from L2.
#include "cuda/attention_merge.cuh"
#include "cuda/attention_split.cuh"
#include "cuda/attention_tile.cuh"
#include "cuda/launch.cuh"

namespace vn::cuda {
namespace {

constexpr int kThreads = 512;

template <typename T, int kDim, typename Line>
__global__ void __launch_bounds__(kThreads) attention_split_merge_kernel(const __grid_constant__ AttentionArgs a) {
  constexpr int kRows = Line::kTileRows, kKeys = Line::kTileKeys;
  __shared__ Share share;
  __shared__ LineTotals totals[kThreads / 32];
  release_next_kernel();
  const Line line(a);
  line.template find_run<kThreads>(a, true, share, totals);
  await_earlier_kernels();
  if (share.begin >= share.end) return;
  const TileRange tiles = line.tiles(a, row_range(a, share.row));
  const int inside = static_cast<int>(share.offset % tiles.count());
  Unit u;
  if (inside == 0 || !line.open_head(a, share.row, static_cast<int>(share.offset / tiles.count()), u)) return;

  const int64_t start = share.begin - inside;  // of the tile, in the line
  const auto run_at = [&](int unit) { return static_cast<int>((start + unit) / share.size); };
  const int begun_by = run_at(0), boundaries = run_at(tiles.count() - 1) - begun_by;
  // Runs with a part that the tile sees.
  const int first = run_at(u.low / kKeys - tiles.first);
  const int count = run_at((u.high - 1) / kKeys - tiles.first) - first + 1;
  const int rows = min(kRows, u.rows - u.first), mine = run_at(inside) - begun_by - 1;
  const int end = rows * (mine + 1) / boundaries;
  for (int m = rows * mine / boundaries + static_cast<int>(threadIdx.x) / 32; m < end; m += kThreads / 32) {
    if (u.position(m, a.group) < 0) continue;
    T* out = static_cast<T*>(a.out) + (u.range.begin + (u.first + m) / a.group) * a.out_token_stride +
             (u.kv_head * a.group + (u.first + m) % a.group) * a.out_head_stride;
    merge_row<T, kDim>(out, count, a.value_scale, [&](int i) {
      const int run = first + i, block = run * line.team + static_cast<int>(blockIdx.x) % line.team;
      const float* p = split_partial(a, 2 * block + (run == begun_by), kRows, kDim);
      const float* largest = p + kRows * kDim + m;
      return PartOfRow{p + m * kDim, largest, largest + kRows};
    });
  }
}

template <typename T, int kDim, typename Line>
void launch(const AttentionArgs& a, int blocks, cudaStream_t stream) {
  launch_overlapped("attention_paged: merge launch", stream, a.overlap, attention_split_merge_kernel<T, kDim, Line>,
                    static_cast<unsigned>(blocks), kThreads, 0, a);
}

}  // namespace

void launch_mma_split_merge(const AttentionArgs& a, int blocks, cudaStream_t stream) {
  with_head_dim(a.value_dim, [&](auto dim) {
    a.q_dtype == VN_DTYPE_F16 ? launch<__half, dim, MmaSplitLine<dim>>(a, blocks, stream)
                              : launch<__nv_bfloat16, dim, MmaSplitLine<dim>>(a, blocks, stream);
  });
}

void launch_wgmma_split_merge(const AttentionArgs& a, int blocks, cudaStream_t stream) {
  with_head_dim(a.value_dim, [&](auto dim) {
    if constexpr (dim == 64 || dim == 128) {
      a.q_dtype == VN_DTYPE_F16 ? launch<__half, dim, WgmmaSplitLine>(a, blocks, stream)
                                : launch<__nv_bfloat16, dim, WgmmaSplitLine>(a, blocks, stream);
    }
  });
}

}  // namespace vn::cuda
