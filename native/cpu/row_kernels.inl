// The kernels of row_kernels.h over the vector type of the simd_*.h included before. No include guard: each
// row_kernels_<isa>.cpp includes it once, inside its own unnamed namespace.

template <typename T>
void load_run(float* out, const T* in, int64_t n) {
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) vstore(out + i, vload(in + i));
  if (i < n) vstore_n(out + i, vload_n(in + i, static_cast<int>(n - i)), static_cast<int>(n - i));
}

template <typename T>
void store_run(T* out, const float* in, int64_t n) {
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) vstore(out + i, vload(in + i));
  if (i < n) vstore_n(out + i, vload_n(in + i, static_cast<int>(n - i)), static_cast<int>(n - i));
}

void load(float* out, const void* in, int32_t dtype, int64_t n) {
  switch (dtype) {
    case VN_DTYPE_F16: load_run(out, static_cast<const f16*>(in), n); return;
    case VN_DTYPE_BF16: load_run(out, static_cast<const bf16*>(in), n); return;
    default: load_run(out, static_cast<const float*>(in), n); return;
  }
}

void store(void* out, int32_t dtype, const float* in, int64_t n) {
  switch (dtype) {
    case VN_DTYPE_F16: store_run(static_cast<f16*>(out), in, n); return;
    case VN_DTYPE_BF16: store_run(static_cast<bf16*>(out), in, n); return;
    default: store_run(static_cast<float*>(out), in, n); return;
  }
}

// Calls body(i, n) for the vectors of a run: n = kWidth, and once less for its tail.
template <typename Body>
inline void for_vectors(int64_t count, Body body) {
  int64_t i = 0;
  for (; i + kWidth <= count; i += kWidth) body(i, kWidth);
  if (i < count) body(i, static_cast<int>(count - i));
}

inline Vec get(const float* p, int n) { return n == kWidth ? vload(p) : vload_n(p, n); }
inline void put(float* p, Vec v, int n) {
  if (n == kWidth) {
    vstore(p, v);
  } else {
    vstore_n(p, v, n);
  }
}

void add(float* out, const float* in, int64_t count) {
  for_vectors(count, [&](int64_t i, int n) { put(out + i, vadd(get(out + i, n), get(in + i, n)), n); });
}

float sum_squares(const float* x, int64_t count) {
  Vec sums[4] = {vset(0.0f), vset(0.0f), vset(0.0f), vset(0.0f)};
  int turn = 0;
  for_vectors(count, [&](int64_t i, int n) {
    const Vec v = get(x + i, n);
    sums[turn & 3] = vfma(v, v, sums[turn & 3]);
    ++turn;
  });
  return vsum(vadd(vadd(sums[0], sums[1]), vadd(sums[2], sums[3])));
}

void scale(float* x, const float* weight, float factor, float offset, int64_t count) {
  const Vec f = vset(factor), o = vset(offset);
  for_vectors(count, [&](int64_t i, int n) {
    put(x + i, vmul(vmul(get(x + i, n), f), vadd(get(weight + i, n), o)), n);
  });
}

void rotate(float* low, float* high, const float* cosine, const float* sine, int64_t count) {
  for_vectors(count, [&](int64_t i, int n) {
    const Vec a = get(low + i, n), b = get(high + i, n), c = get(cosine + i, n), s = get(sine + i, n);
    put(low + i, vsub(vmul(a, c), vmul(b, s)), n);
    put(high + i, vadd(vmul(b, c), vmul(a, s)), n);
  });
}

void rotate_pairs(float* x, const float* cosine, const float* sine, int64_t pairs) {
  for (int64_t i = 0; i < pairs; ++i) {
    const float a = x[2 * i], b = x[2 * i + 1];
    x[2 * i] = a * cosine[i] - b * sine[i];
    x[2 * i + 1] = b * cosine[i] + a * sine[i];
  }
}

void gate(int32_t activation, float* x, const float* up, int64_t count) {
  const auto apply = [&](auto function) {
    for_vectors(count, [&](int64_t i, int n) { put(x + i, vmul(function(get(x + i, n)), get(up + i, n)), n); });
  };
  switch (activation) {
    case VN_ACTIVATION_GELU: apply([](Vec v) { return vgelu_erf(v); }); return;
    case VN_ACTIVATION_GELU_TANH: apply([](Vec v) { return vgelu_tanh(v); }); return;
    default: apply([](Vec v) { return vsilu(v); }); return;
  }
}

constexpr RowKernels kTable = {load, store, add, sum_squares, scale, rotate, rotate_pairs, gate};
