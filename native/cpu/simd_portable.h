// Four floats by the compiler's vector extension: any processor. The same interface as simd_avx2.h and simd_avx512.h;
// everything lies in an unnamed namespace, so that code compiled for one instruction set never serves another.
// Memory elements are float, bf16, f16 and, to load only, e4m3; vload_n and vstore_n touch only the first n < kWidth of them.
#pragma once

#include <cstdint>
#include <cstring>

#include "cpu/convert.h"

namespace vn::cpu {
namespace {

constexpr int kWidth = 4;
typedef float Vec __attribute__((vector_size(16)));
typedef int32_t VecInt __attribute__((vector_size(16)));

inline Vec vset(float x) { return Vec{x, x, x, x}; }
inline Vec vadd(Vec a, Vec b) { return a + b; }
inline Vec vsub(Vec a, Vec b) { return a - b; }
inline Vec vmul(Vec a, Vec b) { return a * b; }
inline Vec vdiv(Vec a, Vec b) { return a / b; }
inline Vec vfma(Vec a, Vec b, Vec c) { return a * b + c; }  // no fused instruction to be had: two roundings
inline Vec vselect_less(Vec a, Vec b, Vec yes, Vec no) { return a < b ? yes : no; }
// As the x86 instructions: the second operand where one of them is NaN.
inline Vec vmax(Vec a, Vec b) { return a > b ? a : b; }
inline Vec vmin(Vec a, Vec b) { return a < b ? a : b; }
inline Vec vabs(Vec a) { return (Vec)((VecInt)a & 0x7fffffff); }
inline Vec vcopysign(Vec magnitude, Vec sign) {
  return (Vec)(((VecInt)magnitude & 0x7fffffff) | ((VecInt)sign & INT32_MIN));
}

// Nearest even for |a| < 2^22; NaN stays NaN.
inline Vec vround(Vec a) {
  const Vec magic = vset(0x1.8p23f);
  return (a + magic) - magic;
}

// a * 2^n for whole n in [-252, 254], in two steps so that subnormal results are rounded once.
inline Vec vscale2(Vec a, Vec n) {
  const VecInt whole = __builtin_convertvector(vmax(vmin(n, vset(254.0f)), vset(-252.0f)), VecInt);
  const VecInt half = whole >> 1;
  return a * (Vec)((half + 127) << 23) * (Vec)((whole - half + 127) << 23);
}

inline float vsum(Vec a) { return (a[0] + a[2]) + (a[1] + a[3]); }
inline float vmaximum(Vec a) {
  const float x = a[0] > a[1] ? a[0] : a[1], y = a[2] > a[3] ? a[2] : a[3];
  return x > y ? x : y;
}

inline void vtranspose(Vec (&rows)[kWidth]) {
  for (int i = 0; i < kWidth; ++i) {
    for (int j = i + 1; j < kWidth; ++j) {
      const float upper = rows[i][j];
      rows[i][j] = rows[j][i];
      rows[j][i] = upper;
    }
  }
}

inline Vec vload(const float* p) {
  Vec v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
template <typename T>
Vec vload(const T* p) {
  return Vec{to_float(p[0]), to_float(p[1]), to_float(p[2]), to_float(p[3])};
}
template <typename T>
Vec vload_n(const T* p, int n) {
  Vec v{};
  for (int i = 0; i < n; ++i) v[i] = to_float(p[i]);
  return v;
}
// 2 kWidth bf16 as they are, two in each lane; widen_pairs gives the even and the odd ones as floats.
inline Vec vload_pairs(const bf16* p) {
  Vec v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
inline void widen_pairs(Vec pairs, Vec& even, Vec& odd) {
  even = (Vec)((VecInt)pairs << 16);
  odd = (Vec)((VecInt)pairs & static_cast<int32_t>(0xffff0000));
}
inline void vstore(float* p, Vec v) { std::memcpy(p, &v, sizeof v); }
template <typename T>
void vstore(T* p, Vec v) {
  for (int i = 0; i < kWidth; ++i) p[i] = from_float<T>(v[i]);
}
template <typename T>
void vstore_n(T* p, Vec v, int n) {
  for (int i = 0; i < n; ++i) p[i] = from_float<T>(v[i]);
}

}  // namespace
}  // namespace vn::cpu
