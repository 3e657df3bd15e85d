// y = x W^T + bias: x [M, K], W [N, K] in panels of 16 outputs (weight.h), y [M, N].
//
// Rows of x are cut into blocks of nearly equal size, packed once into the caller's workspace (and converted to F32,
// unless both operands are BF16 and the processor multiplies those); then threads take tasks of some panels by some
// blocks.
//
// A task goes through its panels kTilePanels at a time. With one block (decode) they are streamed once, over all of K.
// With more, K is cut so that a piece of the panels stays in L2 while up to kPassBlocks blocks of x pass by; their sums
// wait in tiles and are taken up again at the next piece, which changes no bit of them.
#include "cpu/gemm_kernels.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "core/handles.h"
#include "cpu/convert_span.h"
#include "cpu/weight.h"

namespace vn::cpu {

namespace {

constexpr int64_t kPackPiece = 256;        // columns converted at a time
constexpr int64_t kTaskBytes = 32 << 10;   // of W at least: about a microsecond, beside which taking a task is cheap
constexpr int64_t kPieceBytes = 256 << 10;  // of W, a part of the smallest usual L2 cache
constexpr int64_t kPassBlocks = 16;
constexpr int64_t kTasks = 16;             // for each thread where there is enough: the last ones even the threads out

const GemmFamily& choose(const Weight& weight, int32_t x_dtype) {
  return gemm_family(weight.device->isa, weight.dtype, x_dtype);
}

int64_t round_up(int64_t value, int64_t multiple) { return (value + multiple - 1) / multiple * multiple; }

// Of a packed row of x: whole groups, of which kernels may read those of W too.
int64_t padded_columns(const Weight& weight, const GemmFamily& family) {
  return round_up(weight.columns, std::max<int64_t>(weight.group, family.group));
}

int32_t packed_dtype(const GemmFamily& family) { return family.group == 1 ? VN_DTYPE_F32 : VN_DTYPE_BF16; }

// M rows in the fewest blocks of at most max_rows, sizes differing by at most one: larger first.
struct Blocks {
  Blocks(int64_t rows, int64_t max_rows)
      : count((rows + max_rows - 1) / max_rows), size(rows / count), larger(rows % count) {}
  int64_t first_row(int64_t block) const { return block * size + std::min(block, larger); }
  int64_t rows(int64_t block) const { return size + (block < larger); }

  int64_t count;
  int64_t size;
  int64_t larger;
};

// Packs `rows` rows of x, columns [begin, end), to out[column / group][row][column % group]; kGroupBytes: of a group.
template <int kGroupBytes>
void pack(Isa isa, const vn_tensor& x, int32_t dtype, int64_t first_row, int64_t rows, int64_t begin, int64_t end,
          char* packed) {
  const int64_t element = dtype_size(x.dtype);
  const int64_t size = dtype_size(dtype);
  const int64_t group = kGroupBytes / size;
  alignas(64) char piece[kPackPiece * 4];
  for (int64_t r = 0; r < rows; ++r) {
    const char* row = static_cast<const char*>(x.data) + (first_row + r) * x.stride[0] * element;
    for (int64_t k = begin; k < end; k += kPackPiece) {
      const int64_t columns = std::min(kPackPiece, end - k);
      convert_span(isa, piece, dtype, row + k * element, x.dtype, columns);
      const int64_t padded = round_up(columns, group);
      if (padded != columns) std::memset(piece + columns * size, 0, static_cast<size_t>((padded - columns) * size));
      char* out = packed + (k / group * rows + r) * kGroupBytes;
      for (int64_t i = 0; i < padded / group; ++i, out += rows * kGroupBytes) {
        std::memcpy(out, piece + i * kGroupBytes, kGroupBytes);
      }
    }
  }
}

struct Call {
  Device& device;
  const vn_gemm_params& params;
  const Weight& weight;
  const GemmFamily& family;
  const GemmStore store;
  const Blocks blocks;
  const int64_t x_row_bytes;  // of a packed row
  char* packed;

  void pack_rows() const;
  void multiply() const;
  void task(int64_t first_panel, int64_t end_panel, int64_t first_block, int64_t end_block) const;
  // `count` outputs from one panel on, for some blocks.
  void pass(int64_t panel, int64_t panels, int64_t count, int64_t first_block, int64_t end_block,
            const float* bias) const;
};

void Call::pack_rows() const {
  const int64_t columns = weight.columns;
  const int64_t pieces = (columns + kPackPiece - 1) / kPackPiece;
  // A thread is woken for 16 K elements, not for less.
  const int64_t grain = std::max<int64_t>(1, 16384 / (blocks.rows(0) * kPackPiece));
  device.pool.parallel_for(blocks.count * pieces, grain, [&](int64_t begin, int64_t end) {
    for (int64_t unit = begin; unit < end; ++unit) {
      const int64_t block = unit / pieces;
      const int64_t first = unit % pieces * kPackPiece;
      const int64_t last = std::min(first + kPackPiece, columns);
      const int64_t row = blocks.first_row(block);
      char* out = packed + row * x_row_bytes;
      const auto packing = family.group == 32 ? pack<64> : pack<4>;
      packing(device.isa, params.x, packed_dtype(family), row, blocks.rows(block), first, last, out);
    }
  });
  // F32 rows beside BF16 panels of odd width end in a zero, because kernels read whole pairs.
  if (family.group < weight.group && padded_columns(weight, family) != columns) {
    for (int64_t block = 0; block < blocks.count; ++block) {
      const int64_t rows = blocks.rows(block);
      char* end = packed + blocks.first_row(block) * x_row_bytes + columns * rows * 4;
      std::memset(end, 0, static_cast<size_t>(rows) * 4);
    }
  }
}

void Call::task(int64_t first_panel, int64_t end_panel, int64_t first_block, int64_t end_block) const {
  alignas(64) float bias[kTileStride];
  for (int64_t panel = first_panel; panel < end_panel; panel += kTilePanels) {
    const int64_t panels = std::min(kTilePanels, end_panel - panel);
    const int64_t column = panel * kPanelRows;
    const int64_t count = std::min(panels * kPanelRows, weight.rows - column);
    if (params.bias.data) {
      const char* source = static_cast<const char*>(params.bias.data) + column * dtype_size(params.bias.dtype);
      convert_span(device.isa, bias, VN_DTYPE_F32, source, params.bias.dtype, count);
    }
    for (int64_t block = first_block; block < end_block; block += kPassBlocks) {
      pass(panel, panels, count, block, std::min(block + kPassBlocks, end_block), params.bias.data ? bias : nullptr);
    }
  }
}

void Call::pass(int64_t panel, int64_t panels, int64_t count, int64_t first_block, int64_t end_block,
                const float* bias) const {
  alignas(64) float tiles[kPassBlocks][kMaxBlockRows * kTileStride];
  const int64_t element = dtype_size(weight.dtype);
  const int64_t stride = weight.panel_stride * element;
  const int64_t piece =
      end_block - first_block == 1 ? weight.columns : kPieceBytes / (kTilePanels * kPanelRows * element);
  for (int64_t k = 0; k < weight.columns; k += piece) {
    const int64_t columns = std::min(piece, weight.columns - k);
    const char* w = weight.panel(panel) + k * kPanelRows * element;
    for (int64_t block = first_block; block < end_block; ++block) {
      const int64_t rows = blocks.rows(block);
      const char* x = packed + blocks.first_row(block) * x_row_bytes + k * rows * dtype_size(packed_dtype(family));
      family.kernel[rows - 1](x, w, stride, columns, panels, k > 0, tiles[block - first_block]);
    }
  }
  const vn_tensor& y = params.y;
  const int64_t y_element = dtype_size(y.dtype);
  for (int64_t block = first_block; block < end_block; ++block) {
    const int64_t row = blocks.first_row(block);
    char* out = static_cast<char*>(y.data) + (row * y.stride[0] + panel * kPanelRows) * y_element;
    for (int64_t r = 0; r < blocks.rows(block); ++r) {
      store(tiles[block - first_block] + r * kTileStride, bias, count, out + r * y.stride[0] * y_element, y.dtype);
    }
  }
}

void Call::multiply() const {
  const int64_t panel_bytes = std::max<int64_t>(1, weight.panel_stride * dtype_size(weight.dtype));
  const int64_t least = kTaskBytes / panel_bytes;
  const int64_t even = weight.panels / (kTasks * device.pool.size());
  const int64_t span = std::max(kTilePanels, std::max(least, even) / kTilePanels * kTilePanels);  // panels of a task
  const int64_t columns = (weight.panels + span - 1) / span;
  // Blocks are split among tasks only where panels alone cannot keep the threads busy to the end.
  const int64_t wanted = std::max<int64_t>(1, 4 * device.pool.size() / columns);
  const int64_t height = std::max<int64_t>(1, blocks.count / wanted);  // blocks of a task
  const int64_t lines = (blocks.count + height - 1) / height;
  device.pool.parallel_for(columns * lines, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t panel = i / lines * span;
      const int64_t block = i % lines * height;
      task(panel, std::min(panel + span, weight.panels), block, std::min(block + height, blocks.count));
    }
  });
}

}  // namespace

int64_t gemm_workspace_size(const Weight& weight, int32_t x_dtype, int64_t max_rows) {
  const GemmFamily& family = choose(weight, x_dtype);
  int64_t bytes;
  if (__builtin_mul_overflow(padded_columns(weight, family), dtype_size(packed_dtype(family)), &bytes) ||
      __builtin_mul_overflow(bytes, max_rows, &bytes)) {
    return INT64_MAX;
  }
  return bytes;
}

void gemm(Device& device, const vn_gemm_params& params) {
  const Weight& weight = *static_cast<const Weight*>(params.weight->impl);
  const int64_t rows = params.x.shape[0];
  if (rows == 0 || weight.rows == 0) return;
  const GemmFamily& family = choose(weight, params.x.dtype);
  const Call call{device,
                  params,
                  weight,
                  family,
                  gemm_store(device.isa),
                  Blocks(rows, family.max_rows),
                  padded_columns(weight, family) * dtype_size(packed_dtype(family)),
                  static_cast<char*>(params.workspace)};
  call.pack_rows();
  call.multiply();
}

// The instruction set decides alone; there is nothing to choose.
void gemm_tune(Device&, const vn_gemm_params&) {}

}  // namespace vn::cpu
