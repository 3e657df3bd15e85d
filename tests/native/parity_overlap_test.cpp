// Kernels that may begin while the one ahead still runs (programmatic dependent launch): a chain of them, each reading what the
// one ahead wrote and overwriting what it read, has the same bits as with one kernel at a time, launched one by one and
// replayed from a graph.
#include <random>

#include "parity_support.h"

namespace {

using namespace parity;

class OverlapParity : public parity::Test {};

constexpr int64_t kHidden = 2048, kHalf = kHidden / 2, kVocab = 50;
constexpr int64_t kQHeads = 8, kKvHeads = 4, kDim = 128, kBlockSize = 16;
constexpr int kLayers = 40;
// Of each row's sequence: blocks that no kernel here writes, several tiles of attention, ahead of one that this step writes.
constexpr int64_t kSettledBlocks = 12, kSettled = kSettledBlocks * kBlockSize;

// A CUDA device of its own, with a stream and a table of embeddings.
struct Worker {
  explicit Worker(bool serial) {
    vn_device_options options{};
    options.struct_size = sizeof options;
    options.serial_kernels = serial;
    EXPECT_EQ(VN_OK, vn_device_create(VN_DEVICE_CUDA, 0, &options, &device)) << vn_last_error();
    EXPECT_EQ(VN_OK, vn_stream_create(device, VN_STREAM_COMPUTE, nullptr, &stream)) << vn_last_error();
    EXPECT_EQ(VN_OK, vn_weight_create(device, VN_WEIGHT_LOOKUP, VN_DTYPE_BF16, kVocab, kHidden, &table)) << vn_last_error();
    EXPECT_EQ(VN_OK, vn_weight_fill(table, 7, 1.0f)) << vn_last_error();
  }
  ~Worker() {
    vn_weight_destroy(table);
    vn_stream_destroy(stream);
    vn_device_destroy(device);
  }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  vn_device* device = nullptr;
  vn_stream* stream = nullptr;
  vn_weight* table = nullptr;
};

// Layers without their matrix products: norm, rotation and cache write, attention of one token a row over K and V of which the
// last were just written, activation, norm with residual.
struct Chain {
  explicit Chain(int64_t tokens)
      : ids(VN_DTYPE_I32, {tokens}),
        weight(VN_DTYPE_F32, {kHidden}),
        head_weight(VN_DTYPE_F32, {kDim}),
        cos_sin(VN_DTYPE_F32, {tokens, kDim}),
        slots(VN_DTYPE_I64, {tokens}),
        residual(VN_DTYPE_F32, {tokens, kHidden}),
        qkv(VN_DTYPE_BF16, {tokens, kHidden}),
        activated(VN_DTYPE_BF16, {tokens, kHalf}),
        normed(VN_DTYPE_BF16, {tokens, kHalf}),
        attended(VN_DTYPE_BF16, {tokens, kHalf}),
        pool(VN_DTYPE_BF16, {tokens / kBlockSize + 1 + kSettledBlocks, 2, kKvHeads, kBlockSize, kDim}),
        query_start(VN_DTYPE_I32, {tokens + 1}),
        lengths(VN_DTYPE_I32, {tokens}),
        step_rows(VN_DTYPE_I32, {tokens, 4}),
        table(VN_DTYPE_I32, {tokens, kSettledBlocks + 1}),
        workspace(0, attention_bytes(tokens)) {
    std::mt19937 engine(static_cast<uint32_t>(tokens));
    weight.host().randomize(engine, 0.5, 1.5);
    head_weight.host().randomize(engine, 0.5, 1.5);
    cos_sin.host().randomize(engine);
    for (int64_t t = 0; t < tokens; ++t) {
      ids.host().ints()[t] = static_cast<int32_t>(engine() % kVocab);
      const int64_t slot = tokens - 1 - t, own = slot / kBlockSize;
      slots.host().longs()[t] = slot;
      query_start.host().ints()[t] = static_cast<int32_t>(t);
      lengths.host().ints()[t] = static_cast<int32_t>(kSettled + slot % kBlockSize + 1);
      step_rows.host().ints()[4 * t] = static_cast<int32_t>(t);
      step_rows.host().ints()[4 * t + 3] = static_cast<int32_t>(kSettled);
      int32_t* row = table.host().ints() + t * (kSettledBlocks + 1);
      for (int64_t b = 0; b < kSettledBlocks; ++b) row[b] = static_cast<int32_t>(blocks() - kSettledBlocks + (b + t) % kSettledBlocks);
      row[kSettledBlocks] = static_cast<int32_t>(own);
    }
    query_start.host().ints()[tokens] = static_cast<int32_t>(tokens);
    pool.host().randomize(engine);
    for (Twin* twin : {&ids, &weight, &head_weight, &cos_sin, &slots, &pool, &query_start, &lengths, &step_rows, &table}) twin->upload();
  }

  int64_t blocks() const { return ids.host().count() / kBlockSize + 1 + kSettledBlocks; }
  static int64_t attention_bytes(int64_t tokens) {
    int64_t bytes = 0;
    EXPECT_EQ(VN_OK, vn_attention_workspace_size(devices().cuda, tokens, kQHeads, kDim, kSettled + kBlockSize, &bytes));
    return bytes;
  }

  vn_tensor of(Twin& twin) { return twin.tensor(Side::kCuda); }
  vn_tensor columns(Twin& twin, int64_t first, int64_t count, int64_t heads = 0) {
    return twin.view(twin.host().columns(first, count, heads), Side::kCuda);
  }

  void ask(const Worker& worker) {
    auto embedding = params_of<vn_embedding_params>();
    embedding.table = worker.table;
    embedding.ids = of(ids);
    embedding.out = of(residual);
    ASSERT_EQ(VN_OK, vn_embedding(worker.stream, &embedding)) << vn_last_error();
    for (int layer = 0; layer < kLayers; ++layer) ask_layer(worker.stream);
  }

  void ask_layer(vn_stream* stream) {
    auto norm = params_of<vn_rms_norm_params>();
    norm.eps = 1e-6f;
    norm.x = of(residual);
    norm.weight = of(weight);
    norm.out = of(qkv);
    ASSERT_EQ(VN_OK, vn_rms_norm(stream, &norm)) << vn_last_error();

    auto rope = params_of<vn_rope_cache_write_params>();
    rope.eps = 1e-6f;
    rope.q = columns(qkv, 0, kQHeads * kDim, kQHeads);
    rope.k = columns(qkv, kQHeads * kDim, kKvHeads * kDim, kKvHeads);
    rope.v = columns(qkv, (kQHeads + kKvHeads) * kDim, kKvHeads * kDim, kKvHeads);
    rope.q_norm = rope.k_norm = of(head_weight);
    rope.cos_sin = of(cos_sin);
    rope.slot_mapping = of(slots);
    vn_kv_cache& cache = rope.cache;
    cache.struct_size = sizeof cache;
    cache.dtype = VN_DTYPE_BF16;
    cache.key = pool.data(Side::kCuda);
    cache.value = static_cast<char*>(cache.key) + kKvHeads * kBlockSize * kDim * 2;
    cache.num_blocks = blocks();
    cache.block_size = kBlockSize;
    cache.num_heads = kKvHeads;
    cache.key_dim = cache.value_dim = kDim;
    cache.key_block_stride = cache.value_block_stride = 2 * kKvHeads * kBlockSize * kDim;
    cache.key_head_stride = cache.value_head_stride = kBlockSize * kDim;
    cache.key_slot_stride = cache.value_slot_stride = kDim;
    ASSERT_EQ(VN_OK, vn_rope_cache_write(stream, &rope)) << vn_last_error();

    auto attention = params_of<vn_attention_params>();
    attention.max_query_len = 1;
    attention.max_seq_len = kSettled + kBlockSize;
    attention.q = rope.q;
    attention.out = columns(attended, 0, kHalf, kQHeads);
    attention.query_start = of(query_start);
    attention.seq_lens = of(lengths);
    attention.step_rows = of(step_rows);
    attention.block_table = of(table);
    attention.cache = cache;
    attention.workspace = workspace.data(Side::kCuda);
    attention.workspace_bytes = workspace.bytes(Side::kCuda);
    ASSERT_EQ(VN_OK, vn_attention_paged(stream, &attention)) << vn_last_error();

    auto gate = params_of<vn_gated_activation_params>();
    gate.activation = VN_ACTIVATION_SILU;
    gate.x = of(qkv);
    gate.out = of(activated);
    ASSERT_EQ(VN_OK, vn_gated_activation(stream, &gate)) << vn_last_error();

    norm.x = of(attended);
    norm.weight = columns_of_weight();
    norm.residual = columns(residual, 0, kHalf);
    norm.out = of(normed);
    ASSERT_EQ(VN_OK, vn_rms_norm(stream, &norm)) << vn_last_error();
  }

  vn_tensor columns_of_weight() {
    vn_tensor half = of(weight);
    half.shape[0] = kHalf;
    return half;
  }

  Twin ids, weight, head_weight, cos_sin, slots, residual, qkv, activated, normed, attended, pool, query_start, lengths, step_rows, table;
  Workspace workspace;
};

void expect_same_bits(Chain& want, Chain& got, const std::string& what) {
  const std::pair<Twin*, Twin*> results[] = {{&want.residual, &got.residual}, {&want.qkv, &got.qkv},
                                             {&want.activated, &got.activated}, {&want.normed, &got.normed},
                                             {&want.attended, &got.attended}, {&want.pool, &got.pool}};
  for (const auto& [a, b] : results) {
    EXPECT_EQ(a->download().slice(0, a->host().count()), b->download().slice(0, b->host().count())) << what;
    EXPECT_TRUE(b->download().guards_intact()) << what;
  }
}

TEST_F(OverlapParity, ChainHasTheBitsOfOneKernelAtATime) {
  const Worker serial(true), overlapped(false);
  for (const int64_t tokens : {1, 40, 300, 2000}) {
    const std::string what = std::to_string(tokens) + " tokens";
    Chain want(tokens), got(tokens);
    want.ask(serial);
    for (int repeat = 0; repeat < 3; ++repeat) got.ask(overlapped);  // each begins anew over what the last one still reads
    ASSERT_EQ(VN_OK, vn_stream_synchronize(serial.stream)) << vn_last_error();
    ASSERT_EQ(VN_OK, vn_stream_synchronize(overlapped.stream)) << vn_last_error();
    expect_same_bits(want, got, what);
  }
}

TEST_F(OverlapParity, ChainHasTheSameBitsFromAGraph) {
  const Worker serial(true), overlapped(false);
  for (const int64_t tokens : {1, 128, 700}) {
    const std::string what = std::to_string(tokens) + " tokens";
    Chain want(tokens), got(tokens);
    want.ask(serial);
    ASSERT_EQ(VN_OK, vn_stream_synchronize(serial.stream)) << vn_last_error();
    ASSERT_EQ(VN_OK, vn_graph_begin(overlapped.stream)) << vn_last_error();
    got.ask(overlapped);
    vn_graph* graph = nullptr;
    ASSERT_EQ(VN_OK, vn_graph_end(overlapped.stream, &graph)) << vn_last_error();
    for (int repeat = 0; repeat < 3; ++repeat) {
      ASSERT_EQ(VN_OK, vn_graph_launch(graph, overlapped.stream)) << vn_last_error();
    }
    ASSERT_EQ(VN_OK, vn_stream_synchronize(overlapped.stream)) << vn_last_error();
    expect_same_bits(want, got, what);
    vn_graph_destroy(graph);
  }
}

}  // namespace
