// GEMM kernels in portable C++: acc[r][j] += x[k][r] * w[k][j], one multiplication and one addition at a time.
#include "cpu/convert.h"
#include "cpu/gemm_kernels.h"
#include "cpu/weight.h"

namespace vn::cpu {

namespace {

template <typename T, int kRows>
void kernel(const void* packed_x, const char* w, int64_t stride, int64_t columns, int64_t panels, bool resume,
            float* tile) {
  constexpr int64_t kGroup = std::is_same_v<T, bf16> ? 2 : 1;
  const float* x = static_cast<const float*>(packed_x);
  for (int64_t p = 0; p < panels; ++p) {
    const T* panel = reinterpret_cast<const T*>(w + p * stride);
    float* out = tile + p * kPanelRows;
    float sums[kRows][kPanelRows];
    for (int r = 0; r < kRows; ++r) {
      for (int64_t j = 0; j < kPanelRows; ++j) sums[r][j] = resume ? out[r * kTileStride + j] : 0.0f;
    }
    for (int64_t k = 0; k < columns; ++k) {
      const T* line = panel + k / kGroup * (kGroup * kPanelRows) + k % kGroup;
      float values[kPanelRows];
      for (int64_t j = 0; j < kPanelRows; ++j) values[j] = to_float(line[j * kGroup]);
      for (int r = 0; r < kRows; ++r) {
        for (int64_t j = 0; j < kPanelRows; ++j) sums[r][j] += x[k * kRows + r] * values[j];
      }
    }
    for (int r = 0; r < kRows; ++r) {
      for (int64_t j = 0; j < kPanelRows; ++j) out[r * kTileStride + j] = sums[r][j];
    }
  }
}

void store(const float* tile, const float* bias, int64_t count, void* y, int32_t dtype) {
  with_float_type(dtype, [&](auto type) {
    using T = decltype(type);
    T* out = static_cast<T*>(y);
    for (int64_t i = 0; i < count; ++i) out[i] = from_float<T>(bias ? tile[i] + bias[i] : tile[i]);
  });
}

template <typename T>
constexpr GemmFamily kFamily{1, 4, {kernel<T, 1>, kernel<T, 2>, kernel<T, 3>, kernel<T, 4>}};

}  // namespace

constinit const GemmKernels kGemmScalar{&kFamily<float>, &kFamily<f16>, &kFamily<bf16>, store};

}  // namespace vn::cpu
