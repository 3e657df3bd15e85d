// The boundary between the C ABI front and a backend (CPU inside this library, CUDA in its plugin): one versioned table of
// C functions, one entry per operation. The front checks arguments once; a backend trusts them. Nothing throws across.
#pragma once

#include <cstdint>

#include "vllm_native.h"

// Every operation that takes a stream and a params struct: X(name in vn_<name>, params type).
// Appending here gives the table an entry; capi/ops.cpp and each backend then fail to compile until they have it.
#define VN_FOR_EACH_OP(X)                           \
  X(batch_prepare, vn_batch_prepare_params)         \
  X(batch_commit, vn_batch_commit_params)           \
  X(embedding, vn_embedding_params)                 \
  X(rms_norm, vn_rms_norm_params)                   \
  X(gemm, vn_gemm_params)                           \
  X(gemm_tune, vn_gemm_params)                      \
  X(rope_cos_sin, vn_rope_cos_sin_params)           \
  X(rope_cache_write, vn_rope_cache_write_params)   \
  X(cache_write, vn_cache_write_params)             \
  X(attention_paged, vn_attention_params)           \
  X(gated_activation, vn_gated_activation_params)   \
  X(gather_rows, vn_gather_rows_params)             \
  X(block_copy, vn_block_copy_params)               \
  X(block_swap, vn_block_swap_params)               \
  X(logits_edit, vn_logits_edit_params)             \
  X(logits_mask, vn_logits_mask_params)             \
  X(token_counts, vn_token_counts_params)           \
  X(logits_penalties, vn_logits_penalties_params)   \
  X(sample, vn_sample_params)                       \
  X(logprobs, vn_logprobs_params)

namespace vn {

constexpr uint32_t kBackendVersion = 1;

// What a backend may ask of the library that loaded it.
struct HostTable {
  uint32_t version;
  void (*set_error)(const char* message);
  void (*log)(int32_t level, const char* message);
};

// Opaque pointers are the backend's own objects; the front wraps them in the handles of handles.h.
struct BackendTable {
  uint32_t version;
  uint32_t struct_size;

  int32_t (*device_count)(int32_t* out_count);
  int32_t (*device_create)(int32_t ordinal, const vn_device_options* options, void** out_device);
  void (*device_destroy)(void* device);
  int32_t (*device_info)(void* device, vn_device_info* out_info);

  int32_t (*stream_create)(void* device, int32_t kind, void* foreign, void** out_stream);
  void (*stream_destroy)(void* stream);
  int32_t (*stream_synchronize)(void* stream);

  int32_t (*event_create)(void* device, void** out_event);
  void (*event_destroy)(void* event);
  int32_t (*event_record)(void* event, void* stream);
  int32_t (*event_wait)(void* event, void* stream);
  int32_t (*event_synchronize)(void* event);
  int32_t (*event_query)(void* event, int32_t* out_happened);
  int32_t (*event_elapsed)(void* start, void* end, float* out_milliseconds);

  int32_t (*buffer_create)(void* device, int32_t memory, int64_t bytes, void** out_buffer, void** out_data);
  void (*buffer_destroy)(void* buffer);
  int32_t (*buffer_load)(void* device, void* destination, int32_t dtype, const void* source, int32_t source_dtype,
                         int64_t count);
  int32_t (*copy)(void* stream, void* destination, const void* source, int64_t bytes, int32_t direction);
  int32_t (*fill_zero)(void* stream, void* destination, int64_t bytes);

  int32_t (*weight_create)(void* device, int32_t use, int32_t dtype, int64_t rows, int64_t columns, void** out_weight);
  void (*weight_destroy)(void* weight);
  int32_t (*weight_load)(void* weight, int64_t first_row, int64_t rows, const void* source, int32_t source_dtype,
                         int64_t row_stride);
  int32_t (*weight_fill)(void* weight, uint64_t seed, float scale);
  int64_t (*weight_bytes)(void* weight);

  int64_t (*gemm_workspace_size)(void* weight, int32_t x_dtype, int64_t max_rows);
  int64_t (*gemm_tune_workspace_size)(void* weight, int32_t x_dtype, int32_t y_dtype, int64_t rows);
  int64_t (*attention_workspace_size)(void* device, int64_t max_tokens, int32_t q_heads, int32_t value_dim,
                                      int64_t max_seq_len);
  int64_t (*sample_workspace_size)(void* device, int64_t max_rows, int64_t vocab_size);

  int32_t (*graph_begin)(void* stream);
  int32_t (*graph_end)(void* stream, void** out_graph);
  int32_t (*graph_launch)(void* graph, void* stream);
  void (*graph_destroy)(void* graph);

#define VN_TABLE_ENTRY(name, params_type) int32_t (*name)(void* stream, const params_type* params);
  VN_FOR_EACH_OP(VN_TABLE_ENTRY)
#undef VN_TABLE_ENTRY
};

// The CPU backend; always there.
const BackendTable* cpu_backend();

// What libvllm_native_cuda.so exports under this name. Returns null when the versions do not fit.
constexpr const char* kPluginEntry = "vn_cuda_plugin_table";
using PluginEntry = const BackendTable* (*)(const HostTable* host);

// Loads the CUDA plugin once. Null: *out_reason says in words what was tried and why it failed.
const BackendTable* cuda_backend(const char** out_reason);

}  // namespace vn
