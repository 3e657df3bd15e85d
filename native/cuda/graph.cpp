// Graphs by stream capture. This thread must not allocate meanwhile; other threads wait (recording.h).
// What an operation reads from its params at capture (pointers, shapes, grid sizes) is fixed in the graph.
#include "cuda/graph.h"

#include <memory>

#include "cuda/check.h"
#include "cuda/context.h"
#include "cuda/recording.h"

namespace vn::cuda {

void graph_begin(const Stream& stream) {
  if (!Recording::begin()) fail(VN_INVALID_ARGUMENT, "graph_begin: this thread records a graph already");
  const cudaError_t result = cudaStreamBeginCapture(stream.handle, cudaStreamCaptureModeThreadLocal);
  if (result != cudaSuccess) Recording::end();
  check(result, "graph_begin: cudaStreamBeginCapture");
}

Graph* graph_end(const Stream& stream) {
  auto graph = std::make_unique<Graph>(stream.device, nullptr);
  cudaGraph_t recorded = nullptr;
  check(cudaStreamEndCapture(stream.handle, &recorded), "graph_end: cudaStreamEndCapture");
  const cudaError_t result = cudaGraphInstantiate(&graph->executable, recorded, 0);
  forgive(cudaGraphDestroy(recorded), "graph_end: cudaGraphDestroy");
  check(result, "graph_end: cudaGraphInstantiate");
  if (const cudaError_t uploaded = cudaGraphUpload(graph->executable, stream.handle); uploaded != cudaSuccess) {
    forgive(cudaGraphExecDestroy(graph->executable), "graph_end: cudaGraphExecDestroy");
    check(uploaded, "graph_end: cudaGraphUpload");
  }
  return graph.release();
}

void graph_launch(const Graph& graph, const Stream& stream) {
  stream.device.state->last_op.store("graph_launch", std::memory_order_relaxed);
  check(cudaGraphLaunch(graph.executable, stream.handle), "graph_launch: cudaGraphLaunch");
}

void graph_destroy(Graph* graph) noexcept {
  if (const CurrentContext current(graph->device); current) {
    forgive(cudaGraphExecDestroy(graph->executable), "graph_destroy: cudaGraphExecDestroy");
  }
  delete graph;
}

}  // namespace vn::cuda
