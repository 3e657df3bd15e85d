// A recorded sequence of operations, launched as one.
#pragma once

#include <cuda_runtime_api.h>

#include "cuda/device.h"
#include "cuda/stream.h"

namespace vn::cuda {

struct Graph {
  Device device;
  cudaGraphExec_t executable;
};

void graph_begin(const Stream& stream);
Graph* graph_end(const Stream& stream);
void graph_launch(const Graph& graph, const Stream& stream);
void graph_destroy(Graph* graph) noexcept;

}  // namespace vn::cuda
