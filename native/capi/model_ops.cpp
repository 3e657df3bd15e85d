// The operations of a decoder layer.
#include "capi/op.h"

using vn::BackendTable;
using vn::Checker;
using vn::kAny;
using vn::kF32;
using vn::kFloatTypes;
using vn::kI32;
using vn::kI64;
using vn::Layout;

namespace {

void check_weight(const Checker& check, const vn_stream* stream, const char* name, const vn_weight* weight) {
  check.pointer(name, weight);
  if (weight->device->impl != stream->device->impl) {
    vn::fail(VN_INVALID_ARGUMENT, "%s: %s belongs to another device than the stream", check.op(), name);
  }
}

void check_gemm(const Checker& check, const vn_stream* stream, const vn_gemm_params& p) {
  check_weight(check, stream, "weight", p.weight);
  if (p.weight->use != VN_WEIGHT_GEMM) vn::fail(VN_UNSUPPORTED, "%s: weight was not created with VN_WEIGHT_GEMM", check.op());
  check.tensor("x", p.x, kFloatTypes, {kAny, p.weight->columns});
  check.tensor("y", p.y, kFloatTypes, {p.x.shape[0], p.weight->rows});
  if (vn::present(p.bias)) check.tensor("bias", p.bias, kFloatTypes, {p.weight->rows}, Layout::kDense);
}

// [T, heads, dim] with dense heads: the token stride is free.
void check_heads(const Checker& check, const char* name, const vn_tensor& t, int64_t tokens, int64_t heads, int64_t dim) {
  check.tensor(name, t, kFloatTypes, {tokens, heads, dim});
}

}  // namespace

int32_t vn_embedding(vn_stream* stream, const vn_embedding_params* params) {
  return vn::run_op("embedding", &BackendTable::embedding, stream, params,
                    [&](const Checker& check, vn_embedding_params& p) {
    check_weight(check, stream, "table", p.table);
    check.tensor("ids", p.ids, kI32, {kAny}, Layout::kDense);
    check.tensor("out", p.out, kFloatTypes, {p.ids.shape[0], p.table->columns});
    check.finite("scale", p.scale);
    if (p.scale == 0) p.scale = 1;
  });
}

int32_t vn_rms_norm(vn_stream* stream, const vn_rms_norm_params* params) {
  return vn::run_op("rms_norm", &BackendTable::rms_norm, stream, params,
                    [](const Checker& check, vn_rms_norm_params& p) {
    check.tensor("x", p.x, kFloatTypes, {kAny, kAny});
    check.tensor("out", p.out, kFloatTypes, {p.x.shape[0], p.x.shape[1]});
    if (vn::present(p.residual)) check.tensor("residual", p.residual, kFloatTypes, {p.x.shape[0], p.x.shape[1]});
    check.tensor("weight", p.weight, kFloatTypes, {p.x.shape[1]}, Layout::kDense);
    check.finite("eps", p.eps);
    check.finite("weight_offset", p.weight_offset);
  }, [](const vn_rms_norm_params& p) { return p.out; });
}

int32_t vn_gemm(vn_stream* stream, const vn_gemm_params* params) {
  return vn::run_op("gemm", &BackendTable::gemm, stream, params, [&](const Checker& check, vn_gemm_params& p) {
    check_gemm(check, stream, p);
    check.workspace(p.workspace, p.workspace_bytes,
                    stream->device->table->gemm_workspace_size(p.weight->impl, p.x.dtype, p.x.shape[0]));
  }, [](const vn_gemm_params& p) { return p.y; });
}

int32_t vn_gemm_workspace_size(const vn_weight* weight, int32_t x_dtype, int64_t max_rows, int64_t* out_bytes) {
  return vn::guard([&] {
    const Checker check("gemm_workspace_size");
    check.pointer("weight", weight);
    check.pointer("out_bytes", out_bytes);
    check.range("max_rows", max_rows, 0, int64_t{1} << 31);
    *out_bytes = weight->device->table->gemm_workspace_size(weight->impl, x_dtype, max_rows);
  });
}

int32_t vn_gemm_tune(vn_stream* stream, const vn_gemm_params* params) {
  return vn::run_op("gemm_tune", &BackendTable::gemm_tune, stream, params, [&](const Checker& check, vn_gemm_params& p) {
    check_gemm(check, stream, p);
    check.workspace(p.workspace, p.workspace_bytes,
                    stream->device->table->gemm_tune_workspace_size(p.weight->impl, p.x.dtype, p.y.dtype, p.x.shape[0]));
  });
}

int32_t vn_gemm_tune_workspace_size(const vn_weight* weight, int32_t x_dtype, int32_t y_dtype, int64_t rows,
                                    int64_t* out_bytes) {
  return vn::guard([&] {
    const Checker check("gemm_tune_workspace_size");
    check.pointer("weight", weight);
    check.pointer("out_bytes", out_bytes);
    check.range("rows", rows, 0, int64_t{1} << 31);
    *out_bytes = weight->device->table->gemm_tune_workspace_size(weight->impl, x_dtype, y_dtype, rows);
  });
}

int32_t vn_rope_cos_sin(vn_stream* stream, const vn_rope_cos_sin_params* params) {
  return vn::run_op("rope_cos_sin", &BackendTable::rope_cos_sin, stream, params,
                    [](const Checker& check, vn_rope_cos_sin_params& p) {
    check.tensor("positions", p.positions, kI32, {kAny}, Layout::kDense);
    check.tensor("inv_freq", p.inv_freq, kF32, {kAny}, Layout::kDense);
    check.tensor("out", p.out, kF32, {p.positions.shape[0], 2 * p.inv_freq.shape[0]}, Layout::kDense);
    check.finite("scale", p.scale);
    if (p.scale == 0) p.scale = 1;
  });
}

int32_t vn_rope_cache_write(vn_stream* stream, const vn_rope_cache_write_params* params) {
  return vn::run_op("rope_cache_write", &BackendTable::rope_cache_write, stream, params,
                    [](const Checker& check, vn_rope_cache_write_params& p) {
    if (p.style == 0) p.style = VN_ROPE_NEOX;
    check.range("style", p.style, VN_ROPE_NEOX, VN_ROPE_INTERLEAVED);
    check.finite("eps", p.eps);
    check.finite("weight_offset", p.weight_offset);
    check.kv_cache(p.cache);
    check.range("cache.key_dim", p.cache.key_dim, 1, 256);
    check.range("cache.value_dim", p.cache.value_dim, 1, 256);
    check.tensor("slot_mapping", p.slot_mapping, kI64, {kAny}, Layout::kDense);
    const int64_t tokens = p.slot_mapping.shape[0], dim = p.cache.key_dim;
    check_heads(check, "q", p.q, tokens, kAny, dim);
    const uint32_t same_dtype = vn::dtype_bit(p.q.dtype);
    check.tensor("k", p.k, same_dtype, {tokens, p.cache.num_heads, dim});
    check.tensor("v", p.v, same_dtype, {tokens, p.cache.num_heads, p.cache.value_dim});
    if (vn::present(p.q_norm)) check.tensor("q_norm", p.q_norm, kFloatTypes, {dim}, Layout::kDense);
    if (vn::present(p.k_norm)) check.tensor("k_norm", p.k_norm, kFloatTypes, {dim}, Layout::kDense);
    check.tensor("cos_sin", p.cos_sin, kF32, {tokens, kAny}, Layout::kDense);
    const int64_t rot = p.cos_sin.shape[1];
    if (rot % 2 != 0 || rot > dim) {
      vn::fail(VN_SHAPE, "rope_cache_write: cos_sin has %lld columns, expected an even number up to head dimension %lld",
               static_cast<long long>(rot), static_cast<long long>(dim));
    }
  });
}

int32_t vn_cache_write(vn_stream* stream, const vn_cache_write_params* params) {
  return vn::run_op("cache_write", &BackendTable::cache_write, stream, params,
                    [](const Checker& check, vn_cache_write_params& p) {
    check.kv_cache(p.cache);
    check.tensor("slot_mapping", p.slot_mapping, kI64, {kAny}, Layout::kDense);
    check_heads(check, "key", p.key, p.slot_mapping.shape[0], p.cache.num_heads, p.cache.key_dim);
    check_heads(check, "value", p.value, p.slot_mapping.shape[0], p.cache.num_heads, p.cache.value_dim);
  });
}

int32_t vn_attention_paged(vn_stream* stream, const vn_attention_params* params) {
  return vn::run_op("attention_paged", &BackendTable::attention_paged, stream, params,
                    [&](const Checker& check, vn_attention_params& p) {
    check.kv_cache(p.cache);
    check.range("cache.key_dim", p.cache.key_dim, 1, 256);
    check.range("cache.value_dim", p.cache.value_dim, 1, 256);
    check_heads(check, "q", p.q, kAny, kAny, p.cache.key_dim);
    check_heads(check, "out", p.out, p.q.shape[0], p.q.shape[1], p.cache.value_dim);
    if (p.q.shape[1] % p.cache.num_heads != 0) {
      vn::fail(VN_SHAPE, "attention_paged: q has %lld heads, expected a multiple of the %d KV heads",
               static_cast<long long>(p.q.shape[1]), p.cache.num_heads);
    }
    check.tensor("seq_lens", p.seq_lens, kI32, {kAny}, Layout::kDense);
    const int64_t rows = p.seq_lens.shape[0];
    check.tensor("query_start", p.query_start, kI32, {rows + 1}, Layout::kDense);
    check.tensor("step_rows", p.step_rows, kI32, {rows, 4}, Layout::kDense);
    check.tensor("block_table", p.block_table, kI32, {kAny, kAny});
    check.finite("scale", p.scale);
    check.finite("softcap", p.softcap);
    check.range("window", p.window, 0, INT32_MAX);
    check.range("max_query_len", p.max_query_len, 0, INT32_MAX);
    check.range("max_seq_len", p.max_seq_len, 0, p.block_table.shape[1] * p.cache.block_size);
    check.range("max_prefill_seq_len", p.max_prefill_seq_len, 0, p.max_seq_len);
    const vn_device& device = *stream->device;
    check.workspace(p.workspace, p.workspace_bytes,
                    device.table->attention_workspace_size(device.impl, p.q.shape[0], static_cast<int32_t>(p.q.shape[1]),
                                                           p.cache.value_dim, p.max_seq_len));
  });
}

int32_t vn_attention_workspace_size(vn_device* device, int64_t max_tokens, int32_t q_heads, int32_t value_dim,
                                    int64_t max_seq_len, int64_t* out_bytes) {
  return vn::guard([&] {
    const Checker check("attention_workspace_size");
    check.pointer("device", device);
    check.pointer("out_bytes", out_bytes);
    check.range("max_tokens", max_tokens, 0, int64_t{1} << 31);
    check.range("q_heads", q_heads, 1, 4096);
    check.range("value_dim", value_dim, 1, 256);
    check.range("max_seq_len", max_seq_len, 0, int64_t{1} << 31);
    *out_bytes = device->table->attention_workspace_size(device->impl, max_tokens, q_heads, value_dim, max_seq_len);
  });
}

int32_t vn_gated_activation(vn_stream* stream, const vn_gated_activation_params* params) {
  return vn::run_op("gated_activation", &BackendTable::gated_activation, stream, params,
                    [](const Checker& check, vn_gated_activation_params& p) {
    check.range("activation", p.activation, VN_ACTIVATION_SILU, VN_ACTIVATION_GELU);
    check.tensor("out", p.out, kFloatTypes, {kAny, kAny});
    check.tensor("x", p.x, kFloatTypes, {p.out.shape[0], 2 * p.out.shape[1]});
  });
}

int32_t vn_gather_rows(vn_stream* stream, const vn_gather_rows_params* params) {
  return vn::run_op("gather_rows", &BackendTable::gather_rows, stream, params,
                    [](const Checker& check, vn_gather_rows_params& p) {
    check.tensor("x", p.x, kFloatTypes, {kAny, kAny});
    check.tensor("rows", p.rows, kI32, {kAny}, Layout::kAnyStride);
    check.tensor("out", p.out, 1u << p.x.dtype, {p.rows.shape[0], p.x.shape[1]});
    if (p.rows.shape[0] > 0 && p.x.shape[0] == 0) vn::fail(VN_SHAPE, "gather_rows: x has no rows to gather from");
  });
}
