/* vllm_native.h - the whole contract between an engine and the native library.
 *
 * Rules that hold for every function:
 *  - It returns an int32_t status (VN_OK = 0) and never throws. On failure vn_last_error() names operation, argument,
 *    value found and value expected, in one line, for the calling thread. On failure outputs are not written.
 *  - Handles are opaque. A child keeps its parent alive, so they may be destroyed in any order and on any thread;
 *    destroying NULL does nothing.
 *  - One thread at a time uses a vn_device and what belongs to it (destroy and vn_event_query excepted). Devices are
 *    independent.
 *  - VN_OK of an operation on a stream means accepted. The CPU device computes before it returns; a CUDA device computes
 *    later and its faults show at the next synchronisation as VN_DEVICE_LOST.
 *  - An operation may read weights, those of norms too, before what is ahead of it in the stream has ended: where an
 *    operation writes them, wait for it first.
 *  - A lost device answers VN_DEVICE_LOST to everything, at once; its handles may be destroyed. A fault on a GPU ends CUDA
 *    for the whole process: every CUDA device is lost and no new one can be created until the process is restarted. The
 *    CPU device is not concerned.
 *  - A CUDA context that is current on the calling thread is current again when a function returns.
 *  - No operation allocates. Scratch memory is asked for by vn_<op>_workspace_size and handed in by the caller.
 *  - Structs begin with struct_size = sizeof(the struct). Zero means "default" in every other field. The library reads
 *    min(struct_size, its own size) and refuses a longer struct whose unknown tail is not zero.
 *  - Shapes are written [rows, columns] with the last dimension fastest; strides count elements, not bytes. The innermost
 *    stride is 1 unless an operation says otherwise. Token ids, positions and lengths are int32 and count tokens.
 *  - A row's result depends on that row alone: not on the other rows of the batch, their order, or how a prompt was cut
 *    into chunks. The CPU device keeps this bitwise, always; a CUDA device where vn_device_options.deterministic asks for it,
 *    for tensors of the same alignment.
 *
 * Statuses common to all: VN_INVALID_ARGUMENT (null, range), VN_SHAPE (dimensions disagree), VN_UNSUPPORTED (dtype or
 * option that this device lacks), VN_DEVICE_LOST, VN_INTERNAL. A function's comment lists what it adds to these.
 */
#ifndef VLLM_NATIVE_H
#define VLLM_NATIVE_H

#include <stdint.h>

#if defined(__GNUC__)
#define VN_API __attribute__((visibility("default")))
#else
#define VN_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Changes whenever a caller compiled against another header could misread something. */
#define VN_ABI_VERSION 1

/* ---- status ------------------------------------------------------------------------------------------------------ */

#define VN_OK 0
#define VN_INVALID_ARGUMENT 1
#define VN_SHAPE 2
#define VN_UNSUPPORTED 3
#define VN_ABI_MISMATCH 4
#define VN_OUT_OF_DEVICE_MEMORY 10
#define VN_OUT_OF_HOST_MEMORY 11
#define VN_NO_DEVICE 20
#define VN_CUDA 21
#define VN_CUBLAS 22
#define VN_NCCL 23
#define VN_DEVICE_LOST 29
#define VN_INTERNAL 90

/* ---- dtypes ------------------------------------------------------------------------------------------------------ */

#define VN_DTYPE_F32 1
#define VN_DTYPE_F16 2
#define VN_DTYPE_BF16 3
#define VN_DTYPE_F8_E4M3 4 /* KV caches only; VN_DEVICE_HAS_FP8 */
#define VN_DTYPE_I32 5
#define VN_DTYPE_I64 6
#define VN_DTYPE_U8 7

/* ---- kinds ------------------------------------------------------------------------------------------------------- */

#define VN_DEVICE_CPU 1
#define VN_DEVICE_CUDA 2

#define VN_STREAM_COMPUTE 1
#define VN_STREAM_COPY 2

#define VN_MEMORY_DEVICE 1 /* where the device computes */
#define VN_MEMORY_HOST 2   /* host memory that the device copies from and to at full speed (pinned on CUDA) */

#define VN_COPY_HOST_TO_DEVICE 1
#define VN_COPY_DEVICE_TO_HOST 2
#define VN_COPY_DEVICE_TO_DEVICE 3

#define VN_WEIGHT_GEMM 1   /* operand of vn_gemm; the device packs it as its GEMM likes; vn_embedding reads it too */
#define VN_WEIGHT_LOOKUP 2 /* row-major, operand of vn_embedding only */

#define VN_ACTIVATION_SILU 1
#define VN_ACTIVATION_GELU_TANH 2
#define VN_ACTIVATION_GELU 3 /* exact, by erf */

#define VN_ROPE_NEOX 1        /* pairs (i, i + d/2) */
#define VN_ROPE_INTERLEAVED 2 /* pairs (2i, 2i + 1) */

/* Instruction sets of a CPU, each with all before it. */
#define VN_ISA_SCALAR 1
#define VN_ISA_AVX2 2 /* with FMA and F16C */
#define VN_ISA_AVX512 3 /* F, BW, DQ, VL */
#define VN_ISA_AVX512_BF16 4
#define VN_ISA_AMX 5 /* tiles of BF16 */

/* Capabilities in vn_device_info.flags. */
#define VN_DEVICE_HAS_GRAPHS 1
#define VN_DEVICE_HAS_FP8 2 /* KV caches of VN_DTYPE_F8_E4M3 */
#define VN_DEVICE_BATCH_INVARIANT 4

/* What is wrong with a row; comes back beside the sampled ids. Other rows are unharmed. */
#define VN_ROW_BAD_TOKEN 1 /* a token id outside [0, vocab_size): it was computed as id 0 */
#define VN_ROW_BAD_BLOCK 2 /* a block id outside [0, num_blocks): its K/V was not written and is read as block 0 */
#define VN_ROW_NAN 4       /* a logit is NaN: the sampled id is 0 and means nothing */

/* First id of a step row: take it from the device's last_token instead of the uploaded ids. */
#define VN_LAST_TOKEN (-1)

#define VN_MAX_KV_GROUPS 8

/* ---- plain structs ----------------------------------------------------------------------------------------------- */

typedef struct vn_device vn_device;
typedef struct vn_stream vn_stream;
typedef struct vn_event vn_event;
typedef struct vn_buffer vn_buffer;
typedef struct vn_weight vn_weight;
typedef struct vn_graph vn_graph;

/* A borrowed view of device memory, valid for the call; rank 0 with data NULL means "absent". Its layout is frozen. */
typedef struct vn_tensor {
  void *data;
  int32_t dtype; /* VN_DTYPE_... */
  int32_t rank;  /* 1..4 */
  int64_t shape[4];
  int64_t stride[4]; /* elements */
} vn_tensor;

/* Receives one log line (UTF-8, no newline). level: 0 debug, 1 info, 2 warning, 3 error. Called on any thread. */
typedef void (*vn_log_callback)(void *user, int32_t level, const char *message);

typedef struct vn_library_options {
  uint32_t struct_size;
  int32_t allow_faults; /* 1: vn_debug_inject works (tests only) */
  int32_t sync_ops;     /* 1: wait after each operation, so that a fault names the operation that caused it */
  int32_t reserved;
  vn_log_callback log;
  void *log_user;
} vn_library_options;

typedef struct vn_device_options {
  uint32_t struct_size;
  int32_t num_threads;   /* CPU: threads that compute, the caller included; 0 = one for each core this process may use */
  void *foreign_context; /* CUDA: a CUcontext of the application on this GPU, which must outlive the device and all that
                            belongs to it; NULL = the GPU's primary context */
  int32_t isa_limit;     /* CPU: the best instruction set to use, VN_ISA_...; 0 = the best that there is */
  int32_t deterministic; /* 1: a row's result never depends on the batch (VN_DEVICE_BATCH_INVARIANT), at a cost on CUDA */
  int32_t serial_kernels; /* CUDA: 1 = no kernel begins before the one ahead of it has ended; for measuring */
  int32_t reserved2;
} vn_device_options;

typedef struct vn_device_info {
  uint32_t struct_size;
  int32_t kind; /* VN_DEVICE_... */
  int32_t ordinal;
  int32_t num_threads; /* CPU threads, or SMs of a GPU */
  int32_t flags;       /* VN_DEVICE_HAS_... */
  int32_t capability;  /* CUDA: major * 10 + minor; CPU: the VN_ISA_... in use */
  int64_t total_memory; /* bytes */
  int64_t free_memory;  /* bytes, now */
  char name[128];
} vn_device_info;

/* One layer's K and V inside a pool of equal blocks. A token's slot is block_id * block_size + offset; its head h lies at
 * key + block_id * key_block_stride + h * key_head_stride + offset * key_slot_stride, head_dim elements, contiguous. */
typedef struct vn_kv_cache {
  uint32_t struct_size;
  int32_t dtype; /* F32, F16, BF16, F8_E4M3 */
  void *key;     /* block 0, head 0, slot 0 of this layer's K */
  void *value;
  int64_t num_blocks;
  int32_t block_size; /* tokens */
  int32_t num_heads;  /* KV heads */
  int32_t key_dim;    /* elements of a head */
  int32_t value_dim;
  int64_t key_block_stride; /* elements of dtype */
  int64_t key_head_stride;
  int64_t key_slot_stride;
  int64_t value_block_stride;
  int64_t value_head_stride;
  int64_t value_slot_stride;
  float key_scale; /* F8_E4M3 only: an element stands for code * scale; finite, above 0; 0 = 1.0 */
  float value_scale;
} vn_kv_cache;

/* How one request samples; lives in device memory, one entry per request row. Its layout is frozen. */
typedef struct vn_sampling_row {
  uint64_t seed;            /* key of the Philox draw; the counter is the token's position */
  float temperature;        /* 0 = greedy: the largest logit, the lowest id among equals */
  float top_p;              /* (0, 1]; 0 = 1 = off */
  float min_p;              /* [0, 1]; 0 = off */
  int32_t top_k;            /* 0 = off; ties at the k-th value stay */
  float presence_penalty;   /* logit -= p if the token was generated */
  float frequency_penalty;  /* logit -= p * how often it was generated */
  float repetition_penalty; /* prompt and generated tokens: logit > 0 ? logit / p : logit * p; 0 = 1 = off */
  int32_t count_slot;       /* row of the counts tensor; -1 = this request counts nothing and has no penalties */
  int32_t reserved[4];
} vn_sampling_row;

/* ---- library ----------------------------------------------------------------------------------------------------- */

/* The ABI version of the library that was loaded (not a status). Compare with VN_ABI_VERSION before anything else. */
VN_API int32_t vn_abi_version(void);

/* One entry of the table of struct sizes ("vn_tensor") and field offsets ("vn_tensor.rank"), in bytes, as the library was
 * compiled. Returns VN_INVALID_ARGUMENT past the end. Names are static. */
VN_API int32_t vn_abi_layout(int32_t index, const char **out_name, int64_t *out_bytes);

/* The last failure's message on this thread; "" if none. Valid until this thread's next failure. Never NULL. */
VN_API const char *vn_last_error(void);

/* Sets options for the whole process; call it before the first device is created (VN_INVALID_ARGUMENT afterwards).
 * NULL = defaults. Optional. */
VN_API int32_t vn_library_init(const vn_library_options *options);

/* Makes the nth next call (1 = the next) of an operation misbehave. op: its name without "vn_". action: "fail" (value = the
 * status to return), "nan_row" (value = the row of the result that becomes NaN; gemm, rms_norm), "pending" (event_query
 * answers that the event has not happened), "delay_ms" (value), "lost" (the device answers VN_DEVICE_LOST from then on).
 * Needs allow_faults, else VN_UNSUPPORTED. */
VN_API int32_t vn_debug_inject(vn_device *device, const char *op, int64_t nth, const char *action, int64_t value);

/* ---- devices, streams, events, buffers --------------------------------------------------------------------------- */

/* Devices of a kind. A kind that cannot be used counts 0 and vn_last_error() says why (status VN_OK). */
VN_API int32_t vn_device_count(int32_t kind, int32_t *out_count);

/* Creates a logical worker on a device; two on the same GPU are legal. options may be NULL.
 * Adds VN_NO_DEVICE (the message says what was looked for and where), VN_OUT_OF_DEVICE_MEMORY, VN_OUT_OF_HOST_MEMORY. */
VN_API int32_t vn_device_create(int32_t kind, int32_t ordinal, const vn_device_options *options, vn_device **out_device);
VN_API void vn_device_destroy(vn_device *device);
VN_API int32_t vn_device_get_info(vn_device *device, vn_device_info *out_info);

/* kind: VN_STREAM_...; foreign: a CUstream of the application to wrap (CUDA), else NULL. */
VN_API int32_t vn_stream_create(vn_device *device, int32_t kind, void *foreign, vn_stream **out_stream);
VN_API void vn_stream_destroy(vn_stream *stream);
/* Waits until everything accepted so far is done. */
VN_API int32_t vn_stream_synchronize(vn_stream *stream);

VN_API int32_t vn_event_create(vn_device *device, vn_event **out_event);
VN_API void vn_event_destroy(vn_event *event);
VN_API int32_t vn_event_record(vn_event *event, vn_stream *stream);
/* Makes later work of the stream wait for the event, on the device. */
VN_API int32_t vn_event_wait(vn_event *event, vn_stream *stream);
/* Blocks the calling thread until the event has happened. */
VN_API int32_t vn_event_synchronize(vn_event *event);
/* Whether the event has happened, 1 or 0, without waiting. An event never recorded has happened. */
VN_API int32_t vn_event_query(vn_event *event, int32_t *out_happened);
/* Milliseconds between two events that have happened. */
VN_API int32_t vn_event_elapsed(vn_event *start, vn_event *end, float *out_milliseconds);

/* Zeroed memory, 64-byte aligned (256 on CUDA). bytes 0 is legal. Adds VN_OUT_OF_DEVICE_MEMORY (the message says how much
 * is free; the device stays usable), VN_OUT_OF_HOST_MEMORY. */
VN_API int32_t vn_buffer_create(vn_device *device, int32_t memory, int64_t bytes, vn_buffer **out_buffer);
VN_API void vn_buffer_destroy(vn_buffer *buffer);
VN_API int32_t vn_buffer_data(vn_buffer *buffer, void **out_data);
/* Converts count elements from host memory (F32, F16, BF16) into device memory of another dtype; returns when done.
 * For norm weights, biases and tables; offset counts elements of dtype. */
VN_API int32_t vn_buffer_load(vn_buffer *buffer, int64_t offset, int32_t dtype, const void *source, int32_t source_dtype,
                              int64_t count);

/* direction: VN_COPY_.... Host memory should be a VN_MEMORY_HOST buffer. */
VN_API int32_t vn_copy(vn_stream *stream, void *destination, const void *source, int64_t bytes, int32_t direction);
VN_API int32_t vn_fill_zero(vn_stream *stream, void *destination, int64_t bytes);

/* ---- weights ----------------------------------------------------------------------------------------------------- */

/* A matrix [rows, columns] of F32, F16 or BF16 in the device's own layout; rows are outputs. Several checkpoints' matrices
 * may be merged into one (q, k, v; gate, up) by loading them at different rows. Adds VN_OUT_OF_DEVICE_MEMORY. */
VN_API int32_t vn_weight_create(vn_device *device, int32_t use, int32_t dtype, int64_t rows, int64_t columns,
                                vn_weight **out_weight);
VN_API void vn_weight_destroy(vn_weight *weight);
/* Converts a host matrix [rows, columns] (F32, F16, BF16; row_stride in elements) into rows [first_row, first_row + rows)
 * and all columns of the weight. The source may be a memory map; nothing of it is kept. Returns when done. */
VN_API int32_t vn_weight_load(vn_weight *weight, int64_t first_row, int64_t rows, int64_t columns, const void *source,
                              int32_t source_dtype, int64_t row_stride);
/* Random values, uniform in (-scale, scale), a pure function of (seed, row, column): benchmarks without a checkpoint. */
VN_API int32_t vn_weight_fill(vn_weight *weight, uint64_t seed, float scale);
/* Bytes of device memory that the weight takes, padding included. */
VN_API int32_t vn_weight_bytes(vn_weight *weight, int64_t *out_bytes);

/* ---- the batch --------------------------------------------------------------------------------------------------- */

/* Applies the changes of a step to the device-resident batch state, then derives what the model's ops need.
 * R rows are scheduled, T tokens in all. Row r of the step belongs to request row step_rows[r][0] of the state. */
typedef struct vn_batch_prepare_params {
  uint32_t struct_size;
  int32_t num_groups; /* KV groups, 1..VN_MAX_KV_GROUPS */
  int32_t vocab_size;
  int32_t num_row_updates;
  int32_t num_table_updates;
  int32_t reserved;
  int64_t num_blocks;
  int32_t block_size[VN_MAX_KV_GROUPS]; /* tokens */
  vn_tensor row_updates;   /* [>= num_row_updates, 4] i32: request row, computed length, last token, 0; applied first */
  vn_tensor table_updates; /* [>= num_table_updates, 4] i32: group, request row, index in the block table, block id */
  vn_tensor step_rows;     /* [R, 4] i32: request row, query length >= 1, first id in step_ids or VN_LAST_TOKEN, settled:
                              so many of its tokens have their K and V from earlier steps (0 = not known), see attention */
  vn_tensor step_ids;      /* [n] i32: uploaded token ids; a row that begins with VN_LAST_TOKEN has query length 1 */
  vn_tensor last_token;    /* [max_seqs] i32, state */
  vn_tensor computed_len;  /* [max_seqs] i32, state */
  vn_tensor block_tables;  /* [groups, max_seqs, max_blocks] i32, state */
  vn_tensor out_token_ids; /* [T] i32 */
  vn_tensor out_positions; /* [T] i32 */
  vn_tensor out_query_start;  /* [R + 1] i32: first token of each row */
  vn_tensor out_seq_lens;     /* [R] i32: tokens in the KV cache after this step */
  vn_tensor out_slot_mapping; /* [groups, T] i64: block_id * block_size + offset; -1 = do not write */
  vn_tensor out_row_flags;    /* [R] i32: VN_ROW_... */
} vn_batch_prepare_params;
VN_API int32_t vn_batch_prepare(vn_stream *stream, const vn_batch_prepare_params *params);

/* Ends a step on the device: computed_len += query length for each row; last_token = the sampled id and, where the request
 * counts tokens, counts[slot][id] += 1, for each sampled row without a flag. */
typedef struct vn_batch_commit_params {
  uint32_t struct_size;
  int32_t reserved;
  vn_tensor step_rows;     /* [R, 4] i32, as in vn_batch_prepare */
  vn_tensor sample_rows;   /* [S, 4] i32, as in vn_sample; may be absent when nothing was sampled */
  vn_tensor sampled_ids;   /* [S] i32 */
  vn_tensor sample_flags;  /* [S] i32 */
  vn_tensor last_token;    /* [max_seqs] i32 */
  vn_tensor computed_len;  /* [max_seqs] i32 */
  vn_tensor counts;        /* [slots, vocab] i32, as in vn_logits_penalties; absent = nobody counts */
  const vn_sampling_row *sampling; /* [max_seqs], needed with counts */
} vn_batch_commit_params;
VN_API int32_t vn_batch_commit(vn_stream *stream, const vn_batch_commit_params *params);

/* ---- model operations -------------------------------------------------------------------------------------------- */

/* out[t] = table[ids[t]] * scale. An id outside the table reads row 0. */
typedef struct vn_embedding_params {
  uint32_t struct_size;
  float scale; /* 0 = 1.0 */
  const vn_weight *table; /* [vocab, H]; GEMM or LOOKUP */
  vn_tensor ids;          /* [T] i32 */
  vn_tensor out;          /* [T, H] F32, F16, BF16 */
} vn_embedding_params;
VN_API int32_t vn_embedding(vn_stream *stream, const vn_embedding_params *params);

/* out = x / sqrt(mean(x^2) + eps) * (weight + weight_offset), over the last dimension, computed in f32.
 * With a residual: residual += x first, and the residual is normalised. x, residual and out may have different dtypes;
 * out may be x. */
typedef struct vn_rms_norm_params {
  uint32_t struct_size;
  float eps;
  float weight_offset;
  int32_t reserved;
  vn_tensor x;        /* [T, H] */
  vn_tensor weight;   /* [H] F32, F16, BF16 */
  vn_tensor residual; /* absent, or [T, H] in and out */
  vn_tensor out;      /* [T, H] */
} vn_rms_norm_params;
VN_API int32_t vn_rms_norm(vn_stream *stream, const vn_rms_norm_params *params);

/* y = x W^T + bias, accumulated in f32 in a fixed order over K, rounded once to y's dtype.
 * x: [M, K] F32, F16 or BF16; W: VN_WEIGHT_GEMM [N, K] F32, F16 or BF16; y: [M, N] F32, F16, BF16. M = 0 is legal. */
typedef struct vn_gemm_params {
  uint32_t struct_size;
  int32_t reserved;
  const vn_weight *weight;
  vn_tensor x;
  vn_tensor bias; /* absent, or [N] F32, F16, BF16 */
  vn_tensor y;
  void *workspace;
  int64_t workspace_bytes;
} vn_gemm_params;
VN_API int32_t vn_gemm(vn_stream *stream, const vn_gemm_params *params);
/* Bytes for any M up to max_rows with this weight and x dtype. */
VN_API int32_t vn_gemm_workspace_size(const vn_weight *weight, int32_t x_dtype, int64_t max_rows, int64_t *out_bytes);

/* Times the ways that the device has to compute vn_gemm on these operands, and remembers the fastest for later calls with the
 * same matrix shape, dtypes, alignments and bucket of M, also while a graph is recorded. Buckets are 1, 2, 4, 8, multiples of 8
 * up to 256, then 2^n and 3 * 2^n. What y holds is lost, and x should hold ordinary values. Waits for the stream, and is refused
 * while it is recorded (VN_UNSUPPORTED). Does nothing on a device without a choice: the CPU, CUDA with deterministic set. */
VN_API int32_t vn_gemm_tune(vn_stream *stream, const vn_gemm_params *params);
/* Bytes of vn_gemm_params.workspace for vn_gemm_tune with this many rows; may be more than 100 MB. */
VN_API int32_t vn_gemm_tune_workspace_size(const vn_weight *weight, int32_t x_dtype, int32_t y_dtype, int64_t rows,
                                           int64_t *out_bytes);

/* out[t] = (cos, sin) of positions[t] * inv_freq[i], times scale: once a step, shared by all layers. The scaling variants
 * (linear, llama3, yarn) are different inv_freq tables and, for yarn, a scale. */
typedef struct vn_rope_cos_sin_params {
  uint32_t struct_size;
  float scale; /* 0 = 1.0 */
  vn_tensor positions; /* [T] i32 */
  vn_tensor inv_freq;  /* [rot / 2] F32 */
  vn_tensor out;       /* [T, rot] F32: rot / 2 cosines, then rot / 2 sines */
} vn_rope_cos_sin_params;
VN_API int32_t vn_rope_cos_sin(vn_stream *stream, const vn_rope_cos_sin_params *params);

/* All that stands between a merged q, k, v projection and attention. Each head of q and of k is normalised, where a norm's
 * weight is given, as vn_rms_norm does a row; then the pairs of its first rot dimensions are turned by the table's angles:
 * (a, b) -> (a cos - b sin, b cos + a sin). q is changed in place. k so changed and v as it is are written to slot
 * slot_mapping[t] of the cache, and both stay as they were in the projection; a slot outside the pool is skipped.
 * Arithmetic is f32. A head is rounded to q's dtype after its norm and after its rotation, then converted to the cache's as
 * vn_cache_write does: the CPU's bits are those of the steps done one operation at a time. */
typedef struct vn_rope_cache_write_params {
  uint32_t struct_size;
  int32_t style;          /* VN_ROPE_...; 0 = NEOX */
  float eps;              /* of both norms, as is weight_offset */
  float weight_offset;
  vn_tensor q;            /* [T, q heads, D] F32, F16, BF16, any token and head stride; in and out */
  vn_tensor k;            /* [T, kv heads, D], q's dtype; D = the cache's key_dim, 1..256 */
  vn_tensor v;            /* [T, kv heads, value_dim], q's dtype; value_dim 1..256 */
  vn_tensor q_norm;       /* absent, or [D] F32, F16, BF16 */
  vn_tensor k_norm;       /* the same */
  vn_tensor cos_sin;      /* [T, rot] F32 of vn_rope_cos_sin, rot even and at most D; rot 0 turns nothing */
  vn_tensor slot_mapping; /* [T] i64 */
  vn_kv_cache cache;
} vn_rope_cache_write_params;
VN_API int32_t vn_rope_cache_write(vn_stream *stream, const vn_rope_cache_write_params *params);

/* reshape-and-cache alone: writes token t's K and V to slot slot_mapping[t]; a slot outside the pool is skipped. An F8_E4M3
 * cache stores x / scale to nearest even; what is beyond +-448 becomes +-448, NaN stays NaN. */
typedef struct vn_cache_write_params {
  uint32_t struct_size;
  int32_t reserved;
  vn_tensor key;          /* [T, kv heads, key_dim], any token stride */
  vn_tensor value;        /* [T, kv heads, value_dim] */
  vn_tensor slot_mapping; /* [T] i64 */
  vn_kv_cache cache;
} vn_cache_write_params;
VN_API int32_t vn_cache_write(vn_stream *stream, const vn_cache_write_params *params);

/* Attention of each query token over its request's cached K/V, causal, aligned at the end of the sequence: token i of a row
 * with query length q and sequence length n sees positions [max(0, n - q + i + 1 - window), n - q + i].
 * out = softmax(softcap(q k^T * scale)) v in f32. Mixed prefill and decode rows; q heads = any multiple of KV heads.
 * Head dimensions 1..256, key_dim as q, value_dim as out. */
typedef struct vn_attention_params {
  uint32_t struct_size;
  float scale;           /* 0 = 1 / sqrt(key_dim) */
  float softcap;         /* 0 = off; s = softcap * tanh(s / softcap) */
  int32_t window;        /* tokens seen, the token itself included; 0 = all */
  int32_t max_query_len; /* largest query length of the batch */
  int32_t max_seq_len;   /* largest sequence length of the batch */
  vn_tensor q;           /* [T, q heads, key_dim], any token stride */
  vn_tensor out;         /* [T, q heads, value_dim] */
  vn_tensor query_start; /* [R + 1] i32 */
  vn_tensor seq_lens;    /* [R] i32 */
  vn_tensor step_rows;   /* [R, 4] i32: column 0 = the request row in block_table; column 3 = settled: K and V of positions
                            below were complete before the vn_batch_prepare ahead, and may be read while what came after it runs */
  vn_tensor block_table; /* [max_seqs, max_blocks] i32 of this KV group */
  vn_kv_cache cache;
  void *workspace;
  int64_t workspace_bytes;
  int32_t max_prefill_seq_len; /* largest sequence length of rows with several query tokens; 0 = max_seq_len */
  int32_t reserved;
} vn_attention_params;
VN_API int32_t vn_attention_paged(vn_stream *stream, const vn_attention_params *params);
/* Bytes for up to max_tokens query tokens, q_heads heads of value_dim, sequences up to max_seq_len. */
VN_API int32_t vn_attention_workspace_size(vn_device *device, int64_t max_tokens, int32_t q_heads, int32_t value_dim,
                                           int64_t max_seq_len, int64_t *out_bytes);

/* out = activation(x[:, :F]) * x[:, F:]. */
typedef struct vn_gated_activation_params {
  uint32_t struct_size;
  int32_t activation; /* VN_ACTIVATION_... */
  vn_tensor x;        /* [T, 2F] */
  vn_tensor out;      /* [T, F] */
} vn_gated_activation_params;
VN_API int32_t vn_gated_activation(vn_stream *stream, const vn_gated_activation_params *params);

/* out[i] = x[rows[i]]: the rows whose logits are wanted. rows may have any stride; an index outside x reads row 0. */
typedef struct vn_gather_rows_params {
  uint32_t struct_size;
  int32_t reserved;
  vn_tensor x;    /* [T, H] */
  vn_tensor rows; /* [S] i32, any stride */
  vn_tensor out;  /* [S, H], x's dtype */
} vn_gather_rows_params;
VN_API int32_t vn_gather_rows(vn_stream *stream, const vn_gather_rows_params *params);

/* Copies whole blocks of a pool, all layers at once, source before any destination is written if they differ.
 * A pair with an id outside the pool is skipped. */
typedef struct vn_block_copy_params {
  uint32_t struct_size;
  int32_t num_pairs;
  vn_tensor pairs; /* [>= num_pairs, 2] i32: source, destination; destinations are distinct and no source */
  void *pool;
  int64_t block_bytes;
  int64_t num_blocks;
} vn_block_copy_params;
VN_API int32_t vn_block_copy(vn_stream *stream, const vn_block_copy_params *params);

/* Moves whole blocks, all layers at once, between the pool and swap space in host memory. Pairs lie in host memory and are
 * read before the call returns: a block outside its pool, or a destination named twice, is VN_INVALID_ARGUMENT and nothing
 * moves. The pools themselves are read and written in the stream's order, so a VN_STREAM_COPY stream needs an event from
 * whoever wrote the source, and whoever reads the destination needs one from it. */
typedef struct vn_block_swap_params {
  uint32_t struct_size;
  int32_t direction;      /* VN_COPY_DEVICE_TO_HOST swaps out, VN_COPY_HOST_TO_DEVICE swaps in */
  const int32_t *pairs;   /* [num_pairs, 2] in host memory: source block, destination block; adjacent blocks move as one */
  int64_t num_pairs;
  void *device_pool;      /* block 0 */
  int64_t num_device_blocks;
  void *host_pool;        /* block 0, in a VN_MEMORY_HOST buffer */
  int64_t num_host_blocks;
  int64_t block_bytes;
} vn_block_swap_params;
VN_API int32_t vn_block_swap(vn_stream *stream, const vn_block_swap_params *params);

/* ---- sampling operations; logits are F32 [S, V] ------------------------------------------------------------------ */

/* logits[row][id] += value for each edit: bans (-inf), bias. Entries outside the logits are skipped. */
typedef struct vn_logits_edit_params {
  uint32_t struct_size;
  int32_t num_edits;
  vn_tensor logits;
  vn_tensor positions; /* [>= num_edits, 2] i32: logits row, token id */
  vn_tensor values;    /* [>= num_edits] F32 */
} vn_logits_edit_params;
VN_API int32_t vn_logits_edit(vn_stream *stream, const vn_logits_edit_params *params);

/* logits[rows[i]][id] = -inf for each id whose bit in bits[i] is 0: an allow list. A row outside the logits is skipped. */
typedef struct vn_logits_mask_params {
  uint32_t struct_size;
  int32_t num_masks;
  vn_tensor logits;
  vn_tensor rows; /* [>= num_masks] i32: logits row, each at most once */
  vn_tensor bits; /* [>= num_masks, ceil(V / 32)] i32: bit id % 32 of word id / 32 */
} vn_logits_mask_params;
VN_API int32_t vn_logits_mask(vn_stream *stream, const vn_logits_mask_params *params);

/* Keeps the tokens that requests have seen. counts[slot][id]: bit 31 = in the prompt, the rest = how often generated. */
typedef struct vn_token_counts_params {
  uint32_t struct_size;
  int32_t num_updates;
  vn_tensor counts;  /* [slots, V] i32 */
  vn_tensor updates; /* [>= num_updates, 4] i32: slot, token id or -1 (clears the slot), 1 = prompt or 0 = generated, 0; in order */
} vn_token_counts_params;
VN_API int32_t vn_token_counts(vn_stream *stream, const vn_token_counts_params *params);

/* Repetition, then frequency and presence penalties of each row's request, in place. */
typedef struct vn_logits_penalties_params {
  uint32_t struct_size;
  int32_t reserved;
  vn_tensor logits;
  vn_tensor sample_rows; /* as in vn_sample */
  vn_tensor counts;      /* [slots, V] i32 */
  const vn_sampling_row *sampling; /* [max_seqs] */
  int64_t max_seqs;
} vn_logits_penalties_params;
VN_API int32_t vn_logits_penalties(vn_stream *stream, const vn_logits_penalties_params *params);

/* Draws one id per row. Greedy rows take the largest logit. Others: p = softmax(logits / temperature), min-p, then top-k,
 * then top-p over what is left, then a draw keyed by (seed, position). Probabilities are 64-bit fixed-point masses, so that
 * sums do not depend on order, batch or device. Logits are not changed. */
typedef struct vn_sample_params {
  uint32_t struct_size;
  int32_t all_greedy;    /* 1: every row is greedy, sampling is not read */
  vn_tensor logits;      /* [S, V] F32 */
  vn_tensor sample_rows; /* [S, 4] i32: token row in the step (for vn_gather_rows), request row, position of the new token, 0 */
  const vn_sampling_row *sampling; /* [max_seqs] */
  int64_t max_seqs;
  vn_tensor out_ids;   /* [S] i32 */
  vn_tensor out_flags; /* [S] i32: VN_ROW_NAN or 0 */
  void *workspace;
  int64_t workspace_bytes;
} vn_sample_params;
VN_API int32_t vn_sample(vn_stream *stream, const vn_sample_params *params);
VN_API int32_t vn_sample_workspace_size(vn_device *device, int64_t max_rows, int64_t vocab_size, int64_t *out_bytes);

/* log softmax of each row: the given id's log-probability and rank (1 + number of larger logits), and the N largest,
 * sorted, lower ids first among equals. */
typedef struct vn_logprobs_params {
  uint32_t struct_size;
  int32_t reserved;
  vn_tensor logits;           /* [S, V] F32 */
  vn_tensor ids;              /* [S] i32 */
  vn_tensor out_logprob;      /* [S] F32 */
  vn_tensor out_rank;         /* [S] i32 */
  vn_tensor out_top_ids;      /* absent, or [S, N] i32 */
  vn_tensor out_top_logprobs; /* absent, or [S, N] F32 */
} vn_logprobs_params;
VN_API int32_t vn_logprobs(vn_stream *stream, const vn_logprobs_params *params);

/* ---- graphs ------------------------------------------------------------------------------------------------------ */

/* Records what the stream is asked to do until vn_graph_end, without doing it. VN_UNSUPPORTED where
 * VN_DEVICE_HAS_GRAPHS is not set. */
VN_API int32_t vn_graph_begin(vn_stream *stream);
VN_API int32_t vn_graph_end(vn_stream *stream, vn_graph **out_graph);
VN_API int32_t vn_graph_launch(vn_graph *graph, vn_stream *stream);
VN_API void vn_graph_destroy(vn_graph *graph);

#ifdef __cplusplus
}
#endif

#endif
