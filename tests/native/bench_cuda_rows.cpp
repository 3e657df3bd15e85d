// Microseconds and bytes per second of the CUDA row operations in bf16, at decode and prefill sizes. Not a test.
// The operations of a layer are measured a second time with one kernel at a time ("serial" in their names): what the overlap
// of launches gains.
#include "bench_cuda_support.h"

namespace {

using namespace bench;

constexpr int32_t kType = VN_DTYPE_BF16;
constexpr int64_t kSize = 2;
constexpr int64_t kTokens[] = {1, 16, 128, 2048, 8192};

std::string at(const char* op, int64_t tokens, const std::string& more) {
  return std::string(op) + " T=" + std::to_string(tokens) + " " + more;
}

// As a model of 16 bits has it: f32 delta and residual, or bf16 throughout.
void norms(Cuda& cuda) {
  for (const int32_t stream_type : {VN_DTYPE_F32, kType}) {
    const int64_t size = stream_type == VN_DTYPE_F32 ? 4 : 2;
    for (const int64_t width : {int64_t{1024}, int64_t{4096}, int64_t{8192}}) {
      for (const int64_t tokens : kTokens) {
        const int64_t wide = tokens * width * size, narrow = tokens * width * kSize;
        const int64_t copies = copies_for(2 * wide + narrow);
        char* x = cuda.allocate(copies * wide);
        char* residual = cuda.allocate(copies * wide);
        char* out = cuda.allocate(copies * narrow);
        auto p = params_of<vn_rms_norm_params>();
        p.eps = 1e-6f;
        p.weight = tensor(cuda.allocate(width * 4), VN_DTYPE_F32, width);
        const double us = cuda.time([&](int64_t i) {
          p.x = tensor(x + i % copies * wide, stream_type, tokens, width);
          p.residual = tensor(residual + i % copies * wide, stream_type, tokens, width);
          p.out = tensor(out + i % copies * narrow, kType, tokens, width);
          require(vn_rms_norm(cuda.stream, &p));
        });
        cuda.report(at(size == 4 ? "rms_norm+residual f32" : "rms_norm+residual", tokens, "H=" + std::to_string(width)), us,
                    static_cast<double>(3 * wide + narrow));
        cuda.release();
      }
    }
  }
}

// Merged rows of 32 + 2 * 8 heads of 128 on their way into a cache of blocks of 16, with q/k norm and without.
void heads(Cuda& cuda) {
  constexpr int64_t kQ = 32, kKv = 8, kDim = 128, kRow = (kQ + 2 * kKv) * kDim, kBlock = 16 * kKv * kDim;
  for (const int64_t tokens : kTokens) {
    const int64_t blocks = tokens / 16 + 1, pool_bytes = 2 * blocks * kBlock * kSize;
    const int64_t bytes = tokens * kRow * kSize, copies = copies_for(bytes + pool_bytes);
    char* qkv = cuda.allocate(copies * bytes);
    char* pool = cuda.allocate(copies * pool_bytes);
    std::vector<int64_t> slots(static_cast<size_t>(tokens));
    for (int64_t t = 0; t < tokens; ++t) slots[static_cast<size_t>(t)] = tokens <= 256 ? t * 61 % tokens : t;
    auto p = params_of<vn_rope_cache_write_params>();
    p.eps = 1e-6f;
    p.cos_sin = tensor(cuda.allocate(tokens * kDim * 4), VN_DTYPE_F32, tokens, kDim);
    p.slot_mapping = tensor(cuda.allocate(tokens * 8, slots.data()), VN_DTYPE_I64, tokens);
    vn_kv_cache& cache = p.cache;
    cache.struct_size = sizeof cache;
    cache.dtype = kType;
    cache.num_blocks = blocks;
    cache.block_size = 16;
    cache.num_heads = kKv;
    cache.key_dim = cache.value_dim = kDim;
    cache.key_block_stride = cache.value_block_stride = 2 * kBlock;
    cache.key_head_stride = cache.value_head_stride = 16 * kDim;
    cache.key_slot_stride = cache.value_slot_stride = kDim;
    const vn_tensor weight = tensor(cuda.allocate(kDim * 4), VN_DTYPE_F32, kDim);
    for (const bool normed : {false, true}) {
      if (normed) p.q_norm = p.k_norm = weight;
      const double us = cuda.time([&](int64_t i) {
        char* row = qkv + i % copies * bytes;
        p.q = tensor3(row, kType, tokens, kQ, kDim, kRow);
        p.k = tensor3(row + kQ * kDim * kSize, kType, tokens, kKv, kDim, kRow);
        p.v = tensor3(row + (kQ + kKv) * kDim * kSize, kType, tokens, kKv, kDim, kRow);
        cache.key = pool + i % copies * pool_bytes;
        cache.value = static_cast<char*>(cache.key) + kBlock * kSize;
        require(vn_rope_cache_write(cuda.stream, &p));
      });
      cuda.report(at(normed ? "qk_norm+rope+cache_write" : "rope+cache_write", tokens, "heads=32/8 D=128"), us,
                  static_cast<double>(tokens * ((2 * kQ + 4 * kKv) * kDim * kSize + kDim * 4)));
    }
    cuda.release();
  }
}

void tables(Cuda& cuda) {
  constexpr int64_t kDim = 128;
  for (const int64_t tokens : kTokens) {
    auto p = params_of<vn_rope_cos_sin_params>();
    p.positions = tensor(cuda.allocate(tokens * 4), VN_DTYPE_I32, tokens);
    p.inv_freq = tensor(cuda.allocate(kDim / 2 * 4), VN_DTYPE_F32, kDim / 2);
    p.out = tensor(cuda.allocate(tokens * kDim * 4), VN_DTYPE_F32, tokens, kDim);
    const double us = cuda.time([&](int64_t) { require(vn_rope_cos_sin(cuda.stream, &p)); });
    cuda.report(at("rope_cos_sin", tokens, "rot=128"), us, static_cast<double>(tokens * kDim * 4));
    cuda.release();
  }
}

void activations(Cuda& cuda) {
  for (const int64_t width : {int64_t{3072}, int64_t{14336}}) {
    for (const int64_t tokens : kTokens) {
      const int64_t bytes = tokens * width * kSize, copies = copies_for(3 * bytes);
      char* x = cuda.allocate(copies * 2 * bytes);
      char* out = cuda.allocate(copies * bytes);
      auto p = params_of<vn_gated_activation_params>();
      for (const int32_t activation : {VN_ACTIVATION_SILU, VN_ACTIVATION_GELU_TANH}) {
        p.activation = activation;
        const double us = cuda.time([&](int64_t i) {
          p.x = tensor(x + i % copies * 2 * bytes, kType, tokens, 2 * width);
          p.out = tensor(out + i % copies * bytes, kType, tokens, width);
          require(vn_gated_activation(cuda.stream, &p));
        });
        const char* name = activation == VN_ACTIVATION_SILU ? "silu" : "gelu_tanh";
        cuda.report(at(name, tokens, "F=" + std::to_string(width)), us, 3.0 * static_cast<double>(bytes));
      }
      cuda.release();
    }
  }
}

void gathers(Cuda& cuda) {
  constexpr int64_t kWidth = 4096;
  for (const int64_t rows : {int64_t{1}, int64_t{128}, int64_t{2048}}) {
    const int64_t bytes = rows * kWidth * kSize, copies = copies_for(2 * bytes);
    char* x = cuda.allocate(copies * bytes);
    char* out = cuda.allocate(copies * bytes);
    std::vector<int32_t> order(static_cast<size_t>(4 * rows));
    for (int64_t i = 0; i < rows; ++i) order[static_cast<size_t>(4 * i)] = static_cast<int32_t>(i * 61 % rows);
    char* wanted = cuda.allocate(16 * rows, order.data());
    auto p = params_of<vn_gather_rows_params>();
    p.rows = tensor(wanted, VN_DTYPE_I32, rows);
    p.rows.stride[0] = 4;
    const double us = cuda.time([&](int64_t i) {
      p.x = tensor(x + i % copies * bytes, kType, rows, kWidth);
      p.out = tensor(out + i % copies * bytes, kType, rows, kWidth);
      require(vn_gather_rows(cuda.stream, &p));
    });
    cuda.report("gather_rows S=" + std::to_string(rows) + " H=4096", us, 2.0 * static_cast<double>(bytes));
    cuda.release();
  }
}

// A step of `rows` requests, tokens / rows of them each.
void batches(Cuda& cuda) {
  constexpr int64_t kSeqs = 1024, kBlocks = 2048;
  for (const auto& [rows, tokens] : {std::pair<int64_t, int64_t>{1, 1}, {256, 256}, {1024, 1024}, {4, 8192}}) {
    const int64_t each = tokens / rows;
    std::vector<int32_t> step(static_cast<size_t>(4 * rows)), updates(static_cast<size_t>(4 * rows));
    for (int64_t r = 0; r < rows; ++r) {
      int32_t* row = step.data() + 4 * r;
      row[0] = updates[static_cast<size_t>(4 * r) + 1] = static_cast<int32_t>(r);
      row[1] = static_cast<int32_t>(each);
      row[2] = each == 1 ? VN_LAST_TOKEN : static_cast<int32_t>(r * each);
    }
    auto p = params_of<vn_batch_prepare_params>();
    p.num_groups = 1;
    p.vocab_size = 128256;
    p.num_blocks = 1 << 20;
    p.block_size[0] = 16;
    p.num_table_updates = static_cast<int32_t>(rows);
    p.row_updates = tensor(cuda.allocate(16), VN_DTYPE_I32, 1, 4);
    p.table_updates = tensor(cuda.allocate(16 * rows, updates.data()), VN_DTYPE_I32, rows, 4);
    p.step_rows = tensor(cuda.allocate(16 * rows, step.data()), VN_DTYPE_I32, rows, 4);
    p.step_ids = tensor(cuda.allocate(4 * tokens), VN_DTYPE_I32, tokens);
    p.last_token = tensor(cuda.allocate(4 * kSeqs), VN_DTYPE_I32, kSeqs);
    p.computed_len = tensor(cuda.allocate(4 * kSeqs), VN_DTYPE_I32, kSeqs);
    p.block_tables = tensor3(cuda.allocate(4 * kSeqs * kBlocks), VN_DTYPE_I32, 1, kSeqs, kBlocks, kSeqs * kBlocks);
    p.out_token_ids = tensor(cuda.allocate(4 * tokens), VN_DTYPE_I32, tokens);
    p.out_positions = tensor(cuda.allocate(4 * tokens), VN_DTYPE_I32, tokens);
    p.out_query_start = tensor(cuda.allocate(4 * rows + 4), VN_DTYPE_I32, rows + 1);
    p.out_seq_lens = tensor(cuda.allocate(4 * rows), VN_DTYPE_I32, rows);
    p.out_slot_mapping = tensor(cuda.allocate(8 * tokens), VN_DTYPE_I64, 1, tokens);
    p.out_row_flags = tensor(cuda.allocate(4 * rows), VN_DTYPE_I32, rows);
    const std::string size = " R=" + std::to_string(rows) + " T=" + std::to_string(tokens);
    double us = cuda.time([&](int64_t) { require(vn_batch_prepare(cuda.stream, &p)); });
    cuda.report("batch_prepare" + size, us, static_cast<double>(48 * rows + 24 * tokens));

    auto commit = params_of<vn_batch_commit_params>();
    commit.step_rows = p.step_rows;
    commit.sample_rows = p.table_updates;
    commit.sampled_ids = tensor(cuda.allocate(4 * rows), VN_DTYPE_I32, rows);
    commit.sample_flags = tensor(cuda.allocate(4 * rows), VN_DTYPE_I32, rows);
    commit.last_token = p.last_token;
    commit.computed_len = p.computed_len;
    us = cuda.time([&](int64_t) { require(vn_batch_commit(cuda.stream, &commit)); });
    cuda.report("batch_commit" + size, us, static_cast<double>(48 * rows));
    cuda.release();
  }
}

}  // namespace

int main() {
  for (const bool serial : {false, true}) {
    Cuda cuda(serial);
    norms(cuda);
    heads(cuda);
    activations(cuda);
    if (serial) continue;
    tables(cuda);
    gathers(cuda);
    batches(cuda);
  }
  return 0;
}
