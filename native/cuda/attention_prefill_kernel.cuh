// Tiled attention for long rows: out[t, h] = softmax(softcap(q[t, h] k^T * scale)) v, causal, aligned at the end of the
// sequence, over a ragged batch with block tables. q and out are F16 or BF16, the cache the same or fp8; head dimension 64,
// 96, 128 or 256; scores and sums in f32; weights are rounded to the dtype of the operands (F16 with an fp8 cache) before
// they multiply v.
//
// Rows of a tile: kRows packed (token, head of the group) pairs of one row of the step and one KV head, so that a tile of K
// and V serves the whole group. The grid has one block for each tile that could exist: row r's tiles begin at
// query_start[r] * group / kRows + r, which is always enough room, and no list is needed; blocks without a tile leave at once.
// The last tiles, which see most, start first. Where that are few tiles behind long contexts, a second kernel takes parts of
// them (attention_split.cuh) instead.
// Block: kWarps warps with 16 kRowTiles rows each. Shared memory: q [kRows][kDim], and two stages of K and V [kTile][kDim],
// swizzled; the next stage's pages are fetched (cp.async) while this one is computed; each warp fetches 16 tokens.
// Alignment: 16 bytes for q, the cache, and all strides. Bound: tensor operations (mma.sync), then exponentials.
// A NaN in the V of a token reaches earlier tokens of the same row in this tile; never another row.
// Ideas: FlashAttention-2 (Dao): online softmax, weights reused from accumulator registers; packing of groups as in
// FlashAttention-3 and FlashInfer; lazy rescaling as in FlashAttention-4.
#pragma once

#include "cuda/attention_queries.cuh"
#include "cuda/attention_split.cuh"
#include "cuda/attention_units.cuh"
#include "cuda/launch.cuh"

namespace vn::cuda::prefill {

constexpr int kWarps = 4;
constexpr int kThreads = 32 * kWarps;
constexpr int kTile = kWarps * kWarpTokens;  // tokens of K and V
constexpr int kSteps = kTile / 16;
constexpr float kSlack = 8.0f;  // the base of the exponents may lag behind the largest by 2^8

template <int kDim>
constexpr int kRowTiles = kDim <= 128 ? 2 : 1;  // of 16 rows, for each warp
template <int kDim>
constexpr int kRows = kWarps * 16 * kRowTiles<kDim>;
template <int kDim>
constexpr int kBlocksPerSm = kDim <= 128 ? 2 : 1;
template <int kDim>
constexpr int kQueryBytes = kRows<kDim> * kDim * 2;
template <typename Cache, int kDim>
constexpr int kHalfStageBytes = kTile * kDim * static_cast<int>(sizeof(Cache));  // K or V
template <typename Cache, int kDim>
constexpr int kSharedBytes = kQueryBytes<kDim> + 4 * kHalfStageBytes<Cache, kDim>;

// First tile of a row; tiles that the row does not fill are empty.
__device__ inline int64_t first_tile(const AttentionArgs& a, int row, int rows_per_tile) {
  return static_cast<int64_t>(clamped_start(a, row)) * a.group / rows_per_tile + row;
}

__device__ inline int row_of_tile(const AttentionArgs& a, int64_t tile, int rows_per_tile) {
  int low = 0, high = a.rows;  // first_tile(low) <= tile < first_tile(high)
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    (first_tile(a, middle, rows_per_tile) <= tile ? low : high) = middle;
  }
  return low;
}

template <typename T, int kDim>
__device__ void fetch_queries(const AttentionArgs& a, const Unit& u, uint32_t tile) {
  constexpr int kChunks = kDim / kChunkElements<T>;
  static_assert(kRows<kDim> * kChunks % kThreads == 0);
#pragma unroll 4
  for (int i = 0; i < kRows<kDim> * kChunks / kThreads; ++i) {
    const int index = i * kThreads + static_cast<int>(threadIdx.x);
    const int row = index / kChunks, chunk = index % kChunks, m = u.first + row;
    const bool exists = m < u.rows;
    const T* q = static_cast<const T*>(a.q);
    if (exists) {
      q += (u.range.begin + m / a.group) * a.q_token_stride + (u.kv_head * a.group + m % a.group) * a.q_head_stride +
           chunk * kChunkElements<T>;
    }
    copy_chunk(tile + tile_offset<2 * kDim>(row, chunk), q, exists);
  }
}

template <int kDim>
struct State {
  float sum[kRowTiles<kDim>][kDim / 8][4];
  float largest[kRowTiles<kDim>][2], weight[kRowTiles<kDim>][2];
  float unscale[kRowTiles<kDim>][2];  // what undoes the scaling of q, where it was scaled
  int position[kRowTiles<kDim>][2];   // of the lane's rows' tokens
};

using Scores = float[kTile / 8][4];

template <typename T, typename Cache, int kDim>
__device__ void multiply_keys(Scores (&score)[kRowTiles<kDim>], uint32_t query_tile, uint32_t key_tile) {
  using Element = Operand<T, Cache>;
  constexpr int kGroups = kGroupsPerLoad<Cache>;
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int r = 0; r < kRowTiles<kDim>; ++r) {
#pragma unroll
    for (int n = 0; n < kTile / 8; ++n) score[r][n][0] = score[r][n][1] = score[r][n][2] = score[r][n][3] = 0.0f;
  }
#pragma unroll
  for (int load = 0; load < kDim / 16 / kGroups; ++load) {
    uint32_t q[kGroups][kRowTiles<kDim>][4];
#pragma unroll
    for (int group = 0; group < kGroups; ++group) {
#pragma unroll
      for (int r = 0; r < kRowTiles<kDim>; ++r) {
        const int chunk = 2 * (load * kGroups + group) + lane / 16;
        load_matrices(q[group][r], query_tile + tile_offset<2 * kDim>(16 * r + lane % 16, chunk));
      }
    }
#pragma unroll
    for (int pair = 0; pair < kSteps; ++pair) {
      uint32_t key[kGroups][4];
      load_keys<Cache, kDim>(key, key_tile, 16 * pair, load);
#pragma unroll
      for (int group = 0; group < kGroups; ++group) {
#pragma unroll
        for (int r = 0; r < kRowTiles<kDim>; ++r) {
          mma<Element>(score[r][2 * pair], q[group][r], key[group][0], key[group][1]);
          mma<Element>(score[r][2 * pair + 1], q[group][r], key[group][2], key[group][3]);
        }
      }
    }
  }
}

// Scores of one row tile to weights; the sums so far are brought to the same base. start: position of the first token.
template <typename T, typename Cache, int kDim>
__device__ void soften(State<kDim>& s, int r, Scores& score, bool masked, int start, int window, float common_factor,
                       float cap) {
  float factor[2] = {common_factor, common_factor};
  if constexpr (kScalesQueries<T, Cache>) {
    factor[0] *= s.unscale[r][0];
    factor[1] *= s.unscale[r][1];
  }
  if (cap > 0.0f) {
#pragma unroll
    for (int n = 0; n < kTile / 8; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) score[n][i] = cap * tanh_fast(score[n][i] * factor[i / 2]);
    }
    factor[0] = factor[1] = 1.0f;
  }
  if (masked) {
    const int first = start + threadIdx.x % 4 * 2;
#pragma unroll
    for (int n = 0; n < kTile / 8; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int behind = s.position[r][i / 2] - (first + 8 * n + i % 2);
        if (behind < 0 || (window > 0 && behind >= window)) score[n][i] = -INFINITY;
      }
    }
  }
  float largest[2] = {-INFINITY, -INFINITY};
#pragma unroll
  for (int n = 0; n < kTile / 8; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) largest[i / 2] = fmaxf(largest[i / 2], score[n][i]);
  }
  largest[0] = row_max(largest[0]) * factor[0];
  largest[1] = row_max(largest[1]) * factor[1];
  if (__any_sync(kAllLanes, largest[0] > s.largest[r][0] + kSlack || largest[1] > s.largest[r][1] + kSlack)) {
    float correction[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      // Of this row alone: a neighbour that makes the warp come here must not show in its bits.
      const bool grown = largest[half] > s.largest[r][half] + kSlack;
      const float base = grown ? largest[half] : s.largest[r][half];
      correction[half] = weight_of(s.largest[r][half], base);
      s.largest[r][half] = base;
      s.weight[r][half] *= correction[half];
    }
#pragma unroll
    for (int n = 0; n < kDim / 8; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) s.sum[r][n][i] *= correction[i / 2];
    }
  }
  float base[2];
#pragma unroll
  for (int half = 0; half < 2; ++half) base[half] = s.largest[r][half] == -INFINITY ? 0.0f : s.largest[r][half];
#pragma unroll
  for (int n = 0; n < kTile / 8; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      score[n][i] = exp2_fast(fmaf(score[n][i], factor[i / 2], -base[i / 2]));
      s.weight[r][i / 2] += score[n][i];
    }
  }
}

template <typename T, typename Cache, int kDim>
__device__ void multiply_values(State<kDim>& s, const Scores (&score)[kRowTiles<kDim>], uint32_t value_tile) {
  using Element = Operand<T, Cache>;
  constexpr int kGroups = kGroupsPerLoad<Cache>;
#pragma unroll
  for (int step = 0; step < kSteps; ++step) {
    uint32_t weights[kRowTiles<kDim>][4];
#pragma unroll
    for (int r = 0; r < kRowTiles<kDim>; ++r) {
      weights[r][0] = pack<Element>(score[r][2 * step][0], score[r][2 * step][1]);
      weights[r][1] = pack<Element>(score[r][2 * step][2], score[r][2 * step][3]);
      weights[r][2] = pack<Element>(score[r][2 * step + 1][0], score[r][2 * step + 1][1]);
      weights[r][3] = pack<Element>(score[r][2 * step + 1][2], score[r][2 * step + 1][3]);
    }
#pragma unroll
    for (int load = 0; load < kDim / 16 / kGroups; ++load) {
      uint32_t value[kGroups][4];
      load_values<Cache, kDim>(value, value_tile, 16 * step, load);
#pragma unroll
      for (int group = 0; group < kGroups; ++group) {
        const int n = 2 * (load * kGroups + group);
#pragma unroll
        for (int r = 0; r < kRowTiles<kDim>; ++r) {
          mma<Element>(s.sum[r][n], weights[r], value[group][0], value[group][1]);
          mma<Element>(s.sum[r][n + 1], weights[r], value[group][2], value[group][3]);
        }
      }
    }
  }
}

template <typename T, typename Cache, int kDim>
__device__ void write_out(const AttentionArgs& a, const Unit& u, const State<kDim>& s, int warp_row) {
#pragma unroll
  for (int r = 0; r < kRowTiles<kDim>; ++r) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float weight = row_sum(s.weight[r][half]);
      const int m = u.first + warp_row + 16 * r + 8 * half + threadIdx.x % 32 / 4;
      if (m >= u.rows || s.position[r][half] < 0) continue;
      T* out = static_cast<T*>(a.out) + (u.range.begin + m / a.group) * a.out_token_stride +
               (u.kv_head * a.group + m % a.group) * a.out_head_stride;
      store_sums<Cache>(out, s.sum[r], half, a.value_scale / weight);
    }
  }
}

template <typename Cache, int kDim>
__device__ void write_partial(const AttentionArgs& a, const Unit& u, const State<kDim>& s, int warp_row) {
  float* const part = split_partial(a, u.part, kRows<kDim>, kDim);
#pragma unroll
  for (int r = 0; r < kRowTiles<kDim>; ++r) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float weight = row_sum(s.weight[r][half]);
      const int lane = threadIdx.x % 32, m = warp_row + 16 * r + 8 * half + lane / 4;
      if (u.first + m >= u.rows) continue;
      store_sums<Cache>(part + m * kDim, s.sum[r], half, 1.0f);
      if (lane % 4 == 0) {
        part[kRows<kDim> * kDim + m] = s.largest[r][half];
        part[kRows<kDim> * (kDim + 1) + m] = weight;
      }
    }
  }
}

// Computes a unit, or a part of it (attention_split.cuh).
template <typename T, typename Cache, int kDim>
__device__ void compute(const AttentionArgs& a, const Unit& u, unsigned char* shared) {
  const int begin = u.low / kTile, end = (u.high - 1) / kTile + 1;
  const int32_t* table = table_of(a, u.row);
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const uint32_t query_tile = shared_address(shared), ring = query_tile + kQueryBytes<kDim>;
  const auto stage = [&](int t) { return ring + (t - begin) % 2 * 2 * kHalfStageBytes<Cache, kDim>; };
  const uint32_t mine = warp * kWarpTokens * kDim * sizeof(Cache);
  TokenPlace place;
  const auto look_up = [&](int t) {
    place.look_up(a, table, t * kTile + warp * kWarpTokens + lane % kWarpTokens, u.low, u.high);
  };
  const auto fetch = [&](int t) {
    fetch_tokens<Cache, kDim>(a, stage(t) + mine, stage(t) + kHalfStageBytes<Cache, kDim> + mine, u.kv_head, place);
    commit_copies();
  };
  look_up(begin);
  fetch_queries<T, kDim>(a, u, query_tile);
  fetch(begin);
  look_up(begin + 1);

  const int warp_row = warp * 16 * kRowTiles<kDim>;
  State<kDim> s;
#pragma unroll
  for (int r = 0; r < kRowTiles<kDim>; ++r) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      s.largest[r][half] = -INFINITY;
      s.weight[r][half] = 0.0f;
      s.position[r][half] = u.position(warp_row + 16 * r + 8 * half + lane / 4, a.group);
    }
#pragma unroll
    for (int n = 0; n < kDim / 8; ++n) s.sum[r][n][0] = s.sum[r][n][1] = s.sum[r][n][2] = s.sum[r][n][3] = 0.0f;
  }
  if constexpr (kIsFp8<Cache>) {
    constexpr int kWarpRows = 16 * kRowTiles<kDim>;
    wait_copies<0>();
    __syncthreads();  // every thread's part of q is there
    const float unscale = prepare_queries<T, kDim, kWarpRows>(shared + warp_row * kDim * 2);
#pragma unroll
    for (int r = 0; r < kRowTiles<kDim>; ++r) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        s.unscale[r][half] = __shfl_sync(kAllLanes, unscale, 16 * r + 8 * half + lane / 4);
      }
    }
  }
  const int warp_first = u.position(warp_row, a.group);
  const int warp_last = u.position(warp_row + 16 * kRowTiles<kDim> - 1, a.group);
  const bool idle = u.first + warp_row >= u.rows;  // the row ends before this warp's part of the tile
  const float factor = a.softcap > 0.0f ? a.scale / a.softcap : a.scale * kLog2OfE;
  const float cap = a.softcap > 0.0f ? a.softcap * kLog2OfE : 0.0f;

  for (int t = begin; t < end; ++t) {
    wait_copies<0>();
    __syncthreads();  // tile t is there, and nobody reads the other stage any more
    if (t + 1 < end) {
      fetch(t + 1);
      look_up(t + 2);
    }
    const int start = t * kTile;
    if (idle || start > warp_last || start + kTile <= first_seen(a, warp_first)) continue;  // nothing for this warp to see
    const bool masked = start + kTile > warp_first + 1 || start < first_seen(a, warp_last);
    Scores score[kRowTiles<kDim>];
    multiply_keys<T, Cache, kDim>(score, query_tile + warp_row * kDim * 2, stage(t));
#pragma unroll
    for (int r = 0; r < kRowTiles<kDim>; ++r) {
      soften<T, Cache, kDim>(s, r, score[r], masked, start, a.window, factor, cap);
    }
    multiply_values<T, Cache, kDim>(s, score, stage(t) + kHalfStageBytes<Cache, kDim>);
  }
  if (u.part >= 0) {
    write_partial<Cache, kDim>(a, u, s, warp_row);
  } else {
    write_out<T, Cache, kDim>(a, u, s, warp_row);
  }
}

template <typename T, typename Cache, int kDim>
__global__ void __launch_bounds__(kThreads, kBlocksPerSm<kDim>) attention_prefill_kernel(const AttentionArgs a) {
  extern __shared__ __align__(128) unsigned char shared[];
  const int64_t tile = (gridDim.x - 1 - blockIdx.x) / a.kv_heads;
  const int row = row_of_tile(a, tile, kRows<kDim>);
  const int64_t number = tile - first_tile(a, row, kRows<kDim>);
  if (number < 0 || number >= tiles_of_row(a, row, kRows<kDim>)) return;
  Unit u;
  if (!open_unit(a, row, static_cast<int>(number), static_cast<int>(blockIdx.x % a.kv_heads), kRows<kDim>, u)) return;
  compute<T, Cache, kDim>(a, u, shared);
}

// Few units over long contexts: a block takes parts of them.
template <typename T, typename Cache, int kDim>
__global__ void __launch_bounds__(kThreads, kBlocksPerSm<kDim>) attention_prefill_split_kernel(const __grid_constant__ AttentionArgs a) {
  extern __shared__ __align__(128) unsigned char shared[];
  using Line = MmaSplitLine<kDim>;
  static_assert(Line::kTileRows == kRows<kDim> && Line::kTileKeys == kTile);
  __shared__ Share share;
  __shared__ LineTotals totals[kWarps];
  release_next_kernel();
  Line(a).template find_run<kThreads>(a, false, share, totals);
  await_earlier_kernels();
  RunOfParts<Line> parts(a, share);
  for (Unit u; parts.next(a, u);) {
    compute<T, Cache, kDim>(a, u, shared);
    __syncthreads();  // the next part's q overwrites this one's
  }
}

template <typename T, typename Cache, int kDim>
void launch(const AttentionArgs& a, cudaStream_t stream) {
  const int64_t tiles = static_cast<int64_t>(a.tokens) * a.group / kRows<kDim> + a.rows;
  constexpr int kBytes = kSharedBytes<Cache, kDim>;
  allow_shared_memory(attention_prefill_kernel<T, Cache, kDim>, kBytes);
  attention_prefill_kernel<T, Cache, kDim><<<static_cast<unsigned>(tiles * a.kv_heads), kThreads, kBytes, stream>>>(a);
  check(cudaGetLastError(), "attention_paged: tiled launch");
}

template <typename T, typename Cache, int kDim>
void launch_split(const AttentionArgs& a, int multiprocessors, cudaStream_t stream) {
  const int blocks = multiprocessors * kBlocksPerSm<kDim>;
  constexpr int kBytes = kSharedBytes<Cache, kDim>;
  allow_shared_memory(attention_prefill_split_kernel<T, Cache, kDim>, kBytes);
  // Begun early, its blocks would fill one multiprocessor after the other as the kernel ahead leaves them, and where there is
  // little work the first few would have it all.
  launch_overlapped("attention_paged: split tiled launch", stream, false, attention_prefill_split_kernel<T, Cache, kDim>,
                    static_cast<unsigned>(blocks), kThreads, kBytes, a);
  launch_mma_split_merge(a, blocks, stream);
}

}  // namespace vn::cuda::prefill
