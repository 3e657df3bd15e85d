// vn_embedding out of both layouts: every dtype, scale, strides, ids outside the table.
#include "gemm_support.h"

namespace {

using namespace vn_test;

TEST(Embedding, ReadsRowsOfBothLayouts) {
  Cpu cpu;
  std::mt19937 engine(5);
  for (int32_t use : {VN_WEIGHT_GEMM, VN_WEIGHT_LOOKUP}) {
    for (int32_t dtype : kDtypes) {
      for (int32_t out_dtype : kDtypes) {
        for (int64_t columns : {1, 2, 31, 64, 257}) {
          for (float scale : {0.0f, 1.0f, 22.627417f}) {
            constexpr int64_t kVocab = 53;
            Matrix table = random_matrix(engine, dtype, kVocab, columns);
            Weight weight(cpu, use, dtype, kVocab, columns);
            weight.load(0, table);
            const std::vector<int32_t> ids = {52, 0, 7, 16, 15, -1, 53, 31, 32, INT32_MAX, INT32_MIN, 7};
            Matrix out(out_dtype, static_cast<int64_t>(ids.size()), columns, 5);
            read_rows(cpu, weight, out, ids, scale);
            ASSERT_TRUE(out.guards_intact());
            for (size_t t = 0; t < ids.size(); ++t) {
              const int64_t id = ids[t] < 0 || ids[t] >= kVocab ? 0 : ids[t];
              for (int64_t c = 0; c < columns; ++c) {
                // One f32 product, then one rounding.
                const float product = static_cast<float>(table.at(id, c)) * (scale == 0.0f ? 1.0f : scale);
                ASSERT_EQ(round_to(product, out_dtype), out.at(static_cast<int64_t>(t), c)) << "id " << id;
              }
            }
          }
        }
      }
    }
  }
}

TEST(Embedding, NoTokensIsLegal) {
  Cpu cpu;
  Weight weight(cpu, VN_WEIGHT_LOOKUP, VN_DTYPE_F32, 3, 4);
  Matrix out(VN_DTYPE_F32, 0, 4);
  read_rows(cpu, weight, out, {});
  EXPECT_TRUE(out.guards_intact());
}

TEST(Embedding, ManyTokensOnManyThreads) {
  Cpu cpu(5);
  std::mt19937 engine(6);
  Matrix table = random_matrix(engine, VN_DTYPE_BF16, 99, 300);
  Weight weight(cpu, VN_WEIGHT_GEMM, VN_DTYPE_BF16, 99, 300);
  weight.load(0, table);
  std::vector<int32_t> ids(1000);
  for (auto& id : ids) id = static_cast<int32_t>(engine() % 99);
  Matrix out(VN_DTYPE_BF16, 1000, 300);
  read_rows(cpu, weight, out, ids);
  for (int64_t t = 0; t < 1000; ++t) {
    ASSERT_EQ(0, std::memcmp(out.row(t), table.row(ids[static_cast<size_t>(t)]), out.row_bytes()));
  }
}

}  // namespace
