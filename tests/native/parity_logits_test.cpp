// What is done to logits before tokens are sampled, CUDA against the CPU: edits, masks, counts and penalties bit for bit.
#include <algorithm>
#include <random>
#include <string>

#include "parity_support.h"

namespace {

using namespace parity;

class LogitsParity : public parity::Test {};

TEST_F(LogitsParity, EditsInOrder) {
  std::mt19937 random(4);
  for (const int64_t vocab : parity::sizes({1, 7, 1000, 32001})) {
    for (const int64_t rows : {1, 5, 70}) {
      for (const int64_t edits : {0, 1, 33, 1000, 20000}) {
        const std::string what = "V " + std::to_string(vocab) + " S " + std::to_string(rows) + " edits " + std::to_string(edits);
        SCOPED_TRACE(what);
        Twin logits(VN_DTYPE_F32, {rows, vocab + 3}), positions(VN_DTYPE_I32, {edits, 2}), values(VN_DTYPE_F32, {edits});
        logits.host().randomize(random, -9, 9);
        for (int64_t i = 0; i < edits; ++i) {
          int32_t* at = positions.host().ints() + 2 * i;
          at[0] = static_cast<int32_t>(random() % static_cast<uint32_t>(rows + 1)) - (random() % 50 == 0 ? 1 : 0);
          at[1] = static_cast<int32_t>(random() % 3 == 0 ? random() % static_cast<uint32_t>(vocab) : random() % 20);
          if (random() % 40 == 0) at[1] = random() % 2 == 0 ? INT32_MIN : static_cast<int32_t>(vocab);
          values.host().set(i, random() % 30 == 0 ? -INFINITY : std::ldexp(static_cast<double>(random() % 1000) - 500, -6) / 3);
        }
        for (Twin* t : {&logits, &positions, &values}) t->upload();
        auto p = params_of<vn_logits_edit_params>();
        p.num_edits = static_cast<int32_t>(edits);
        if (!run(vn_logits_edit, p, [&](auto& q, Side side) {
              q.logits = logits.view(logits.host().columns(0, vocab), side);
              q.positions = positions.tensor(side);
              q.values = values.tensor(side);
            })) {
          return;
        }
        expect_same(logits, what);
      }
    }
  }
}

TEST_F(LogitsParity, Masks) {
  std::mt19937 random(6);
  for (const int64_t vocab : parity::sizes({1, 33, 1000, 128256})) {
    for (const int64_t masks : {0, 1, 9}) {
      const std::string what = "V " + std::to_string(vocab) + " masks " + std::to_string(masks);
      SCOPED_TRACE(what);
      const int64_t words = (vocab + 31) / 32;
      Twin logits(VN_DTYPE_F32, {8, vocab + 3}), rows(VN_DTYPE_I32, {masks}), bits(VN_DTYPE_I32, {masks, words});
      logits.host().randomize(random, -9, 9);
      for (int64_t i = 0; i < masks; ++i) rows.host().ints()[i] = static_cast<int32_t>(masks - 1 - i);
      for (int64_t i = 0; i < masks * words; ++i) bits.host().ints()[i] = static_cast<int32_t>(random() & random());
      for (Twin* t : {&logits, &rows, &bits}) t->upload();
      auto p = params_of<vn_logits_mask_params>();
      p.num_masks = static_cast<int32_t>(masks);
      if (!run(vn_logits_mask, p, [&](auto& q, Side side) {
            q.logits = logits.view(logits.host().columns(0, vocab), side);
            q.rows = rows.tensor(side);
            q.bits = bits.tensor(side);
          })) {
        return;
      }
      expect_same(logits, what);
    }
  }
}

TEST_F(LogitsParity, TokenCountsInOrder) {
  std::mt19937 random(5);
  for (const int64_t vocab : parity::sizes({1, 9, 1000, 50257})) {
    for (const int64_t slots : {1, 3, 64, 600}) {
      if (slots * vocab > 4000000) continue;
      for (const int64_t updates : {0, 1, 100, 9000}) {
        const std::string what = "V " + std::to_string(vocab) + " slots " + std::to_string(slots) + " updates " +
                                 std::to_string(updates);
        SCOPED_TRACE(what);
        Twin counts(VN_DTYPE_I32, {slots, vocab}), list(VN_DTYPE_I32, {updates, 4});
        for (int64_t i = 0; i < counts.host().count(); ++i) {
          counts.host().ints()[i] = random() % 100 == 0 ? INT32_MAX - static_cast<int32_t>(random() % 2) : 0;
          if (random() % 50 == 0) counts.host().ints()[i] |= INT32_MIN;
        }
        for (int64_t i = 0; i < updates; ++i) {
          int32_t* u = list.host().ints() + 4 * i;
          u[0] = static_cast<int32_t>(random() % static_cast<uint32_t>(slots + 1)) - (random() % 30 == 0 ? 1 : 0);
          u[1] = random() % 90 == 0 ? -1 : static_cast<int32_t>(random() % static_cast<uint32_t>(std::min<int64_t>(vocab, 60)));
          if (random() % 60 == 0) u[1] = random() % 2 == 0 ? -2 : static_cast<int32_t>(vocab);
          u[2] = static_cast<int32_t>(random() % 2);
          u[3] = 0;
        }
        counts.upload();
        list.upload();
        auto p = params_of<vn_token_counts_params>();
        p.num_updates = static_cast<int32_t>(updates);
        if (!run(vn_token_counts, p, [&](auto& q, Side side) {
              q.counts = counts.tensor(side);
              q.updates = list.tensor(side);
            })) {
          return;
        }
        expect_same(counts, what);
      }
    }
  }
}

TEST_F(LogitsParity, Penalties) {
  std::mt19937 random(6);
  for (const int64_t vocab : parity::sizes({1, 9, 1000, 1025, 50257})) {
    constexpr int64_t kRows = 14, kSeqs = 12, kSlots = 9;
    Twin logits(VN_DTYPE_F32, {kRows, vocab + 1}), counts(VN_DTYPE_I32, {kSlots, vocab}), rows(VN_DTYPE_I32, {kRows, 4});
    logits.host().randomize(random, -9, 9);
    for (int64_t i = 0; i < vocab; i += 17) logits.host().set(i * kRows, i % 2 ? -INFINITY : 0.0);
    for (int64_t i = 0; i < counts.host().count(); ++i) {
      counts.host().ints()[i] = random() % 3 ? 0 : static_cast<int32_t>(random() % 9) | (random() % 3 ? 0 : INT32_MIN);
    }
    for (int64_t r = 0; r < kRows; ++r) rows.host().ints()[4 * r + 1] = static_cast<int32_t>(r) - 1;  // -1 and kSeqs among them
    std::vector<vn_sampling_row> state(kSeqs);
    for (size_t i = 0; i < state.size(); ++i) {
      state[i].count_slot = static_cast<int32_t>(i) - 2;  // outside at both ends
      state[i].repetition_penalty = i % 3 == 0 ? 0.0f : i % 3 == 1 ? 1.3f : 0.7f;
      state[i].frequency_penalty = i % 2 == 0 ? 0.0f : 0.37f;
      state[i].presence_penalty = i % 5 == 0 ? 0.0f : -0.21f;
    }
    TwinOf<vn_sampling_row> sampling(state);
    for (Twin* t : {&logits, &counts, &rows}) t->upload();
    auto p = params_of<vn_logits_penalties_params>();
    p.max_seqs = kSeqs;
    if (!run(vn_logits_penalties, p, [&](auto& q, Side side) {
          q.logits = logits.view(logits.host().columns(0, vocab), side);
          q.sample_rows = rows.tensor(side);
          q.counts = counts.tensor(side);
          q.sampling = sampling.data(side);
        })) {
      return;
    }
    expect_same(logits, "V " + std::to_string(vocab));
  }
}

}  // namespace
