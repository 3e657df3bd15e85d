// GEMM kernels with AMX, both operands BF16: a tile of up to 16 rows of x by 32 k times one of 32 k by 16 outputs is
// added to a tile of f32 sums. Two such blocks of rows share the panels' tiles. A tile of W is 16 lines of a panel as
// they lie, one of x is 32 k of each row (GemmFamily::group).
//
// An output's sum over 32 k is formed by itself, even and odd k apart, and then added: other bits than VDPBF16PS. One
// and two rows go through gemm_few_avx512.cpp, which forms the same bits. See gemm_avx512.cpp on linkage.
#include "cpu/gemm_kernels.h"

#include <cstring>

#include <immintrin.h>

namespace vn::cpu {

namespace {

#define VN_INLINE inline __attribute__((always_inline))

constexpr int64_t kTileColumns = 32;
constexpr int64_t kTileBytes = 1024;
constexpr int64_t kLine = 64;                           // of a tile
constexpr int64_t kSums = kTileStride * sizeof(float);  // from row to row
constexpr int64_t kAhead = 2 * kTileBytes;              // bytes that a panel is fetched in advance, from memory

// What LDTILECFG reads.
struct alignas(64) TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};  // of a line
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

// The intrinsics do not tell the compiler what they read: it must be written by now.
VN_INLINE void written(const void* memory) { __asm__ volatile("" : : "r"(memory) : "memory"); }

// The panels of W at one k; behind the last whole tile, copies that end in zeros.
struct Panels {
  const char* first;
  int64_t stride;
  VN_INLINE const char* operator[](int p) const { return first + p * stride; }
};

// A tile that is needed soon: loads of tiles wait for one line after the other (measured: 40% for prompts).
VN_INLINE void fetch(const char* tile) {
  for (int64_t line = 0; line < kTileBytes; line += kLine) _mm_prefetch(tile + line, _MM_HINT_T0);
}

// 3 to 16 rows: sums in tiles 0 to 3, one for each panel, x in 4, W in 5 to 7.
template <int kPanels>
VN_INLINE void narrow_step(const char* x, Panels w) {
  _tile_loadd(4, x, kLine);
  _tile_loadd(5, w[0], kLine);
  fetch(w[0] + kAhead);
  _tile_dpbf16ps(0, 4, 5);
  if constexpr (kPanels > 1) {
    _tile_loadd(6, w[1], kLine);
    fetch(w[1] + kAhead);
    _tile_dpbf16ps(1, 4, 6);
  }
  if constexpr (kPanels > 2) {
    _tile_loadd(7, w[2], kLine);
    fetch(w[2] + kAhead);
    _tile_dpbf16ps(2, 4, 7);
    _tile_loadd(5, w[3], kLine);
    fetch(w[3] + kAhead);
    _tile_dpbf16ps(3, 4, 5);
  }
}

template <int kPanels>
VN_INLINE void narrow(int rows, const char* x, Panels w, int64_t tiles, const char* rest, bool resume, float* tile) {
  if (resume) {
    _tile_loadd(0, tile, kSums);
    if constexpr (kPanels > 1) _tile_loadd(1, tile + 16, kSums);
    if constexpr (kPanels > 2) {
      _tile_loadd(2, tile + 32, kSums);
      _tile_loadd(3, tile + 48, kSums);
    }
  } else {
    _tile_zero(0);
    if constexpr (kPanels > 1) _tile_zero(1);
    if constexpr (kPanels > 2) {
      _tile_zero(2);
      _tile_zero(3);
    }
  }
  for (int64_t i = 0; i < tiles; ++i) {
    narrow_step<kPanels>(x, w);
    x += rows * kLine;
    w.first += kTileBytes;
  }
  if (rest) narrow_step<kPanels>(x, {rest, kTileBytes});
  _tile_stored(0, tile, kSums);
  if constexpr (kPanels > 1) _tile_stored(1, tile + 16, kSums);
  if constexpr (kPanels > 2) {
    _tile_stored(2, tile + 32, kSums);
    _tile_stored(3, tile + 48, kSums);
  }
}

// 17 to 32 rows: sums of the first 16 in tiles 0 and 1, of the others in 2 and 3, x in 4 and 5, W in 6 and 7.
template <int kPanels>
VN_INLINE void wide_step(int rows, const char* x, Panels w) {
  const char* next = x + rows * kLine;
  _tile_loadd(4, x, kLine);
  fetch(next);
  _tile_loadd(6, w[0], kLine);
  fetch(w[0] + kTileBytes);
  _tile_dpbf16ps(0, 4, 6);
  _tile_loadd(5, x + kTileBytes, kLine);
  fetch(next + kTileBytes);
  _tile_dpbf16ps(2, 5, 6);
  if constexpr (kPanels > 1) {
    _tile_loadd(7, w[1], kLine);
    fetch(w[1] + kTileBytes);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(3, 5, 7);
  }
}

template <int kPanels>
VN_INLINE void wide(int rows, const char* x, Panels w, int64_t tiles, const char* rest, bool resume, float* tile) {
  float* lower = tile + 16 * kTileStride;
  if (resume) {
    _tile_loadd(0, tile, kSums);
    _tile_loadd(2, lower, kSums);
    if constexpr (kPanels > 1) {
      _tile_loadd(1, tile + 16, kSums);
      _tile_loadd(3, lower + 16, kSums);
    }
  } else {
    _tile_zero(0);
    _tile_zero(2);
    if constexpr (kPanels > 1) {
      _tile_zero(1);
      _tile_zero(3);
    }
  }
  for (int64_t i = 0; i < tiles; ++i) {
    wide_step<kPanels>(rows, x, w);
    x += rows * kLine;
    w.first += kTileBytes;
  }
  if (rest) wide_step<kPanels>(rows, x, {rest, kTileBytes});
  _tile_stored(0, tile, kSums);
  _tile_stored(2, lower, kSums);
  if constexpr (kPanels > 1) {
    _tile_stored(1, tile + 16, kSums);
    _tile_stored(3, lower + 16, kSums);
  }
}

template <int kRows>
void kernel(const void* packed, const char* w, int64_t stride, int64_t columns, int64_t panels, bool resume,
            float* tile) {
  const char* x = static_cast<const char*>(packed);
  const int64_t tiles = columns / kTileColumns;
  // Of the last k, whatever lies behind them in the panel is not W.
  alignas(64) char copies[kTilePanels * kTileBytes];
  const char* rest = nullptr;
  if (const int64_t left = columns % kTileColumns; left != 0) {
    std::memset(copies, 0, sizeof copies);
    for (int64_t p = 0; p < panels; ++p) {
      std::memcpy(copies + p * kTileBytes, w + p * stride + tiles * kTileBytes,
                  static_cast<size_t>((left + 1) / 2 * kLine));
    }
    rest = copies;
    written(copies);
  }
  TileConfig config;
  constexpr bool kWide = kRows > 16;
  if constexpr (kWide) {
    config.rows[2] = config.rows[3] = config.rows[5] = kRows - 16;
  } else {
    config.rows[0] = config.rows[1] = config.rows[2] = config.rows[3] = config.rows[4] = kRows;
  }
  written(&config);
  _tile_loadconfig(&config);
  if constexpr (!kWide) {
    if (panels == 4) {
      narrow<4>(kRows, x, {w, stride}, tiles, rest, resume, tile);
      panels = 0;
    }
  }
  for (; panels > 0; panels -= 2, w += 2 * stride, tile += 32) {
    const bool two = panels >= 2;
    if constexpr (kWide) {
      if (two) wide<2>(kRows, x, {w, stride}, tiles, rest, resume, tile);
      else wide<1>(kRows, x, {w, stride}, tiles, rest, resume, tile);
    } else {
      if (two) narrow<2>(kRows, x, {w, stride}, tiles, rest, resume, tile);
      else narrow<1>(kRows, x, {w, stride}, tiles, rest, resume, tile);
    }
    if (rest) rest += 2 * kTileBytes;
  }
  _tile_release();
}

}  // namespace

constinit const GemmFamily kGemmAmx{
    kTileColumns,
    32,
    {gemm_few_1, gemm_few_2, kernel<3>,  kernel<4>,  kernel<5>,  kernel<6>,  kernel<7>,  kernel<8>,
     kernel<9>,  kernel<10>, kernel<11>, kernel<12>, kernel<13>, kernel<14>, kernel<15>, kernel<16>,
     kernel<17>, kernel<18>, kernel<19>, kernel<20>, kernel<21>, kernel<22>, kernel<23>, kernel<24>,
     kernel<25>, kernel<26>, kernel<27>, kernel<28>, kernel<29>, kernel<30>, kernel<31>, kernel<32>}};

}  // namespace vn::cpu
