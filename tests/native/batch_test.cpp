// The device-resident batch: what a step derives, what its end commits, and that no number given as data leaves its buffer.
#include "ops_support.h"

namespace {

using namespace ops_test;

using Ints = std::vector<int32_t>;
using Longs = std::vector<int64_t>;

// A state of five request rows and two KV groups (blocks of 4 and 2 tokens), four table entries each.
struct State {
  static constexpr int64_t kSeqs = 5, kEntries = 4, kGroups = 2;
  Array last_token{VN_DTYPE_I32, {kSeqs}}, computed{VN_DTYPE_I32, {kSeqs}}, tables{VN_DTYPE_I32, {kGroups, kSeqs, kEntries}};

  State() {
    last_token.fill({10, 11, 12, 13, 14});
    computed.fill({0, 1, 2, 3, 4});
    for (int64_t i = 0; i < tables.count(); ++i) tables.ints()[i] = static_cast<int32_t>(i);
  }
};

struct Step {
  Step(State& s, Ints rows, Ints ids, int64_t tokens, Ints row_updates = {}, Ints table_updates = {})
      : state(s), step_rows(VN_DTYPE_I32, {static_cast<int64_t>(rows.size()) / 4, 4}),
        step_ids(VN_DTYPE_I32, {static_cast<int64_t>(ids.size())}),
        rows_changed(VN_DTYPE_I32, {static_cast<int64_t>(row_updates.size()) / 4, 4}),
        table_changed(VN_DTYPE_I32, {static_cast<int64_t>(table_updates.size()) / 4, 4}), token_ids(VN_DTYPE_I32, {tokens}),
        positions(VN_DTYPE_I32, {tokens}), query_start(VN_DTYPE_I32, {static_cast<int64_t>(rows.size()) / 4 + 1}),
        seq_lens(VN_DTYPE_I32, {static_cast<int64_t>(rows.size()) / 4}), slots(VN_DTYPE_I64, {State::kGroups, tokens}),
        flags(VN_DTYPE_I32, {static_cast<int64_t>(rows.size()) / 4}) {
    step_rows.fill(std::move(rows));
    step_ids.fill(std::move(ids));
    rows_changed.fill(std::move(row_updates));
    table_changed.fill(std::move(table_updates));
  }

  void prepare(Cpu& cpu) {
    auto p = params_of<vn_batch_prepare_params>();
    p.num_groups = State::kGroups;
    p.vocab_size = 100;
    p.num_blocks = 1000;
    p.block_size[0] = 4;
    p.block_size[1] = 2;
    p.row_updates = rows_changed.tensor();
    p.num_row_updates = static_cast<int32_t>(p.row_updates.shape[0]);
    p.table_updates = table_changed.tensor();
    p.num_table_updates = static_cast<int32_t>(p.table_updates.shape[0]);
    p.step_rows = step_rows.tensor();
    p.step_ids = step_ids.tensor();
    p.last_token = state.last_token.tensor();
    p.computed_len = state.computed.tensor();
    p.block_tables = state.tables.tensor();
    p.out_token_ids = token_ids.tensor();
    p.out_positions = positions.tensor();
    p.out_query_start = query_start.tensor();
    p.out_seq_lens = seq_lens.tensor();
    p.out_slot_mapping = slots.tensor();
    p.out_row_flags = flags.tensor();
    ASSERT_EQ(VN_OK, vn_batch_prepare(cpu.stream, &p)) << vn_last_error();
    for (Array* array : {&state.last_token, &state.computed, &state.tables, &token_ids, &positions, &query_start, &seq_lens,
                         &slots, &flags}) {
      EXPECT_TRUE(array->guards_intact());
    }
  }

  State& state;
  Array step_rows, step_ids, rows_changed, table_changed;
  Array token_ids, positions, query_start, seq_lens, slots, flags;
};

TEST(BatchPrepare, DerivesMixedRows) {
  Cpu cpu;
  State state;
  // Row 4 decodes, row 0 takes three tokens of a prompt, row 2 one uploaded id.
  Step step(state, {4, 1, VN_LAST_TOKEN, 0, 0, 3, 1, 0, 2, 1, 0, 0}, {50, 51, 52, 53}, 5);
  step.prepare(cpu);
  EXPECT_EQ((Ints{14, 51, 52, 53, 50}), step.token_ids.as_ints());
  EXPECT_EQ((Ints{4, 0, 1, 2, 2}), step.positions.as_ints());
  EXPECT_EQ((Ints{0, 1, 4, 5}), step.query_start.as_ints());
  EXPECT_EQ((Ints{5, 3, 3}), step.seq_lens.as_ints());
  EXPECT_EQ((Ints{0, 0, 0}), step.flags.as_ints());
  // Group 0: table entry 4 * row + position / 4, block size 4. Group 1 begins at 20, block size 2.
  EXPECT_EQ((Longs{17 * 4 + 0, 0, 1, 2, 8 * 4 + 2, 38 * 2, 20 * 2, 20 * 2 + 1, 21 * 2, 29 * 2}), step.slots.as_longs());
}

TEST(BatchPrepare, UpdatesComeFirst) {
  Cpu cpu;
  State state;
  Step step(state, {1, 1, VN_LAST_TOKEN, 0}, {}, 1, {1, 6, 77, 0, 3, 0, 5, 0}, {0, 1, 1, 500, 1, 1, 3, 600, 1, 0, 0, 700});
  step.prepare(cpu);
  EXPECT_EQ((Ints{77}), step.token_ids.as_ints());
  EXPECT_EQ((Ints{6}), step.positions.as_ints());
  EXPECT_EQ((Ints{7}), step.seq_lens.as_ints());
  EXPECT_EQ((Longs{500 * 4 + 2, 600 * 2}), step.slots.as_longs());
  EXPECT_EQ((Ints{0, 6, 2, 0, 4}), state.computed.as_ints());
  EXPECT_EQ((Ints{10, 77, 12, 5, 14}), state.last_token.as_ints());
  EXPECT_EQ(700, state.tables.ints()[20]);
}

TEST(BatchPrepare, EmptyStepsAndPaddingAreLegal) {
  Cpu cpu;
  State state;
  Step none(state, {}, {}, 0, {2, 9, 9, 0});
  none.prepare(cpu);
  EXPECT_EQ((Ints{0}), none.query_start.as_ints());
  EXPECT_EQ(9, state.computed.ints()[2]);
  Step padded(state, {0, 1, 0, 0}, {7}, 3);
  padded.prepare(cpu);
  EXPECT_EQ((Ints{7, 0, 0}), padded.token_ids.as_ints());
  EXPECT_EQ((Longs{0, -1, -1, 40, -1, -1}), padded.slots.as_longs());
}

TEST(BatchPrepare, BadTokensBecomeZeroAndAreFlagged) {
  Cpu cpu;
  State state;
  state.last_token.ints()[3] = 100;  // the vocabulary ends at 99
  Step step(state, {0, 2, 0, 0,               // 100, -5
                    1, 1, 2, 0,               // 99: fine
                    2, 2, 2, 0,               // 99, then past the end of the ids
                    3, 1, VN_LAST_TOKEN, 0,   // a bad last token
                    4, 1, -7, 0},             // a bad offset
            {100, -5, 99}, 7);
  step.prepare(cpu);
  EXPECT_EQ((Ints{0, 0, 99, 99, 0, 0, 0}), step.token_ids.as_ints());
  EXPECT_EQ((Ints{VN_ROW_BAD_TOKEN, 0, VN_ROW_BAD_TOKEN, VN_ROW_BAD_TOKEN, VN_ROW_BAD_TOKEN}), step.flags.as_ints());
  EXPECT_EQ((Ints{0, 1, 1, 2, 3, 3, 4}), step.positions.as_ints());
  State more;
  Step overflow(more, {0, 2, INT32_MAX, 0, 1, 2, VN_LAST_TOKEN, 0}, {1, 2}, 4);
  overflow.prepare(cpu);
  EXPECT_EQ((Ints{0, 0, 11, 0}), overflow.token_ids.as_ints());
  EXPECT_EQ((Ints{VN_ROW_BAD_TOKEN, VN_ROW_BAD_TOKEN}), overflow.flags.as_ints());
}

TEST(BatchPrepare, BadBlocksAreNotWrittenAndFlagged) {
  Cpu cpu;
  State state;
  state.tables.ints()[0 * 4 + 0] = 1000;  // the pool ends at 999
  state.tables.ints()[1 * 4 + 0] = -1;
  Step step(state, {0, 1, 0, 0, 1, 1, 0, 0, 2, 1, 0, 0, -1, 1, 0, 0, 5, 1, 0, 0}, {1}, 5);
  step.prepare(cpu);
  EXPECT_EQ((Ints{VN_ROW_BAD_BLOCK, VN_ROW_BAD_BLOCK, 0, VN_ROW_BAD_BLOCK, VN_ROW_BAD_BLOCK}), step.flags.as_ints());
  EXPECT_EQ((Longs{-1, -1, 8 * 4 + 2, -1, -1, 40, 24 * 2 + 1, 29 * 2, -1, -1}), step.slots.as_longs());
  EXPECT_EQ((Ints{1, 1, 1, 1, 1}), step.token_ids.as_ints());
}

TEST(BatchPrepare, PositionsBeyondTheTableAreFlagged) {
  Cpu cpu;
  State state;
  state.computed.fill({7, 15, INT32_MAX, -3, 16});  // group 1 holds 8 positions, group 0 holds 16
  Step step(state, {0, 2, 0, 0, 1, 1, 0, 0, 2, 1, 0, 0, 3, 1, 0, 0, 4, 1, 0, 0}, {1, 2}, 6);
  step.prepare(cpu);
  EXPECT_EQ((Ints(5, VN_ROW_BAD_BLOCK)), step.flags.as_ints());
  EXPECT_EQ((Longs{1 * 4 + 3, 2 * 4, 7 * 4 + 3, -1, 12 * 4, -1}), Longs(step.slots.longs(), step.slots.longs() + 6));
  EXPECT_EQ((Longs{23 * 2 + 1, -1, -1, -1, 32 * 2, -1}), Longs(step.slots.longs() + 6, step.slots.longs() + 12));
  for (const int32_t length : step.seq_lens.as_ints()) EXPECT_LE(length, 8);
}

TEST(BatchPrepare, QueryLengthsNeverLeaveTheTokens) {
  Cpu cpu;
  State state;
  Step step(state, {0, 2, 0, 0, 1, -4, 0, 0, 2, INT32_MAX, 0, 0, 3, 1, 0, 0}, {1, 2, 3, 4}, 4);
  step.prepare(cpu);
  EXPECT_EQ((Ints{0, 2, 2, 4, 4}), step.query_start.as_ints());
  EXPECT_EQ(0, step.flags.ints()[0]);
  for (int r = 1; r < 4; ++r) EXPECT_NE(0, step.flags.ints()[r]) << r;
  EXPECT_EQ((Ints{1, 2, 1, 2}), step.token_ids.as_ints());
}

TEST(BatchPrepare, UpdatesOutsideTheStateAreSkipped) {
  Cpu cpu;
  State state, before;
  Step step(state, {}, {}, 0, {5, 1, 1, 0, -1, 1, 1, 0, INT32_MIN, 1, 1, 0},
            {2, 0, 0, 1, -1, 0, 0, 1, 0, 5, 0, 1, 0, -1, 0, 1, 1, 4, 4, 1, 1, 0, -1, 1, 1, 4, INT32_MAX, 1});
  step.prepare(cpu);
  EXPECT_EQ(before.tables.as_ints(), state.tables.as_ints());
  EXPECT_EQ(before.computed.as_ints(), state.computed.as_ints());
  EXPECT_EQ(before.last_token.as_ints(), state.last_token.as_ints());
}

TEST(BatchCommit, AdvancesLengthsAndTakesSampledIds) {
  Cpu cpu;
  State state;
  Array rows(VN_DTYPE_I32, {4, 4}), samples(VN_DTYPE_I32, {5, 4}), ids(VN_DTYPE_I32, {5}), flags(VN_DTYPE_I32, {5});
  Array counts(VN_DTYPE_I32, {2, 6});
  rows.fill({0, 3, 0, 0, 4, 1, -1, 0, 7, 1, 0, 0, -1, 1, 0, 0});
  samples.fill({2, 0, 3, 0, 3, 4, 5, 0, 3, 1, 5, 0, 3, 9, 5, 0, 3, 2, 5, 0});
  ids.fill({5, 6, 1, 1, 2});
  flags.fill({0, 0, VN_ROW_NAN, 0, 0});
  counts.fill(Ints(12, 0));
  counts.ints()[5] = INT32_MIN + 2;  // in the prompt, generated twice
  std::vector<vn_sampling_row> sampling(5);
  sampling[0].count_slot = 0;
  sampling[1].count_slot = 0;
  sampling[2].count_slot = 2;  // outside
  sampling[4].count_slot = 1;  // id 6 is outside its row
  auto p = params_of<vn_batch_commit_params>();
  p.step_rows = rows.tensor();
  p.sample_rows = samples.tensor();
  p.sampled_ids = ids.tensor();
  p.sample_flags = flags.tensor();
  p.last_token = state.last_token.tensor();
  p.computed_len = state.computed.tensor();
  p.counts = counts.tensor();
  p.sampling = sampling.data();
  ASSERT_EQ(VN_OK, vn_batch_commit(cpu.stream, &p)) << vn_last_error();
  EXPECT_EQ((Ints{3, 1, 2, 3, 5}), state.computed.as_ints());
  EXPECT_EQ((Ints{5, 11, 2, 13, 6}), state.last_token.as_ints());
  EXPECT_EQ((Ints{0, 0, 0, 0, 0, INT32_MIN + 3, 0, 0, 0, 0, 0, 0}), counts.as_ints());
  EXPECT_TRUE(counts.guards_intact() && state.last_token.guards_intact() && state.computed.guards_intact());
  // Without counts, without samples.
  p.counts = {};
  p.sampling = nullptr;
  ASSERT_EQ(VN_OK, vn_batch_commit(cpu.stream, &p)) << vn_last_error();
  p.sample_rows = p.sampled_ids = p.sample_flags = {};
  state.computed.ints()[4] = INT32_MAX;
  ASSERT_EQ(VN_OK, vn_batch_commit(cpu.stream, &p)) << vn_last_error();
  EXPECT_EQ((Ints{9, 1, 2, 3, INT32_MAX}), state.computed.as_ints());
}

}  // namespace
