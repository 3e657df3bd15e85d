// Random weights for benchmarks: value(seed, row, column) = scale * u, u uniform in (-1, 1) from a counter-based hash,
// so that neither layout, nor dtype, nor instructions, nor number of threads changes the draw. The hash is a 64-bit mix
// of (seed, row) as key, then two rounds of xor-shift and multiply of (key, column) in 32 bits, which vectorise.
#include <cmath>

#include "cpu/convert.h"
#include "cpu/convert_span.h"
#include "cpu/weight_draw.h"
#include "cpu/weight_pack.h"

namespace vn::cpu {

namespace {

// Finaliser of a 64-bit avalanche hash (the splitmix64 constants).
uint64_t mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

float draw_value(const RowDraw& row, uint32_t column) {
  uint32_t h = column * 0x9e3779b9u + row.low;
  h = (h ^ (h >> 16)) * 0x21f0aaadu + row.high;
  h = (h ^ (h >> 15)) * 0x735a2d97u;
  h ^= h >> 15;
  // 23 bits: the steps are multiples of 2^-23, so that every u is exact and none is 1.
  const float u = static_cast<float>(static_cast<int32_t>(h >> 9)) * 0x1p-22f - (1.0f - 0x1p-23f);
  return std::min(std::max(u * row.scale, -row.limit), row.limit);
}

void draw_span(Isa isa, const RowDraw& row, uint32_t column, int64_t count, float* out) {
#if defined(__x86_64__)
  if (isa >= Isa::kAvx2) return draw_span_avx2(row, column, count, out);
#endif
  (void)isa;
  for (int64_t i = 0; i < count; ++i) out[i] = draw_value(row, column + static_cast<uint32_t>(i));
}

// The largest value of a dtype below scale: rounding must not leave the open interval.
float largest_below(float scale, int32_t dtype) {
  float result = 0.0f;
  with_float_type(dtype, [&](auto type) {
    using T = decltype(type);
    T value = from_float<T>(scale);
    if (to_float(value) >= scale && scale > 0.0f) {
      using Bits = std::conditional_t<sizeof(T) == 2, uint16_t, uint32_t>;
      value = std::bit_cast<T>(static_cast<Bits>(std::bit_cast<Bits>(value) - 1));
    }
    result = to_float(value);
  });
  return result;
}

}  // namespace

void weight_fill(Weight& weight, uint64_t seed, float scale) {
  scale = std::fabs(scale);
  const uint64_t base = mix(seed + 0x9e3779b97f4a7c15u);
  const float limit = largest_below(scale, weight.dtype);
  const Isa isa = weight.device->isa;
  write_rows(weight, 0, weight.rows, [=, &weight](int64_t row, int64_t column, int64_t count, char* out) {
    const uint64_t key = mix(base ^ static_cast<uint64_t>(row) * 0xd1342543de82ef95u);
    const RowDraw draw{static_cast<uint32_t>(key), static_cast<uint32_t>(key >> 32), scale, limit};
    float piece[kPackColumns];
    draw_span(isa, draw, static_cast<uint32_t>(column), count, piece);
    convert_span(isa, out, weight.dtype, piece, VN_DTYPE_F32, count);
  });
}

}  // namespace vn::cpu
