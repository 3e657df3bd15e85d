// Finding cuBLASLt: the first library of the list that opens, has every function and makes a handle. A library of another
// CUDA version than the driver's opens but makes no handle, which is why a handle is part of the test.
#include "cuda/cublaslt.h"

#include <dlfcn.h>

#include <optional>
#include <string>

#include "core/error.h"
#include "cuda/check.h"

namespace vn::cuda {
namespace {

// By name where the loader looks (LD_LIBRARY_PATH, ldconfig), then where CUDA's own packages put it.
constexpr const char* kNames[] = {
    "libcublasLt.so.13",
    "libcublasLt.so.12",
    "/usr/local/cuda/lib64/libcublasLt.so.13",
    "/usr/local/cuda/lib64/libcublasLt.so.12",
};

struct Search {
  std::optional<CublasLt> found;
  std::string tried;  // name: reason; ...
};

// Empty when the library at `name` works.
std::string open(const char* name, CublasLt& out) {
  void* library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
  if (!library) return dlerror();
  CublasLt functions{};
  const char* missing = nullptr;
#define VN_CUBLASLT_FUNCTION(function)                                                              \
  functions.function = reinterpret_cast<decltype(functions.function)>(dlsym(library, #function)); \
  if (!functions.function) missing = #function;
  VN_FOR_EACH_CUBLASLT(VN_CUBLASLT_FUNCTION)
#undef VN_CUBLASLT_FUNCTION
  std::string reason;
  if (missing) {
    reason = std::string("it has no ") + missing;
  } else {
    cublasLtHandle_t handle = nullptr;
    const cublasStatus_t status = functions.cublasLtCreate(&handle);
    if (status == CUBLAS_STATUS_SUCCESS) {
      functions.cublasLtDestroy(handle);
      out = functions;
      return "";
    }
    reason = std::string("cublasLtCreate: ") + functions.cublasLtGetStatusName(status);
  }
  dlclose(library);
  return reason;
}

Search search() {
  Search result;
  for (const char* name : kNames) {
    CublasLt functions{};
    const std::string reason = open(name, functions);
    if (reason.empty()) {
      result.found = functions;
      return result;
    }
    result.tried += (result.tried.empty() ? "" : "; ") + std::string(name) + ": " + reason;
  }
  return result;
}

const Search& searched() {
  static const Search once = search();
  return once;
}

}  // namespace

const CublasLt& cublaslt() {
  const Search& result = searched();
  if (!result.found) fail(VN_CUBLAS, "gemm: cuBLASLt cannot be used (%s)", result.tried.c_str());
  return *result.found;
}

void check_cublas(cublasStatus_t status, const char* what) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  check_alive(what);
  fail(VN_CUBLAS, "%s: %s (%d)", what, cublaslt().cublasLtGetStatusName(status), static_cast<int>(status));
}

}  // namespace vn::cuda
