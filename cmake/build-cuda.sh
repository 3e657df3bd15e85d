#!/usr/bin/env bash
# Builds the CUDA plugin, for all its targets, into build/ and fails where that takes longer than a limit: nobody waits for a
# build that became slow unnoticed. What is built already does not count. Usage: build-cuda.sh SECONDS
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
limit=${1:?the limit in seconds}

cmake -S . -B build -G Ninja -DCMAKE_BUILD_TYPE=Release -DVN_CUDA=ON >/dev/null
start=$SECONDS
cmake --build build --target vllm_native_cuda >/dev/null
took=$((SECONDS - start))
echo "the CUDA plugin was built in $took s, $limit are allowed"
[ "$took" -le "$limit" ]
