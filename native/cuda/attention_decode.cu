// Split-KV attention for short rows: out[t, h] = softmax(softcap(q[t, h] k^T * scale)) v, where a row's query tokens times
// the heads of a KV head's group are at most 16, or the row has one token and a larger group (16 heads at a time). q, cache
// and out are all F16 or all BF16; head dimension 64, 96, 128 or 256; scores, sums and partial results in f32; weights are
// rounded to the dtype before they multiply v.
//
// Work: one unit is kTile tokens of one (row, KV head). Units of the whole batch stand in one line (row, head, tile; a large
// group counts as several heads), and each of the grid's blocks, as many as the chip holds at once, takes an equal run of it:
// long and short sequences, few and many rows all keep every SM equally busy, and the plan follows seq_lens on the device, so
// that a captured graph adapts.
// A run that ends inside a (row, head) leaves a partial result, at most two for each block, which a second kernel merges.
// Block: kWarps warps; warp w takes tokens 16 w .. 16 w + 15 of each tile through a ring of kStages buffers of its own
// (cp.async; the page is looked up one tile ahead), without block barriers until the (row, head) ends, where the warps'
// states are merged. The 16 rows of an mma are (token, head of the group): K and V are read once for all of them.
// Shared memory: kStages x kTile x kDim x 2 (K, V) x 2 bytes, and 2 x 16 x kDim x 4 bytes for merging.
// Alignment: 16 bytes for q, out, the cache, and all their strides. Bound: bytes of K and V.
// A NaN in the V of a token reaches the row's other tokens in this tile that do not see it; never another row.
// Ideas: splitting along the sequence with a merge by log-sum-exp is Flash-Decoding's (Dao et al.), a group in the rows of an
// mma FlashInfer's, equal runs of a line of tiles Stream-K's (Osama et al.).
#include "cuda/attention_mma.cuh"
#include "cuda/check.h"

namespace vn::cuda {
namespace {

constexpr int kWarps = 4;
constexpr int kThreads = 32 * kWarps;
constexpr int kTile = kWarps * kWarpTokens;
constexpr int kMinShare = 2;        // units: below, a block costs more than it saves
constexpr int kMaxBlocksPerSm = 3;
constexpr float kSlack = 8.0f;      // the base of the exponents may lag behind the largest by 2^8

template <int kDim>
constexpr int kStages = kDim <= 64 ? 4 : kDim <= 128 ? 3 : 2;
template <int kDim>
constexpr int kBlocksPerSm = kDim <= 64 ? 3 : kDim <= 128 ? 2 : 1;

template <int kDim>
constexpr int kHalfStageBytes = kWarpTokens * kDim * 2;  // K or V of one warp
template <int kDim>
constexpr int kRingBytes = kStages<kDim> * kWarps * 2 * kHalfStageBytes<kDim>;
template <int kDim>
constexpr int kMergeBytes = 2 * kDecodeRows * kDim * 4;
template <int kDim>
constexpr int kSharedBytes = kRingBytes<kDim> + kMergeBytes<kDim>;

// Partial results: [slot][16 rows][dim] sums, then 16 largest exponents and 16 weights. Slot 2 b + 1: the (row, head) that
// block b began and did not end; slot 2 b: the one that it did not begin.
__host__ __device__ constexpr int64_t partial_floats(int dim) { return kDecodeRows * (dim + 2); }

// What to merge: the (row, head) that a block began and did not end, over `parts` blocks from this one; 0 = nothing.
struct alignas(16) Piece {
  int parts, row, head, unused;
};

// Parts of a group, of kDecodeRows (token, head) pairs each; more than one only for one token of a large group.
__device__ int parts_of_group(const AttentionArgs& a) { return (a.group + kDecodeRows - 1) / kDecodeRows; }

// Heads of a row in the line of units: parts of the KV heads' groups.
__device__ int line_heads(const AttentionArgs& a) { return a.kv_heads * parts_of_group(a); }

// Tiles [first, end) of a row, for each of its heads in the line.
struct TileRange {
  int first, end;
};

__device__ TileRange tiles_of(const AttentionArgs& a, const RowRange& row) {
  if (row.queries() <= 0 || row.length <= 0 || !is_decode_row(a, row)) return {0, 0};
  return {first_seen(a, row.first_position()) / kTile, (row.length - 1) / kTile + 1};
}

// A block's run [begin, end) of units. The first lies `offset` units into row `row`.
struct Share {
  int64_t begin, end, size;
  int64_t offset;
  int row;
};

// Called by all threads; the result is in shared memory.
__device__ void find_share(const AttentionArgs& a, Share& share, int64_t (&warp_sums)[kWarps]) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int per_thread = (a.rows + kThreads - 1) / kThreads;
  const int first = min(static_cast<int>(threadIdx.x) * per_thread, a.rows), last = min(first + per_thread, a.rows);
  int64_t mine = 0;
  for (int r = first; r < last; ++r) {
    const TileRange tiles = tiles_of(a, row_range(a, r));
    mine += static_cast<int64_t>(tiles.end - tiles.first) * line_heads(a);
  }
  int64_t sum = mine;
#pragma unroll
  for (int offset = 1; offset < 32; offset *= 2) {
    const int64_t other = __shfl_up_sync(kAllLanes, sum, offset);
    if (lane >= offset) sum += other;
  }
  if (lane == 31) warp_sums[warp] = sum;
  __syncthreads();
  int64_t before = sum - mine, total = 0;
#pragma unroll
  for (int w = 0; w < kWarps; ++w) {
    if (w < warp) before += warp_sums[w];
    total += warp_sums[w];
  }
  const int64_t size = max((total + gridDim.x - 1) / gridDim.x, static_cast<int64_t>(kMinShare));
  const int64_t begin = blockIdx.x * size;
  if (threadIdx.x == 0) {
    share.begin = begin;
    share.end = min(begin + size, total);
    share.size = size;
  }
  if (begin >= before && begin < before + mine) {
    int64_t offset = begin - before;
    for (int r = first; r < last; ++r) {
      const TileRange tiles = tiles_of(a, row_range(a, r));
      const int64_t units = static_cast<int64_t>(tiles.end - tiles.first) * line_heads(a);
      if (offset < units) {
        share.row = r;
        share.offset = offset;
        break;
      }
      offset -= units;
    }
  }
  __syncthreads();
}

// A place in the line of units.
struct Cursor {
  RowRange range;
  TileRange tiles;
  const int32_t* table;
  int row, head, tile;  // head: in the line
  int low;  // first position that the row sees

  __device__ void open_row(const AttentionArgs& a, int index) {
    row = index;
    range = row_range(a, row);
    tiles = tiles_of(a, range);
    table = table_of(a, row);
    low = first_seen(a, range.first_position());
  }
  __device__ void start(const AttentionArgs& a, const Share& share) {
    open_row(a, share.row);
    const int count = tiles.end - tiles.first;
    head = static_cast<int>(share.offset / count);
    tile = tiles.first + static_cast<int>(share.offset % count);
  }
  // There is a next unit.
  __device__ void advance(const AttentionArgs& a) {
    if (++tile < tiles.end) return;
    if (++head < line_heads(a)) {
      tile = tiles.first;
      return;
    }
    do open_row(a, row + 1);
    while (tiles.first == tiles.end);
    head = 0;
    tile = tiles.first;
  }
};

// A (token, head) pair of a row: m counts the pairs of a KV head's group, or of the part of it that `line_head` is.
struct Pair {
  int token, head;
  bool exists;
};

__device__ Pair pair_of(const AttentionArgs& a, const RowRange& row, int line_head, int m) {
  const int parts = parts_of_group(a), index = line_head % parts * kDecodeRows + m;
  const int token = index / a.group;
  return {token, line_head / parts * a.group + index % a.group, token < row.queries()};
}

// What a warp knows of its 16 rows: of a lane's rows g and g + 8, largest exponent and its part of the sum of weights.
template <int kDim>
struct State {
  uint32_t q[kDim / 16][4];
  float sum[kDim / 8][4];
  float largest[2], weight[2];
  int low[2], end[2];  // positions that the rows see
};

template <typename T, int kDim>
__device__ void begin_piece(const AttentionArgs& a, const Cursor& at, State<kDim>& s) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const auto [token, head, exists] = pair_of(a, at.range, at.head, lane / 4 + 8 * half);
    const int position = at.range.first_position() + token;
    s.largest[half] = -INFINITY;
    s.weight[half] = 0.0f;
    s.end[half] = exists ? position + 1 : 0;
    s.low[half] = first_seen(a, position);
    const T* q = static_cast<const T*>(a.q) + (at.range.begin + token) * a.q_token_stride + head * a.q_head_stride;
#pragma unroll
    for (int step = 0; step < kDim / 16; ++step) {
      const int d = 16 * step + lane % 4 * 2;
      s.q[step][half] = exists ? *reinterpret_cast<const uint32_t*>(q + d) : 0u;
      s.q[step][half + 2] = exists ? *reinterpret_cast<const uint32_t*>(q + d + 8) : 0u;
    }
  }
#pragma unroll
  for (int n = 0; n < kDim / 8; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) s.sum[n][i] = 0.0f;
  }
}

// 16 tokens, the first at `position`.
template <typename T, int kDim>
__device__ void add_tokens(State<kDim>& s, uint32_t key_tile, uint32_t value_tile, int position, const ScoreScale& scale) {
  float score[2][4] = {};
#pragma unroll
  for (int step = 0; step < kDim / 16; ++step) {
    uint32_t key[4];
    load_key<kDim>(key, key_tile, 0, step);
    mma<T>(score[0], s.q[step], key[0], key[1]);
    mma<T>(score[1], s.q[step], key[2], key[3]);
  }
  const int first = position + threadIdx.x % 4 * 2;
  float largest[2] = {-INFINITY, -INFINITY};
#pragma unroll
  for (int n = 0; n < 2; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int p = first + 8 * n + i % 2;
      score[n][i] = p >= s.low[i / 2] && p < s.end[i / 2] ? scale(score[n][i]) : -INFINITY;
      largest[i / 2] = fmaxf(largest[i / 2], score[n][i]);
    }
  }
  largest[0] = row_max(largest[0]);
  largest[1] = row_max(largest[1]);
  if (__any_sync(kAllLanes, largest[0] > s.largest[0] + kSlack || largest[1] > s.largest[1] + kSlack)) {
    float correction[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float base = fmaxf(s.largest[half], largest[half]);
      correction[half] = weight_of(s.largest[half], base);
      s.largest[half] = base;
      s.weight[half] *= correction[half];
    }
#pragma unroll
    for (int n = 0; n < kDim / 8; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) s.sum[n][i] *= correction[i / 2];
    }
  }
#pragma unroll
  for (int n = 0; n < 2; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      score[n][i] = weight_of(score[n][i], s.largest[i / 2]);
      s.weight[i / 2] += score[n][i];
    }
  }
  const uint32_t weights[4] = {pack<T>(score[0][0], score[0][1]), pack<T>(score[0][2], score[0][3]),
                               pack<T>(score[1][0], score[1][1]), pack<T>(score[1][2], score[1][3])};
#pragma unroll
  for (int pair = 0; pair < kDim / 16; ++pair) {
    uint32_t value[4];
    load_value<kDim>(value, value_tile, 0, pair);
    mma<T>(s.sum[2 * pair], weights, value[0], value[1]);
    mma<T>(s.sum[2 * pair + 1], weights, value[2], value[3]);
  }
}

struct MergeScratch {
  float largest[kWarps][kDecodeRows], weight[kWarps][kDecodeRows];
};

// Merges the warps' states into warp 0's, whose weight and largest then are the block's. Three block barriers; `sums` holds
// the sums of two warps, as float4 [warp][dim / 8][lane].
template <int kDim>
__device__ void merge_warps(State<kDim>& s, MergeScratch& scratch, float4* sums) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  constexpr int kVectors = kDim / 8;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const float weight = row_sum(s.weight[half]);
    if (lane % 4 == 0) {
      scratch.largest[warp][lane / 4 + 8 * half] = s.largest[half];
      scratch.weight[warp][lane / 4 + 8 * half] = weight;
    }
  }
  __syncthreads();
  float factor[2];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int m = lane / 4 + 8 * half;
    float base = -INFINITY, weight = 0.0f;
#pragma unroll
    for (int w = 0; w < kWarps; ++w) base = fmaxf(base, scratch.largest[w][m]);
#pragma unroll
    for (int w = 0; w < kWarps; ++w) weight += weight_of(scratch.largest[w][m], base) * scratch.weight[w][m];
    factor[half] = weight_of(s.largest[half], base);
    s.largest[half] = base;
    s.weight[half] = weight;
  }
#pragma unroll
  for (int n = 0; n < kVectors; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) s.sum[n][i] *= factor[i / 2];
  }
  const auto give = [&](float4* to) {
#pragma unroll
    for (int n = 0; n < kVectors; ++n) {
      to[n * 32 + lane] = make_float4(s.sum[n][0], s.sum[n][1], s.sum[n][2], s.sum[n][3]);
    }
  };
  const auto take = [&](const float4* from) {
#pragma unroll
    for (int n = 0; n < kVectors; ++n) {
      const float4 x = from[n * 32 + lane];
      s.sum[n][0] += x.x;
      s.sum[n][1] += x.y;
      s.sum[n][2] += x.z;
      s.sum[n][3] += x.w;
    }
  };
  static_assert(kWarps == 4);
  if (warp >= 2) give(sums + (warp - 2) * kVectors * 32);
  __syncthreads();
  if (warp < 2) take(sums + warp * kVectors * 32);
  if (warp == 1) give(sums + kVectors * 32);
  __syncthreads();
  if (warp == 0) take(sums + kVectors * 32);
}

template <typename T, int kDim>
__device__ void write_out(const AttentionArgs& a, const Cursor& at, const State<kDim>& s) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    if (s.end[half] <= 0) continue;  // no such pair, or before position 0
    const Pair pair = pair_of(a, at.range, at.head, lane / 4 + 8 * half);
    T* out = static_cast<T*>(a.out) + (at.range.begin + pair.token) * a.out_token_stride + pair.head * a.out_head_stride;
    const float inverse = 1.0f / s.weight[half];
#pragma unroll
    for (int n = 0; n < kDim / 8; ++n) {
      *reinterpret_cast<uint32_t*>(out + 8 * n + lane % 4 * 2) =
          pack<T>(s.sum[n][2 * half] * inverse, s.sum[n][2 * half + 1] * inverse);
    }
  }
}

template <int kDim>
__device__ void write_partial(float* slot, const State<kDim>& s) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int m = lane / 4 + 8 * half;
    if (s.end[half] <= 0) continue;
#pragma unroll
    for (int n = 0; n < kDim / 8; ++n) {
      *reinterpret_cast<float2*>(slot + m * kDim + 8 * n + lane % 4 * 2) =
          make_float2(s.sum[n][2 * half], s.sum[n][2 * half + 1]);
    }
    if (lane % 4 == 0) {
      slot[kDecodeRows * kDim + m] = s.largest[half];
      slot[kDecodeRows * kDim + kDecodeRows + m] = s.weight[half];
    }
  }
}

template <typename T, int kDim>
__global__ void __launch_bounds__(kThreads, kBlocksPerSm<kDim>) attention_decode_kernel(const AttentionArgs a) {
  extern __shared__ __align__(128) unsigned char ring[];
  __shared__ Share share;
  __shared__ int64_t warp_sums[kWarps];
  __shared__ MergeScratch scratch;
  constexpr int kDepth = kStages<kDim> - 1;
  Piece* const pieces = static_cast<Piece*>(a.pieces);
  find_share(a, share, warp_sums);
  if (share.begin >= share.end) {
    if (threadIdx.x == 0) pieces[blockIdx.x] = {0, 0, 0, 0};
    return;
  }
  const int units = static_cast<int>(share.end - share.begin);
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const uint32_t my_ring = shared_address(ring) + warp * kStages<kDim> * 2 * kHalfStageBytes<kDim>;
  const auto key_tile = [&](int unit) { return my_ring + unit % kStages<kDim> * 2 * kHalfStageBytes<kDim>; };

  // Looks one unit up and moves on.
  Cursor ahead;
  ahead.start(a, share);
  int looked_up = 0;
  const auto look_up = [&](TokenPlace& place, int& head) {
    if (looked_up >= units) return;
    const int position = ahead.tile * kTile + warp * kWarpTokens + lane % kWarpTokens;
    place.look_up(a, ahead.table, position, ahead.low, ahead.range.length);
    head = ahead.head / parts_of_group(a);
    if (++looked_up < units) ahead.advance(a);
  };
  const auto fetch = [&](int unit, const TokenPlace& place, int head) {
    if (unit < units) {
      fetch_tokens<T, kDim>(a, key_tile(unit), key_tile(unit) + kHalfStageBytes<kDim>, head, place);
    }
    commit_copies();
  };
  TokenPlace next;
  int next_head = 0;
  {
    TokenPlace places[kDepth];
    int heads[kDepth] = {};
#pragma unroll
    for (int i = 0; i < kDepth; ++i) look_up(places[i], heads[i]);
    look_up(next, next_head);
#pragma unroll
    for (int i = 0; i < kDepth; ++i) fetch(i, places[i], heads[i]);
  }

  Cursor at;
  at.start(a, share);
  const ScoreScale scale(a);
  State<kDim> s;
  bool from_start = at.tile == at.tiles.first, fresh = true;
  Piece unfinished = {0, 0, 0, 0};
  for (int unit = 0; unit < units; ++unit) {
    fetch(unit + kDepth, next, next_head);
    look_up(next, next_head);
    if (fresh) begin_piece<T, kDim>(a, at, s);
    fresh = false;
    wait_copies<kDepth>();
    __syncwarp();
    const int position = at.tile * kTile + warp * kWarpTokens;
    add_tokens<T, kDim>(s, key_tile(unit), key_tile(unit) + kHalfStageBytes<kDim>, position, scale);
    __syncwarp();  // the next fetch overwrites this tile
    const bool complete = at.tile + 1 == at.tiles.end;
    if (complete || unit + 1 == units) {
      merge_warps<kDim>(s, scratch, reinterpret_cast<float4*>(ring + kRingBytes<kDim>));
      if (warp == 0) {
        if (complete && from_start) {
          write_out<T, kDim>(a, at, s);
        } else {
          write_partial<kDim>(a.partials + (2 * static_cast<int64_t>(blockIdx.x) + from_start) * partial_floats(kDim), s);
        }
      }
      if (!complete && from_start) {
        const int64_t last_unit = share.begin + unit + (at.tiles.end - 1 - at.tile);
        unfinished = {static_cast<int>(last_unit / share.size - blockIdx.x) + 1, at.row, at.head, 0};
      }
      fresh = from_start = true;
    }
    if (unit + 1 < units) at.advance(a);
  }
  if (threadIdx.x == 0) pieces[blockIdx.x] = unfinished;
}

// Merges what attention_decode_kernel left. Grid: x = row of the 16, y = block of that kernel; warps share the parts, lanes
// the dimensions. Bound: latency.
template <typename T, int kDim>
__global__ void __launch_bounds__(kThreads) attention_decode_merge_kernel(const AttentionArgs a) {
  constexpr int kSlices = kDim / 32;
  __shared__ float shared_sum[kWarps][kDim], shared_weight[kWarps];
  const int m = blockIdx.x, lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const Piece piece = static_cast<const Piece*>(a.pieces)[blockIdx.y];
  if (piece.parts == 0) return;
  const RowRange row = row_range(a, piece.row);
  const auto [token, head, exists] = pair_of(a, row, piece.head, m);
  if (!exists || row.first_position() + token < 0) return;

  const auto part = [&](int i) {
    const int64_t slot = 2 * (static_cast<int64_t>(blockIdx.y) + i) + (i == 0);
    return a.partials + slot * partial_floats(kDim);
  };
  float base = -INFINITY;
  for (int i = lane; i < piece.parts; i += 32) base = fmaxf(base, part(i)[kDecodeRows * kDim + m]);
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) base = fmaxf(base, __shfl_xor_sync(kAllLanes, base, offset));
  float sum[kSlices] = {}, weight = 0.0f;
#pragma unroll 4
  for (int i = warp; i < piece.parts; i += kWarps) {
    const float* p = part(i);
    const float factor = weight_of(p[kDecodeRows * kDim + m], base);
    weight += factor * p[kDecodeRows * kDim + kDecodeRows + m];
#pragma unroll
    for (int j = 0; j < kSlices; ++j) sum[j] += factor * p[m * kDim + lane + 32 * j];
  }
#pragma unroll
  for (int j = 0; j < kSlices; ++j) shared_sum[warp][lane + 32 * j] = sum[j];
  if (lane == 0) shared_weight[warp] = weight;
  __syncthreads();
  weight = 0.0f;
#pragma unroll
  for (int w = 0; w < kWarps; ++w) weight += shared_weight[w];
  T* out = static_cast<T*>(a.out) + (row.begin + token) * a.out_token_stride + head * a.out_head_stride;
  for (int d = static_cast<int>(threadIdx.x); d < kDim; d += kThreads) {
    float total = 0.0f;
#pragma unroll
    for (int w = 0; w < kWarps; ++w) total += shared_sum[w][d];
    out[d] = from_float<T>(total / weight);
  }
}

template <typename T, int kDim>
void launch(const AttentionArgs& a, int multiprocessors, cudaStream_t stream) {
  const auto blocks = static_cast<unsigned>(multiprocessors * kBlocksPerSm<kDim>);
  allow_shared_memory(attention_decode_kernel<T, kDim>, kSharedBytes<kDim>);
  attention_decode_kernel<T, kDim><<<blocks, kThreads, kSharedBytes<kDim>, stream>>>(a);
  check(cudaGetLastError(), "attention_paged: split-KV launch");
  const int64_t rows = static_cast<int64_t>(a.max_query_len) * a.group;
  const dim3 grid(static_cast<unsigned>(rows < kDecodeRows ? rows : kDecodeRows), blocks);
  attention_decode_merge_kernel<T, kDim><<<grid, kThreads, 0, stream>>>(a);
  check(cudaGetLastError(), "attention_paged: merge launch");
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

bool decode_supports(const AttentionArgs& a) {
  constexpr int kStaticBytes = 1024;
  bool fits = false;
  with_dim(a.key_dim, [&](auto dim) { fits = kSharedBytes<dim> + kStaticBytes <= a.shared_limit; });
  return fits && a.group <= kMaxDecodeGroup && aligned_for_tiles(a);
}

void launch_attention_decode(const AttentionArgs& a, int multiprocessors, cudaStream_t stream) {
  with_dim(a.key_dim, [&](auto dim) {
    a.q_dtype == VN_DTYPE_F16 ? launch<__half, dim>(a, multiprocessors, stream)
                              : launch<__nv_bfloat16, dim>(a, multiprocessors, stream);
  });
}

int64_t decode_partial_bytes(int multiprocessors, int32_t value_dim) {
  const int64_t slots = 2 * int64_t{kMaxBlocksPerSm} * multiprocessors;
  return (slots * partial_floats(value_dim) * static_cast<int64_t>(sizeof(float)) + 255) / 256 * 256;
}

int64_t decode_piece_bytes(int multiprocessors) {
  return int64_t{kMaxBlocksPerSm} * multiprocessors * static_cast<int64_t>(sizeof(Piece));
}

}  // namespace vn::cuda
