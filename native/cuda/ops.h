// Every operation of the CUDA backend, one kernel family per .cu file. Arguments were checked at the C boundary; the CPU
// operation of the same name is the specification. Each launches on the stream and returns; none allocates or waits, but for
// gemm_tune.
#pragma once

#include <cstdint>

#include "core/backend.h"
#include "cuda/device.h"
#include "cuda/stream.h"

namespace vn::cuda {

#define VN_DECLARE_OP(name, params_type) void name(const Stream& stream, const params_type& params);
VN_FOR_EACH_OP(VN_DECLARE_OP)
#undef VN_DECLARE_OP

// A matrix [rows, columns], row-major, in device memory.
struct Weight;

Weight* weight_create(const Device& device, int32_t use, int32_t dtype, int64_t rows, int64_t columns);
void weight_destroy(Weight* weight) noexcept;
void weight_load(Weight& weight, int64_t first_row, int64_t rows, const void* source, int32_t source_dtype,
                 int64_t row_stride);
void weight_fill(Weight& weight, uint64_t seed, float scale);
int64_t weight_bytes(const Weight& weight);

int64_t gemm_workspace_size(const Weight& weight, int32_t x_dtype, int64_t max_rows);
int64_t gemm_tune_workspace_size(const Weight& weight, int32_t x_dtype, int32_t y_dtype, int64_t rows);
int64_t attention_workspace_size(const Device& device, int64_t max_tokens, int32_t q_heads, int32_t value_dim,
                                 int64_t max_seq_len);
int64_t sample_workspace_size(const Device& device, int64_t max_rows, int64_t vocab_size);

}  // namespace vn::cuda
