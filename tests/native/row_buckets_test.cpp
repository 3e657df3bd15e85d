// The buckets of row counts.
#include "core/row_buckets.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

namespace {

using vn::row_bucket;

TEST(RowBuckets, AreTheSmallestThatHold) {
  std::set<int64_t> buckets;
  for (int64_t rows = 1; rows <= 20000; ++rows) {
    const int64_t bucket = row_bucket(rows);
    ASSERT_GE(bucket, rows);
    ASSERT_EQ(bucket, row_bucket(bucket));
    ASSERT_LE(row_bucket(rows - 1), bucket);
    buckets.insert(bucket);
  }
  std::vector<int64_t> expected = {1, 2, 4};
  for (int64_t bucket = 8; bucket <= 256; bucket += 8) expected.push_back(bucket);
  for (const int64_t power : {256, 512, 1024, 2048, 4096, 8192}) {
    for (int quarter = 5; quarter <= 8; ++quarter) expected.push_back(power / 4 * quarter);
  }
  expected.push_back(20480);
  EXPECT_EQ(expected, std::vector<int64_t>(buckets.begin(), buckets.end()));
}

TEST(RowBuckets, NoRowsAreOneRow) { EXPECT_EQ(1, row_bucket(0)); }

}  // namespace
