// cuBLASLt, opened at run time: neither the build nor the package links it, and its absence is an error in words.
#pragma once

#include <cublasLt.h>

namespace vn::cuda {

// What is used of cuBLASLt. Major versions 12 and 13 agree on these functions; descriptors are made and freed by the
// library itself, so that their sizes are not compiled in here.
#define VN_FOR_EACH_CUBLASLT(X)       \
  X(cublasLtCreate)                   \
  X(cublasLtDestroy)                  \
  X(cublasLtGetVersion)               \
  X(cublasLtGetStatusName)            \
  X(cublasLtMatmul)                   \
  X(cublasLtMatmulDescCreate)         \
  X(cublasLtMatmulDescDestroy)        \
  X(cublasLtMatmulDescSetAttribute)   \
  X(cublasLtMatrixLayoutCreate)       \
  X(cublasLtMatrixLayoutDestroy)      \
  X(cublasLtMatrixLayoutSetAttribute) \
  X(cublasLtMatmulPreferenceCreate)   \
  X(cublasLtMatmulPreferenceDestroy)  \
  X(cublasLtMatmulPreferenceSetAttribute) \
  X(cublasLtMatmulAlgoGetHeuristic)       \
  X(cublasLtMatmulAlgoCheck)              \
  X(cublasLtMatmulAlgoConfigGetAttribute)

struct CublasLt {
#define VN_CUBLASLT_FUNCTION(name) decltype(&::name) name;
  VN_FOR_EACH_CUBLASLT(VN_CUBLASLT_FUNCTION)
#undef VN_CUBLASLT_FUNCTION
};

// The library of this process; opened at the first call, on the calling thread's device. Throws VN_CUBLAS with what was
// tried when there is none.
const CublasLt& cublaslt();

// Throws VN_CUBLAS unless status is success. what: the operation and the call, "gemm: cublasLtMatmul".
void check_cublas(cublasStatus_t status, const char* what);

}  // namespace vn::cuda
