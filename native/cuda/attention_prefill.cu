// Tiled attention for long rows: out[t, h] = softmax(softcap(q[t, h] k^T * scale)) v, causal, aligned at the end of the
// sequence, over a ragged batch with block tables. q, cache and out are all F16 or all BF16; head dimension 64, 96, 128 or
// 256; scores and sums in f32; weights are rounded to the dtype before they multiply v.
//
// Rows of a tile: kRows packed (token, head of the group) pairs of one row of the step and one KV head, so that a tile of K
// and V serves the whole group. The grid has one block for each tile that could exist: row r's tiles begin at
// query_start[r] * group / kRows + r, which is always enough room, and no list is needed; blocks without a tile leave at once.
// The last tiles, which see most, start first.
// Block: kWarps warps with 16 kRowTiles rows each. Shared memory: q [kRows][kDim], and two stages of K and V [kTile][kDim],
// swizzled; the next stage's pages are fetched (cp.async) while this one is computed; each warp fetches 16 tokens.
// Alignment: 16 bytes for q, the cache, and all strides. Bound: tensor operations (mma.sync), then exponentials.
// A NaN in the V of a token reaches earlier tokens of the same row in this tile; never another row.
// Ideas: FlashAttention-2 (Dao): online softmax, weights reused from accumulator registers; packing of groups as in
// FlashAttention-3 and FlashInfer; lazy rescaling as in FlashAttention-4.
#include "cuda/attention_mma.cuh"

namespace vn::cuda {
namespace {

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
template <int kDim>
constexpr int kHalfStageBytes = kTile * kDim * 2;  // K or V
template <int kDim>
constexpr int kSharedBytes = kQueryBytes<kDim> + 4 * kHalfStageBytes<kDim>;

// First tile of a row; tiles that the row does not fill are empty.
__device__ int64_t first_tile(const AttentionArgs& a, int row, int rows_per_tile) {
  return static_cast<int64_t>(clamped_start(a, row)) * a.group / rows_per_tile + row;
}

__device__ int row_of_tile(const AttentionArgs& a, int64_t tile, int rows_per_tile) {
  int low = 0, high = a.rows;  // first_tile(low) <= tile < first_tile(high)
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    (first_tile(a, middle, rows_per_tile) <= tile ? low : high) = middle;
  }
  return low;
}

// What a block computes: packed rows [first, rows) of a row of the step, as many as a tile has, and one KV head.
struct Unit {
  RowRange range;
  int first, rows;
  int kv_head;

  __device__ int position(int m, int group) const { return range.first_position() + (first + m) / group; }
};

template <typename T, int kDim>
__device__ void fetch_queries(const AttentionArgs& a, const Unit& u, uint32_t tile) {
  constexpr int kChunks = kDim / kChunkElements;
  static_assert(kRows<kDim> * kChunks % kThreads == 0);
#pragma unroll 4
  for (int i = 0; i < kRows<kDim> * kChunks / kThreads; ++i) {
    const int index = i * kThreads + static_cast<int>(threadIdx.x);
    const int row = index / kChunks, chunk = index % kChunks, m = u.first + row;
    const bool exists = m < u.rows;
    const T* q = static_cast<const T*>(a.q);
    if (exists) {
      q += (u.range.begin + m / a.group) * a.q_token_stride + (u.kv_head * a.group + m % a.group) * a.q_head_stride +
           chunk * kChunkElements;
    }
    copy_chunk(tile + tile_offset<kDim>(row, chunk), q, exists);
  }
}

template <int kDim>
struct State {
  float sum[kRowTiles<kDim>][kDim / 8][4];
  float largest[kRowTiles<kDim>][2], weight[kRowTiles<kDim>][2];
  int position[kRowTiles<kDim>][2];  // of the lane's rows' tokens
};

using Scores = float[kTile / 8][4];

template <typename T, int kDim>
__device__ void multiply_keys(Scores (&score)[kRowTiles<kDim>], uint32_t query_tile, uint32_t key_tile) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int r = 0; r < kRowTiles<kDim>; ++r) {
#pragma unroll
    for (int n = 0; n < kTile / 8; ++n) score[r][n][0] = score[r][n][1] = score[r][n][2] = score[r][n][3] = 0.0f;
  }
#pragma unroll
  for (int step = 0; step < kDim / 16; ++step) {
    uint32_t q[kRowTiles<kDim>][4];
#pragma unroll
    for (int r = 0; r < kRowTiles<kDim>; ++r) {
      load_matrices(q[r], query_tile + tile_offset<kDim>(16 * r + lane % 16, 2 * step + lane / 16));
    }
#pragma unroll
    for (int pair = 0; pair < kSteps; ++pair) {
      uint32_t key[4];
      load_key<kDim>(key, key_tile, 16 * pair, step);
#pragma unroll
      for (int r = 0; r < kRowTiles<kDim>; ++r) {
        mma<T>(score[r][2 * pair], q[r], key[0], key[1]);
        mma<T>(score[r][2 * pair + 1], q[r], key[2], key[3]);
      }
    }
  }
}

// Scores of one row tile to weights; the sums so far are brought to the same base. start: position of the first token.
template <int kDim>
__device__ void soften(State<kDim>& s, int r, Scores& score, bool masked, int start, int window, float factor, float cap) {
  if (cap > 0.0f) {
#pragma unroll
    for (int n = 0; n < kTile / 8; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) score[n][i] = cap * tanh_fast(score[n][i] * factor);
    }
    factor = 1.0f;
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
  largest[0] = row_max(largest[0]) * factor;
  largest[1] = row_max(largest[1]) * factor;
  if (__any_sync(kAllLanes, largest[0] > s.largest[r][0] + kSlack || largest[1] > s.largest[r][1] + kSlack)) {
    float correction[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float base = fmaxf(s.largest[r][half], largest[half]);
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
      score[n][i] = exp2_fast(fmaf(score[n][i], factor, -base[i / 2]));
      s.weight[r][i / 2] += score[n][i];
    }
  }
}

template <typename T, int kDim>
__device__ void multiply_values(State<kDim>& s, const Scores (&score)[kRowTiles<kDim>], uint32_t value_tile) {
#pragma unroll
  for (int step = 0; step < kSteps; ++step) {
    uint32_t weights[kRowTiles<kDim>][4];
#pragma unroll
    for (int r = 0; r < kRowTiles<kDim>; ++r) {
      weights[r][0] = pack<T>(score[r][2 * step][0], score[r][2 * step][1]);
      weights[r][1] = pack<T>(score[r][2 * step][2], score[r][2 * step][3]);
      weights[r][2] = pack<T>(score[r][2 * step + 1][0], score[r][2 * step + 1][1]);
      weights[r][3] = pack<T>(score[r][2 * step + 1][2], score[r][2 * step + 1][3]);
    }
#pragma unroll
    for (int pair = 0; pair < kDim / 16; ++pair) {
      uint32_t value[4];
      load_value<kDim>(value, value_tile, 16 * step, pair);
#pragma unroll
      for (int r = 0; r < kRowTiles<kDim>; ++r) {
        mma<T>(s.sum[r][2 * pair], weights[r], value[0], value[1]);
        mma<T>(s.sum[r][2 * pair + 1], weights[r], value[2], value[3]);
      }
    }
  }
}

template <typename T, int kDim>
__device__ void write_out(const AttentionArgs& a, const Unit& u, const State<kDim>& s, int warp_row) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int r = 0; r < kRowTiles<kDim>; ++r) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float inverse = 1.0f / row_sum(s.weight[r][half]);
      const int m = u.first + warp_row + 16 * r + 8 * half + lane / 4;
      if (m >= u.rows || s.position[r][half] < 0) continue;
      T* out = static_cast<T*>(a.out) + (u.range.begin + m / a.group) * a.out_token_stride +
               (u.kv_head * a.group + m % a.group) * a.out_head_stride + lane % 4 * 2;
#pragma unroll
      for (int n = 0; n < kDim / 8; ++n) {
        *reinterpret_cast<uint32_t*>(out + 8 * n) =
            pack<T>(s.sum[r][n][2 * half] * inverse, s.sum[r][n][2 * half + 1] * inverse);
      }
    }
  }
}

template <typename T, int kDim>
__global__ void __launch_bounds__(kThreads, kBlocksPerSm<kDim>) attention_prefill_kernel(const AttentionArgs a) {
  extern __shared__ __align__(128) unsigned char shared[];
  const int64_t tile = (gridDim.x - 1 - blockIdx.x) / a.kv_heads;
  const int row = row_of_tile(a, tile, kRows<kDim>);
  Unit u;
  u.range = row_range(a, row);
  if (a.decode_rows_elsewhere && is_decode_row(a, u.range)) return;
  const int64_t first = (tile - first_tile(a, row, kRows<kDim>)) * kRows<kDim>;
  const int64_t rows = static_cast<int64_t>(u.range.queries()) * a.group;
  if (first < 0 || first >= rows || u.range.length <= 0) return;
  u.first = static_cast<int>(first);
  u.rows = static_cast<int>(rows);
  u.kv_head = static_cast<int>(blockIdx.x % a.kv_heads);
  const int first_position = u.position(0, a.group);
  const int last_position = u.position(min(kRows<kDim>, u.rows - u.first) - 1, a.group);
  if (last_position < 0) return;

  // Positions [low, high) that the tile's rows see together.
  const int low = first_seen(a, first_position), high = last_position + 1;
  const int begin = low / kTile, end = (high - 1) / kTile + 1;
  const int32_t* table = table_of(a, row);
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const uint32_t query_tile = shared_address(shared), ring = query_tile + kQueryBytes<kDim>;
  const auto stage = [&](int t) { return ring + (t - begin) % 2 * 2 * kHalfStageBytes<kDim>; };
  const uint32_t mine = warp * kWarpTokens * kDim * 2;
  TokenPlace place;
  const auto look_up = [&](int t) {
    place.look_up(a, table, t * kTile + warp * kWarpTokens + lane % kWarpTokens, low, high);
  };
  const auto fetch = [&](int t) {
    fetch_tokens<T, kDim>(a, stage(t) + mine, stage(t) + kHalfStageBytes<kDim> + mine, u.kv_head, place);
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
  const int warp_first = u.position(warp_row, a.group);
  const int warp_last = u.position(warp_row + 16 * kRowTiles<kDim> - 1, a.group);
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
    if (start > warp_last || start + kTile <= first_seen(a, warp_first)) continue;  // nothing to see for this warp
    const bool masked = start + kTile > warp_first + 1 || start < first_seen(a, warp_last);
    Scores score[kRowTiles<kDim>];
    multiply_keys<T, kDim>(score, query_tile + warp_row * kDim * 2, stage(t));
#pragma unroll
    for (int r = 0; r < kRowTiles<kDim>; ++r) soften<kDim>(s, r, score[r], masked, start, a.window, factor, cap);
    multiply_values<T, kDim>(s, score, stage(t) + kHalfStageBytes<kDim>);
  }
  write_out<T, kDim>(a, u, s, warp_row);
}

template <typename T, int kDim>
void launch(const AttentionArgs& a, cudaStream_t stream) {
  const int64_t tiles = static_cast<int64_t>(a.tokens) * a.group / kRows<kDim> + a.rows;
  allow_shared_memory(attention_prefill_kernel<T, kDim>, kSharedBytes<kDim>);
  attention_prefill_kernel<T, kDim>
      <<<static_cast<unsigned>(tiles * a.kv_heads), kThreads, kSharedBytes<kDim>, stream>>>(a);
  check(cudaGetLastError(), "attention_paged: tiled launch");
}

// Calls body with the head dimension as a constant; false if there is no kernel for it.
template <typename Body>
bool with_dim(int dim, Body&& body) {
  switch (dim) {
    case 64: body(std::integral_constant<int, 64>()); return true;
    case 96: body(std::integral_constant<int, 96>()); return true;
    case 128: body(std::integral_constant<int, 128>()); return true;
    case 256: body(std::integral_constant<int, 256>()); return true;
    default: return false;
  }
}

}  // namespace

bool prefill_supports(const AttentionArgs& a) {
  bool fits = false;
  with_dim(a.key_dim, [&](auto dim) { fits = kSharedBytes<dim> <= a.shared_limit; });
  return fits && a.scale > 0.0f && aligned_for_tiles(a);  // the largest score is found before scaling
}

void launch_attention_prefill(const AttentionArgs& a, cudaStream_t stream) {
  with_dim(a.key_dim, [&](auto dim) {
    a.q_dtype == VN_DTYPE_F16 ? launch<__half, dim>(a, stream) : launch<__nv_bfloat16, dim>(a, stream);
  });
}

}  // namespace vn::cuda
