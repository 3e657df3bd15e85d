// What a deterministic CUDA device says of itself, and attention and row operations on it. That their results are right at all is tested
// against the CPU elsewhere.
#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <utility>

#include "parity_deterministic.h"

namespace {

using namespace parity_deterministic;

TEST_F(DeterministicParity, TheDeviceSaysSo) {
  vn_device_info info{};
  info.struct_size = sizeof info;
  ASSERT_EQ(VN_OK, vn_device_get_info(gpu_->device, &info)) << vn_last_error();
  EXPECT_TRUE(info.flags & VN_DEVICE_BATCH_INVARIANT);
  EXPECT_TRUE(info.flags & VN_DEVICE_HAS_GRAPHS);
}

// ---- attention ----

struct Heads {
  int32_t dtype;
  int dim, q_heads = 8, kv_heads = 2, window = 0, gap = 0;
  float softcap = 0;

  std::string name() const {
    std::ostringstream text;
    text << "dtype " << dtype << " dim " << dim << " heads " << q_heads << "/" << kv_heads << " window " << window << " gap " << gap
         << " softcap " << softcap;
    return text.str();
  }
};

// One sequence with all its K and V in the cache; any of its tokens can be asked for as rows of a batch.
class Sequence {
 public:
  static constexpr int kBlock = 16;

  // Tokens [begin, end) at the end of a sequence of `end` tokens.
  struct Row {
    int begin, end;
  };

  Sequence(Deterministic& gpu, const Heads& heads, int length)
      : gpu_(gpu), heads_(heads), length_(length), blocks_((length + kBlock - 1) / kBlock),
        q_(heads.dtype, {length, width()}),
        pool_(heads.dtype, {blocks_ + 1, 2, heads.kv_heads, kBlock, heads.dim}),
        table_(VN_DTYPE_I32, {1, blocks_}) {
    std::mt19937 engine(static_cast<uint32_t>(heads.dim + length));
    q_.randomize(engine);
    pool_.host().randomize(engine);
    pool_.upload();
    std::vector<int32_t> ids(static_cast<size_t>(blocks_));
    std::iota(ids.begin(), ids.end(), 1);
    std::shuffle(ids.begin(), ids.end(), engine);
    table_.host().fill(ids);
    table_.upload();
  }

  // The outputs of the rows' tokens, one after the other.
  std::vector<Bytes> attend(const std::vector<Row>& rows) {
    const auto count = static_cast<int64_t>(rows.size());
    int64_t tokens = 0;
    int max_query = 0;
    for (const Row& row : rows) {
      tokens += row.end - row.begin;
      max_query = std::max(max_query, row.end - row.begin);
    }
    Twin q(heads_.dtype, {tokens, width()}), out(heads_.dtype, {tokens, width()});
    Twin start(VN_DTYPE_I32, {count + 1}), lengths(VN_DTYPE_I32, {count}), step_rows(VN_DTYPE_I32, {count, 4});
    int32_t token = 0;
    for (int64_t r = 0; r < count; ++r) {
      const Row& row = rows[static_cast<size_t>(r)];
      start.host().ints()[r] = token;
      lengths.host().ints()[r] = row.end;
      step_rows.host().ints()[4 * r] = 0;
      const int64_t row_bytes = width() * ops_test::size_of(heads_.dtype);
      std::memcpy(static_cast<char*>(q.host().data()) + token * row_bytes,
                  static_cast<const char*>(static_cast<const Array&>(q_).data()) + row.begin * row_bytes,
                  static_cast<size_t>((row.end - row.begin) * row_bytes));
      token += row.end - row.begin;
    }
    start.host().ints()[count] = token;
    for (Twin* twin : {&q, &start, &lengths, &step_rows}) twin->upload();

    auto p = params_of<vn_attention_params>();
    const int columns = heads_.q_heads * heads_.dim;
    p.scale = 7.5f / std::sqrt(static_cast<float>(heads_.dim));  // sharp: the largest score moves, and bases with it
    p.softcap = heads_.softcap;
    p.window = heads_.window;
    p.max_query_len = max_query;
    p.max_seq_len = length_;
    p.q = q.view(q.host().columns(0, columns, heads_.q_heads), Side::kCuda);
    p.out = out.view(out.host().columns(0, columns, heads_.q_heads), Side::kCuda);
    p.query_start = start.tensor(Side::kCuda);
    p.seq_lens = lengths.tensor(Side::kCuda);
    p.step_rows = step_rows.tensor(Side::kCuda);
    p.block_table = table_.tensor(Side::kCuda);
    p.cache = cache();
    EXPECT_EQ(VN_OK, vn_attention_workspace_size(gpu_.device, tokens, heads_.q_heads, heads_.dim, length_, &p.workspace_bytes));
    parity::Workspace workspace(0, p.workspace_bytes);
    p.workspace = workspace.data(Side::kCuda);
    gpu_.run(vn_attention_paged, p);
    const Array got = out.download();
    EXPECT_TRUE(got.guards_intact());
    EXPECT_TRUE(workspace.guard_intact());
    std::vector<Bytes> results;
    for (int64_t t = 0; t < tokens; ++t) results.push_back(got.slice(t * width(), columns));
    return results;
  }

 private:
  int64_t width() const { return heads_.q_heads * heads_.dim + heads_.gap; }

  vn_kv_cache cache() {
    vn_kv_cache k{};
    const int64_t part = int64_t{heads_.kv_heads} * kBlock * heads_.dim;
    k.struct_size = sizeof k;
    k.dtype = heads_.dtype;
    k.key = pool_.data(Side::kCuda);
    k.value = static_cast<char*>(k.key) + part * ops_test::size_of(heads_.dtype);
    k.num_blocks = blocks_ + 1;
    k.block_size = kBlock;
    k.num_heads = heads_.kv_heads;
    k.key_dim = k.value_dim = heads_.dim;
    k.key_block_stride = k.value_block_stride = 2 * part;
    k.key_head_stride = k.value_head_stride = int64_t{kBlock} * heads_.dim;
    k.key_slot_stride = k.value_slot_stride = heads_.dim;
    return k;
  }

  Deterministic& gpu_;
  const Heads heads_;
  const int length_;
  const int64_t blocks_;
  Array q_;
  Twin pool_, table_;
};

void check_attention(Deterministic& gpu, const Heads& heads, int length) {
  SCOPED_TRACE(heads.name());
  using Row = Sequence::Row;
  Sequence sequence(gpu, heads, length);
  const std::vector<Bytes> whole = sequence.attend({{0, length}});
  ASSERT_NE(whole.front(), whole.back());
  const auto check = [&](const std::vector<Row>& rows, const std::string& what) {
    const std::vector<Bytes> got = sequence.attend(rows);
    size_t at = 0;
    for (const Row& row : rows) {
      for (int t = row.begin; t < row.end; ++t) ASSERT_EQ(whole[static_cast<size_t>(t)], got[at++]) << what << ": token " << t;
    }
  };
  for (const int size : {7, 16, 64, 100, 129}) {
    std::vector<Row> chunks;
    for (int begin = 0; begin < length; begin += size) chunks.push_back({begin, std::min(begin + size, length)});
    for (const Row& chunk : chunks) ASSERT_NO_FATAL_FAILURE(check({chunk}, "a chunk of " + std::to_string(size) + " alone"));
    std::reverse(chunks.begin(), chunks.end());
    ASSERT_NO_FATAL_FAILURE(check(chunks, "chunks of " + std::to_string(size) + " together"));
  }
  std::vector<Row> tokens;
  for (int t = 0; t < length; ++t) tokens.push_back({t, t + 1});
  ASSERT_NO_FATAL_FAILURE(check(tokens, "every token as a row"));
  for (int t = 0; t < length; t += 1 + t / 3) ASSERT_NO_FATAL_FAILURE(check({{t, t + 1}}, "a token alone"));
  ASSERT_NO_FATAL_FAILURE(check({{length - 1, length}, {0, length}, {5, 6}, {3, 60}, {60, 61}, {1, 3}}, "mixed rows"));
}

TEST_F(DeterministicParity, AttentionOfTunedDimensions) {
  for (const int32_t dtype : {VN_DTYPE_BF16, VN_DTYPE_F16}) {
    for (const int dim : {64, 96, 128, 256}) check_attention(*gpu_, {dtype, dim}, 420);
  }
}

TEST_F(DeterministicParity, AttentionOfHeadGroups) {
  for (const auto& [q_heads, kv_heads] : {std::pair{1, 1}, std::pair{4, 4}, std::pair{14, 2}, std::pair{17, 1}}) {
    check_attention(*gpu_, {VN_DTYPE_BF16, 128, q_heads, kv_heads}, 300);
  }
}

TEST_F(DeterministicParity, AttentionWithWindowAndSoftcap) {
  for (const int32_t dtype : {VN_DTYPE_BF16, VN_DTYPE_F32}) {
    for (const int window : {1, 50, 64, 129}) check_attention(*gpu_, {.dtype = dtype, .dim = 64, .window = window}, 300);
    check_attention(*gpu_, {.dtype = dtype, .dim = 64, .softcap = 20.0f}, 300);
    check_attention(*gpu_, {.dtype = dtype, .dim = 64, .window = 70, .softcap = 20.0f}, 300);
  }
}

// What only the plain kernel takes: F32, odd dimensions, unaligned tokens.
TEST_F(DeterministicParity, AttentionOfThePlainKernel) {
  check_attention(*gpu_, {VN_DTYPE_F32, 64}, 300);
  check_attention(*gpu_, {VN_DTYPE_BF16, 80}, 300);
  check_attention(*gpu_, {.dtype = VN_DTYPE_F16, .dim = 64, .gap = 3}, 300);
}

TEST_F(DeterministicParity, AttentionOverALongSequence) { check_attention(*gpu_, {VN_DTYPE_BF16, 128, 4, 1}, 2100); }

// ---- the other operations, whose kernels look at one row at a time on every device ----

constexpr int64_t kRowCounts[] = {1, 2, 5, 33, 128, 540};
constexpr int64_t kMostRows = 700;  // enough for kernels that give a thread more of a row where rows are many

TEST_F(DeterministicParity, NormRows) {
  for (const int64_t width : {64, 100, 128, 1024, 4096, 9000}) {
    for (const int32_t dtype : kFloats) {
      std::mt19937 engine(static_cast<uint32_t>(width));
      Twin x(dtype, {kMostRows, width}), out(dtype, {kMostRows, width});
      Twin weight(dtype, {width}), residual(VN_DTYPE_F32, {kMostRows, width});
      for (Twin* twin : {&x, &weight, &residual}) {
        twin->host().randomize(engine);
        twin->upload();
      }
      const auto rows = [&](int64_t first, int64_t count) {
        residual.upload();
        auto params = params_of<vn_rms_norm_params>();
        params.eps = 1e-6f;
        params.x = rows_of(x.tensor(Side::kCuda), first, count);
        params.weight = weight.tensor(Side::kCuda);
        params.residual = rows_of(residual.tensor(Side::kCuda), first, count);
        params.out = rows_of(out.tensor(Side::kCuda), first, count);
        gpu_->run(vn_rms_norm, params);
        return std::pair{out.download().slice(first * width, count * width),
                         residual.download().slice(first * width, count * width)};
      };
      const auto [whole, sums] = rows(0, kMostRows);
      const auto part = [&](const Bytes& all, int64_t size, int64_t first, int64_t count) {
        return Bytes(all.begin() + first * width * size, all.begin() + (first + count) * width * size);
      };
      for (const int64_t count : kRowCounts) {
        for (const int64_t first : {int64_t{0}, int64_t{77}, kMostRows - count}) {
          const auto some = rows(first, count);
          ASSERT_EQ(part(whole, ops_test::size_of(dtype), first, count), some.first)
              << count << " rows from " << first << ", width " << width << ", dtype " << dtype;
          ASSERT_EQ(part(sums, 4, first, count), some.second) << "residual, width " << width;
        }
      }
    }
  }
}

TEST_F(DeterministicParity, ActivationRows) {
  constexpr int64_t kWidth = 1001;
  for (const int32_t activation : {VN_ACTIVATION_SILU, VN_ACTIVATION_GELU_TANH, VN_ACTIVATION_GELU}) {
    std::mt19937 engine(8);
    Twin x(VN_DTYPE_BF16, {kMostRows, 2 * kWidth}), out(VN_DTYPE_BF16, {kMostRows, kWidth});
    x.host().randomize(engine, -8.0, 8.0);
    x.upload();
    const auto rows = [&](int64_t first, int64_t count) {
      auto params = params_of<vn_gated_activation_params>();
      params.activation = activation;
      params.x = rows_of(x.tensor(Side::kCuda), first, count);
      params.out = rows_of(out.tensor(Side::kCuda), first, count);
      gpu_->run(vn_gated_activation, params);
      return out.download().slice(first * kWidth, count * kWidth);
    };
    const Bytes whole = rows(0, kMostRows);
    for (int64_t r = 0; r < kMostRows; r += 13) {
      const auto at = whole.begin() + r * kWidth * 2;
      ASSERT_EQ(Bytes(at, at + kWidth * 2), rows(r, 1)) << "row " << r;
    }
  }
}

TEST_F(DeterministicParity, LogprobAndSampleRows) {
  constexpr int64_t kVocab = 5003, kTop = 7;
  std::mt19937 engine(21);
  Twin logits(VN_DTYPE_F32, {kMostRows, kVocab}), ids(VN_DTYPE_I32, {kMostRows}), sample_rows(VN_DTYPE_I32, {kMostRows, 4});
  logits.host().randomize(engine, -9.0, 9.0);
  std::vector<vn_sampling_row> settings(static_cast<size_t>(kMostRows));
  for (int64_t r = 0; r < kMostRows; ++r) {
    ids.host().ints()[r] = static_cast<int32_t>(engine() % kVocab);
    int32_t* row = sample_rows.host().ints() + 4 * r;
    row[0] = row[1] = static_cast<int32_t>(r);
    row[2] = static_cast<int32_t>(engine() % 4096);
    row[3] = 0;
    vn_sampling_row& setting = settings[static_cast<size_t>(r)];
    setting.seed = static_cast<uint64_t>(r);
    setting.temperature = r % 5 == 0 ? 0.0f : 0.9f;
    setting.top_k = r % 3 == 0 ? 40 : 0;
    setting.top_p = r % 2 == 0 ? 0.9f : 0.0f;
    setting.count_slot = -1;
  }
  for (Twin* twin : {&logits, &ids, &sample_rows}) twin->upload();
  parity::TwinOf<vn_sampling_row> sampling(settings);
  const auto rows = [&](int64_t first, int64_t count) {
    Twin logprob(VN_DTYPE_F32, {count}), rank(VN_DTYPE_I32, {count}), top_ids(VN_DTYPE_I32, {count, kTop}),
        top(VN_DTYPE_F32, {count, kTop}), out_ids(VN_DTYPE_I32, {count}), out_flags(VN_DTYPE_I32, {count});
    auto params = params_of<vn_logprobs_params>();
    params.logits = rows_of(logits.tensor(Side::kCuda), first, count);
    params.ids = rows_of(ids.tensor(Side::kCuda), first, count);
    params.out_logprob = logprob.tensor(Side::kCuda);
    params.out_rank = rank.tensor(Side::kCuda);
    params.out_top_ids = top_ids.tensor(Side::kCuda);
    params.out_top_logprobs = top.tensor(Side::kCuda);
    gpu_->run(vn_logprobs, params);
    auto draw = params_of<vn_sample_params>();
    draw.logits = params.logits;
    draw.sample_rows = rows_of(sample_rows.tensor(Side::kCuda), first, count);
    draw.sampling = sampling.data(Side::kCuda);
    draw.max_seqs = kMostRows;
    draw.out_ids = out_ids.tensor(Side::kCuda);
    draw.out_flags = out_flags.tensor(Side::kCuda);
    EXPECT_EQ(VN_OK, vn_sample_workspace_size(gpu_->device, count, kVocab, &draw.workspace_bytes));
    parity::Workspace workspace(0, draw.workspace_bytes);
    draw.workspace = workspace.data(Side::kCuda);
    gpu_->run(vn_sample, draw);
    std::vector<Bytes> results;
    const Array arrays[] = {logprob.download(), rank.download(), top_ids.download(), top.download(), out_ids.download()};
    for (int64_t r = 0; r < count; ++r) {
      Bytes all;
      for (const Array& array : arrays) {
        const int64_t each = array.count() / count;
        const Bytes part = array.slice(r * each, each);
        all.insert(all.end(), part.begin(), part.end());
      }
      results.push_back(all);
    }
    return results;
  };
  const std::vector<Bytes> whole = rows(0, kMostRows);
  for (const int64_t count : kRowCounts) {
    for (const int64_t first : {int64_t{0}, int64_t{77}, kMostRows - count}) {
      const std::vector<Bytes> some = rows(first, count);
      for (int64_t r = 0; r < count; ++r) {
        ASSERT_EQ(whole[static_cast<size_t>(first + r)], some[static_cast<size_t>(r)]) << "row " << first + r << " of " << count;
      }
    }
  }
}

}  // namespace
