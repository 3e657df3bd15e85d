// Conversions between floating dtypes. Through f32, which holds every F16 and BF16 exactly: one rounding at most.
#include "cpu/convert.h"

#include <cstring>

#include "cpu/convert_span.h"
#include "cpu/ops.h"

namespace vn::cpu {

void convert_span(Isa isa, void* destination, int32_t dtype, const void* source, int32_t source_dtype, int64_t count) {
  if (dtype == source_dtype) {
    std::memcpy(destination, source, static_cast<size_t>(count * dtype_size(dtype)));
    return;
  }
#if defined(__x86_64__)
  if (isa >= Isa::kAvx2) return convert_span_avx2(destination, dtype, source, source_dtype, count);
#endif
  (void)isa;
  with_float_type(dtype, [&](auto to) {
    with_float_type(source_dtype, [&](auto from) {
      auto* out = static_cast<decltype(to)*>(destination);
      const auto* in = static_cast<const decltype(from)*>(source);
      for (int64_t i = 0; i < count; ++i) out[i] = from_float<decltype(to)>(to_float(in[i]));
    });
  });
}

void convert(Device& device, void* destination, int32_t dtype, const void* source, int32_t source_dtype,
             int64_t count) {
  constexpr int64_t kGrain = 1 << 16;
  const int64_t to_size = dtype_size(dtype);
  const int64_t from_size = dtype_size(source_dtype);
  device.pool.parallel_for(count, kGrain, [&](int64_t begin, int64_t end) {
    convert_span(device.isa, static_cast<char*>(destination) + begin * to_size, dtype,
                 static_cast<const char*>(source) + begin * from_size, source_dtype, end - begin);
  });
}

}  // namespace vn::cpu
