#!/usr/bin/env bash
# The native tests on a machine with an NVIDIA GPU, where those that need a CUDA device do not skip; the library is built
# with VN_CUDA=ON, so that a CUDA compiler that fails is an error. Last line: N passed, N failed, N skipped.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

die() {
  echo "gpu-test: $*" >&2
  exit 1
}

command -v nvidia-smi >/dev/null || die "no GPU here: nvidia-smi is not in PATH"
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader || die "no GPU here: nvidia-smi fails"
command -v cmake >/dev/null && command -v ninja >/dev/null || die "cmake and ninja are needed"

cmake -S . -B build/gpu -G Ninja -DCMAKE_BUILD_TYPE=Release -DVN_CUDA=ON
cmake --build build/gpu
cat build/gpu/devices.txt
exec cmake/run-tests.sh "${VN_GPU_TEST_SECONDS:-540}" ctest:build/gpu
