// CUDA against the CPU, bit for bit: batch_prepare and batch_commit over random states, with repeated targets and with
// numbers that point outside.
#include <random>
#include <string>

#include "parity_support.h"

namespace {

using namespace parity;

class BatchParity : public parity::Test {};

struct Size {
  int64_t max_seqs, max_blocks;
  int32_t groups;
  int64_t rows, tokens, row_updates, table_updates;
  int32_t longest_query;
  bool bad;  // sprinkle numbers that are out of range
};

std::string text_of(const Size& s, uint32_t seed) {
  return "seqs " + std::to_string(s.max_seqs) + " groups " + std::to_string(s.groups) + " R " + std::to_string(s.rows) +
         " T " + std::to_string(s.tokens) + (s.bad ? " bad" : "") + " seed " + std::to_string(seed);
}

class Random {
 public:
  Random(uint32_t seed, bool bad) : engine_(seed), bad_(bad) {}
  int32_t below(int64_t end) { return end <= 0 ? 0 : static_cast<int32_t>(engine_() % static_cast<uint64_t>(end)); }
  // In [0, end), now and then not.
  int32_t index(int64_t end) {
    if (!bad_ || below(12) != 0) return below(end);
    const int32_t odd[] = {-1, static_cast<int32_t>(end), INT32_MIN, INT32_MAX, -7};
    return odd[below(5)];
  }

 private:
  std::mt19937 engine_;
  bool bad_;
};

struct State {
  explicit State(const Size& s, Random& random)
      : last_token(VN_DTYPE_I32, {s.max_seqs}), computed(VN_DTYPE_I32, {s.max_seqs}),
        tables(VN_DTYPE_I32, {s.groups, s.max_seqs, s.max_blocks}) {
    for (int64_t i = 0; i < s.max_seqs; ++i) {
      last_token.host().ints()[i] = random.index(1000);
      computed.host().ints()[i] = random.index(s.max_blocks * 4);
    }
    for (int64_t i = 0; i < tables.host().count(); ++i) tables.host().ints()[i] = random.index(500);
    for (Twin* t : all()) t->upload();
  }
  std::vector<Twin*> all() { return {&last_token, &computed, &tables}; }
  Twin last_token, computed, tables;
};

void prepare_case(const Size& s, uint32_t seed) {
  const std::string what = text_of(s, seed);
  SCOPED_TRACE(what);
  Random random(seed, s.bad);
  State state(s, random);
  Twin row_updates(VN_DTYPE_I32, {s.row_updates, 4}), table_updates(VN_DTYPE_I32, {s.table_updates, 4});
  Twin step_rows(VN_DTYPE_I32, {s.rows, 4}), step_ids(VN_DTYPE_I32, {s.tokens});
  for (int64_t i = 0; i < s.row_updates; ++i) {
    int32_t* u = row_updates.host().ints() + 4 * i;
    u[0] = random.index(s.max_seqs);
    u[1] = random.index(s.max_blocks * 4);
    u[2] = random.index(1000);
  }
  for (int64_t i = 0; i < s.table_updates; ++i) {
    int32_t* u = table_updates.host().ints() + 4 * i;
    u[0] = random.index(s.groups);
    u[1] = random.index(s.max_seqs);
    u[2] = random.index(s.max_blocks);
    u[3] = random.index(500);
  }
  for (int64_t i = 0; i < s.tokens; ++i) step_ids.host().ints()[i] = random.index(1000);
  int64_t at = 0;
  for (int64_t r = 0; r < s.rows; ++r) {
    int32_t* row = step_rows.host().ints() + 4 * r;
    row[0] = random.index(s.max_seqs);
    row[1] = s.bad && random.below(15) == 0 ? random.index(3) - 1 : 1 + random.below(s.longest_query);
    row[2] = row[1] == 1 && random.below(2) == 0 ? VN_LAST_TOKEN : static_cast<int32_t>(at);
    if (s.bad && random.below(20) == 0) row[2] = random.index(s.tokens);
    if (row[2] >= 0 && row[1] > 0) at += row[1];
  }
  for (Twin* t : {&row_updates, &table_updates, &step_rows, &step_ids}) t->upload();

  Twin ids(VN_DTYPE_I32, {s.tokens}), positions(VN_DTYPE_I32, {s.tokens}), query_start(VN_DTYPE_I32, {s.rows + 1});
  Twin seq_lens(VN_DTYPE_I32, {s.rows}), flags(VN_DTYPE_I32, {s.rows});
  Twin slots(VN_DTYPE_I64, {s.groups, s.tokens + 3});  // rows of groups lie apart
  auto p = params_of<vn_batch_prepare_params>();
  p.num_groups = s.groups;
  p.vocab_size = 1000;
  p.num_blocks = 500;
  p.num_row_updates = static_cast<int32_t>(s.row_updates);
  p.num_table_updates = static_cast<int32_t>(s.table_updates);
  for (int32_t g = 0; g < s.groups; ++g) p.block_size[g] = g % 3 == 0 ? 16 : g % 3 == 1 ? 4 : 7;
  if (!run(vn_batch_prepare, p, [&](auto& q, Side side) {
        q.row_updates = row_updates.tensor(side);
        q.table_updates = table_updates.tensor(side);
        q.step_rows = step_rows.tensor(side);
        q.step_ids = step_ids.tensor(side);
        q.last_token = state.last_token.tensor(side);
        q.computed_len = state.computed.tensor(side);
        q.block_tables = state.tables.tensor(side);
        q.out_token_ids = ids.tensor(side);
        q.out_positions = positions.tensor(side);
        q.out_query_start = query_start.tensor(side);
        q.out_seq_lens = seq_lens.tensor(side);
        q.out_slot_mapping = slots.view(slots.host().columns(0, s.tokens), side);
        q.out_row_flags = flags.tensor(side);
      })) {
    return;
  }
  expect_same(state.last_token, what + ": last_token");
  expect_same(state.computed, what + ": computed_len");
  expect_same(state.tables, what + ": block_tables");
  expect_same(ids, what + ": token_ids");
  expect_same(positions, what + ": positions");
  expect_same(query_start, what + ": query_start");
  expect_same(seq_lens, what + ": seq_lens");
  expect_same(slots, what + ": slot_mapping");
  expect_same(flags, what + ": row_flags");
}

TEST_F(BatchParity, PrepareDecodeSteps) {
  for (uint32_t seed = 0; seed < 12; ++seed) {
    for (const int64_t rows : {1, 2, 31, 32, 33, 256, 1024}) {
      prepare_case({1024, 64, 1, rows, rows, 3, rows / 8, 1, seed % 2 == 1}, seed);
    }
  }
}

TEST_F(BatchParity, PrepareMixedSteps) {
  for (uint32_t seed = 0; seed < 30; ++seed) {
    const int32_t groups = 1 + static_cast<int32_t>(seed % VN_MAX_KV_GROUPS);
    const bool bad = seed % 3 != 0;
    prepare_case({37, 13, groups, 12, 200, 9, 40, 20, bad}, seed);
    prepare_case({37, 13, groups, 5, 1024, 9, 40, 300, bad}, seed);
    prepare_case({37, 13, groups, 5, 1025, 9, 40, 300, bad}, seed);
    prepare_case({300, 400, groups, 300, 9000, 100, 2000, 50, bad}, seed);
    prepare_case({300, 40, groups, 2500, 4000, 100, 2000, 2, bad}, seed);  // more rows than a block has threads
  }
}

TEST_F(BatchParity, PrepareLaterUpdatesWin) {
  for (uint32_t seed = 0; seed < 10; ++seed) {
    prepare_case({3, 2, 2, 3, 30, 3000, 5000, 3, seed % 2 == 1}, seed);
    prepare_case({40, 3, 1, 3, 30, 33, 65, 3, false}, seed);
  }
}

TEST_F(BatchParity, PrepareNothing) {
  prepare_case({5, 4, 2, 0, 0, 0, 0, 1, false}, 1);
  prepare_case({5, 4, 2, 0, 0, 3, 3, 1, false}, 2);
  prepare_case({5, 4, 2, 0, 7, 0, 0, 1, false}, 3);
  prepare_case({5, 4, 2, 0, 2000, 0, 0, 1, false}, 4);
  prepare_case({5, 4, 1, 2, 1, 0, 0, 1, false}, 5);
}

struct Commit {
  int64_t max_seqs, rows, samples, slots, vocab;
  bool bad;
};

void commit_case(const Commit& c, uint32_t seed, bool with_counts, bool with_samples) {
  const std::string what = "seqs " + std::to_string(c.max_seqs) + " R " + std::to_string(c.rows) + " S " +
                           std::to_string(c.samples) + " seed " + std::to_string(seed) + (c.bad ? " bad" : "");
  SCOPED_TRACE(what);
  Random random(seed, c.bad);
  Twin step_rows(VN_DTYPE_I32, {c.rows, 4}), sample_rows(VN_DTYPE_I32, {c.samples, 4}), ids(VN_DTYPE_I32, {c.samples});
  Twin flags(VN_DTYPE_I32, {c.samples}), last_token(VN_DTYPE_I32, {c.max_seqs}), computed(VN_DTYPE_I32, {c.max_seqs});
  Twin counts(VN_DTYPE_I32, {c.slots, c.vocab});
  std::vector<vn_sampling_row> settings(static_cast<size_t>(c.max_seqs));
  for (auto& row : settings) row.count_slot = random.below(3) == 0 ? -1 : random.index(c.slots);
  for (int64_t i = 0; i < c.max_seqs; ++i) {
    last_token.host().ints()[i] = random.below(1000);
    computed.host().ints()[i] = random.below(10) == 0 ? INT32_MAX - random.below(3) : random.index(100);
  }
  for (int64_t r = 0; r < c.rows; ++r) {
    int32_t* row = step_rows.host().ints() + 4 * r;
    row[0] = random.index(c.max_seqs);
    row[1] = random.index(50);
  }
  for (int64_t i = 0; i < c.samples; ++i) {
    sample_rows.host().ints()[4 * i + 1] = random.index(c.max_seqs);
    ids.host().ints()[i] = random.index(c.vocab);
    flags.host().ints()[i] = random.below(9) == 0 ? VN_ROW_NAN : 0;
  }
  const int32_t odd_counts[] = {INT32_MAX, -1, INT32_MIN, INT32_MAX - 1, 0};
  for (int64_t i = 0; i < counts.host().count(); ++i) {
    counts.host().ints()[i] = random.below(4) == 0 ? odd_counts[random.below(5)] : random.below(5);
  }
  for (Twin* t : {&step_rows, &sample_rows, &ids, &flags, &last_token, &computed, &counts}) t->upload();
  TwinOf<vn_sampling_row> sampling(settings);
  if (!run(vn_batch_commit, params_of<vn_batch_commit_params>(), [&](auto& q, Side side) {
        q.step_rows = step_rows.tensor(side);
        q.last_token = last_token.tensor(side);
        q.computed_len = computed.tensor(side);
        if (with_samples) {
          q.sample_rows = sample_rows.tensor(side);
          q.sampled_ids = ids.tensor(side);
          q.sample_flags = flags.tensor(side);
        }
        if (with_counts) {
          q.counts = counts.tensor(side);
          q.sampling = sampling.data(side);
        }
      })) {
    return;
  }
  expect_same(last_token, what + ": last_token");
  expect_same(computed, what + ": computed_len");
  expect_same(counts, what + ": counts");
}

TEST_F(BatchParity, Commit) {
  for (uint32_t seed = 0; seed < 10; ++seed) {
    for (const bool bad : {false, true}) {
      commit_case({64, 20, 15, 9, 31, bad}, seed, true, true);
      commit_case({64, 20, 15, 9, 31, bad}, seed, false, true);
      commit_case({64, 20, 15, 9, 31, bad}, seed, true, false);
      commit_case({5, 3000, 2500, 2, 7, bad}, seed, true, true);  // requests many times over
      commit_case({1024, 1024, 1024, 64, 500, bad}, seed, true, true);
      commit_case({8, 0, 0, 3, 4, bad}, seed, true, true);
      commit_case({8, 1, 1, 3, 4, bad}, seed, true, true);
    }
  }
}

}  // namespace
