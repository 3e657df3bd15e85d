// Random weights for benchmarks: value(seed, row, column) = scale * u, u uniform in (-1, 1) from a counter-based hash, so
// that neither layout, nor dtype, nor number of threads changes the draw. The hash is a 64-bit mix of (seed, row) as key,
// then two rounds of multiply and xor-shift of (key, column) in 32 bits, which vectorise.
#include <algorithm>
#include <cmath>

#include "cpu/convert.h"
#include "cpu/weight.h"

namespace vn::cpu {

namespace {

// Finaliser of a 64-bit avalanche hash (the splitmix64 constants).
uint64_t mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

inline float draw(uint32_t low, uint32_t high, uint32_t column) {
  uint32_t h = column * 0x9e3779b9u + low;
  h = (h ^ (h >> 16)) * 0x21f0aaadu + high;
  h = (h ^ (h >> 15)) * 0x735a2d97u;
  h ^= h >> 15;
  // 23 bits: the steps are multiples of 2^-23, so that neither end is ever 1 and every value is exact.
  return static_cast<float>(static_cast<int32_t>(h >> 9)) * 0x1p-22f - (1.0f - 0x1p-23f);
}

// The largest value of T below scale: rounding to T must not leave the open interval.
template <typename T>
float largest_below(float scale) {
  T value = from_float<T>(scale);
  if (to_float(value) < scale) return to_float(value);
  auto bits = std::bit_cast<std::conditional_t<sizeof(T) == 2, uint16_t, uint32_t>>(value);
  if (bits == 0) return 0.0f;
  --bits;
  return to_float(std::bit_cast<T>(bits));
}

template <typename T>
void fill_row(Weight& weight, int64_t row, uint64_t key, float scale, float limit) {
  constexpr int64_t kPiece = 256;
  T* data = static_cast<T*>(weight.data);
  T piece[kPiece];
  const uint32_t low = static_cast<uint32_t>(key);
  const uint32_t high = static_cast<uint32_t>(key >> 32);
  for (int64_t k = 0; k < weight.columns; k += kPiece) {
    const int64_t count = std::min(kPiece, weight.columns - k);
    const uint32_t column = static_cast<uint32_t>(k);
    for (int64_t i = 0; i < count; ++i) {
      const float value = draw(low, high, column + static_cast<uint32_t>(i)) * scale;
      piece[i] = from_float<T>(std::min(std::max(value, -limit), limit));
    }
    if (!weight.packed()) {
      std::copy_n(piece, count, data + row * weight.columns + k);
    } else {
      for (int64_t i = 0; i < count; ++i) data[packed_offset(weight, row, k + i)] = piece[i];
    }
  }
}

}  // namespace

void weight_fill(Weight& weight, uint64_t seed, float scale) {
  scale = std::fabs(scale);
  const uint64_t base = mix(seed + 0x9e3779b97f4a7c15u);
  with_float_type(weight.dtype, [&](auto type) {
    using T = decltype(type);
    const float limit = largest_below<T>(scale);
    weight.device->pool.parallel_for(weight.rows, kPanelRows, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        fill_row<T>(weight, row, mix(base ^ static_cast<uint64_t>(row) * 0xd1342543de82ef95u), scale, limit);
      }
    });
  });
}

}  // namespace vn::cpu
