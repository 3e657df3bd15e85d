// The inner part of paged attention, once for each instruction set. attention.cpp cuts a batch into units; a unit is a few
// neighbouring query tokens of one request times the query heads that share a KV head, over a range of KV chunks.
//
// Batch invariance: a query's arithmetic is a function of its absolute position alone. Positions are cut into tiles of
// kTile and chunks of kChunk at fixed multiples; a chunk is an online softmax over its tiles from an empty state; chunks
// are merged one after another in order. Whether chunks were computed by one thread or by many changes nothing.
#pragma once

#include <cstdint>

#include "cpu/isa.h"

namespace vn::cpu {

constexpr int kTile = 32;     // tokens: K and V of a tile, in f32, stay in the first-level cache up to dimension 64 or so
constexpr int kChunk = 512;   // tokens; a multiple of kTile
constexpr int kMaxRows = 32;  // (token, head) pairs of a unit, which share each converted tile
constexpr int kMaxDim = 256;

// One head's K or V in the cache.
struct HeadPool {
  const char* base;
  int64_t block_stride;  // bytes
  int64_t slot_stride;
  int32_t dim;
};

struct AttentionUnit {
  // Queries: row i is token i / heads, head i % heads. Element (token, head) lies at token * token_stride + head * head_stride.
  const char* q;
  char* out;
  int32_t q_dtype, out_dtype;
  int64_t q_token_stride, q_head_stride;  // bytes
  int64_t out_token_stride, out_head_stride;
  int32_t tokens, heads;
  int64_t position;  // of the first token
  int64_t window;    // 0 = all
  float scale, softcap;  // scale: of q k^T with K as it is stored
  float value_scale;     // of V as it is stored

  HeadPool key, value;
  int32_t cache_dtype;
  int32_t block_size;
  int64_t num_blocks;
  const int32_t* table;  // block ids of the request; those outside the pool are read as block 0
  int64_t table_stride, table_size;

  // Null: all chunks, and out is written. Else only `chunk`, whose state goes to partial, one for each row.
  float* partial;
  int64_t partial_token_stride, partial_head_stride;  // floats
  int64_t chunk;
};

// A chunk's state: the largest score, the sum of exponentials, the weighted sum of V.
constexpr int64_t partial_floats(int64_t value_dim) { return value_dim + 2; }

struct AttentionKernels {
  void (*unit)(const AttentionUnit& unit);
  // Merges `count` states that lie partial_floats(dim) apart, in order, and writes the quotient times value_scale.
  void (*merge)(const float* partial, int64_t count, int32_t dim, float value_scale, char* out, int32_t out_dtype);
};

const AttentionKernels& attention_kernels(Isa isa);
const AttentionKernels* attention_kernels_portable();
const AttentionKernels* attention_kernels_avx2();
const AttentionKernels* attention_kernels_avx512();

}  // namespace vn::cpu
