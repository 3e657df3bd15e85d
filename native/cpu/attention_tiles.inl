// Tiles of attention_kernels.inl: where their tokens lie, and their way into f32 over the vector type of the simd_*.h
// included before. A tile of K becomes [dim][token], a tile of V [token][dim]. Included by attention_<isa>.cpp inside its
// unnamed namespace, before the kernels.

inline int64_t at_least(int64_t a, int64_t b) { return a > b ? a : b; }
inline int64_t at_most(int64_t a, int64_t b) { return a < b ? a : b; }
inline int padded(int dim) { return (dim + kWidth - 1) / kWidth * kWidth; }

// Visible positions [low, high) of a query, or their part of a tile.
struct Range {
  int64_t low, high;
};

struct Addresses {
  const char* key[kTile];
  const char* value[kTile];
};

// Block ids to addresses, for the tokens of the tile that begins at position `start`; those not seen become null.
void find_tile(const AttentionUnit& u, int64_t start, Range seen, Addresses& out) {
  for (int64_t j = 0; j < seen.low; ++j) out.key[j] = out.value[j] = nullptr;
  for (int64_t j = at_least(seen.high, 0); j < kTile; ++j) out.key[j] = out.value[j] = nullptr;
  for (int64_t j = seen.low; j < seen.high;) {
    const int64_t index = (start + j) / u.block_size, offset = (start + j) % u.block_size;
    int64_t block = u.table && index < u.table_size ? u.table[index * u.table_stride] : 0;
    if (block < 0 || block >= u.num_blocks) block = 0;
    const char* key = u.key.base + block * u.key.block_stride + offset * u.key.slot_stride;
    const char* value = u.value.base + block * u.value.block_stride + offset * u.value.slot_stride;
    for (const int64_t end = at_most(seen.high, j + u.block_size - offset); j < end; ++j) {
      out.key[j] = key;
      out.value[j] = value;
      key += u.key.slot_stride;
      value += u.value.slot_stride;
    }
  }
}

// Asks for the rows of a later tile, into the second-level cache: the first holds the tile in work. Worth a third of the
// time of a decode step, because the processor does not guess where the next block begins.
void prefetch(const char* const* rows, Range seen, int64_t bytes) {
  for (int64_t j = seen.low; j < seen.high; ++j) {
    for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(rows[j] + i, 0, 2);
  }
}

// Columns [j, j + kWidth) of the transposed tile, as far as whole pairs of vectors go. bf16 values move two at a time.
// Returns the dimensions done; the general kind does none.
int load_key_pairs(float* out, const bf16* const* rows, int dim) {
  int d = 0;
  for (; d + 2 * kWidth <= dim; d += 2 * kWidth) {
    Vec block[kWidth];
    for (int i = 0; i < kWidth; ++i) block[i] = rows[i] ? vload_pairs(rows[i] + d) : vset(0.0f);
    vtranspose(block);
    for (int i = 0; i < kWidth; ++i) {
      Vec even, odd;
      widen_pairs(block[i], even, odd);
      vstore(out + (d + 2 * i) * kTile, even);
      vstore(out + (d + 2 * i + 1) * kTile, odd);
    }
  }
  return d;
}
template <typename T>
int load_key_pairs(float*, const T* const*, int) {
  return 0;
}

template <typename T>
void load_key_tile(float* out, const char* const* addresses, int dim) {
  for (int j = 0; j < kTile; j += kWidth) {
    const T* rows[kWidth];
    for (int i = 0; i < kWidth; ++i) rows[i] = reinterpret_cast<const T*>(addresses[j + i]);
    for (int d = load_key_pairs(out + j, rows, dim); d < dim; d += kWidth) {
      const int n = dim - d < kWidth ? dim - d : kWidth;
      Vec block[kWidth];
      for (int i = 0; i < kWidth; ++i) {
        block[i] = !rows[i] ? vset(0.0f) : n == kWidth ? vload(rows[i] + d) : vload_n(rows[i] + d, n);
      }
      vtranspose(block);
      for (int i = 0; i < n; ++i) vstore(out + (d + i) * kTile + j, block[i]);
    }
  }
}

template <typename T>
void load_value_tile(float* out, const char* const* rows, int dim, Range seen) {
  const int stride = padded(dim);
  for (int64_t j = seen.low; j < seen.high; ++j) {
    const T* p = reinterpret_cast<const T*>(rows[j]);
    float* row = out + j * stride;
    int d = 0;
    for (; d + kWidth <= dim; d += kWidth) vstore(row + d, vload(p + d));
    if (d < dim) vstore(row + d, vload_n(p + d, dim - d));
  }
}
