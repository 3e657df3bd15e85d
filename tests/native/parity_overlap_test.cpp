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

// Layers without their matrix products: norm, rotation and cache write, activation, norm with residual.
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
        pool(VN_DTYPE_BF16, {tokens / kBlockSize + 1, 2, kKvHeads, kBlockSize, kDim}) {
    std::mt19937 engine(static_cast<uint32_t>(tokens));
    weight.host().randomize(engine, 0.5, 1.5);
    head_weight.host().randomize(engine, 0.5, 1.5);
    cos_sin.host().randomize(engine);
    for (int64_t t = 0; t < tokens; ++t) {
      ids.host().ints()[t] = static_cast<int32_t>(engine() % kVocab);
      slots.host().longs()[t] = tokens - 1 - t;
    }
    for (Twin* twin : {&ids, &weight, &head_weight, &cos_sin, &slots}) twin->upload();
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
    cache.num_blocks = slots.host().count() / kBlockSize + 1;
    cache.block_size = kBlockSize;
    cache.num_heads = kKvHeads;
    cache.key_dim = cache.value_dim = kDim;
    cache.key_block_stride = cache.value_block_stride = 2 * kKvHeads * kBlockSize * kDim;
    cache.key_head_stride = cache.value_head_stride = kBlockSize * kDim;
    cache.key_slot_stride = cache.value_slot_stride = kDim;
    ASSERT_EQ(VN_OK, vn_rope_cache_write(stream, &rope)) << vn_last_error();

    auto gate = params_of<vn_gated_activation_params>();
    gate.activation = VN_ACTIVATION_SILU;
    gate.x = of(qkv);
    gate.out = of(activated);
    ASSERT_EQ(VN_OK, vn_gated_activation(stream, &gate)) << vn_last_error();

    norm.x = of(activated);
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

  Twin ids, weight, head_weight, cos_sin, slots, residual, qkv, activated, normed, pool;
};

void expect_same_bits(Chain& want, Chain& got, const std::string& what) {
  const std::pair<Twin*, Twin*> results[] = {{&want.residual, &got.residual}, {&want.qkv, &got.qkv},
                                             {&want.activated, &got.activated}, {&want.normed, &got.normed},
                                             {&want.pool, &got.pool}};
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
