// Gathering rows: exact copies, strides, indices outside.
#include "ops_support.h"

namespace {

using namespace ops_test;

TEST(GatherRows, CopiesRowsAndReadsRowZeroForBadIndices) {
  Cpu cpu;
  for (const int32_t dtype : kFloats) {
    for (const int64_t width : {1, 17, 4096}) {
      for (const int64_t count : {0, 1, 100}) {
        std::mt19937 engine(1);
        constexpr int64_t kRows = 9;
        Array x(dtype, {kRows, width + 1}), rows(VN_DTYPE_I32, {count, 4}), out(dtype, {count, width + 2});
        x.randomize(engine);
        std::vector<int64_t> expected;
        const int32_t bad[] = {-1, 9, INT32_MAX, INT32_MIN};
        for (int64_t i = 0; i < count; ++i) {
          const bool outside = i % 7 == 3;
          rows.ints()[4 * i] = outside ? bad[i / 7 % 4] : static_cast<int32_t>(i * 5 % kRows);
          expected.push_back(outside ? 0 : i * 5 % kRows);
        }
        auto p = params_of<vn_gather_rows_params>();
        p.x = x.columns(0, width);
        p.rows = rows.tensor();  // column 0 of sample_rows
        p.rows.rank = 1;
        p.out = out.columns(1, width);
        ASSERT_EQ(VN_OK, vn_gather_rows(cpu.stream, &p)) << vn_last_error();
        for (int64_t i = 0; i < count; ++i) {
          EXPECT_EQ(x.slice(expected[static_cast<size_t>(i)] * (width + 1), width), out.slice(i * (width + 2) + 1, width)) << i;
          EXPECT_TRUE(out.poisoned(i * (width + 2), 1) && out.poisoned(i * (width + 2) + 1 + width, 1));
        }
        EXPECT_TRUE(out.guards_intact());
      }
    }
  }
}

}  // namespace
