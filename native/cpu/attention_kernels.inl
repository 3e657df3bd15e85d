// The kernels of attention_kernels.h over the vector type of the simd_*.h included before. No include guard: each
// attention_<isa>.cpp includes it once, inside its own unnamed namespace.
//
// A tile of K is converted to f32 and transposed to [dim][token]: scores of kWidth tokens then accumulate in one register
// over ascending dimensions, without sums across lanes, and several query rows share each load. A tile of V is converted
// to f32 [token][dim]; weighted sums accumulate over ascending tokens. A query never multiplies a V that it does not see,
// so that what lies in unwritten or later slots (even NaN) cannot reach it.

constexpr float kMinusInfinity = -__builtin_inff();
constexpr int kDots = kWidth == 16 ? 8 : 4;   // query rows of a score micro-kernel, two vectors of tokens each
constexpr int kSums = 4;                      // query rows of a weighted-sum micro-kernel
constexpr int kSpan = kWidth == 16 ? 4 : 2;   // ... and vectors of dimensions

inline float first_lane(Vec v) {
  alignas(64) float lanes[kWidth];
  vstore(lanes, v);
  return lanes[0];
}

// A unit's working memory.
struct State {
  alignas(64) float q[kMaxRows * kMaxDim];
  alignas(64) float key[kMaxDim * kTile];        // [dim][token]
  alignas(64) float value[kTile * kMaxDim];      // [token][padded dim]
  alignas(64) float score[kMaxRows * kTile];
  alignas(64) float sum[kMaxRows * kMaxDim];     // of the chunk, [row][padded dim]
  alignas(64) float merged[kMaxRows * kMaxDim];  // of the chunks before
  alignas(64) float weight[kMaxRows * kWidth];   // sum of exponentials, one part for each lane
  float largest[kMaxRows + kWidth], tile_largest[kMaxRows + kWidth], correction[kMaxRows + kWidth];
  float merged_largest[kMaxRows], merged_weight[kMaxRows];
};

template <typename T>
void load_floats(float* out, const char* in, int n) {
  const T* p = reinterpret_cast<const T*>(in);
  int i = 0;
  for (; i + kWidth <= n; i += kWidth) vstore(out + i, vload(p + i));
  if (i < n) vstore_n(out + i, vload_n(p + i, n - i), n - i);
}

void load_query(float* out, const char* in, int32_t dtype, int n) {
  switch (dtype) {
    case VN_DTYPE_F16: load_floats<f16>(out, in, n); return;
    case VN_DTYPE_BF16: load_floats<bf16>(out, in, n); return;
    default: load_floats<float>(out, in, n); return;
  }
}

template <typename T>
void store_quotient(char* out, const float* sum, float weight, float scale, int n) {
  T* p = reinterpret_cast<T*>(out);
  const Vec w = vset(weight), s = vset(scale);
  int i = 0;
  for (; i + kWidth <= n; i += kWidth) vstore(p + i, vmul(vdiv(vload(sum + i), w), s));
  if (i < n) vstore_n(p + i, vmul(vdiv(vload_n(sum + i, n - i), w), s), n - i);
}

void write_out(char* out, int32_t dtype, const float* sum, float weight, float scale, int n) {
  switch (dtype) {
    case VN_DTYPE_F16: store_quotient<f16>(out, sum, weight, scale, n); return;
    case VN_DTYPE_BF16: store_quotient<bf16>(out, sum, weight, scale, n); return;
    default: store_quotient<float>(out, sum, weight, scale, n); return;
  }
}

// Folds a chunk's state into what the chunks before it gave. n counts elements; both arrays hold padded(n).
void absorb(float& largest, float& weight, float* sum, float chunk_largest, float chunk_weight, const float* chunk_sum, int n) {
  const float top = largest > chunk_largest ? largest : chunk_largest;
  const Vec before = vexp(vset(largest - top)), now = vexp(vset(chunk_largest - top));
  weight = first_lane(vfma(vset(chunk_weight), now, vmul(vset(weight), before)));
  largest = top;
  for (int i = 0; i < n; i += kWidth) {
    const int lanes = n - i < kWidth ? n - i : kWidth;
    const Vec chunk = lanes == kWidth ? vload(chunk_sum + i) : vload_n(chunk_sum + i, lanes);
    vstore(sum + i, vfma(chunk, now, vmul(vload(sum + i), before)));
  }
}

template <typename T>
void load_tile(State& s, const AttentionUnit& u, int64_t start, Range seen) {
  Addresses tile;
  find_tile(u, start, seen, tile);
  load_key_tile<T>(s.key, tile.key, u.key.dim);
  load_value_tile<T>(s.value, tile.value, u.value.dim, seen);
}

// score[r][j] = sum over d of q[r][d] * key[d][j], R rows and all tokens of the tile.
template <int R>
void dot_rows(const float* q, const float* key, int dim, float* score) {
  for (int j = 0; j < kTile; j += 2 * kWidth) {
    Vec a[R], b[R];
    for (int r = 0; r < R; ++r) a[r] = b[r] = vset(0.0f);
    for (int d = 0; d < dim; ++d) {
      const Vec k0 = vload(key + d * kTile + j), k1 = vload(key + d * kTile + j + kWidth);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        const Vec x = vset(q[r * dim + d]);
        a[r] = vfma(x, k0, a[r]);
        b[r] = vfma(x, k1, b[r]);
      }
    }
    for (int r = 0; r < R; ++r) {
      vstore(score + r * kTile + j, a[r]);
      vstore(score + r * kTile + j + kWidth, b[r]);
    }
  }
}

void dots(const float* q, const float* key, int dim, float* score, int rows) {
  int r = 0;
  for (; r + kDots <= rows; r += kDots) dot_rows<kDots>(q + r * dim, key, dim, score + r * kTile);
  for (; r + 4 <= rows; r += 4) dot_rows<4>(q + r * dim, key, dim, score + r * kTile);
  for (; r + 2 <= rows; r += 2) dot_rows<2>(q + r * dim, key, dim, score + r * kTile);
  for (; r < rows; ++r) dot_rows<1>(q + r * dim, key, dim, score + r * kTile);
}

// sum[r][d] += weight[r][j] * value[j][d] for the tokens of a range, R rows, N vectors of dimensions.
template <int R, int N>
void sum_block(const float* weight, const float* value, int stride, Range tokens, float* sum) {
  Vec acc[R][N];
  for (int r = 0; r < R; ++r) {
    for (int n = 0; n < N; ++n) acc[r][n] = vload(sum + r * stride + n * kWidth);
  }
  for (int64_t j = tokens.low; j < tokens.high; ++j) {
    Vec v[N];
#pragma GCC unroll 4
    for (int n = 0; n < N; ++n) v[n] = vload(value + j * stride + n * kWidth);
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
      const Vec p = vset(weight[r * kTile + j]);
#pragma GCC unroll 4
      for (int n = 0; n < N; ++n) acc[r][n] = vfma(p, v[n], acc[r][n]);
    }
  }
  for (int r = 0; r < R; ++r) {
    for (int n = 0; n < N; ++n) vstore(sum + r * stride + n * kWidth, acc[r][n]);
  }
}

template <int R>
void sum_rows(const float* weight, const float* value, int stride, Range tokens, float* sum) {
  if (tokens.low >= tokens.high) return;
  int d = 0;
  for (; d + kSpan * kWidth <= stride; d += kSpan * kWidth) sum_block<R, kSpan>(weight, value + d, stride, tokens, sum + d);
  for (; d < stride; d += kWidth) sum_block<R, 1>(weight, value + d, stride, tokens, sum + d);
}

// Weighted sums of neighbouring rows whose ranges may differ: what they share together, the rest one by one. Each row
// still takes its tokens in ascending order.
void sums(const float* weight, const float* value, int stride, const Range* seen, float* sum, int rows) {
  int r = 0;
  for (; r + kSums <= rows; r += kSums) {
    Range shared = seen[r];
    for (int i = 1; i < kSums; ++i) {
      shared = {at_least(shared.low, seen[r + i].low), at_most(shared.high, seen[r + i].high)};
    }
    const bool together = shared.low < shared.high;
    bool same = together;
    for (int i = 0; i < kSums; ++i) same = same && seen[r + i].low == shared.low && seen[r + i].high == shared.high;
    if (same) {
      sum_rows<kSums>(weight + r * kTile, value, stride, shared, sum + r * stride);
      continue;
    }
    for (int i = 0; i < kSums; ++i) {
      const Range before = {seen[r + i].low, together ? shared.low : seen[r + i].high};
      sum_rows<1>(weight + (r + i) * kTile, value, stride, before, sum + (r + i) * stride);
    }
    if (!together) continue;
    sum_rows<kSums>(weight + r * kTile, value, stride, shared, sum + r * stride);
    for (int i = 0; i < kSums; ++i) {
      const Range after = {shared.high, seen[r + i].high};
      sum_rows<1>(weight + (r + i) * kTile, value, stride, after, sum + (r + i) * stride);
    }
  }
  for (; r < rows; ++r) sum_rows<1>(weight + r * kTile, value, stride, seen[r], sum + r * stride);
}

// Scales a row's scores, sets those it does not see to -infinity, and returns the largest.
float scale_scores(const AttentionUnit& u, float* score, Range seen) {
  const Vec scale = vset(u.scale);
  for (int j = 0; j < kTile; j += kWidth) {
    Vec x = vmul(vload(score + j), scale);
    if (u.softcap > 0.0f) x = vmul(vset(u.softcap), vtanh(vdiv(x, vset(u.softcap))));
    vstore(score + j, x);
  }
  for (int64_t j = 0; j < seen.low; ++j) score[j] = kMinusInfinity;
  for (int64_t j = seen.high; j < kTile; ++j) score[j] = kMinusInfinity;
  Vec top = vload(score);
  for (int j = kWidth; j < kTile; j += kWidth) top = vmax(top, vload(score + j));
  return vmaximum(top);
}

// Scores of rows [first, end) to exponentials relative to the largest score so far; the sums so far are brought to the
// same base. Corrections are computed for kWidth rows at a time.
void soften(State& s, const AttentionUnit& u, const Range* seen, int first, int end) {
  const int stride = padded(u.value.dim);
  for (int r = 0; r < kMaxRows + kWidth; r += kWidth) vstore(s.tile_largest + r, vset(kMinusInfinity));
  for (int r = first; r < end; ++r) s.tile_largest[r] = scale_scores(u, s.score + r * kTile, seen[r]);
  for (int r = first; r < end; r += kWidth) {  // rows outside keep their state, their correction means nothing
    const Vec before = vload(s.largest + r);
    const Vec base = vmax(before, vload(s.tile_largest + r));
    vstore(s.correction + r, vexp(vsub(before, base)));
    vstore(s.largest + r, base);
  }
  for (int r = first; r < end; ++r) {
    float* score = s.score + r * kTile;
    const Vec base = vset(s.largest[r]), correction = vset(s.correction[r]);
    Vec total = vset(0.0f);
    for (int j = 0; j < kTile; j += kWidth) {
      const Vec e = vexp(vsub(vload(score + j), base));
      total = vadd(total, e);
      vstore(score + j, e);
    }
    vstore(s.weight + r * kWidth, vfma(vload(s.weight + r * kWidth), correction, total));
    if (s.correction[r] == 1.0f) continue;  // exact
    float* sum = s.sum + r * stride;
    for (int d = 0; d < stride; d += kWidth) vstore(sum + d, vmul(vload(sum + d), correction));
  }
}

Range visible(const AttentionUnit& u, int token) {
  const int64_t end = u.position + token + 1;
  return {u.window > 0 ? at_least(0, end - u.window) : 0, end};
}

// The part of a query's range inside [start, start + length), relative to start; low >= high if there is none.
Range within(Range range, int64_t start, int64_t length) {
  return {at_least(range.low - start, 0), at_most(range.high - start, length)};
}

// What the unit's rows see together of [start, start + length).
Range seen_by_all(const AttentionUnit& u, int64_t start, int64_t length) {
  return {within(visible(u, 0), start, length).low, within(visible(u, u.tokens - 1), start, length).high};
}

void run_tile(State& s, const AttentionUnit& u, int64_t start) {
  // Ranges move on with the token, so that the rows that see something of this tile are neighbours.
  Range seen[kMaxRows];
  int first = -1, end = 0;
  for (int r = 0; r < u.tokens * u.heads; ++r) {
    seen[r] = within(visible(u, r / u.heads), start, kTile);
    if (seen[r].low >= seen[r].high) continue;
    if (first < 0) first = r;
    end = r + 1;
  }
  if (first < 0) return;
  const Range all = seen_by_all(u, start, kTile);
  switch (u.cache_dtype) {
    case VN_DTYPE_F16: load_tile<f16>(s, u, start, all); break;
    case VN_DTYPE_BF16: load_tile<bf16>(s, u, start, all); break;
    case VN_DTYPE_F8_E4M3: load_tile<e4m3>(s, u, start, all); break;
    default: load_tile<float>(s, u, start, all); break;
  }
  const int stride = padded(u.value.dim);
  const int64_t size = u.cache_dtype == VN_DTYPE_F32 ? 4 : u.cache_dtype == VN_DTYPE_F8_E4M3 ? 1 : 2;
  const Range later = {0, within(visible(u, u.tokens - 1), start + kTile, kTile).high};
  Addresses next;
  find_tile(u, start + kTile, later, next);
  prefetch(next.key, later, u.key.dim * size);
  dots(s.q + first * u.key.dim, s.key, u.key.dim, s.score + first * kTile, end - first);
  prefetch(next.value, later, u.value.dim * size);
  soften(s, u, seen, first, end);
  sums(s.score + first * kTile, s.value, stride, seen + first, s.sum + first * stride, end - first);
}

// The state of every row over one chunk.
void run_chunk(State& s, const AttentionUnit& u, int64_t chunk) {
  const int rows = u.tokens * u.heads, stride = padded(u.value.dim);
  for (int r = 0; r < kMaxRows + kWidth; ++r) s.largest[r] = kMinusInfinity;
  for (int r = 0; r < rows; ++r) vstore(s.weight + r * kWidth, vset(0.0f));
  for (int i = 0; i < rows * stride; i += kWidth) vstore(s.sum + i, vset(0.0f));
  const Range part = seen_by_all(u, chunk * kChunk, kChunk);
  const int64_t end = chunk * kChunk + part.high;
  for (int64_t start = chunk * kChunk + part.low / kTile * kTile; start < end; start += kTile) run_tile(s, u, start);
}

bool sees(const AttentionUnit& u, int token, int64_t chunk) {
  const Range range = within(visible(u, token), chunk * kChunk, kChunk);
  return range.low < range.high;
}

void store_partial(const State& s, const AttentionUnit& u) {
  const int stride = padded(u.value.dim);
  for (int r = 0; r < u.tokens * u.heads; ++r) {
    if (!sees(u, r / u.heads, u.chunk)) continue;
    float* out = u.partial + r / u.heads * u.partial_token_stride + r % u.heads * u.partial_head_stride;
    out[0] = s.largest[r];
    out[1] = vsum(vload(s.weight + r * kWidth));
    load_floats<float>(out + 2, reinterpret_cast<const char*>(s.sum + r * stride), u.value.dim);
  }
}

void unit(const AttentionUnit& u) {
  State s;  // not initialised: only what this unit's shape needs is touched
  const int rows = u.tokens * u.heads, stride = padded(u.value.dim);
  for (int r = 0; r < rows; ++r) {
    load_query(s.q + r * u.key.dim, u.q + r / u.heads * u.q_token_stride + r % u.heads * u.q_head_stride, u.q_dtype,
               u.key.dim);
  }
  if (u.partial) {
    run_chunk(s, u, u.chunk);
    store_partial(s, u);
    return;
  }
  for (int r = 0; r < rows; ++r) {
    s.merged_largest[r] = kMinusInfinity;
    s.merged_weight[r] = 0.0f;
  }
  for (int i = 0; i < rows * stride; i += kWidth) vstore(s.merged + i, vset(0.0f));
  const int64_t end = visible(u, u.tokens - 1).high;
  for (int64_t chunk = visible(u, 0).low / kChunk; chunk * kChunk < end; ++chunk) {
    run_chunk(s, u, chunk);
    for (int r = 0; r < rows; ++r) {
      if (!sees(u, r / u.heads, chunk)) continue;
      absorb(s.merged_largest[r], s.merged_weight[r], s.merged + r * stride, s.largest[r],
             vsum(vload(s.weight + r * kWidth)), s.sum + r * stride, u.value.dim);
    }
  }
  for (int r = 0; r < rows; ++r) {
    write_out(u.out + r / u.heads * u.out_token_stride + r % u.heads * u.out_head_stride, u.out_dtype, s.merged + r * stride,
              s.merged_weight[r], u.value_scale, u.value.dim);
  }
}

void merge(const float* partial, int64_t count, int32_t dim, float value_scale, char* out, int32_t out_dtype) {
  alignas(64) float sum[kMaxDim];
  float largest = kMinusInfinity, weight = 0.0f;
  for (int i = 0; i < padded(dim); i += kWidth) vstore(sum + i, vset(0.0f));
  for (int64_t i = 0; i < count; ++i, partial += dim + 2) {
    absorb(largest, weight, sum, partial[0], partial[1], partial + 2, dim);
  }
  write_out(out, out_dtype, sum, weight, value_scale, dim);
}

constexpr AttentionKernels kTable = {unit, merge};
