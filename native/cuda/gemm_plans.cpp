// cuBLASLt counts in columns: y^T [n, m] = (W^T)^T [n, k] x^T [k, m]. So its A is W (transposed), its B is x, its D is y, and
// leading dimensions are row strides. Accumulation is f32 (f32 operands never become TF32); split-K is allowed where the
// parts are added in f32 in the workspace, in a fixed order, which excludes atomics and parts rounded to y's dtype.
//
// Rows are bucketed: one algorithm serves a bucket, with descriptors whose row count is set for each call.
#include "cuda/gemm_plans.h"

#include <cstdio>

#include "core/dtype.h"
#include "core/error.h"
#include "cuda/cublaslt.h"
#include "cuda/host.h"

namespace vn::cuda {
namespace {

constexpr int kCandidates = 8;
constexpr int64_t kFullAlignment = 16;

cudaDataType type_of(int32_t dtype) {
  switch (dtype) {
    case VN_DTYPE_F32: return CUDA_R_32F;
    case VN_DTYPE_F16: return CUDA_R_16F;
    case VN_DTYPE_BF16: return CUDA_R_16BF;
    default: fail(VN_UNSUPPORTED, "gemm: dtype is %s (%d), expected F32, F16 or BF16", dtype_name(dtype), dtype);
  }
}

// The largest row count that shares an algorithm with m.
int64_t bucket_of(int64_t m) {
  int64_t step = 1;
  if (m > 4096) {
    step = 1024;
  } else if (m > 1024) {
    step = 512;
  } else if (m > 256) {
    step = 128;
  } else if (m > 64) {
    step = 32;
  } else if (m > 8) {
    step = 8;
  } else if (m > 4) {
    step = 4;
  }
  return (m + step - 1) / step * step;
}

// Of an address and the distance from row to row: a power of two, at most kFullAlignment.
int32_t alignment_of(const void* data, int64_t stride, int32_t dtype) {
  const auto bits = reinterpret_cast<uintptr_t>(data) | static_cast<uintptr_t>(stride * dtype_size(dtype)) |
                    static_cast<uintptr_t>(kFullAlignment);
  return static_cast<int32_t>(bits & (~bits + 1));
}

template <typename Value>
void set(cublasLtMatmulDesc_t desc, cublasLtMatmulDescAttributes_t name, const Value& value) {
  check_cublas(cublaslt().cublasLtMatmulDescSetAttribute(desc, name, &value, sizeof value),
               "gemm: cublasLtMatmulDescSetAttribute");
}

template <typename Value>
void set(cublasLtMatrixLayout_t layout, cublasLtMatrixLayoutAttribute_t name, const Value& value) {
  check_cublas(cublaslt().cublasLtMatrixLayoutSetAttribute(layout, name, &value, sizeof value),
               "gemm: cublasLtMatrixLayoutSetAttribute");
}

template <typename Value>
void set(cublasLtMatmulPreference_t preference, cublasLtMatmulPreferenceAttributes_t name, const Value& value) {
  check_cublas(cublaslt().cublasLtMatmulPreferenceSetAttribute(preference, name, &value, sizeof value),
               "gemm: cublasLtMatmulPreferenceSetAttribute");
}

struct Preference {
  explicit Preference(const GemmKey& key) {
    check_cublas(cublaslt().cublasLtMatmulPreferenceCreate(&handle), "gemm: cublasLtMatmulPreferenceCreate");
    set(handle, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, static_cast<uint64_t>(kCublasWorkspace));
    set(handle, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, static_cast<uint32_t>(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
    set(handle, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, static_cast<uint32_t>(key.w_alignment));
    set(handle, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, static_cast<uint32_t>(key.x_alignment));
    set(handle, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, static_cast<uint32_t>(key.y_alignment));
    set(handle, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, static_cast<uint32_t>(key.y_alignment));
  }
  ~Preference() { cublaslt().cublasLtMatmulPreferenceDestroy(handle); }
  Preference(const Preference&) = delete;
  Preference& operator=(const Preference&) = delete;
  cublasLtMatmulPreference_t handle = nullptr;
};

}  // namespace

struct GemmPlan {
  GemmPlan() = default;
  ~GemmPlan() {
    const CublasLt& lib = cublaslt();
    for (const cublasLtMatrixLayout_t layout : {w, x, y}) {
      if (layout) lib.cublasLtMatrixLayoutDestroy(layout);
    }
    if (product) lib.cublasLtMatmulDescDestroy(product);
  }
  GemmPlan(const GemmPlan&) = delete;
  GemmPlan& operator=(const GemmPlan&) = delete;

  void describe(const GemmKey& key, const void* bias);
  void choose(cublasLtHandle_t handle, const GemmKey& key);
  // Sets what differs from call to call.
  void set_rows(int64_t m, int64_t x_stride, int64_t y_stride);

  cublasLtMatmulDesc_t product = nullptr;
  cublasLtMatrixLayout_t w = nullptr;
  cublasLtMatrixLayout_t x = nullptr;
  cublasLtMatrixLayout_t y = nullptr;
  cublasLtMatmulAlgo_t algorithm{};
  bool usable = false;  // there is an algorithm
};

void GemmPlan::describe(const GemmKey& key, const void* bias) {
  const CublasLt& lib = cublaslt();
  const auto m = static_cast<uint64_t>(key.m);
  const auto n = static_cast<uint64_t>(key.n);
  const auto k = static_cast<uint64_t>(key.k);
  check_cublas(lib.cublasLtMatmulDescCreate(&product, CUBLAS_COMPUTE_32F, CUDA_R_32F), "gemm: cublasLtMatmulDescCreate");
  set(product, CUBLASLT_MATMUL_DESC_TRANSA, static_cast<int32_t>(CUBLAS_OP_T));
  if (key.bias) {
    set(product, CUBLASLT_MATMUL_DESC_EPILOGUE, static_cast<uint32_t>(CUBLASLT_EPILOGUE_BIAS));
    set(product, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, static_cast<int32_t>(type_of(key.y_dtype)));
    set(product, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);  // its alignment matters to the choice
  }
  const char* what = "gemm: cublasLtMatrixLayoutCreate";
  check_cublas(lib.cublasLtMatrixLayoutCreate(&w, type_of(key.dtype), k, n, key.k), what);
  check_cublas(lib.cublasLtMatrixLayoutCreate(&x, type_of(key.dtype), k, m, key.k), what);
  check_cublas(lib.cublasLtMatrixLayoutCreate(&y, type_of(key.y_dtype), n, m, key.n), what);
}

// The heuristics' first answer. The place to time the candidates on rotated operands, should that be worth it.
void GemmPlan::choose(cublasLtHandle_t handle, const GemmKey& key) {
  const Preference preference(key);
  cublasLtMatmulHeuristicResult_t candidates[kCandidates] = {};
  int found = 0;
  const cublasStatus_t status = cublaslt().cublasLtMatmulAlgoGetHeuristic(handle, product, w, x, y, y, preference.handle,
                                                                          kCandidates, candidates, &found);
  if (status == CUBLAS_STATUS_NOT_SUPPORTED || status == CUBLAS_STATUS_INVALID_VALUE) return;
  check_cublas(status, "gemm: cublasLtMatmulAlgoGetHeuristic");
  for (int i = 0; i < found && !usable; ++i) {
    if (candidates[i].state != CUBLAS_STATUS_SUCCESS) continue;
    algorithm = candidates[i].algo;
    usable = true;
  }
}

void GemmPlan::set_rows(int64_t m, int64_t x_stride, int64_t y_stride) {
  set(x, CUBLASLT_MATRIX_LAYOUT_COLS, static_cast<uint64_t>(m));
  set(x, CUBLASLT_MATRIX_LAYOUT_LD, x_stride);
  set(y, CUBLASLT_MATRIX_LAYOUT_COLS, static_cast<uint64_t>(m));
  set(y, CUBLASLT_MATRIX_LAYOUT_LD, y_stride);
}

namespace {

// Once for each plan: such a product is computed by the plain kernel, far slower.
void report_unusable(const GemmKey& key) {
  char message[256];
  std::snprintf(message, sizeof message,
                "gemm: cuBLASLt has no algorithm for [%lld, %lld] x %lld, %s into %s, bias %d, aligned to %d, %d and %d bytes; "
                "the plain kernel computes it",
                static_cast<long long>(key.m), static_cast<long long>(key.k), static_cast<long long>(key.n),
                dtype_name(key.dtype), dtype_name(key.y_dtype), key.bias, key.x_alignment, key.w_alignment, key.y_alignment);
  g_host->log(2, message);
}

}  // namespace

GemmPlans::GemmPlans() = default;

GemmPlans::~GemmPlans() {
  plans_.clear();
  if (handle_) cublaslt().cublasLtDestroy(handle_);
}

GemmPlan& GemmPlans::find(const GemmKey& key, const GemmProblem& problem) {
  std::unique_ptr<GemmPlan>& slot = plans_[key];
  if (!slot) {
    auto plan = std::make_unique<GemmPlan>();
    plan->describe(key, problem.bias);
    plan->set_rows(key.m, problem.x_stride, problem.y_stride);
    plan->choose(handle_, key);
    if (!plan->usable) report_unusable(key);
    slot = std::move(plan);
  }
  return *slot;
}

bool GemmPlans::launch(const GemmProblem& problem, void* workspace, cudaStream_t stream) {
  const CublasLt& lib = cublaslt();
  const std::lock_guard lock(mutex_);
  if (!handle_) check_cublas(lib.cublasLtCreate(&handle_), "gemm: cublasLtCreate");
  GemmKey key{bucket_of(problem.m),
              problem.n,
              problem.k,
              problem.x_dtype,
              problem.y_dtype,
              problem.bias != nullptr,
              alignment_of(problem.x, problem.x_stride, problem.x_dtype),
              alignment_of(problem.w, problem.k, problem.w_dtype),
              alignment_of(problem.y, problem.y_stride, problem.y_dtype)};
  const float one = 1.0f;
  const float zero = 0.0f;
  // An algorithm chosen for the bucket may refuse a smaller row count; then one is chosen for this count alone.
  for (;;) {
    GemmPlan& plan = find(key, problem);
    cublasStatus_t status = CUBLAS_STATUS_NOT_SUPPORTED;
    if (plan.usable) {
      plan.set_rows(problem.m, problem.x_stride, problem.y_stride);
      if (problem.bias) set(plan.product, CUBLASLT_MATMUL_DESC_BIAS_POINTER, problem.bias);
      status = lib.cublasLtMatmul(handle_, plan.product, &one, problem.w, plan.w, problem.x, plan.x, &zero, problem.y, plan.y,
                                  problem.y, plan.y, &plan.algorithm, workspace, static_cast<size_t>(kCublasWorkspace),
                                  stream);
    }
    if (status == CUBLAS_STATUS_SUCCESS) return true;
    const bool refused = status == CUBLAS_STATUS_NOT_SUPPORTED || status == CUBLAS_STATUS_INVALID_VALUE;
    if (!refused) check_cublas(status, "gemm: cublasLtMatmul");
    if (key.m == problem.m) return false;
    key.m = problem.m;
  }
}

}  // namespace vn::cuda
