// CUDA against the CPU: rms_norm, rope_cos_sin, gated_activation, gather_rows. Bit for bit where each step is one IEEE
// operation (gather_rows, the residual of rms_norm); else f32 tolerances of a few units, and one unit of 16-bit outputs.
#include <limits>
#include <random>
#include <string>

#include "parity_support.h"

namespace {

using namespace parity;
using ops_test::kFloats;

const char* name_of(int32_t dtype) { return dtype == VN_DTYPE_F32 ? "f32" : dtype == VN_DTYPE_F16 ? "f16" : "bf16"; }

class RmsNormParity : public parity::Test {};
class RopeCosSinParity : public parity::Test {};
class ActivationParity : public parity::Test {};
class GatherRowsParity : public parity::Test {};

constexpr Tolerance kNormError = {1e-7, 3e-6};  // the order of the sum, and a few units of its inverse root

struct NormCase {
  int64_t tokens, width;
  int32_t x, weight, residual, out;  // dtypes; residual 0 = none
  int64_t pad = 0;                   // columns between rows
  bool in_place = false;
};

void norm_case(const NormCase& c, uint32_t seed) {
  const std::string what = "T " + std::to_string(c.tokens) + " H " + std::to_string(c.width) + " x " + name_of(c.x) +
                           " weight " + name_of(c.weight) + " residual " + (c.residual ? name_of(c.residual) : "none") +
                           " out " + name_of(c.out) + " pad " + std::to_string(c.pad) + (c.in_place ? " in place" : "");
  SCOPED_TRACE(what);
  std::mt19937 random(seed);
  Twin x(c.x, {c.tokens, c.width + c.pad}), weight(c.weight, {c.width}), out(c.out, {c.tokens, c.width + c.pad});
  Twin residual(c.residual ? c.residual : VN_DTYPE_F32, {c.residual ? c.tokens : 0, c.width});
  x.host().randomize(random, -3, 3);
  weight.host().randomize(random, 0.5, 1.5);
  residual.host().randomize(random, -2, 2);
  for (Twin* t : {&x, &weight, &residual}) t->upload();
  auto p = params_of<vn_rms_norm_params>();
  p.eps = 1e-6f;
  p.weight_offset = seed % 2 ? 1.0f : 0.0f;
  const bool ran = run(vn_rms_norm, p, [&](auto& q, Side side) {
    q.x = x.view(x.host().columns(0, c.width), side);
    q.weight = weight.tensor(side);
    if (c.residual) q.residual = residual.tensor(side);
    Twin& to = c.in_place ? x : out;
    q.out = to.view(to.host().columns(0, c.width), side);
  });
  if (!ran) return;
  expect_close(c.in_place ? x : out, kNormError, what);
  if (c.residual) expect_same(residual, what + ": residual");
}

TEST_F(RmsNormParity, EveryMixtureOfDtypes) {
  uint32_t seed = 1;
  for (const int32_t x : kFloats) {
    for (const int32_t weight : kFloats) {
      for (const int32_t residual : {0, VN_DTYPE_F32, VN_DTYPE_F16, VN_DTYPE_BF16}) {
        for (const int32_t out : kFloats) norm_case({3, 1032, x, weight, residual, out}, seed++);
      }
    }
  }
}

TEST_F(RmsNormParity, WidthsAndTokens) {
  uint32_t seed = 100;
  for (const int64_t width : {1, 7, 8, 9, 63, 64, 100, 128, 248, 256, 257, 264, 1000, 1024, 2048, 2560, 4096, 4097, 5120, 8184,
                              8192, 8193, 8200, 12288, 16391}) {
    for (const int64_t tokens : {1, 5}) {
      norm_case({tokens, width, VN_DTYPE_BF16, VN_DTYPE_BF16, 0, VN_DTYPE_BF16}, seed++);
      norm_case({tokens, width, VN_DTYPE_BF16, VN_DTYPE_BF16, VN_DTYPE_F32, VN_DTYPE_BF16}, seed++);
      norm_case({tokens, width, VN_DTYPE_F32, VN_DTYPE_F32, VN_DTYPE_F32, VN_DTYPE_F32}, seed++);
      norm_case({tokens, width, VN_DTYPE_F16, VN_DTYPE_F16, VN_DTYPE_F16, VN_DTYPE_F16, 3, true}, seed++);
      norm_case({tokens, width, VN_DTYPE_F32, VN_DTYPE_BF16, 0, VN_DTYPE_F32, 8, true}, seed++);
    }
  }
  norm_case({0, 4096, VN_DTYPE_BF16, VN_DTYPE_BF16, VN_DTYPE_BF16, VN_DTYPE_BF16}, seed++);
  norm_case({2049, 1024, VN_DTYPE_BF16, VN_DTYPE_BF16, VN_DTYPE_BF16, VN_DTYPE_BF16}, seed++);
}

TEST_F(RmsNormParity, ManyRowsLarge) {
  uint32_t seed = 300;
  constexpr int64_t kRows = 1100;  // more than any chip has in flight with one group a thread
  for (const int64_t width : {1024, 1032, 1280, 3592, 4096, 8192}) {
    norm_case({kRows, width, VN_DTYPE_F32, VN_DTYPE_F32, VN_DTYPE_F32, VN_DTYPE_BF16}, seed++);
    norm_case({kRows, width, VN_DTYPE_BF16, VN_DTYPE_BF16, VN_DTYPE_BF16, VN_DTYPE_BF16, 8}, seed++);
    norm_case({kRows, width, VN_DTYPE_F16, VN_DTYPE_F32, VN_DTYPE_F32, VN_DTYPE_F16}, seed++);
    norm_case({kRows, width, VN_DTYPE_F32, VN_DTYPE_F16, 0, VN_DTYPE_F32, 0, true}, seed++);
  }
}

// With four groups a thread in a batch, one when alone, and by the kernel for everything where rows are not aligned.
TEST_F(RmsNormParity, RowIsTheSameAloneAndInABatchAndAtAnyAlignment) {
  std::mt19937 random(3);
  constexpr int64_t kRows = 1100;
  for (const int64_t width : {64, 128, 1024, 1288, 4096, 8192, 9000}) {
    Twin x(VN_DTYPE_F32, {kRows, width}), apart(VN_DTYPE_F32, {kRows, width + 1}), weight(VN_DTYPE_F32, {width});
    x.host().randomize(random);
    weight.host().randomize(random);
    for (int64_t t = 0; t < kRows; ++t) {
      for (int64_t i = 0; i < width; ++i) apart.host().set(t * (width + 1) + i, x.host().at(t * width + i));
    }
    for (Twin* twin : {&x, &apart, &weight}) twin->upload();
    auto p = params_of<vn_rms_norm_params>();
    p.eps = 1e-6f;
    p.weight = weight.tensor(Side::kCuda);
    const auto call = [&](Twin& from, int64_t first, int64_t count, Twin& to) {
      p.x = from.view(from.host().columns(0, width), Side::kCuda);
      p.out = to.tensor(Side::kCuda);
      for (vn_tensor* t : {&p.x, &p.out}) {
        t->data = static_cast<char*>(t->data) + first * t->stride[0] * ops_test::size_of(t->dtype);
        t->shape[0] = count;
      }
      ASSERT_EQ(VN_OK, vn_rms_norm(devices().cuda_stream, &p)) << vn_last_error();
    };
    Twin batch(VN_DTYPE_F32, {kRows, width}), alone(VN_DTYPE_F32, {kRows, width}), unaligned(VN_DTYPE_F32, {kRows, width});
    call(x, 0, kRows, batch);
    call(apart, 0, kRows, unaligned);
    for (int64_t t = 0; t < kRows; t += 100) call(x, t, 1, alone);
    const Array want = batch.download(), one = alone.download();
    EXPECT_EQ(want.slice(0, kRows * width), unaligned.download().slice(0, kRows * width)) << width;
    for (int64_t t = 0; t < kRows; t += 100) {
      EXPECT_EQ(want.slice(t * width, width), one.slice(t * width, width)) << width << " row " << t;
    }
  }
}

TEST_F(RopeCosSinParity, CosinesAndSines) {
  std::mt19937 random(5);
  for (const int64_t half : {1, 5, 32, 64, 128}) {
    for (const int64_t tokens : {0, 1, 77}) {
      Twin positions(VN_DTYPE_I32, {tokens}), inv_freq(VN_DTYPE_F32, {half}), out(VN_DTYPE_F32, {tokens, 2 * half});
      for (int64_t t = 0; t < tokens; ++t) {
        positions.host().ints()[t] = t == 0 ? 0 : static_cast<int32_t>(random() % (t % 2 ? 4096 : 1 << 20));
      }
      for (int64_t i = 0; i < half; ++i) {
        inv_freq.host().set(i, std::pow(1e4, -static_cast<double>(i) / static_cast<double>(half)));
      }
      positions.upload();
      inv_freq.upload();
      auto p = params_of<vn_rope_cos_sin_params>();
      p.scale = half == 32 ? 1.2f : 0.0f;
      if (!run(vn_rope_cos_sin, p, [&](auto& q, Side side) {
            q.positions = positions.tensor(side);
            q.inv_freq = inv_freq.tensor(side);
            q.out = out.tensor(side);
          })) {
        return;
      }
      expect_close(out, {3e-7, 0}, "half " + std::to_string(half));
    }
  }
}

TEST_F(ActivationParity, EveryFunctionAndDtype) {
  std::mt19937 random(8);
  for (const int32_t activation : {VN_ACTIVATION_SILU, VN_ACTIVATION_GELU_TANH, VN_ACTIVATION_GELU}) {
    // e^-x has 2 ulp on both sides; the exact GELU's tail amplifies the rounding of its argument.
    const Tolerance tolerance = activation == VN_ACTIVATION_GELU ? Tolerance{1e-6, 1e-5} : Tolerance{1e-6, 3e-6};
    for (const int32_t x_dtype : kFloats) {
      for (const int32_t out_dtype : kFloats) {
        for (const int64_t width : {1, 7, 8, 100, 1000, 1024, 4104}) {
          for (const int64_t tokens : {0, 1, 3}) {
            const int64_t pad = width == 1000 ? 1 : 0;
            const std::string what = "activation " + std::to_string(activation) + " " + name_of(x_dtype) + " to " +
                                     name_of(out_dtype) + " F " + std::to_string(width) + " T " + std::to_string(tokens);
            SCOPED_TRACE(what);
            Twin x(x_dtype, {tokens, 2 * width + pad}), out(out_dtype, {tokens, width});
            x.host().randomize(random, -12, 12);
            const double special[] = {0.0, -0.0, 1e-6, -30, 30, -88, 88, -100, 100, INFINITY, -INFINITY, std::nan("")};
            for (size_t i = 0; i < std::size(special) && tokens == 3 && width >= 100; ++i) {
              x.host().set(static_cast<int64_t>(i) * 3, special[i]);
            }
            x.upload();
            auto p = params_of<vn_gated_activation_params>();
            p.activation = activation;
            if (!run(vn_gated_activation, p, [&](auto& q, Side side) {
                  q.x = x.view(x.host().columns(0, 2 * width), side);
                  q.out = out.tensor(side);
                })) {
              return;
            }
            expect_close(out, tolerance, what);
          }
        }
      }
    }
  }
}

TEST_F(GatherRowsParity, CopiesRowsAndReadsRowZeroForBadOnes) {
  std::mt19937 random(9);
  for (const int32_t dtype : kFloats) {
    for (const int64_t width : {1, 7, 8, 1000, 4096, 9001}) {
      for (const int64_t wanted : {0, 1, 33}) {
        const std::string what = std::string(name_of(dtype)) + " H " + std::to_string(width) + " S " + std::to_string(wanted);
        SCOPED_TRACE(what);
        Twin x(dtype, {21, width + 2}), rows(VN_DTYPE_I32, {wanted, 4}), out(dtype, {wanted, width});
        x.host().randomize(random);
        for (int64_t i = 0; i < wanted * 4; ++i) rows.host().ints()[i] = static_cast<int32_t>(random() % 21);
        if (wanted > 5) {
          rows.host().ints()[4] = -1;
          rows.host().ints()[8] = 21;
          rows.host().ints()[12] = INT32_MIN;
        }
        x.upload();
        rows.upload();
        if (!run(vn_gather_rows, params_of<vn_gather_rows_params>(), [&](auto& q, Side side) {
              q.x = x.view(x.host().columns(0, width), side);
              q.rows = rows.tensor(side);
              q.rows.rank = 1;
              q.out = out.tensor(side);
            })) {
          return;
        }
        expect_same(out, what);
      }
    }
  }
}

}  // namespace
