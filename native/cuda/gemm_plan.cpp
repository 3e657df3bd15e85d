// cuBLASLt counts in columns: y^T [n, m] = (W^T)^T [n, k] x^T [k, m]. So its A is W (transposed), its B is x, its D is y, and
// leading dimensions are row strides. Accumulation is f32; f32 operands never become TF32.
#include "cuda/gemm_plan.h"

#include "core/dtype.h"
#include "core/error.h"
#include "core/row_buckets.h"
#include "cuda/cublaslt.h"

namespace vn::cuda {
namespace {

constexpr int64_t kFullAlignment = 16;
constexpr int64_t kCheckedRows = 16384;  // takes_all_rows looks at row counts up to here

cudaDataType type_of(int32_t dtype) {
  switch (dtype) {
    case VN_DTYPE_F32: return CUDA_R_32F;
    case VN_DTYPE_F16: return CUDA_R_16F;
    case VN_DTYPE_BF16: return CUDA_R_16BF;
    default: fail(VN_UNSUPPORTED, "gemm: dtype is %s (%d), expected F32, F16 or BF16", dtype_name(dtype), dtype);
  }
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
  Preference(const GemmKey& key, GemmSums sums) {
    const bool split = sums == GemmSums::kRepeatable;
    check_cublas(cublaslt().cublasLtMatmulPreferenceCreate(&handle), "gemm: cublasLtMatmulPreferenceCreate");
    set(handle, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, static_cast<uint64_t>(split ? kCublasWorkspace : 0));
    set(handle, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
        static_cast<uint32_t>(split ? CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE : CUBLASLT_REDUCTION_SCHEME_NONE));
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

template <typename Value>
Value config(const cublasLtMatmulAlgo_t& algorithm, cublasLtMatmulAlgoConfigAttributes_t name) {
  Value value{};
  size_t written = 0;
  check_cublas(cublaslt().cublasLtMatmulAlgoConfigGetAttribute(&algorithm, name, &value, sizeof value, &written),
               "gemm: cublasLtMatmulAlgoConfigGetAttribute");
  return value;
}

// Nothing of another block can reach an element: its sum is not split, and there is no memory to hand parts over.
bool sums_in_one_block(const cublasLtMatmulHeuristicResult_t& candidate) {
  return candidate.workspaceSize == 0 && config<int32_t>(candidate.algo, CUBLASLT_ALGO_CONFIG_SPLITK_NUM) <= 1 &&
         config<uint32_t>(candidate.algo, CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME) == CUBLASLT_REDUCTION_SCHEME_NONE;
}

}  // namespace

GemmKey gemm_key(const GemmProblem& problem, int64_t rows) {
  return {rows,
          problem.n,
          problem.k,
          problem.x_dtype,
          problem.y_dtype,
          problem.bias != nullptr,
          alignment_of(problem.x, problem.x_stride, problem.x_dtype),
          alignment_of(problem.w, problem.k, problem.w_dtype),
          alignment_of(problem.y, problem.y_stride, problem.y_dtype)};
}

GemmPlan::GemmPlan(const GemmKey& key, const void* bias) : key_(key) {
  const CublasLt& lib = cublaslt();
  const auto m = static_cast<uint64_t>(key.m);
  const auto n = static_cast<uint64_t>(key.n);
  const auto k = static_cast<uint64_t>(key.k);
  check_cublas(lib.cublasLtMatmulDescCreate(&product_, CUBLAS_COMPUTE_32F, CUDA_R_32F), "gemm: cublasLtMatmulDescCreate");
  set(product_, CUBLASLT_MATMUL_DESC_TRANSA, static_cast<int32_t>(CUBLAS_OP_T));
  if (key.bias) {
    set(product_, CUBLASLT_MATMUL_DESC_EPILOGUE, static_cast<uint32_t>(CUBLASLT_EPILOGUE_BIAS));
    set(product_, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, static_cast<int32_t>(type_of(key.y_dtype)));
    set(product_, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
  }
  const char* what = "gemm: cublasLtMatrixLayoutCreate";
  check_cublas(lib.cublasLtMatrixLayoutCreate(&w_, type_of(key.dtype), k, n, key.k), what);
  check_cublas(lib.cublasLtMatrixLayoutCreate(&x_, type_of(key.dtype), k, m, key.k), what);
  check_cublas(lib.cublasLtMatrixLayoutCreate(&y_, type_of(key.y_dtype), n, m, key.n), what);
}

GemmPlan::~GemmPlan() {
  const CublasLt& lib = cublaslt();
  for (const cublasLtMatrixLayout_t layout : {w_, x_, y_}) {
    if (layout) lib.cublasLtMatrixLayoutDestroy(layout);
  }
  if (product_) lib.cublasLtMatmulDescDestroy(product_);
}

void GemmPlan::set_rows(int64_t m, int64_t x_stride, int64_t y_stride) {
  set(x_, CUBLASLT_MATRIX_LAYOUT_COLS, static_cast<uint64_t>(m));
  set(x_, CUBLASLT_MATRIX_LAYOUT_LD, x_stride);
  set(y_, CUBLASLT_MATRIX_LAYOUT_COLS, static_cast<uint64_t>(m));
  set(y_, CUBLASLT_MATRIX_LAYOUT_LD, y_stride);
}

bool GemmPlan::takes_all_rows(cublasLtHandle_t handle, const cublasLtMatmulAlgo_t& algorithm, const GemmProblem& problem) {
  for (int64_t m = 1; m <= kCheckedRows; m = m < 256 ? m + 1 : row_bucket(m + 1)) {
    set_rows(m, problem.x_stride, problem.y_stride);
    cublasLtMatmulHeuristicResult_t result{};
    const cublasStatus_t status =
        cublaslt().cublasLtMatmulAlgoCheck(handle, product_, w_, x_, y_, y_, &algorithm, &result);
    if (status != CUBLAS_STATUS_SUCCESS || result.workspaceSize != 0) return false;
  }
  return true;
}

std::vector<cublasLtMatmulAlgo_t> GemmPlan::algorithms(cublasLtHandle_t handle, const GemmProblem& problem, GemmSums sums,
                                                       int count) {
  set_rows(key_.m, problem.x_stride, problem.y_stride);
  const Preference preference(key_, sums);
  std::vector<cublasLtMatmulHeuristicResult_t> candidates(static_cast<size_t>(count));
  int found = 0;
  const cublasStatus_t status = cublaslt().cublasLtMatmulAlgoGetHeuristic(
      handle, product_, w_, x_, y_, y_, preference.handle, count, candidates.data(), &found);
  if (status == CUBLAS_STATUS_NOT_SUPPORTED || status == CUBLAS_STATUS_INVALID_VALUE) return {};
  check_cublas(status, "gemm: cublasLtMatmulAlgoGetHeuristic");
  candidates.resize(static_cast<size_t>(found));
  std::vector<cublasLtMatmulAlgo_t> algorithms;
  for (const cublasLtMatmulHeuristicResult_t& candidate : candidates) {
    if (candidate.state != CUBLAS_STATUS_SUCCESS) continue;
    if (sums == GemmSums::kOfOneBlock &&
        !(sums_in_one_block(candidate) && takes_all_rows(handle, candidate.algo, problem))) {
      continue;
    }
    algorithms.push_back(candidate.algo);
  }
  return algorithms;
}

cublasStatus_t GemmPlan::launch(cublasLtHandle_t handle, const GemmProblem& problem, const cublasLtMatmulAlgo_t& algorithm,
                                void* workspace, cudaStream_t stream) {
  const float one = 1.0f;
  const float zero = 0.0f;
  set_rows(problem.m, problem.x_stride, problem.y_stride);
  if (problem.bias) set(product_, CUBLASLT_MATMUL_DESC_BIAS_POINTER, problem.bias);
  return cublaslt().cublasLtMatmul(handle, product_, &one, problem.w, w_, problem.x, x_, &zero, problem.y, y_, problem.y, y_,
                                   &algorithm, workspace, static_cast<size_t>(workspace ? kCublasWorkspace : 0), stream);
}

}  // namespace vn::cuda
